package mobile

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/mobile/wire"
)

// The times and limits of a socket.
const (
	pingEvery   = 50 * time.Second        // sooner than the proxies in front of us drop what is silent
	silence     = 2*pingEvery + pingEvery // of a phone, after which it is gone
	writeLimit  = 5 * time.Second         // for one message to a phone; a slower one is dropped
	lookLimit   = 10 * time.Second        // for one look into the database
	maxIncoming = 128                     // bytes of a message of the phone, which has none to send
	goodbye     = 2 * time.Second         // for the sockets of a server that stops
)

// socket is a phone on a WebSocket. It costs one goroutine, which reads; what is written is written by whoever stirs it.
type socket struct {
	s      *Service
	conn   *websocket.Conn
	device uuid.UUID
	token  []byte // the hash of the token that opened it
	key    string // the thumbprint of the key that proved it; "" with a ticket, or none
	server string // the base URL that challenges name, for a phone that signs; else ""
	seat   *seat
	ping   *time.Timer
	pings  int // since the row was last told where the phone is; by the timer alone

	stirred atomic.Bool // a look is to come
	mu      sync.Mutex  // held while it looks and writes
	shown   []string    // the prompts of the last message, and whether they were approved; nil: there was none
	over    bool
}

// stillSQL is what a socket looks at: whether it may still be there, by a row or none, and where that says it is.
const stillSQL = `SELECT listening_node, listening_until FROM mobile_devices d JOIN users u ON u.id = d.user_id
	WHERE d.uuid = $1 AND d.confirmed AND u.is_active AND EXISTS (SELECT FROM mobile_tokens t
		WHERE t.token_hash = $2 AND t.device = d.uuid AND t.purpose = 'device' AND (t.expires IS NULL OR t.expires > $3))`

// connect opens a socket to the phone in the path, which proves itself as with any request, or by a ticket.
func (s *Service) connect(ctx context.Context, r *api.Request) error {
	// A page may open sockets anywhere, and browsers say from where; apps say nothing.
	if origin := r.HTTP.Header.Get("Origin"); origin != "" && !strings.EqualFold(origin+"/", r.BaseURL()) {
		return fault.New(fault.Denied, "origin", "This page may not open the socket.")
	}
	k := &socket{s: s}
	if err := k.admit(ctx, r); err != nil {
		return err
	}
	if !websocket.IsWebSocketUpgrade(r.HTTP) { // after: who may not call learns nothing of how
		return fault.New(fault.Invalid, "upgrade", "This is a WebSocket: ask for the upgrade.")
	}
	header := http.Header{}
	if nonce := r.Writer.Header().Get(wire.NonceHeader); nonce != "" {
		header.Set(wire.NonceHeader, nonce)
	}
	conn, err := s.upgrader.Upgrade(r.Writer, r.HTTP, header)
	if err != nil {
		return fault.New(fault.Invalid, "upgrade", "This is no WebSocket handshake.").Wrap(err)
	}
	k.conn = conn
	s.sockets.Add(1)
	go k.run()
	return nil
}

// admit checks who opens the socket. Errors: Denied, Unauthorized, NotFound.
func (k *socket) admit(ctx context.Context, r *api.Request) error {
	device, err := uuid.Parse(r.Param("uuid"))
	if err != nil {
		return fault.Missing()
	}
	if ticket := ticketOf(r.HTTP); ticket != "" && r.HTTP.Header.Get("Authorization") == "" {
		t, err := k.s.redeem(ctx, ticket, device)
		if k.device, k.token = t.device, t.token; t.signs {
			k.server = r.BaseURL()
		}
		return err
	}
	token, proves, err := credentials(r.HTTP)
	if err != nil {
		return err
	}
	c, err := k.s.authenticate(ctx, r)
	if err != nil {
		return err
	}
	k.device, k.token, k.key = c.device, hashToken(token), c.key.Thumbprint
	if proves {
		k.server = r.BaseURL()
	}
	return nil
}

func newUpgrader() *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: writeLimit, ReadBufferSize: maxIncoming + 14, WriteBufferPool: &sync.Pool{}, // a frame's header has 14 bytes
		WriteBufferSize: 2 << 10, Subprotocols: []string{wire.SocketProtocol},
		CheckOrigin: func(*http.Request) bool { return true }, // connect has checked it, as seen through the proxies
		Error:       func(http.ResponseWriter, *http.Request, int, error) {},
	}
}

// run reads until the phone is gone. It reads nothing but pongs and the close.
func (k *socket) run() {
	defer k.s.sockets.Done()
	defer func() { _ = k.conn.Close() }()
	k.conn.SetReadLimit(maxIncoming)
	k.conn.SetPongHandler(func(string) error { return k.conn.SetReadDeadline(time.Now().Add(silence)) })
	_ = k.conn.SetReadDeadline(time.Now().Add(silence))
	var leave func()
	k.mu.Lock() // until all is in place
	k.seat, leave = k.s.audience.sit(k.device, k.stir)
	k.ping = time.AfterFunc(pingEvery, k.beat)
	k.mu.Unlock()
	defer leave()
	defer k.ping.Stop()
	k.stir()
	if _, _, err := k.conn.NextReader(); err == nil {
		k.end(websocket.CloseUnsupportedData, "answers go to "+wire.ActionResponse)
	}
}

// stir has the phone told what has changed. It never blocks: one look is under way, and one to come, at the most.
func (k *socket) stir() {
	if !k.stirred.Swap(true) {
		go k.refresh()
	}
}

// beat keeps the connection alive, and the lease of the row.
func (k *socket) beat() {
	if err := k.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeLimit)); err != nil {
		_ = k.conn.Close()
		return
	}
	if k.pings++; time.Duration(k.pings)*pingEvery >= listenLease/2 {
		k.pings = 0
		k.stir()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.over {
		k.ping.Reset(pingEvery)
	}
}

// refresh looks, and tells the phone what is new, or that it has to go.
func (k *socket) refresh() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stirred.Store(false)
	if k.over {
		return
	}
	switch k.s.audience.state(k.seat) {
	case replaced:
		k.bye(wire.SocketReplaced, "another connection of this phone")
		return
	case released:
		k.bye(websocket.CloseServiceRestart, "come back")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
	defer cancel()
	g, allowed, err := k.look(ctx)
	switch {
	case err != nil:
		k.s.Log.Error("look for a phone on its socket", "device", k.device, "error", err)
		k.bye(websocket.CloseTryAgainLater, "come back")
	case !allowed:
		k.bye(websocket.ClosePolicyViolation, "this phone may no longer")
	default:
		k.tell(g)
	}
}

// tell sends what is pending, unless the phone knows.
func (k *socket) tell(g *glance) {
	ids := make([]string, 0, len(g.pending))
	for _, p := range g.pending {
		ids = append(ids, fmt.Sprint(p.TxID, p.Approved))
	}
	if k.shown != nil && slices.Equal(ids, k.shown) {
		return
	}
	k.shown = ids
	text, err := json.Marshal(wire.SocketMessage{Type: wire.SocketPending, Pending: g.pending})
	if err == nil {
		_ = k.conn.SetWriteDeadline(time.Now().Add(writeLimit))
		err = k.conn.WriteMessage(websocket.TextMessage, text)
	}
	if err != nil {
		k.over = true
		_ = k.conn.Close()
		return
	}
	k.s.fetched(k.device, k.key, g.first)
}

// look reads what waits for the phone, signed if it signs, and keeps its lease. allowed is false when it may no longer be here.
func (k *socket) look(ctx context.Context) (g *glance, allowed bool, err error) {
	g = &glance{calling: &calling{caller: caller{device: k.device}}}
	read := func() error {
		g.pending, g.first, allowed = nil, nil, false
		batch := &pgx.Batch{}
		batch.Queue(stillSQL, k.device, k.token, k.s.Now()).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&g.node, &g.until}, func() error {
				allowed = true
				return nil
			})
			return err
		})
		batch.Queue(pendingSQL, k.device, k.s.Now()).Query(g.scanPrompts)
		if err := k.s.Pool.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("list prompts: %w", db.Fault(err))
		}
		return nil
	}
	if err := read(); err != nil || !allowed {
		return nil, allowed, err
	}
	moved, err := k.s.listen(ctx, g)
	if err == nil && moved {
		time.AfterFunc(lookAgain, k.stir)
		err = read()
	}
	if err == nil && k.server != "" {
		err = k.s.signAll(ctx, g.pending, k.server, k.device)
	}
	return g, allowed, err
}

// end closes the socket with a code and its reason.
func (k *socket) end(code int, reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bye(code, reason)
}

// bye is end; k.mu is held.
func (k *socket) bye(code int, reason string) {
	if k.over {
		return
	}
	k.over = true
	_ = k.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(goodbye/2))
	_ = k.conn.Close()
}
