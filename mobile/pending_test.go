package mobile

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/bus"
	"countersign/mobile/wire"
)

// poll is a long poll and its reply.
type poll struct {
	status int
	body   string
	wire.Pending
}

// polls holds a phone on a node, and returns when it is held, or came back at once.
func (b *bench) polls(s *Service, server *httptest.Server, device uuid.UUID, token, query string) <-chan poll {
	b.t.Helper()
	out := make(chan poll, 1)
	before := s.audience.at(device)
	go func() {
		status, body, err := request(b.t.Context(), server.URL+"/"+wire.Path(device.String(), wire.ActionPending)+query, http.MethodGet, token, nil)
		p := poll{status: status, body: string(body)}
		if err != nil || status == http.StatusOK && json.Unmarshal(body, &p.Pending) != nil {
			p.body += " " + err.Error()
		}
		out <- p
	}()
	for s.audience.at(device) == before && len(out) == 0 {
		time.Sleep(time.Millisecond) // until it sits
	}
	return out
}

func (b *bench) polled(from <-chan poll) poll {
	b.t.Helper()
	select {
	case p := <-from:
		return p
	case <-time.After(10 * time.Second):
		b.t.Fatal("the phone was not woken")
		return poll{}
	}
}

// at is the seat of a phone, nil when it has none.
func (a *audience) at(device uuid.UUID) *seat {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seats[device]
}

// A login wakes the phone that is held, on the node of the login and on another; one with wait comes back with what was
// pending before, too. What the phone shows holds it until that is over.
func TestLongPollIsWoken(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	memory := &bus.Memory{}
	loginService, loginDevices := l.node(memory.Join())
	otherService, otherDevices := l.node(memory.Join())
	x := l.tab()
	l.engine, x.site = l.serve(loginService)
	device, token := l.phone(l.user)

	held := l.polls(otherService, otherDevices, device, token, "?wait=50")
	l.listening(device, otherService.Bus.Node())
	r := x.begin("ada", device)
	tx := l.waiting(device).String()
	if p := l.polled(held); p.status != 200 || len(p.Pending.Pending) != 1 || p.Pending.Pending[0].TxID != tx {
		t.Fatalf("woken: %+v", p)
	}
	if p := l.polled(l.polls(otherService, otherDevices, device, token, "?wait=50")); len(p.Pending.Pending) != 1 {
		t.Errorf("with something pending: %+v", p)
	}

	// It shows the prompt now, and hears when it is over: the phone answers, here by a request that reaches another node.
	held = l.polls(otherService, otherDevices, device, token, "?wait=50&known="+tx)
	browser := x.await(l, device)
	status, _ := l.callAt(loginDevices, http.MethodPost, device.String(), wire.ActionResponse, token, wire.Response{TxID: tx, SelectedItem: r.item(device)})
	if status != 204 {
		t.Fatalf("answer: %d", status)
	}
	l.got(browser)
	if p := l.polled(held); p.status != 200 || len(p.Pending.Pending) != 0 {
		t.Errorf("after the answer: %+v", p)
	}

	// A newer login is news as well.
	other := l.tab()
	other.site = x.site
	other.begin("ada", device)
	tx = l.waiting(device).String()
	held = l.polls(loginService, loginDevices, device, token, "?known="+tx)
	if p := l.polled(held); len(p.Pending.Pending) != 1 {
		t.Errorf("without wait: %+v", p)
	}
}

// listening waits until the database says that a phone is held at a node.
func (b *bench) listening(device, node uuid.UUID) {
	b.t.Helper()
	for !value[bool](b, `SELECT listening_node IS NOT DISTINCT FROM $2 FROM mobile_devices WHERE uuid = $1`, device, node) {
		time.Sleep(time.Millisecond)
	}
}

// One request of a phone is held: a newer one lets the older go, and a server that stops lets all go.
func TestOneSeatAPhone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	older := b.polls(b.service, b.server, device, token, "?wait=50")
	newer := b.polls(b.service, b.server, device, token, "?wait=50")
	if p := b.polled(older); p.status != 200 || len(p.Pending.Pending) != 0 {
		t.Errorf("the older: %+v", p)
	}
	if n := b.service.audience.size(); n != 1 {
		t.Errorf("%d are held, want 1", n)
	}
	b.service.Release()
	if p := b.polled(newer); p.status != 200 {
		t.Errorf("released: %+v", p)
	}
	if p := b.polled(b.polls(b.service, b.server, device, token, "?wait=50")); p.status != 200 {
		t.Errorf("after the release: %+v", p)
	}
}

// What is no number of seconds, or no prompt, is named.
func TestLongPollRefusesBadQueries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	for query, field := range map[string]string{"?wait=soon": "wait", "?wait=-1": "wait", "?wait=1e9": "wait", "?known=me": "known"} {
		var fields map[string][]string
		p := b.polled(b.polls(b.service, b.server, device, token, query))
		if err := json.Unmarshal([]byte(p.body), &fields); p.status != 400 || err != nil || len(fields[field]) != 1 || len(fields) != 1 {
			t.Errorf("%s: %d %s", query, p.status, p.body)
		}
	}
}

// T11: a phone that is held is sent away at once when it, its token or its user may no longer, also by another node's doing.
func TestHeldPhoneIsSentAwayWhenItMayNoLonger(t *testing.T) {
	t.Parallel()
	b := setup(t)
	on, err := bus.Open(t.Context(), b.pool, bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	service, server := b.node(on)
	for what, sql := range map[string]string{
		"device":      `DELETE FROM mobile_devices WHERE uuid = $1`,
		"token":       `DELETE FROM mobile_tokens WHERE device = $1`,
		"user":        `DELETE FROM users WHERE id = (SELECT user_id FROM mobile_devices WHERE uuid = $1)`,
		"active user": `UPDATE users SET is_active = false WHERE id = (SELECT user_id FROM mobile_devices WHERE uuid = $1)`,
	} {
		device, token := b.phone(b.makeUser(what))
		held := b.polls(service, server, device, token, "?wait=50")
		b.listening(device, on.Node())
		b.exec(sql, device)
		if p := b.polled(held); p.status != 403 {
			t.Errorf("%s: %+v", what, p)
		}
	}
}

// A phone that keeps asking the same node costs no write; after half the lease it does.
func TestListeningIsWrittenSeldom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	until := func() time.Time {
		done := b.polls(b.service, b.server, device, token, "?wait=50")
		b.service.audience.sit(device, func() {}) // has the poll come back
		b.polled(done)
		return value[time.Time](b, `SELECT listening_until FROM mobile_devices WHERE uuid = $1`, device)
	}
	first := until()
	b.clock.move(listenLease/2 - time.Second)
	if again := until(); !again.Equal(first) {
		t.Errorf("written again after %v", listenLease/2-time.Second)
	}
	b.clock.move(2 * time.Second)
	if again := until(); !again.Equal(b.clock.now().Add(listenLease)) {
		t.Errorf("renewed to %v", again)
	}
}
