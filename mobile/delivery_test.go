package mobile

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/bus"
	"countersign/flows"
	"countersign/mobile/wire"
	"countersign/push"
)

// followBody is askBody of a page that shows how far the question comes.
func followBody(device uuid.UUID, item string) map[string]any {
	body := askBody(device, item)
	body["selected_challenge"].(map[string]any)["challenge"].(map[string]any)["delivery"] = "sent"
	return body
}

func (r reply) delivery(device uuid.UUID) (d Delivery, failure string) {
	for _, o := range r.Devices {
		if o.UID == device.String() {
			text, _ := o.Challenge["delivery"].(string)
			failure, _ = o.Challenge["delivery_failure"].(string)
			return Delivery(text), failure
		}
	}
	return "", ""
}

// G12: the page that waits hears at once how far the question came, wherever that happens, and the row and the audit log keep it.
func TestPageFollowsTheQuestion(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	memory := &bus.Memory{}
	loginService, loginDevices := l.node(memory.Join())
	_, otherDevices := l.node(memory.Join())
	x := l.tab()
	l.engine, x.site = l.serve(loginService)
	device, token := l.phone(l.user)
	r := x.send(map[string]any{"uid_field": "ada"})
	number := r.item(device)
	held := x.held(l, followBody(device, number))
	tx := l.waiting(device)
	hears := func(want Delivery, failure string) {
		t.Helper()
		after := l.got(held)
		if got, why := after.delivery(device); got != want || why != failure || after.Status != 200 {
			t.Fatalf("the page hears %q %q, want %q %q: %+v", got, why, want, failure, after)
		}
		held = x.await(l, device)
	}
	l.push.jobs[0].Report(push.Report{State: push.Failing, Reason: push.Unavailable, Attempt: 1})
	hears(DeliveryFailed, "unavailable")
	l.push.jobs[0].Report(push.Report{State: push.Accepted, Final: true})
	hears(DeliveryAccepted, "")
	fetch := func() {
		if status, body := l.callAt(otherDevices, http.MethodGet, device.String(), wire.ActionPending, token, nil); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	fetch()
	hears(DeliveryFetched, "")
	fetch() // says nothing new
	for range 2 {
		if status, body := l.callAt(otherDevices, http.MethodPost, device.String(), wire.ActionDisplayed, token, wire.Displayed{TxID: tx.String()}); status != 204 {
			t.Fatalf("%d %s", status, body)
		}
	}
	hears(DeliveryDisplayed, "")
	status, _ := l.callAt(loginDevices, http.MethodPost, device.String(), wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: number})
	if status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("after the answer: %+v", after)
	}
	for !value[bool](l.bench, `SELECT accepted IS NOT NULL AND fetched IS NOT NULL AND displayed IS NOT NULL AND answered IS NOT NULL AND released IS NOT NULL
		AND failure = 'unavailable' FROM mobile_transactions WHERE tx_id = $1`, tx) {
		time.Sleep(10 * time.Millisecond)
	}
	stages := value[[]string](l.bench, `SELECT array_agg(DISTINCT s->>'stage' ORDER BY s->>'stage') FROM events, jsonb_array_elements(context->'stages') s
		WHERE action = 'custom_mobile_delivery' AND context->'device'->>'pk' = $1`, uuidHex(device))
	if want := []string{"accepted", "displayed", "failed", "fetched", "released"}; !equal(stages, want) {
		t.Errorf("the audit log tells of %v, want %v", stages, want)
	}
}

func uuidHex(id uuid.UUID) string { return deviceRef(id, "").PK.(string) }

func equal(a, b []string) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// A client that does not show how far the question comes is not disturbed by it: one request waits for the answer.
func TestOtherPagesAreNotDisturbed(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.tab()
	r := x.send(map[string]any{"uid_field": "ada"})
	held := x.held(l, askBody(device, r.item(device)))
	l.push.jobs[0].Report(push.Report{State: push.Accepted, Final: true})
	if status, _ := l.callAt(l.server, http.MethodGet, device.String(), wire.ActionPending, token, nil); status != 200 {
		t.Fatal(status)
	}
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("the first reply: %+v", after)
	}
}

// A receipt is the phone's own, of a prompt that waits, with a good id.
func TestReceiptIsOfTheAskedPhone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	other, foreign := b.phone(b.makeUser("eve"))
	tx := b.ask(device, b.user, b.service.Bus.Node())
	for name, c := range map[string]struct {
		device uuid.UUID
		token  string
		tx     string
		status int
	}{
		"another phone's prompt": {other, foreign, tx.String(), 404},
		"another phone's path":   {device, foreign, tx.String(), 404},
		"nobody":                 {device, "", tx.String(), 403},
		"no such prompt":         {device, token, uuid.NewString(), 404},
		"no id":                  {device, token, "nonsense", 400},
	} {
		if status, body := b.call(c.device, wire.ActionDisplayed, c.token, wire.Displayed{TxID: c.tx}); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
	}
	if value[bool](b, `SELECT displayed IS NOT NULL FROM mobile_transactions WHERE tx_id = $1`, tx) {
		t.Error("a refused receipt was kept")
	}
	b.clock.move(time.Minute)
	if status, _ := b.call(device, wire.ActionDisplayed, token, wire.Displayed{TxID: tx.String()}); status != 404 {
		t.Errorf("after the end: %d", status)
	}
}

// What comes together is written together, and no more waits than may; what was dropped is counted.
func TestRecordIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, _ := b.phone(b.user)
	tx := b.ask(device, b.user, b.service.Bus.Node())
	r := b.service.record
	r.mu.Lock()
	r.busy = true // so that nobody writes
	r.mu.Unlock()
	at := b.clock.now()
	for range recordQueue {
		r.note(entry{leg: leg{tx: tx, device: device}, stage: string(DeliveryFetched), at: at})
	}
	r.note(entry{leg: leg{tx: tx, device: device}, stage: string(DeliveryDisplayed), at: at})
	r.mu.Lock()
	waiting := len(r.entries)
	r.busy = false
	r.mu.Unlock()
	if waiting != recordQueue {
		t.Errorf("%d entries wait", waiting)
	}
	r.write()
	if n := value[int](b, `SELECT count(*) FROM events WHERE action = 'custom_mobile_delivery'`); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	if !value[bool](b, `SELECT fetched = $2 AND displayed IS NULL FROM mobile_transactions WHERE tx_id = $1`, tx, at) {
		t.Error("the row does not say that the phone has it, or more than that")
	}
}
