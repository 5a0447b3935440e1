package app_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"countersign/simulator/browser"
	"countersign/simulator/page"
	"countersign/simulator/phone"
	"countersign/simulator/webpage/webpagetest"
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

// An account moves from a phone by its page: it offers, shows the number of the new phone, and hands the account over.
func TestPageMovesAnAccount(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, account := n.enrolledAs(phone.Options{Signs: true, Verifies: true})
	srv := httptest.NewServer(page.New(p, page.Options{}))
	defer srv.Close()
	type state struct {
		Accounts []struct {
			Offer string
			Move  *struct{ State, Code, Name, Fingerprint, Error string }
		}
	}
	post := func(path string) {
		t.Helper()
		if status, text := webpagetest.Do(ctx, t, http.MethodPost, srv.URL+path, `{"device":"`+account.Device+`"}`); status != http.StatusNoContent {
			t.Fatalf("%s: %d %s", path, status, text)
		}
	}
	until := func(want string) state {
		t.Helper()
		return webpagetest.Await(ctx, t, srv.URL+"/events", func(s state) bool {
			m := s.Accounts[0].Move
			return m == nil && want == "" || m != nil && m.State == want
		})
	}
	post("/offer")
	until("offered")
	post("/withdraw")
	until("")
	post("/offer")
	offered := until("offered").Accounts[0]
	if offered.Move.Code == "" {
		t.Errorf("the offer has no code: %+v", offered)
	}
	young := phone.New(phone.Options{Push: n.double, Signs: true, Verifies: true})
	defer young.Close()
	moved, err := young.EnrolFromQR(ctx, []byte(offered.Offer))
	if err != nil {
		t.Fatal(err)
	}
	if arrived := until("arrived").Accounts[0].Move; arrived.Fingerprint != moved.Fingerprint || arrived.Name == "" {
		t.Errorf("%+v, the new phone shows %s", arrived, moved.Fingerprint)
	}
	post("/hand")
	until("approved")
	if err := young.Settle(ctx, moved.Device); err != nil {
		t.Error(err)
	}
	post("/withdraw")
	until("")
	if accounts := young.Accounts(); !accounts[0].Confirmed {
		t.Errorf("%+v", accounts)
	}
}
