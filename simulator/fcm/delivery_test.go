package fcm_test

import (
	"testing"
	"time"

	"countersign/simulator/fcm"
)

func deliveries(d *fcm.Double, address string) []fcm.Delivery {
	var out []fcm.Delivery
	for _, r := range d.History(fcm.Filter{Address: address}) {
		out = append(out, r.Delivery)
	}
	return out
}

func (r raw) push(t *testing.T, ttl, key, mark string) {
	t.Helper()
	status, body := r.send(t, `{"message":{"token":"phone-001","data":{"m":"`+mark+`"},"android":{"ttl":"`+ttl+`","collapse_key":"`+key+`"}}}`)
	if status != 200 {
		t.Fatalf("send: %d %s", status, body)
	}
}

func (r raw) subscribe(t *testing.T) <-chan fcm.Message {
	t.Helper()
	c, err := r.double.Subscribe(r.ctx, "phone-001")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStoredMessages(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true})
	r.push(t, "0s", "", "now or never")
	r.push(t, "60s", "", "short")
	r.push(t, "3600s", "a", "old of key a")
	r.push(t, "3600s", "a", "new of key a")
	r.push(t, "3600s", "", "long")
	r.clock.Advance(61 * time.Second)
	phone := r.subscribe(t)
	for _, want := range []string{"new of key a", "long"} {
		if m := <-phone; m.Data["m"] != want {
			t.Errorf("received %q, want %q", m.Data["m"], want)
		}
	}
	want := []fcm.Delivery{fcm.Expired, fcm.Expired, fcm.Collapsed, fcm.Delivered, fcm.Delivered}
	got := deliveries(r.double, "phone-001")
	if len(got) != len(want) {
		t.Fatalf("history %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("message %d: %s, want %s", i, got[i], want[i])
		}
	}
	r.push(t, "0s", "", "now")
	if m := <-phone; m.Data["m"] != "now" {
		t.Errorf("time to live 0 does not reach a connected phone: %v", m)
	}
}

func TestFifthCollapseKeyAndFullBox(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true})
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		r.push(t, "60s", key, key)
	}
	if got := deliveries(r.double, "phone-001"); got[0] != fcm.Dropped || got[4] != fcm.Stored {
		t.Errorf("five keys: %v", got)
	}
	for range 97 {
		r.push(t, "60s", "", "x")
	}
	got := deliveries(r.double, "phone-001")
	if got[1] != fcm.Dropped || got[len(got)-1] != fcm.Stored {
		t.Errorf("the 101st message clears the box: first %s, last %s", got[1], got[len(got)-1])
	}
}

func TestStepsOnCommand(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{})
	phone := r.subscribe(t)
	minute := fcm.Duration(time.Minute)
	err := r.double.SetScript("phone-001", fcm.Script{Steps: []fcm.Step{{Lose: true}, {Twice: true}, {Delay: minute}, {Error: fcm.Internal}}})
	if err != nil {
		t.Fatal(err)
	}
	r.push(t, "3600s", "", "lost")
	r.push(t, "3600s", "", "twice")
	r.push(t, "3600s", "", "late")
	if status, _ := r.send(t, `{"message":{"token":"phone-001"}}`); status != 500 {
		t.Errorf("fourth step: %d", status)
	}
	r.push(t, "3600s", "", "after the script")
	r.clock.Await(1)
	r.clock.Advance(time.Minute)
	for _, want := range []string{"twice", "twice", "after the script", "late"} {
		if m := <-phone; m.Data["m"] != want {
			t.Errorf("received %q, want %q", m.Data["m"], want)
		}
	}
	if got := deliveries(r.double, "phone-001")[0]; got != fcm.Lost {
		t.Errorf("lost message is called %s", got)
	}
}
