package mobile

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"countersign/core/bus"
	"countersign/mobile/wire"
)

// line is a phone's end of a socket.
type line struct {
	t testing.TB
	*websocket.Conn
}

// dial opens a socket; without one, status is that of the refusal.
func (b *bench) dial(server *httptest.Server, device uuid.UUID, header http.Header, protocols ...string) (*line, int) {
	b.t.Helper()
	dialer := websocket.Dialer{Subprotocols: protocols}
	conn, res, err := dialer.DialContext(b.t.Context(), "ws"+strings.TrimPrefix(server.URL, "http")+"/"+wire.Path(device.String(), wire.ActionSocket), header)
	if res == nil {
		b.t.Fatal(err)
	}
	_ = res.Body.Close()
	if err != nil {
		return nil, res.StatusCode
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	return &line{b.t, conn}, res.StatusCode
}

func bearing(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// hears gives the ids of the next message.
func (l *line) hears() (prompts []wire.Prompt) {
	l.t.Helper()
	_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
	var m wire.SocketMessage
	if err := l.ReadJSON(&m); err != nil || m.Type != wire.SocketPending {
		l.t.Fatalf("%+v %v", m, err)
	}
	return m.Pending
}

// ends gives the code of the close.
func (l *line) ends() int {
	l.t.Helper()
	_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, text, err := l.ReadMessage()
	var end *websocket.CloseError
	if !errors.As(err, &end) {
		l.t.Fatalf("%s %v, want a close", text, err)
	}
	return end.Code
}

// A phone on a socket hears at once of each prompt and of its end, on whichever node it is opened.
func TestSocketHearsOfPrompts(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	memory := &bus.Memory{}
	loginService, loginDevices := l.node(memory.Join())
	otherService, otherDevices := l.node(memory.Join())
	x := l.tab()
	l.engine, x.site = l.serve(loginService)
	device, token := l.phone(l.user)
	phone, status := l.dial(otherDevices, device, bearing(token))
	if phone == nil {
		t.Fatalf("dial: %d", status)
	}
	if got := phone.hears(); len(got) != 0 {
		t.Errorf("at first: %+v", got)
	}
	if node := value[uuid.UUID](l.bench, `SELECT listening_node FROM mobile_devices WHERE uuid = $1`, device); node != otherService.Bus.Node() {
		t.Errorf("the phone is said to be held at %s", node)
	}
	r := x.begin("ada", device)
	tx := l.waiting(device).String()
	if got := phone.hears(); len(got) != 1 || got[0].TxID != tx || len(got[0].Items) != 3 {
		t.Errorf("after the login: %+v", got)
	}
	if status, _ := l.callAt(loginDevices, http.MethodPost, device.String(), wire.ActionResponse, token, wire.Response{TxID: tx, SelectedItem: r.item(device)}); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if got := phone.hears(); len(got) != 0 {
		t.Errorf("after the answer: %+v", got)
	}
}

// T11: a socket ends at once when its phone, its token or its user may no longer; a newer one takes the place of the older; a
// server that stops has all come back; and whoever talks on it is cut off.
func TestSocketEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	on, err := bus.Open(t.Context(), b.pool, bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	service, server := b.node(on)
	for what, sql := range map[string]string{
		"device": `DELETE FROM mobile_devices WHERE uuid = $1`,
		"token":  `DELETE FROM mobile_tokens WHERE device = $1`,
		"user":   `UPDATE users SET is_active = false WHERE id = (SELECT user_id FROM mobile_devices WHERE uuid = $1)`,
	} {
		device, token := b.phone(b.makeUser(what))
		phone, _ := b.dial(server, device, bearing(token))
		phone.hears()
		b.exec(sql, device)
		if code := phone.ends(); code != websocket.ClosePolicyViolation {
			t.Errorf("%s: closed with %d", what, code)
		}
		if _, status := b.dial(server, device, bearing(token)); status != 403 {
			t.Errorf("%s: dialled again: %d", what, status)
		}
	}
	device, token := b.phone(b.user)
	older, _ := b.dial(server, device, bearing(token))
	older.hears()
	newer, _ := b.dial(server, device, bearing(token))
	newer.hears()
	if code := older.ends(); code != wire.SocketReplaced {
		t.Errorf("the older: closed with %d", code)
	}
	if err := newer.WriteMessage(websocket.TextMessage, []byte("approve")); err != nil {
		t.Fatal(err)
	}
	if code := newer.ends(); code != websocket.CloseUnsupportedData {
		t.Errorf("one that talks: closed with %d", code)
	}
	last, _ := b.dial(server, device, bearing(token))
	last.hears()
	if err := last.WriteMessage(websocket.TextMessage, make([]byte, maxIncoming+1)); err != nil {
		t.Fatal(err)
	}
	if code := last.ends(); code != websocket.CloseUnsupportedData && code != websocket.CloseMessageTooBig {
		t.Errorf("one that talks at length: closed with %d", code)
	}
	last, _ = b.dial(server, device, bearing(token))
	last.hears()
	service.Release()
	if code := last.ends(); code != websocket.CloseServiceRestart {
		t.Errorf("a server that stops: closed with %d", code)
	}
	service.sockets.Wait()
	if n := service.audience.size(); n != 0 {
		t.Errorf("%d phones are held after all have gone", n)
	}
}

// T11, T19, T24: a socket is for the phone in its path, by its token and its key, and a page opens one only from this site; what
// comes over it is signed by the server.
func TestSocketRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	other, _ := b.phone(b.makeUser("eve"))
	h := b.byHand(b.makeUser("sam"))
	with := func(header http.Header, name, value string) http.Header {
		header.Set(name, value)
		return header
	}
	for name, c := range map[string]struct {
		device uuid.UUID
		header http.Header
		status int
	}{
		"nobody":                      {device, nil, 403},
		"a made-up token":             {device, bearing("made-up"), 403},
		"another's phone":             {other, bearing(token), 404},
		"a signing phone's token":     {h.device, bearing(h.token), 403},
		"without its proof":           {h.device, http.Header{"Authorization": {"DPoP " + h.token}}, 401},
		"a proof of another request":  {h.device, http.Header{"Authorization": {"DPoP " + h.token}, "Dpop": {h.prove("GET", h.url(wire.ActionPending), nil)}}, 401},
		"a page from elsewhere":       {device, with(bearing(token), "Origin", "https://evil.example"), 403},
		"a page in a frame":           {device, with(bearing(token), "Origin", "null"), 403},
		"a page of another port here": {device, with(bearing(token), "Origin", "http://127.0.0.1:1"), 403},
	} {
		if _, status := b.dial(b.server, c.device, c.header); status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
	}
	if status, reply := b.callAt(b.server, http.MethodGet, device.String(), wire.ActionSocket, token, nil); status != 400 {
		t.Errorf("no handshake: %d %s", status, reply)
	}
	if phone, status := b.dial(b.server, device, with(bearing(token), "Origin", b.server.URL)); phone == nil {
		t.Errorf("a page of ours: %d", status)
	}
	proof := http.Header{"Authorization": {"DPoP " + h.token}, "Dpop": {h.prove("GET", h.url(wire.ActionSocket), nil)}}
	phone, status := b.dial(b.server, h.device, proof)
	if phone == nil {
		t.Fatalf("with a proof: %d", status)
	}
	phone.hears()
	if _, status := b.dial(b.server, h.device, proof); status != 401 {
		t.Errorf("with the same proof again: %d", status)
	}
	// T24: what comes over the socket is signed for the phone like what it fetches.
	b.ask(h.device, b.user, b.service.Bus.Node())
	b.service.audience.wake(h.device)
	signer, err := b.service.signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := phone.hears(); len(got) != 1 {
		t.Errorf("%+v", got)
	} else if _, _, err := signer.CheckPrompt(got[0].Challenge, b.server.URL+"/", h.device.String()); err != nil {
		t.Error(err)
	}
}

// A ticket opens one socket of its phone, for half a minute, wherever it is brought.
func TestTicketOpensOneSocket(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, second := b.node(bus.NewMemory())
	device, token := b.phone(b.user)
	other, _ := b.phone(b.makeUser("eve"))
	buy := func() string {
		var ticket wire.SocketTicket
		status, text := b.call(device, wire.ActionTicket, token, nil)
		if err := json.Unmarshal(text, &ticket); status != 200 || err != nil || !ticket.Expires.Equal(b.clock.now().Add(ticketLife)) {
			t.Fatalf("%d %s", status, text)
		}
		return ticketPrefix + ticket.Ticket
	}
	ticket := buy()
	if _, status := b.dial(second, other, nil, wire.SocketProtocol, ticket); status != 404 {
		t.Errorf("for another phone: %d", status)
	}
	phone, status := b.dial(second, device, http.Header{"Origin": {second.URL}}, wire.SocketProtocol, ticket)
	if phone == nil {
		t.Fatalf("on the other node: %d", status)
	}
	if p := phone.Subprotocol(); p != wire.SocketProtocol {
		t.Errorf("the server chose %q", p)
	}
	phone.hears()
	swap := map[bool]string{true: "B", false: "A"}
	changed := buy()
	changed = ticketPrefix + swap[changed[len(ticketPrefix)] == 'A'] + changed[len(ticketPrefix)+1:]
	for _, c := range []struct {
		name, ticket string
		status       int
	}{
		{"again", ticket, 401},
		{"changed", changed, 403},
		{"cut", buy()[:100], 403},
		{"made up", ticketPrefix + "x", 403},
	} {
		if _, status := b.dial(b.server, device, nil, wire.SocketProtocol, c.ticket); status != c.status {
			t.Errorf("%s: %d, want %d", c.name, status, c.status)
		}
	}
	soon, late := buy(), buy()
	b.clock.move(ticketLife - time.Millisecond)
	if _, status := b.dial(b.server, device, nil, wire.SocketProtocol, soon); status != 101 {
		t.Errorf("just in time: %d", status)
	}
	b.clock.move(time.Millisecond)
	if _, status := b.dial(b.server, device, nil, wire.SocketProtocol, late); status != 403 {
		t.Errorf("late: %d", status)
	}
	unused := buy()
	b.exec(`DELETE FROM mobile_tokens WHERE device = $1`, device)
	if _, status := b.dial(b.server, device, nil, wire.SocketProtocol, unused); status != 403 {
		t.Errorf("after the token is gone: %d", status)
	}
}
