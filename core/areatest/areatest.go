package areatest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api"
	"countersign/core/brand"
	"countersign/core/db"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/eventlog"
	"countersign/core/group"
	"countersign/core/resource"
	"countersign/core/resourcetest"
	"countersign/core/root"
	"countersign/core/secret"
	"countersign/core/serviceaccount"
	"countersign/core/session"
	"countersign/core/token"
	"countersign/core/user"
	"countersign/core/user/usertest"
)

// Server is the areas behind one API.
type Server struct {
	Pool     *pgxpool.Pool
	API      *api.API
	Registry *resource.Registry
	Handler  http.Handler
	Events   *event.Log
	Keeper   *secret.Keeper
	Users    *user.Store
	Sessions *session.Store
	Tokens   *token.Store
	Brands   *brand.Store
	Log      *eventlog.Log

	queries atomic.Int64

	Admin, Ann       *user.User // a superuser, and somebody without rights
	AdminKey, AnnKey string     // their api tokens, which do not expire
}

// flow stands in for the flows that brands refer to.
type flow struct {
	PK   uuid.UUID `json:"pk" db:"flow_uuid" api:"pk,ro"`
	Slug string    `json:"slug" db:"slug" api:"required"`
}

// New makes a server; now nil is the wall clock.
func New(t testing.TB, now func() time.Time) *Server {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	keeper, err := secret.New(strings.Repeat("k", secret.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Keeper: keeper}
	users := usertest.Store(t, s.counted(t, dbtest.Pool(t)), now)
	pool, events, log := users.Pool, users.Events, slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s.Pool, s.Events, s.Users = pool, events, users
	s.Brands = &brand.Store{Pool: pool, Now: now, Log: log}
	people := &user.Service{Users: users, Brands: s.Brands}
	s.Sessions = &session.Store{Pool: pool, Users: users, Events: events, Key: keeper.Derive("session"), Now: now, Log: log}
	s.Tokens = &token.Store{Pool: pool, Users: users, UserObj: people, Events: events, Keeper: keeper, Now: now}
	s.Log = &eventlog.Log{Pool: pool, Now: now}
	people.Renew = s.Sessions.RenewFor

	s.API = api.New(api.Options{Log: log, Authenticators: []api.Authenticator{s.Tokens.Authenticate, s.Sessions.Authenticate}})
	s.Registry = resource.New(s.API, pool, events)
	resource.Mount(s.Registry, resource.Def[flow]{Name: "flow", App: "authentik_flows", Path: "/flows/instances/", Table: "flows",
		Verbs: resource.Verbs{resource.Retrieve}})
	people.Mount(s.API, s.Registry)
	(&group.Service{Users: users, Events: events}).Mount(s.Registry)
	s.Tokens.Mount(s.Registry)
	s.Sessions.Mount(s.Registry)
	s.Brands.Mount(s.API, s.Registry)
	s.Log.Mount(s.API, s.Registry)
	(&serviceaccount.Service{Users: users, Tokens: s.Tokens, Events: events, Now: now}).Mount(s.API)
	root.Mount(s.API)
	if err := s.Registry.Finish(); err != nil {
		t.Fatalf("finish the resources: %v", err)
	}
	if s.Handler, err = s.API.Handler(); err != nil {
		t.Fatalf("make the handler: %v", err)
	}

	s.Admin, s.Ann = usertest.Add(t, users, "admin", ""), usertest.Add(t, users, "ann", "")
	usertest.Superuser(t, users, s.Admin)
	s.AdminKey, s.AnnKey = s.Key(t, s.Admin), s.Key(t, s.Ann)
	return s
}

// counted is a second pool on the same database that counts its statements.
func (s *Server) counted(t testing.TB, pool *pgxpool.Pool) *pgxpool.Pool {
	t.Helper()
	cfg := pool.Config()
	cfg.ConnConfig.Tracer = tracer{&s.queries}
	out, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	return out
}

type tracer struct{ n *atomic.Int64 }

func (q tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	q.n.Add(1)
	return ctx
}

func (tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (q tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (q tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { q.n.Add(1) }

func (tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// Queries is how many statements do sends.
func (s *Server) Queries(do func()) int64 {
	before := s.queries.Load()
	do()
	return s.queries.Load() - before
}

// Key makes an api token for a user.
func (s *Server) Key(t testing.TB, u *user.User) string {
	t.Helper()
	var key string
	err := db.InTx(context.Background(), s.Pool, func(tx pgx.Tx) (err error) {
		key, err = s.Tokens.Issue(context.Background(), tx, &token.Token{Identifier: "key-of-" + u.Username, Intent: token.API, User: u.ID}, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Answer is a response: its status, and its JSON as maps and lists.
type Answer struct {
	Status int
	Header http.Header
	Text   string
	JSON   any
}

// Do calls an operation below /api/v3 with a bearer key ("" for nobody). body nil is none; a string is sent as it is.
func (s *Server) Do(t testing.TB, key, method, path string, body any) Answer {
	t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	r := httptest.NewRequest(method, api.Prefix+path, in)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return s.Send(t, r)
}

// Send serves a request.
func (s *Server) Send(t testing.TB, r *http.Request) Answer {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler.ServeHTTP(w, r)
	a := Answer{Status: w.Code, Header: w.Header(), Text: w.Body.String()}
	if a.Text != "" && strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(w.Body.Bytes(), &a.JSON); err != nil {
			t.Fatalf("%s %s: not JSON: %q", r.Method, r.URL, a.Text)
		}
	}
	return a
}

// Browser logs a user in by a session and gives what a request needs to be theirs: the cookies and the header
// against forgery.
func (s *Server) Browser(t testing.TB, u *user.User) func(*http.Request) {
	t.Helper()
	ctx := context.Background()
	sess, _, err := s.Sessions.Start(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var cookie *http.Cookie
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) (err error) {
		cookie, err = s.Sessions.Login(ctx, tx, sess, session.LoginOptions{User: u})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const forgery = "0123456789012345678901234567890123456789"
	return func(r *http.Request) {
		r.AddCookie(cookie)
		r.AddCookie(&http.Cookie{Name: "authentik_csrf", Value: forgery})
		r.Header.Set("X-authentik-CSRF", forgery)
	}
}

// Suite is what every conformance test of a resource begins with.
func (s *Server) Suite(path string, valid func(n int) map[string]any) resourcetest.Suite {
	as := func(key string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
	}
	return resourcetest.Suite{Handler: s.Handler, Pool: s.Pool, Path: path, Valid: valid, Admin: as(s.AdminKey), Other: as(s.AnnKey)}
}

// Must is Do that fails the test for another status.
func (s *Server) Must(t testing.TB, status int, key, method, path string, body any) Answer {
	t.Helper()
	a := s.Do(t, key, method, path, body)
	if a.Status != status {
		t.Fatalf("%s %s: %d %s; want %d", method, path, a.Status, a.Text, status)
	}
	return a
}

// At follows names (of maps) and numbers (of lists) into the answer's JSON; nil where there is nothing.
func (a Answer) At(path ...any) any {
	v := a.JSON
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil
			}
			v = l[step]
		}
	}
	return v
}

// Names are the values of one key in a list's results.
func (a Answer) Names(key string) []string {
	out := []string{}
	results, _ := a.At("results").([]any)
	for _, r := range results {
		name, _ := r.(map[string]any)[key].(string)
		out = append(out, name)
	}
	return out
}

// Count counts rows: "events WHERE …".
func (s *Server) Count(t testing.TB, from string, args ...any) int {
	t.Helper()
	var n int
	if err := s.Pool.QueryRow(context.Background(), `SELECT count(*) FROM `+from, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
