package phone_test

import (
	"encoding/json"
	"testing"

	"countersign/mobile/wire"
	"countersign/simulator/phone"
	"countersign/simulator/standin"
)

// Each malice is refused for just what it is, and leaves the prompt to the honest answer.
func TestMaliceIsRefused(t *testing.T) {
	t.Parallel()
	const broken = "answer: the signature does not hold"
	for name, c := range map[string]struct {
		malice phone.Malice
		want   string
	}{
		"tampered":           {phone.Tampered("item", nil), broken},
		"tampered tx":        {phone.Tampered("tx", "0192f3a4-5b6c-7d8e-9f01-23456789abcd"), broken},
		"tampered number":    {phone.Tampered("exp", nil), broken},
		"lying, server":      {phone.Lying("aud", "https://evil.example/"), "answer: it is for another server"},
		"lying, device":      {phone.Lying("sub", nil), "answer: it is another device's"},
		"lying, end":         {phone.Lying("exp", nil), "answer: the question ends at another time"},
		"lying, version":     {phone.Lying("v", json.Number("2")), "answer: version 2 is not known"},
		"none":               {phone.WrongAlg(phone.AlgNone), "answer: alg is not that of the key"},
		"HS256":              {phone.WrongAlg(phone.AlgHS256), "answer: alg is not that of the key"},
		"foreign challenge":  {phone.ForeignChallenge(phone.Ring{}), "answer: something else was shown"},
		"possession":         {phone.Possession(), "answer: kid names another key"},
		"strange key":        {phone.StrangeKey(), broken},
		"another's approval": {phone.Replayed(wire.Response{SelectedItem: "accept", Signed: "a.b.c"}), "answer: the payload is not base64url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, standin.Options{}, phone.Options{Signs: true, Verifies: true})
			tx, right := b.server.Ask("ada")
			b.await(t, ringing)
			if err := b.phone.Forge(b.ctx, tx, right, c.malice); err == nil {
				t.Error("no error")
			}
			if got := b.server.Refusals(); len(got) != 1 || got[0] != c.want {
				t.Errorf("refused for %q, want %q", got, c.want)
			}
			if r, _ := b.phone.Ring(tx); r.State != phone.Failed {
				t.Errorf("the ring is %+v", r)
			}
			if err := b.phone.Forge(b.ctx, tx, right); err != nil || b.server.AnswerTo(tx) != right {
				t.Errorf("unbent, the answer gives %v", err)
			}
		})
	}
}

// What was shown is in the digest: the answer to one ring does not fit another of the same numbers.
func TestForeignChallengeOfAnotherRing(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{Mode: wire.AcceptDeny}, phone.Options{Signs: true})
	first, _ := b.server.Ask("ada")
	shown := b.await(t, func(r phone.Ring) bool { return r.TxID == first })
	tx, _ := b.server.Ask("ada")
	b.await(t, func(r phone.Ring) bool { return r.TxID == tx })
	if err := b.phone.Forge(b.ctx, tx, "accept", phone.ForeignChallenge(shown)); err == nil || b.server.Refusals()[0] != "answer: something else was shown" {
		t.Errorf("%v %v", err, b.server.Refusals())
	}
}

func TestStockPhoneForgesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	tx, right := b.server.Ask("ada")
	b.await(t, ringing)
	if err := b.phone.Forge(b.ctx, tx, right, phone.WrongAlg(phone.AlgNone)); err == nil || b.server.AnswerTo(tx) != "" {
		t.Errorf("%v", err)
	}
}
