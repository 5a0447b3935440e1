package phone_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/clock"
	"countersign/simulator/phone"
	"countersign/simulator/standin"
)

type bundle struct {
	ctx    context.Context
	server *standin.Server
	phone  *phone.Phone
	clock  *clock.Virtual
}

func setup(t *testing.T, so standin.Options, po phone.Options) bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	v := clock.NewVirtual(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
	so.Clock, po.Clock = v, v
	s := standin.New(t, so)
	s.AddUser("ada", "secret")
	po.Push = s
	p := phone.New(po)
	t.Cleanup(p.Close)
	if _, err := p.EnrolFromQR(ctx, s.Enrolment("ada")); err != nil {
		t.Fatal(err)
	}
	return bundle{ctx, s, p, v}
}

func ended(r phone.Ring) bool   { return r.State != phone.Ringing }
func ringing(r phone.Ring) bool { return r.State == phone.Ringing }

func (b bundle) await(t *testing.T, match func(phone.Ring) bool) phone.Ring {
	t.Helper()
	r, err := b.phone.AwaitRing(b.ctx, match)
	if err != nil {
		t.Fatalf("%v\ntimeline: %+v", err, b.phone.Timeline())
	}
	return r
}

func TestEnrolment(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	var names []string
	for _, s := range b.phone.Timeline() {
		names = append(names, s.Name)
	}
	if want := []string{phone.StepEnrolled, phone.StepAddress, phone.StepCheckedIn}; !slices.Equal(names, want) {
		t.Errorf("steps %v, want %v", names, want)
	}
	accounts := b.phone.Accounts()
	if len(accounts) != 1 || accounts[0].Token() == "" || accounts[0].Server != b.server.URL {
		t.Errorf("accounts %+v", accounts)
	}
	if _, err := b.phone.EnrolFromQR(b.ctx, []byte(`{"u":"x"}`)); err == nil {
		t.Error("a bad payload enrols")
	}
	status, _, err := b.phone.Call(b.ctx, accounts[0], http.MethodPost, wire.ActionEnrol, []byte(`{}`))
	if err != nil || status != 400 {
		t.Errorf("a raw call gives %d, %v", status, err)
	}
}

func TestBehaviours(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		behaviour func(*phone.Screen) phone.Behaviour
		mode      wire.Mode
		stock     bool
		want      func(answer, right string) bool
	}{
		"approve":             {phone.Approve, wire.NumberMatching2, false, func(a, r string) bool { return a == r }},
		"approve, three":      {phone.Approve, wire.NumberMatching3, false, func(a, r string) bool { return a == r }},
		"approve, plain":      {phone.Approve, wire.AcceptDeny, false, func(a, _ string) bool { return a == "accept" }},
		"approve, stock":      {phone.Approve, wire.NumberMatching2, true, func(a, r string) bool { return a == r }},
		"wrong number":        {phone.WrongNumber, wire.NumberMatching2, false, func(a, r string) bool { return a != r && len(a) == 2 }},
		"wrong number, plain": {phone.WrongNumber, wire.AcceptDeny, false, func(a, _ string) bool { return a == "deny" }},
		"deny":                {func(*phone.Screen) phone.Behaviour { return phone.Deny }, wire.NumberMatching2, false, func(a, _ string) bool { return a == "deny" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var screen phone.Screen
			b := setup(t, standin.Options{Mode: c.mode}, phone.Options{Behaviour: c.behaviour(&screen), Stock: c.stock})
			tx, right := b.server.Ask("ada")
			screen.Show(b.phone.Accounts()[0].Device, right)
			r := b.await(t, ended)
			if r.TxID != tx || r.State != phone.Answered || !c.want(b.server.AnswerTo(tx), right) || r.Answer != b.server.AnswerTo(tx) {
				t.Errorf("ring %+v, server has %q, right is %q", r, b.server.AnswerTo(tx), right)
			}
			if c.stock != (r.Context.Application == "") || c.stock != r.Expires.IsZero() {
				t.Errorf("a stock phone shows no context, ours does: %+v", r)
			}
		})
	}
}

func TestByHand(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	_, right := b.server.Ask("ada")
	r := b.await(t, ringing)
	if !slices.Contains(r.Items, right) || r.Context.IP != "203.0.113.7" {
		t.Errorf("ring %+v lacks %q", r, right)
	}
	if err := b.phone.Answer(b.ctx, r.TxID, right); err != nil {
		t.Fatal(err)
	}
	err := b.phone.Answer(b.ctx, r.TxID, wire.ItemDeny)
	var status *phone.StatusError
	if !errors.As(err, &status) || status.Status != 404 {
		t.Errorf("second answer: %v", err)
	}
	if r, _ := b.phone.Ring(r.TxID); r.State != phone.Answered || r.Answer != right {
		t.Errorf("the refused second answer shows on the ring: %+v", r)
	}
}

func TestDelayWaitsOnTheClock(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{Behaviour: phone.Delay(20*time.Second, phone.Deny)})
	tx, _ := b.server.Ask("ada")
	b.clock.Await(1)
	b.clock.Advance(19 * time.Second)
	if answer := b.server.AnswerTo(tx); answer != "" {
		t.Errorf("answered %q too early", answer)
	}
	b.clock.Advance(time.Second)
	if r := b.await(t, ended); r.Ended.Sub(r.Received) != 20*time.Second {
		t.Errorf("answered after %s", r.Ended.Sub(r.Received))
	}
}

// The end that a phone is told may be up to a second before the server's: a late answer is late all the same.
func TestLateIsAfterTheServersEnd(t *testing.T) {
	t.Parallel()
	var screen phone.Screen
	b := setup(t, standin.Options{}, phone.Options{Signs: true, Behaviour: phone.Late(0, phone.Approve(&screen))})
	b.clock.Advance(900 * time.Millisecond)
	tx, right := b.server.Ask("ada")
	screen.Show(b.phone.Accounts()[0].Device, right)
	b.await(t, ringing)
	b.clock.Await(1)
	b.clock.Advance(time.Minute - time.Millisecond) // past the end that was signed
	waits, taken := make(chan struct{}), make(chan struct{})
	go func() {
		b.clock.Await(1)
		close(waits)
	}()
	go func() {
		if _, err := b.phone.AwaitRing(b.ctx, func(r phone.Ring) bool { return r.State == phone.Answered }); err == nil {
			close(taken)
		}
	}()
	select {
	case <-waits:
	case <-taken:
		t.Fatal("answered in time")
	}
	b.clock.Advance(time.Second)
	if s := b.stepped(t, phone.StepAnswered); !strings.Contains(s.Error, "404") || b.server.AnswerTo(tx) != "" {
		t.Errorf("%+v", s)
	}
}

func TestIgnoredRingExpires(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{Behaviour: phone.Ignore})
	b.server.Ask("ada")
	r := b.await(t, ringing)
	b.clock.Advance(time.Minute)
	if r, _ := b.phone.Ring(r.TxID); r.State != phone.Expired {
		t.Errorf("state %s", r.State)
	}
	if err := b.phone.Answer(b.ctx, r.TxID, r.Items[0]); err == nil {
		t.Error("the server takes a late answer")
	}
	if r, _ := b.phone.Ring(r.TxID); r.State != phone.Gone {
		t.Errorf("state %s after the server's 404", r.State)
	}
}

func TestNewerPromptEndsTheOlder(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	old, _ := b.server.Ask("ada")
	b.await(t, ringing)
	tx, _ := b.server.Ask("ada")
	b.await(t, func(r phone.Ring) bool { return r.TxID == tx })
	if r, _ := b.phone.Ring(old); r.State != phone.Gone {
		t.Errorf("the older ring is %s", r.State)
	}
}

func TestRefreshFindsWhatNoPushAnnounced(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{PushFails: true}, phone.Options{Behaviour: phone.Deny})
	tx, _ := b.server.Ask("ada")
	if err := b.phone.Refresh(b.ctx); err != nil {
		t.Fatal(err)
	}
	if r := b.await(t, ended); r.TxID != tx || r.Answer != wire.ItemDeny {
		t.Errorf("ring %+v", r)
	}
}

func TestSeveralAccounts(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]phone.Options{
		"by push": {}, "stock": {Stock: true}, "with keys": {Signs: true, Verifies: true}, "by poll": {Fetch: phone.ByPoll}, "by socket": {Fetch: phone.BySocket, Signs: true},
	} {
		b := setup(t, standin.Options{}, o)
		b.server.AddUser("bob", "secret")
		if _, err := b.phone.EnrolFromQR(b.ctx, b.server.Enrolment("bob")); err != nil {
			t.Fatal(err)
		}
		tx, right := b.server.Ask("bob")
		r := b.await(t, ringing)
		if err := b.phone.Answer(b.ctx, r.TxID, right); err != nil {
			t.Fatal(err)
		}
		if got := b.server.AnswerTo(tx); got != right {
			t.Errorf("%s: answered %q, want %q", name, got, right)
		}
		b.phone.Forget(b.phone.Accounts()[0].Device)
		if n := len(b.phone.Accounts()); n != 1 {
			t.Errorf("%d accounts after forgetting one", n)
		}
	}
}

func TestUselessPushesAreNoted(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	for _, data := range []map[string]string{{"hello": "world"}, wire.Push{Kind: wire.Wake, TxID: "0192f3a4-5b6c-7d8e-9f01-23456789abcd"}.Data()} {
		if err := b.server.Push(b.phone.Address(), data); err != nil {
			t.Fatal(err)
		}
	}
	for {
		changed := b.phone.Changed()
		names := map[string]bool{}
		for _, s := range b.phone.Timeline() {
			names[s.Name] = true
		}
		if names[phone.StepIgnored] && names[phone.StepNothing] {
			break
		}
		select {
		case <-changed:
		case <-b.ctx.Done():
			t.Fatalf("timeline %+v", b.phone.Timeline())
		}
	}
	if n := len(b.phone.Rings()); n != 0 {
		t.Errorf("%d rings", n)
	}
}

func TestAddressRotatesAndConnectionCuts(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	before := b.phone.Address()
	if err := b.phone.RotateAddress(b.ctx); err != nil {
		t.Fatal(err)
	}
	if b.phone.Address() == before {
		t.Error("same address")
	}
	b.server.Ask("ada")
	b.await(t, ringing)
	b.phone.Disconnect()
	tx, _ := b.server.Ask("ada")
	if err := b.phone.Connect(b.ctx); err != nil {
		t.Fatal(err)
	}
	if _, known := b.phone.Ring(tx); known {
		t.Error("a phone in flight mode rang")
	}
	tx, _ = b.server.Ask("ada")
	b.await(t, func(r phone.Ring) bool { return r.TxID == tx })
}

func TestCloseEndsWaitingBehaviours(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{Behaviour: phone.Delay(time.Hour, phone.Deny)})
	b.server.Ask("ada")
	b.clock.Await(1)
	b.phone.Close()
	if err := b.phone.RotateAddress(b.ctx); err == nil {
		t.Error("a closed phone connects")
	}
}

// A code that the phone shows is on the desk until the page is taken off, and wakes whoever waits for it.
func TestScreenKeepsTheCode(t *testing.T) {
	t.Parallel()
	var s phone.Screen
	read := make(chan string, 1)
	go func() {
		code, err := s.Code(t.Context(), "a")
		if err != nil {
			t.Error(err)
		}
		read <- code
	}()
	ring := phone.Ring{Device: "a", Mode: wire.CodeShown6, Items: []string{"093027"}}
	if item, err := phone.Approve(&s)(t.Context(), nil, ring); err != nil || item != "093027" {
		t.Errorf("the phone answers %q %v", item, err)
	}
	if got := <-read; got != "093027" {
		t.Errorf("read %q", got)
	}
	if again, err := s.Code(t.Context(), "a"); err != nil || again != "093027" {
		t.Errorf("read again: %q %v", again, err)
	}
	s.Show("a", "")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if code, err := s.Code(over, "a"); err == nil {
		t.Errorf("after the login there is %q", code)
	}
}
