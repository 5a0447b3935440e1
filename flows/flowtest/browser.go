package flowtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/session"
	"countersign/core/user"
	"countersign/flows"
)

// Browser walks one flow, in one session, as a browser would.
type Browser struct {
	Slug    string
	Query   string // the page's query string
	Next    string // the executor URL's own next
	IP      string
	Session uuid.UUID     // of the last request
	Engine  *flows.Engine // the node that it talks to

	bench *Bench
	jar   *jar // shared by the tabs
}

type jar struct {
	mu sync.Mutex
	m  map[string]*http.Cookie
}

// Browser is a new one without cookies.
func (b *Bench) Browser(slug string) *Browser {
	return &Browser{Slug: slug, IP: "192.0.2.7", Engine: b.Engine, bench: b, jar: &jar{m: map[string]*http.Cookie{}}}
}

// Tab is another tab of the same browser, on a flow.
func (br *Browser) Tab(slug string) *Browser {
	out := br.bench.Browser(slug)
	out.IP, out.Session, out.jar = br.IP, br.Session, br.jar
	return out
}

// Page is what came back.
type Page struct {
	Continue  bool
	Component string
	JSON      map[string]any
	Raw       string
	Err       error
}

// Codes are the codes of the response errors of a field.
func (p Page) Codes(field string) []string {
	all, _ := p.JSON["response_errors"].(map[string]any)
	list, _ := all[field].([]any)
	var out []string
	for _, e := range list {
		m, _ := e.(map[string]any)
		out = append(out, fmt.Sprint(m["code"]))
	}
	return out
}

// Code is the only code of a field; "" for none or several.
func (p Page) Code(field string) string {
	if c := p.Codes(field); len(c) == 1 {
		return c[0]
	}
	return ""
}

// Text is a top-level text of the challenge.
func (p Page) Text(key string) string {
	s, _ := p.JSON[key].(string)
	return s
}

// Want fails the test unless the page shows a component.
func (p Page) Want(t testing.TB, component string) Page {
	t.Helper()
	if p.Err != nil || p.Continue || p.Component != component {
		t.Fatalf("got %s; want %s", p, component)
	}
	return p
}

// WantContinue fails the test unless the page says to go on.
func (p Page) WantContinue(t testing.TB) {
	t.Helper()
	if p.Err != nil || !p.Continue {
		t.Fatalf("got %s; want 302", p)
	}
}

// String is for messages of tests.
func (p Page) String() string {
	switch {
	case p.Err != nil:
		return "error " + p.Err.Error()
	case p.Continue:
		return "302"
	}
	return "200 " + p.Raw
}

// Get asks for the challenge.
func (br *Browser) Get(t testing.TB) Page {
	t.Helper()
	return br.Prepare(t, false, nil)()
}

// Post answers it; body is a map, or JSON as a string.
func (br *Browser) Post(t testing.TB, body any) Page {
	t.Helper()
	return br.Prepare(t, true, body)()
}

// Follow gets until there is something to see.
func (br *Browser) Follow(t testing.TB) Page {
	t.Helper()
	for range 10 {
		if p := br.Get(t); !p.Continue {
			return p
		}
	}
	t.Fatal("the flow does not come to an end")
	return Page{}
}

// Prepare loads the session, as the executor does first, and gives the function that serves the request: so that
// several can run at once, each from the same state.
func (br *Browser) Prepare(t testing.TB, post bool, body any) func() Page {
	t.Helper()
	return br.PrepareContext(context.Background(), t, post, body)
}

// PrepareContext is Prepare under a context, which a client that goes away ends.
func (br *Browser) PrepareContext(ctx context.Context, t testing.TB, post bool, body any) func() Page {
	t.Helper()
	sess := br.load(t)
	origin := br.origin(post)
	origin.Actor = sess.Who()
	req := flows.Request{
		Slug: br.Slug, Post: post, Query: br.Query, Next: br.Next, Session: sess, Actor: sess.Who(), Origin: origin,
		Title: "Test", BaseURL: "http://login.test/", Cookies: br.cookies(),
	}
	if post {
		req.Answer = answer(t, body)
	}
	ctx = event.WithOrigin(ctx, origin)
	engine := br.Engine
	return func() Page {
		reply, err := engine.Serve(ctx, req)
		br.keep(reply.Cookies)
		return br.bench.page(reply, err)
	}
}

func (br *Browser) origin(post bool) *event.Origin {
	method := http.MethodGet
	if post {
		method = http.MethodPost
	}
	o := &event.Origin{
		RequestID: "0123456789abcdef0123456789abcdef", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		Method: method, Path: "/api/v3/flows/executor/" + br.Slug + "/", Host: "login.test", Scheme: "http", Query: url.Values{},
	}
	o.ClientIP, _ = netip.ParseAddr(br.IP)
	return o
}

// load finds the session of the cookies or begins one.
func (br *Browser) load(t testing.TB) *session.Session {
	t.Helper()
	ctx := event.WithOrigin(context.Background(), br.origin(false))
	r := httptest.NewRequest(http.MethodGet, "http://login.test/", nil)
	for _, c := range br.cookies() {
		r.AddCookie(c)
	}
	sess, err := br.bench.Sessions.Load(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if sess == nil {
		var c *http.Cookie
		if sess, c, err = br.bench.Sessions.Start(ctx, r); err != nil {
			t.Fatal(err)
		}
		br.keep([]*http.Cookie{c})
	}
	br.Session = sess.UUID
	return sess
}

// LogIn makes the browser's session a user's, without a flow, as if by the factors.
func (br *Browser) LogIn(t testing.TB, u *user.User, factors ...string) {
	t.Helper()
	ctx := event.WithOrigin(context.Background(), br.origin(true))
	sess := br.load(t)
	err := db.InTx(ctx, br.bench.Direct, func(tx pgx.Tx) error {
		c, err := br.bench.Sessions.Login(ctx, tx, sess, session.LoginOptions{User: u, Factors: factors})
		br.keep([]*http.Cookie{c})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Who is who is logged in, by the browser's cookies; "" for nobody.
func (br *Browser) Who(t testing.TB) string {
	t.Helper()
	if a := br.load(t).Who(); a != nil {
		return a.Username
	}
	return ""
}

// Cookie is a cookie that the browser has; nil for none.
func (br *Browser) Cookie(name string) *http.Cookie {
	br.jar.mu.Lock()
	defer br.jar.mu.Unlock()
	return br.jar.m[name]
}

// SetCookie puts a cookie into the browser, a stolen or a forged one.
func (br *Browser) SetCookie(c *http.Cookie) { br.keep([]*http.Cookie{c}) }

func (br *Browser) keep(cookies []*http.Cookie) {
	br.jar.mu.Lock()
	defer br.jar.mu.Unlock()
	for _, c := range cookies {
		switch {
		case c == nil:
		case c.MaxAge < 0 || c.Value == "":
			delete(br.jar.m, c.Name)
		default:
			br.jar.m[c.Name] = c
		}
	}
}

func (br *Browser) cookies() []*http.Cookie {
	br.jar.mu.Lock()
	defer br.jar.mu.Unlock()
	out := make([]*http.Cookie, 0, len(br.jar.m))
	for _, c := range br.jar.m {
		out = append(out, &http.Cookie{Name: c.Name, Value: c.Value})
	}
	return out
}

func answer(t testing.TB, body any) flows.Answer {
	t.Helper()
	raw, ok := body.(string)
	if !ok {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(data)
	}
	var out flows.Answer
	if err := json.Unmarshal([]byte(raw), &out); err != nil {
		t.Fatalf("answer %s: %v", raw, err)
	}
	return out
}

// page writes a reply as the executor does.
func (b *Bench) page(reply flows.Reply, err error) Page {
	p := Page{Continue: reply.Continue, Err: err}
	if err != nil || reply.Challenge == nil {
		return p
	}
	raw, err := b.schemas.Append(nil, reply.Challenge)
	if err != nil {
		return Page{Err: err}
	}
	p.Raw = string(raw)
	if err := json.Unmarshal(raw, &p.JSON); err != nil {
		return Page{Err: fmt.Errorf("%w: %s", err, raw)}
	}
	p.Component = p.Text("component")
	return p
}
