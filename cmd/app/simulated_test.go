package app_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

// The simulated phone's own ways to learn of a login work with the server, without any push.
func TestPhoneThatPollsOrHasASocket(t *testing.T) {
	t.Parallel()
	for _, fetch := range []phone.Fetch{phone.ByPoll, phone.BySocket} {
		t.Run(string(fetch), func(t *testing.T) {
			t.Parallel()
			n := start(t, nil)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			screen := &phone.Screen{}
			p, _ := n.enrolledAs(phone.Options{Fetch: fetch, Receipts: true, Signs: true, Behaviour: phone.Approve(screen)})
			p.Disconnect() // from its pushes
			if result, err := n.browser(screen.Show).Login(ctx, "akadmin", adminPassword); err != nil || result.Outcome != browser.Approved {
				t.Fatalf("%v %+v\n%+v", err, result, p.Timeline())
			}
			for _, s := range p.Timeline() {
				if s.Name == phone.StepReceived || s.Name == phone.StepDisplayed && s.Error != "" {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// Every malice that the simulator knows is refused with 400, and the honest answer still counts.
func TestServerRefusesForgedAnswers(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	screen := &phone.Screen{}
	p, _ := n.enrolledAs(phone.Options{Signs: true, Verifies: true})
	done := make(chan browser.Result, 1)
	go func() {
		r, _ := n.browser(screen.Show).Login(ctx, "akadmin", adminPassword)
		done <- r
	}()
	ring, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.State == phone.Ringing })
	if err != nil {
		t.Fatal(err)
	}
	right, err := phone.Approve(screen)(ctx, p, ring)
	if err != nil {
		t.Fatal(err)
	}
	malice := map[string]phone.Malice{
		"none": phone.WrongAlg(phone.AlgNone), "HS256": phone.WrongAlg(phone.AlgHS256), "foreign challenge": phone.ForeignChallenge(phone.Ring{}),
		"strange key": phone.StrangeKey(),
	}
	for _, claim := range []string{"act", "aud", "ch", "exp", "item", "sub", "tx", "use", "v"} {
		malice["tampered "+claim] = phone.Tampered(claim, nil)
		if claim != "item" { // another number, well signed, is an answer
			malice["lying "+claim] = phone.Lying(claim, nil)
		}
	}
	for name, m := range malice {
		var status *phone.StatusError
		if err := p.Forge(ctx, ring.TxID, right, m); !errors.As(err, &status) || status.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.Answer(ctx, ring.TxID, right); err != nil {
		t.Error(err)
	}
	if r := <-done; r.Outcome != browser.Approved {
		t.Errorf("%+v", r)
	}
	if err := p.Forge(ctx, ring.TxID, right); err == nil {
		t.Error("the same answer is taken twice")
	}
}
