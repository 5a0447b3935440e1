package mobile

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api"
	"countersign/core/bus"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/secret"
	"countersign/core/session"
	"countersign/core/user"
	"countersign/mobile/wire"
	"countersign/push"
)

// pushes records what would be sent.
type pushes struct {
	mu        sync.Mutex
	jobs      []push.Job
	cancelled []string
}

func (p *pushes) Dispatch(j push.Job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jobs = append(p.jobs, j)
}

func (p *pushes) Cancel(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancelled = append(p.cancelled, id)
}

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is one server node with its phones, on a database of its own.
type bench struct {
	t       testing.TB
	pool    *pgxpool.Pool
	service *Service
	push    *pushes
	clock   *clock
	server  *httptest.Server
	user    int
}

func setup(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, pool: dbtest.Pool(t), push: &pushes{}, clock: &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	b.service, b.server = b.node(bus.NewMemory())
	b.user = b.makeUser("ada")
	return b
}

// node adds a server to the database.
func (b *bench) node(on bus.Bus) (*Service, *httptest.Server) {
	b.t.Helper()
	keeper, err := secret.New("a-key-for-tests-of-at-least-32-characters")
	if err != nil {
		b.t.Fatal(err)
	}
	events := &event.Log{Now: b.clock.now}
	users := &user.Store{Pool: b.pool, Events: events, Now: b.clock.now, Log: slog.New(slog.DiscardHandler)}
	sessions := &session.Store{Pool: b.pool, Users: users, Events: events, Key: keeper.Derive("session"), Now: b.clock.now, Log: slog.New(slog.DiscardHandler)}
	s := New(Options{
		Pool: b.pool, Users: users, Keeper: keeper, Bus: on, Events: events, Push: b.push, Sessions: sessions,
		Log: slog.New(slog.DiscardHandler), Now: b.clock.now,
	})
	a := api.New(api.Options{Schemes: []api.Scheme{{Name: "authentik"}, Scheme()}})
	s.Mount(a)
	handler, err := a.Handler()
	if err != nil {
		b.t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	b.t.Cleanup(func() {
		server.Close()
		s.Close()
		on.Close()
	})
	return s, server
}

func (b *bench) makeUser(name string) int {
	b.t.Helper()
	var id int
	err := b.pool.QueryRow(b.t.Context(), `INSERT INTO users (uuid, username) VALUES ($1, $2) RETURNING id`, uuid.New(), name).Scan(&id)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// enrolling makes an enrolment under way and gives its device and one-time token.
func (b *bench) enrolling(owner int) (device uuid.UUID, token string) {
	b.t.Helper()
	device, token = uuid.New(), secret.Token(tokenLength)
	b.exec(`INSERT INTO mobile_devices (uuid, user_id, name, created) VALUES ($1, $2, 'Phone', $3)`, device, owner, b.clock.now())
	b.exec(`INSERT INTO mobile_tokens (token_hash, device, purpose, expires) VALUES ($1, $2, 'enrollment', $3)`,
		secret.Hash(token), device, b.clock.now().Add(enrollmentWindow))
	return device, token
}

// phone enrols a phone over HTTP and gives its device token.
func (b *bench) phone(owner int) (device uuid.UUID, token string) {
	b.t.Helper()
	device, once := b.enrolling(owner)
	status, body := b.call(device, wire.ActionEnrol, once, wire.Enrollment{DeviceUID: uuid.NewString(), Info: info()})
	var reply wire.EnrollmentCallback
	if err := json.Unmarshal(body, &reply); status != 200 || err != nil || reply.Token == "" {
		b.t.Fatalf("enrol: %d %s", status, body)
	}
	return device, reply.Token
}

func info() wire.Info {
	return wire.Info{
		Platform: wire.Android, OSVersion: "14", Model: "Pixel", Hostname: "Ada's phone", AppVersion: "1.0", Others: map[string]any{},
	}
}

// ask opens a prompt as a login would.
func (b *bench) ask(device uuid.UUID, owner int, node uuid.UUID) (tx uuid.UUID) {
	b.t.Helper()
	tx = uuid.New()
	b.exec(`INSERT INTO mobile_transactions (tx_id, device, user_id, source, mode, items, correct, context, node, created, expires)
		VALUES ($1, $2, $3, '192.0.2.1', 'number_matching_2', '{11,22,33}', '22', '{"host":"login.example"}', $4, $5, $6)`,
		tx, device, owner, node, b.clock.now(), b.clock.now().Add(time.Minute))
	return tx
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

// value reads one value.
func value[T any](b *bench, sql string, args ...any) T {
	b.t.Helper()
	var v T
	if err := b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&v); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// call makes one device request; an empty token sends no header.
func (b *bench) call(device uuid.UUID, action, token string, body any) (int, []byte) {
	b.t.Helper()
	return b.callAt(b.server, http.MethodPost, device.String(), action, token, body)
}

func (b *bench) callAt(server *httptest.Server, method, device, action, token string, body any) (int, []byte) {
	b.t.Helper()
	status, reply, err := request(b.t.Context(), server.URL+"/"+wire.Path(device, action), method, token, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return status, reply
}

func request(ctx context.Context, url, method, token string, body any) (int, []byte, error) {
	raw, ok := body.([]byte)
	if !ok && body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	return resp.StatusCode, reply, err
}

// count is how many wait for id.
func (w *waiters) count(id uuid.UUID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.m[id]; e != nil {
		return len(e.channels)
	}
	return 0
}
