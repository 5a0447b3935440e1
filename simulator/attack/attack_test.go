package attack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"countersign/mobile/wire"
	"countersign/simulator/attack"
	"countersign/simulator/standin"
	"countersign/simulator/verdict"
)

func standIn(t *testing.T, change func(*standin.Options)) *standin.Server {
	t.Helper()
	o := standin.Options{Guarded: true, Window: 3 * time.Second}
	if change != nil {
		change(&o)
	}
	return standin.New(t, o)
}

func run(t *testing.T, s *standin.Server, only ...string) *attack.Report {
	t.Helper()
	report, err := attack.Run(t.Context(), attack.Options{Base: s.URL, Token: standin.AdminToken, Only: only, Seed: 1, Tries: 10, Push: s})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func outcomes(r *attack.Report) map[string]verdict.Outcome {
	out := map[string]verdict.Outcome{}
	for _, one := range r.Results {
		out[one.Name] = one.Outcome
	}
	return out
}

func written(t *testing.T, r *attack.Report, width int) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Text(&b, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAGoodServerHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change     func(*standin.Options)
		impossible []string
	}{
		"phones of all kinds": {nil, []string{"stolen-qr-without-keys", "owner-key"}},
		"the owner's key alone": {func(o *standin.Options) {
			o.Demands, o.Mode = "signed_user_verified", wire.NumberTyped6
		}, nil},
		"nothing but a tap": {func(o *standin.Options) { o.Mode = wire.AcceptDeny }, []string{"stolen-qr-without-keys", "owner-key", "wrong-number"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := standIn(t, c.change)
			report := run(t, s)
			for attacked, outcome := range outcomes(report) {
				want := verdict.Held
				if slices.Contains(c.impossible, attacked) {
					want = verdict.NotApplicable
				}
				if outcome != want {
					t.Errorf("%s: %s, not %s", attacked, outcome, want)
				}
			}
			if report.Err() != nil || len(report.Results) != len(attack.All()) || s.Users() != 0 {
				t.Errorf("%v, %d results, %d users are left\n%s", report.Err(), len(report.Results), s.Users(), written(t, report, 120))
			}
		})
	}
}

// Each way to be broken is found by the attacks that are made for it, and each attack can find something.
func TestABrokenServerIsFound(t *testing.T) {
	t.Parallel()
	found := map[standin.Flaw][]string{
		standin.NoBudget:       {"push-bombing", "retry-storm"},
		standin.LocksOut:       {"push-bombing"},
		standin.RingsAgain:     {"retry-storm"},
		standin.Blind:          {"relay-page"},
		standin.AnyURL:         {"relay-page", "address-hijack"},
		standin.AnyBody:        {"address-hijack"},
		standin.AnyToken:       {"address-hijack"},
		standin.AnyNonce:       {"address-hijack"},
		standin.AnyKey:         {"address-hijack", "algorithm-confusion"},
		standin.TokenAlone:     {"address-hijack"},
		standin.AnyOwner:       {"address-hijack"},
		standin.ProofTwice:     {"replay"},
		standin.Unconfirmed:    {"enrolment-race", "stolen-qr", "relay-page"},
		standin.CodeTwice:      {"enrolment-race", "stolen-qr", "stolen-qr-without-keys"},
		standin.AnyAlgorithm:   {"algorithm-confusion"},
		standin.PrivateKeys:    {"algorithm-confusion"},
		standin.WrongLetsIn:    {"wrong-number"},
		standin.GuessAgain:     {"wrong-number"},
		standin.AnyClaims:      {"tampered-answer", "foreign-challenge", "tampered-payment"},
		standin.AnySpelling:    {"tampered-answer"},
		standin.Unsigned:       {"tampered-answer"},
		standin.UnsignedPrompt: {"foreign-challenge"},
		standin.AnyPhone:       {"swapped-ids"},
		standin.AnswerTwice:    {"parallel-answers", "replay"},
		standin.Late:           {"late-answer"},
		standin.Replaced:       {"late-answer"},
		standin.PossessionDoes: {"owner-key"},
		standin.AnyBrowser:     {"session-theft"},
		standin.Undead:         {"removed-phone"},
		standin.TellsNames:     {"account-discovery"},
		standin.NamesInPush:    {"push-payload"},
	}
	tested := map[string]bool{}
	for _, flaw := range standin.Flaws() {
		attacks := found[flaw]
		if len(attacks) == 0 {
			t.Errorf("nothing finds a server that %s", flaw)
		}
		for _, name := range attacks {
			tested[name] = true
		}
		t.Run(string(flaw), func(t *testing.T) {
			t.Parallel()
			report := run(t, standIn(t, func(o *standin.Options) {
				o.Flaw = flaw
				if flaw == standin.PossessionDoes {
					o.Demands = "signed_user_verified"
				}
			}), attacks...)
			for name, outcome := range outcomes(report) {
				if outcome != verdict.Broken {
					t.Errorf("%s: %s", name, outcome)
				}
			}
			if !errors.Is(report.Err(), verdict.ErrBroken) || t.Failed() {
				t.Errorf("%v\n%s", report.Err(), written(t, report, 120))
			}
		})
	}
	for _, a := range attack.All() {
		if !tested[a.Name] {
			t.Errorf("no server is broken by %s", a.Name)
		}
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]attack.Options{
		"nobody listens": {Base: "http://127.0.0.1:1", Token: "x"},
		"a wrong token":  {Base: standIn(t, nil).URL, Token: "guess"},
	} {
		if _, err := attack.Run(t.Context(), o); !errors.Is(err, attack.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]attack.Options{
		"no server":  {Token: "x"},
		"no attack":  {Base: "http://127.0.0.1:1", Token: "x", Only: []string{"bribery"}},
		"no tries":   {Base: "http://127.0.0.1:1", Token: "x", Tries: -1},
		"no attacks": {Base: "http://127.0.0.1:1", Token: "x", Only: []string{""}},
	} {
		if _, err := attack.Run(t.Context(), o); err == nil || errors.Is(err, attack.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInterruptionIsNoVerdict(t *testing.T) {
	t.Parallel()
	s := standIn(t, func(o *standin.Options) { o.Window = time.Minute })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	// The late answer waits for a minute; the other attack is done long before.
	report, err := attack.Run(ctx, attack.Options{
		Base: s.URL, Token: standin.AdminToken, Only: []string{"late-answer", "parallel-answers"}, Progress: func(string) { stop() },
	})
	if err != nil || !report.Interrupted || len(report.Results) != 1 || report.Err() != nil || s.Users() != 0 {
		t.Errorf("%+v %v, %d users are left", report, err, s.Users())
	}
	if text := written(t, report, 80); !strings.Contains(text, "Interrupted") {
		t.Error(text)
	}
}

// A minute is more than the patience: what does not need it is tried all the same.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	s := standIn(t, func(o *standin.Options) { o.Window = time.Minute })
	report, err := attack.Run(t.Context(), attack.Options{Base: s.URL, Token: standin.AdminToken, Only: []string{"late-answer"}, Patience: time.Second})
	if err != nil || report.Results[0].Outcome != verdict.Held || !strings.Contains(report.Results[0].Observed, "patience") {
		t.Errorf("%+v %v", report, err)
	}
}

// A server that refuses everybody, the owner too, is not one that holds.
func TestARefusalOfAllIsNoDefence(t *testing.T) {
	t.Parallel()
	s := standIn(t, func(o *standin.Options) { o.Window = time.Nanosecond })
	_, err := attack.Run(t.Context(), attack.Options{Base: s.URL, Token: standin.AdminToken, Only: []string{"swapped-ids"}})
	if !errors.Is(err, attack.ErrUnreachable) {
		t.Errorf("no owner can answer, and yet: %v", err)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	report := run(t, standIn(t, func(o *standin.Options) { o.Flaw = standin.WrongLetsIn }), "wrong-number", "owner-key", "replay")
	for _, width := range []int{20, 40, 100} {
		text := written(t, report, width)
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, 40) {
				t.Errorf("%d columns of %d: %s", n, width, line)
			}
		}
		if strings.Contains(text, "\x1b") {
			t.Error("colours")
		}
		flat := strings.Join(strings.Fields(text), " ")
		for _, want := range []string{"BROKEN wrong-number (T1, T3)", "HELD replay", "NOT APPLICABLE owner-key", "1 held, 1 broken, 1 not applicable, 0 failed"} {
			if !strings.Contains(flat, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
	var b bytes.Buffer
	if err := report.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var again attack.Report
	if err := json.Unmarshal(b.Bytes(), &again); err != nil || again.Count(verdict.Broken) != 1 || len(again.Results[0].Evidence) == 0 {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	if err := report.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suite); err != nil || suite.Tests != 3 || suite.Failures != 1 || suite.Skipped != 1 {
		t.Fatalf("%v %+v\n%s", err, suite, b.String())
	}
	for _, c := range suite.Cases {
		if (c.Failure != nil) != (c.Name == "wrong-number") {
			t.Errorf("%s: %+v", c.Name, c.Failure)
		}
	}
}

// A report says nothing that lets anybody in: of a phone that should not have got a token it says that it got one.
func TestReportHoldsNoSecret(t *testing.T) {
	t.Parallel()
	report := run(t, standIn(t, func(o *standin.Options) { o.Flaw = standin.CodeTwice }), "stolen-qr", "relay-page")
	var b bytes.Buffer
	if err := report.JSON(&b); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); !strings.Contains(text, "200 (with a secret)") || strings.Contains(text, "server_key") {
		t.Error(text)
	}
}
