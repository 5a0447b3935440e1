package conformance_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"countersign/simulator/attack"
	"countersign/simulator/conformance"
	"countersign/simulator/standin"
	"countersign/simulator/verdict"
)

// Every requirement is proved by an attack, or it is said why it cannot be seen; and no attack proves what there is not.
func TestEachRequirementIsProvedOrExplained(t *testing.T) {
	t.Parallel()
	proved := map[string]bool{}
	for _, a := range attack.All() {
		for _, id := range a.Proves {
			proved[id] = true
		}
	}
	for _, r := range conformance.Requirements() {
		if proved[r.ID] == (r.Hidden != "") {
			t.Errorf("%s: proved %v, hidden %q", r.ID, proved[r.ID], r.Hidden)
		}
		delete(proved, r.ID)
	}
	if len(proved) > 0 {
		t.Errorf("no requirement: %v", proved)
	}
}

func outcomes(r *conformance.Report) map[string]verdict.Outcome {
	out := map[string]verdict.Outcome{}
	for _, one := range r.Results {
		out[one.ID] = one.Outcome
	}
	return out
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flaw    standin.Flaw
		demands string
		broken  []string
		other   map[string]verdict.Outcome
	}{
		{"", "signed_user_verified", nil, nil},
		// What the server demands, and that it has no push service, leaves something out.
		{"", "bearer", nil, map[string]verdict.Outcome{"T13": verdict.NotApplicable}},
		{standin.Late, "bearer", []string{"T4"}, map[string]verdict.Outcome{"T13": verdict.NotApplicable}},
		{standin.AnswerTwice, "bearer", []string{"T1", "T3", "T5", "T17"}, map[string]verdict.Outcome{"T13": verdict.NotApplicable}},
	} {
		t.Run(string(c.flaw)+" "+c.demands, func(t *testing.T) {
			t.Parallel()
			s := standin.New(t, standin.Options{Guarded: true, Flaw: c.flaw, Demands: c.demands, Window: 3 * time.Second})
			o := attack.Options{Base: s.URL, Token: standin.AdminToken, Tries: 10, Only: []string{"nothing, for all are needed"}}
			if c.demands != "bearer" {
				o.Push = s
			}
			report, err := conformance.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			for id, outcome := range outcomes(report) {
				want := verdict.Held
				switch {
				case slices.Contains(c.broken, id):
					want = verdict.Broken
				case slices.Contains([]string{"T2", "T9", "T12"}, id):
					want = verdict.NotObservable
				case c.other[id] != "":
					want = c.other[id]
				}
				if outcome != want {
					t.Errorf("%s: %s, not %s", id, outcome, want)
				}
			}
			if broken := errors.Is(report.Err(), verdict.ErrBroken); broken != (c.broken != nil) {
				t.Errorf("%v", report.Err())
			}
			says := []string{"NOT OBSERVABLE T9"}
			if c.demands == "bearer" && c.flaw == "" {
				says = append(says, "but not tried: stolen-qr-without-keys: the server takes phones without keys")
			}
			holds(t, report.Text, says...)
			cases(t, report.JUnit, 24, len(c.broken))
		})
	}
}

// holds checks a text: its lines fit, and it says what it has to.
func holds(t *testing.T, write func(io.Writer, int) error, says ...string) {
	t.Helper()
	for _, width := range []int{40, 100} {
		var b bytes.Buffer
		if err := write(&b, width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns of %d: %s", n, width, line)
			}
		}
		for _, want := range says {
			if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
				t.Errorf("no %q in\n%s", want, b.String())
			}
		}
	}
}

func cases(t *testing.T, write func(io.Writer) error, all, failures int) {
	t.Helper()
	var b bytes.Buffer
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
	}
	if err := write(&b); err != nil || xml.Unmarshal(b.Bytes(), &suite) != nil || suite.Tests != all || suite.Failures != failures {
		t.Errorf("%v: %+v, not %d with %d failures", err, suite, all, failures)
	}
}

// The stand-in takes no passkeys.
var generations = []string{"stock", "fetch", "poll", "socket", "signs", "verifies", "old", "next"}

func TestSkew(t *testing.T) {
	t.Parallel()
	s := standin.New(t, standin.Options{Guarded: true})
	m, err := conformance.Skew(t.Context(), conformance.SkewOptions{Base: s.URL, Token: standin.AdminToken, Push: s, Only: generations, Progress: func(text string) { t.Log(text) }})
	if err != nil {
		t.Fatal(err)
	}
	if m.Err() != nil || len(m.Cells) != 3*len(generations) || s.Users() != 0 || s.Setups() != 0 {
		t.Errorf("%v, %d cells, %d users and %d flows are left: %+v", m.Err(), len(m.Cells), s.Users(), s.Setups(), m.Cells)
	}
	holds(t, m.Text, "stock works refused refused", "signs works works refused", "next works works works")
	cases(t, m.JUnit, 24, 0)
}

// A server that takes every phone is not what the matrix expects, and one that lets nobody in neither.
func TestSkewFindsABrokenServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		o      standin.Options
		only   string
		broken []string
	}{
		{"takes all", standin.Options{Guarded: true, Flaw: standin.AnyDemand}, "signs", []string{"signed_user_verified"}},
		{"lets nobody in", standin.Options{Guarded: true, Window: time.Nanosecond}, "signs", []string{"bearer", "signed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := standin.New(t, c.o)
			m, err := conformance.Skew(t.Context(), conformance.SkewOptions{Base: s.URL, Token: standin.AdminToken, Only: []string{c.only}})
			if err != nil {
				t.Fatal(err)
			}
			for _, cell := range m.Cells {
				if broken := cell.Outcome == verdict.Broken; broken != slices.Contains(c.broken, cell.Demand) {
					t.Errorf("%+v", cell)
				}
			}
			if !errors.Is(m.Err(), verdict.ErrBroken) {
				t.Error(m.Err())
			}
			holds(t, m.Text, "BROKEN")
		})
	}
}

func TestSkewWithoutPushes(t *testing.T) {
	t.Parallel()
	s := standin.New(t, standin.Options{Guarded: true})
	m, err := conformance.Skew(t.Context(), conformance.SkewOptions{Base: s.URL, Token: standin.AdminToken, Only: []string{"stock", "fetch"}})
	if err != nil || m.Err() != nil || m.Cells[0].Outcome != verdict.NotApplicable || m.Cells[3].Outcome != verdict.Held {
		t.Errorf("%v %+v", err, m)
	}
	holds(t, m.Text, "stock not tried not tried not tried")
}

func TestSkewWithoutServer(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]conformance.SkewOptions{
		"nobody listens": {Base: "http://127.0.0.1:1", Token: "x"},
		"no token":       {Base: "http://127.0.0.1:1"},
		"no such phone":  {Base: "http://127.0.0.1:1", Token: "x", Only: []string{"fax"}},
	} {
		if _, err := conformance.Skew(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	s := standin.New(t, standin.Options{Guarded: true})
	m, err := conformance.Skew(ctx, conformance.SkewOptions{Base: s.URL, Token: standin.AdminToken, Progress: func(string) { stop() }})
	if err != nil || !m.Interrupted || len(m.Cells) == 3*len(conformance.Generations()) || s.Users() != 0 || s.Setups() != 0 {
		t.Errorf("%v %+v, %d users and %d flows are left", err, m, s.Users(), s.Setups())
	}
}
