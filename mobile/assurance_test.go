package mobile

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"countersign/core/fault"
	"countersign/flows"
	"countersign/mobile/wire"
)

// T2, G4: only what carries six digits may claim to be out of band, and the bits are those of the mode.
func TestLadderClaimsNoMoreThanItsBits(t *testing.T) {
	t.Parallel()
	bits := map[wire.Mode]float64{
		wire.AcceptDeny: 0, wire.NumberMatching2: 1.6, wire.NumberMatching3: 1.6, wire.NumberTyped2: 6.6, wire.NumberTyped3: 10, wire.NumberTyped6: 19.9,
		wire.CodeShown6: 19.9,
	}
	rungs := ladder()
	if len(rungs) != len(bits) {
		t.Fatalf("%d rungs", len(rungs))
	}
	last := 0.0
	for _, r := range rungs {
		mode := wire.Mode(r.Mode)
		if r.Bits != bits[mode] || r.Bits < last {
			t.Errorf("%s: %v bits", mode, r.Bits)
		}
		last = r.Bits
		six := mode == wire.NumberTyped6 || mode == wire.CodeShown6
		if r.OutOfBand != six || strings.Contains(r.Label, "Fatigue control") == six || strings.HasPrefix(r.NIST, "Not an out-of-band") == six {
			t.Errorf("%s is labelled %+v", mode, r)
		}
		if (r.Signed == AssureOOB) != six || (r.SignedUserVerified == AssureMulti) != six || r.Bearer.rank() > AssureNumber.rank() {
			t.Errorf("%s reaches %s, %s, %s", mode, r.Bearer, r.Signed, r.SignedUserVerified)
		}
		if r.NIST == "" || r.ASVS == "" || (r.Bearer == AssureAny) != (mode == wire.AcceptDeny) {
			t.Errorf("%s: %+v", mode, r)
		}
	}
	if unknown := reached("number_typed_9", "user_verification"); unknown != AssureAny {
		t.Errorf("a mode that is not known reaches %s", unknown)
	}
	if Assurance("phishing_resistant").rank() <= AssureMulti.rank() {
		t.Error("a level that is not known is reached")
	}
}

// T2, G4: a stage that demands more than it gives is refused, and told what to choose.
func TestStageMustGiveWhatItDemands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode     wire.Mode
		answer   AnswerMode
		accepted Accepted
		highest  Assurance
	}{
		{wire.AcceptDeny, AnswerByItem, AcceptVerified, AssureAny},
		{wire.NumberMatching3, "", AcceptVerified, AssureNumber},
		{wire.NumberMatching2, AnswerByItem, AcceptBearer, AssureNumber},
		{wire.AcceptDeny, "number_typed_2", AcceptSigned, AssureNumber},
		{wire.AcceptDeny, "number_typed_3", AcceptVerified, AssureNumber},
		{wire.AcceptDeny, "number_typed_6", AcceptBearer, AssureNumber},
		{wire.AcceptDeny, "number_typed_6", "", AssureNumber},
		{wire.AcceptDeny, "number_typed_6", AcceptSigned, AssureOOB},
		{wire.NumberMatching3, "code_shown_6", AcceptSigned, AssureOOB},
		{wire.NumberMatching3, "code_shown_6", AcceptVerified, AssureMulti},
	} {
		for _, required := range levels {
			err := Settings{Mode: c.mode, Answer: c.answer, Accepted: c.accepted, Required: required}.checkAssurance()
			if allowed := required.rank() <= c.highest.rank(); allowed != (err == nil) {
				t.Errorf("%+v as %s: %v", c, required, err)
			}
			var f *fault.Error
			if errors.As(err, &f) && (len(f.Fields["required_assurance"]) != 1 || !strings.Contains(f.Fields["required_assurance"][0].Text, "This needs")) {
				t.Errorf("%+v as %s: %v", c, required, err)
			}
		}
	}
}

// T12, T15, T23: what a login says of its phone is what happened: the mode, its bits and the level; "mfa" only where the key
// that checks its owner signed, and never that it resists phishing.
func TestLoginClaimsWhatHappened(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	const bearer, possession, verification = signedBearer, "possession", "user_verification"
	for _, c := range []struct {
		mode   wire.Mode
		signed string
		level  Assurance
		amr    []string
	}{
		{wire.AcceptDeny, bearer, AssureAny, []string{"user"}},
		{wire.AcceptDeny, verification, AssureAny, []string{"user", "swk", "mfa"}},
		{wire.NumberMatching3, bearer, AssureNumber, []string{"user", "mca"}},
		{wire.NumberMatching2, possession, AssureNumber, []string{"user", "mca", "swk"}},
		{wire.NumberTyped2, bearer, AssureNumber, []string{"user", "mca"}},
		{wire.NumberTyped3, verification, AssureNumber, []string{"user", "mca", "swk", "mfa"}},
		{wire.NumberTyped6, bearer, AssureNumber, []string{"user", "mca"}},
		{wire.NumberTyped6, possession, AssureOOB, []string{"user", "mca", "swk"}},
		{wire.NumberTyped6, verification, AssureMulti, []string{"user", "mca", "swk", "mfa"}},
		{wire.CodeShown6, possession, AssureOOB, []string{"user", "mca", "swk"}},
		{wire.CodeShown6, verification, AssureMulti, []string{"user", "mca", "swk", "mfa"}},
	} {
		name := string(c.mode) + " " + c.signed
		owner := l.makeUser(name)
		s := Settings{Mode: c.mode}
		if !c.mode.Picks() {
			s = Settings{Mode: wire.NumberMatching3, Answer: AnswerMode(c.mode)}
		}
		stage := l.stageOf(s)
		x := l.tab()
		item := func(r reply, p interface{ String() string }) string {
			return value[string](l.bench, `SELECT correct FROM mobile_transactions WHERE device = $1`, p.String())
		}
		var done reply
		if c.signed == bearer {
			device, token := l.fetching(owner, stage)
			r := x.begin(name, device)
			held := x.await(l, device)
			l.answer(device, token, item(r, device))
			done = l.got(held)
		} else {
			p, err := l.signing(owner, stage, c.signed == verification)
			if err != nil {
				t.Fatal(err)
			}
			r := x.begin(name, p.device)
			held := x.await(l, p.device)
			code := item(r, p.device)
			if status, text := p.answers(code); status != 204 {
				t.Fatalf("%s: %d %s", name, status, text)
			}
			if done = l.got(held); c.mode.Shows() {
				done = x.send(typed(p.device, code))
			}
		}
		if done.Component != flows.ComponentRedirect {
			t.Fatalf("%s: %+v", name, done)
		}
		raw := value[[]byte](l.bench, `SELECT auth->'args'->'mfa_devices'->0 FROM sessions WHERE user_id = $1`, owner)
		var got struct {
			Mode     wire.Mode `json:"mode"`
			Bits     float64   `json:"bits"`
			Matched  bool      `json:"number_matched"`
			Verified bool      `json:"user_verified"`
			Level    Assurance `json:"assurance"`
			AMR      []string  `json:"amr"`
			ACR      string    `json:"acr"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if got.Mode != c.mode || got.Bits != rung(c.mode).Bits || got.Matched != (c.mode != wire.AcceptDeny) || got.Verified != (c.signed == verification) ||
			got.Level != c.level || !slices.Equal(got.AMR, c.amr) || got.ACR != "urn:countersign:phone:"+string(c.level) {
			t.Errorf("%s: the session says %s", name, raw)
		}
		if strings.Contains(got.ACR, "phr") || slices.Contains(got.AMR, "mfa") != (c.signed == verification) {
			t.Errorf("%s: the session claims %s", name, raw)
		}
		if event := value[string](l.bench, `SELECT context->'auth_method_args'->'mfa_devices'->0->>'acr' FROM events WHERE action = 'login' AND "user"->>'username' = $1`, name); event != got.ACR {
			t.Errorf("%s: the event says %q", name, event)
		}
	}
}
