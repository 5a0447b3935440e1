package inbox

import (
	"context"
	"strings"
	"testing"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/clock"
	"countersign/simulator/fcm"
)

const tx = "0190d3b1-7c5e-7000-8000-00000000abcd"

// T13: the doubles know what may be in a push, and tell of all else.
func TestLeaks(t *testing.T) {
	t.Parallel()
	b := New(nil, 0)
	b.Forbid("ada", "hunter2")
	wake := wire.Push{Kind: wire.Wake, TxID: tx}.Data()
	with := func(key, value string) map[string]string {
		out := wire.Push{Kind: wire.Wake, TxID: tx}.Data()
		out[key] = value
		return out
	}
	for name, c := range map[string]struct {
		m    fcm.Message
		want string
	}{
		"a wake-up":            {fcm.Message{Title: "Brand authentication request", Body: "Is it you?", Data: wake}, ""},
		"a challenge":          {fcm.Message{Data: wire.Push{Kind: wire.Challenge, TxID: tx, Items: []string{"11", "22", "33"}, Mode: wire.NumberMatching2}.Data()}, ""},
		"numbers in a wake-up": {fcm.Message{Data: with("items", `["11"]`)}, "items"},
		"the right number":     {fcm.Message{Data: with("item", "11")}, "item"},
		"a user name":          {fcm.Message{Data: with("user", "x")}, "user"},
		"a name in the title":  {fcm.Message{Title: "Hello Ada", Data: wake}, "ada"},
		"a secret in the data": {fcm.Message{Data: with("v", "hunter2")}, "hunter2"},
		"no data":              {fcm.Message{}, "data"},
	} {
		got := strings.Join(b.Leaks(c.m), "; ")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	clock := clock.NewVirtual(time.Unix(1_700_000_000, 0))
	b := New(clock, 2)
	if err := b.Open("phone"); err != nil {
		t.Fatal(err)
	}
	later := clock.Now().Add(time.Minute)
	b.Deliver("phone", "k", fcm.Message{Title: "old", Expires: later})
	b.Deliver("phone", "k", fcm.Message{Title: "new", Expires: later})
	b.Deliver("phone", "other", fcm.Message{Title: "brief", Expires: clock.Now().Add(time.Second)})
	b.Deliver("phone", "", fcm.Message{Title: "now or never", Expires: clock.Now()})
	clock.Advance(2 * time.Second)
	ctx, leave := context.WithCancel(t.Context())
	got, err := b.Subscribe(ctx, "phone")
	if err != nil {
		t.Fatal(err)
	}
	if m := <-got; m.Title != "new" || len(got) != 0 {
		t.Errorf("the phone got %q and %d more", m.Title, len(got))
	}
	b.Deliver("phone", "", fcm.Message{Title: "live", Expires: clock.Now()})
	if m := <-got; m.Title != "live" {
		t.Errorf("a connected phone got %q", m.Title)
	}
	leave()
	if _, open := <-got; open {
		t.Error("a phone that left is connected")
	}
	b.Unregister("phone")
	if known, dead := b.Known("phone"); known || !dead {
		t.Errorf("after its end it is known %v, dead %v", known, dead)
	}
	if _, err := b.Subscribe(t.Context(), "phone"); err == nil {
		t.Error("a dead address takes phones")
	}
	for range 3 {
		b.Note(Record{Status: 200})
	}
	if h := b.History(); len(h) != 2 || h[0].Seq != 2 {
		t.Errorf("the history is %+v", h)
	}
	b.FailAlways(&Fault{Status: 503})
	b.Fail(Fault{Status: 429})
	if first, second := b.Next("phone"), b.Next("phone"); first.Status != 429 || second.Status != 503 {
		t.Errorf("faults %v, %v", first, second)
	}
	if err := b.Open("other"); err != nil {
		t.Fatal(err)
	}
	b.FailAddress("other", &Fault{Status: 410})
	if own, others := b.Next("other"), b.Next("phone"); own.Status != 410 || others.Status != 503 {
		t.Errorf("faults by address: %v, %v", own, others)
	}
	b.Reset()
	if b.Next("other") != nil || len(b.History()) != 0 {
		t.Error("a reset leaves faults or history")
	}
}
