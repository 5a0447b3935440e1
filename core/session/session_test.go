package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/session"
	"countersign/core/user"
	"countersign/core/user/usertest"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type bundle struct {
	*session.Store
	clock *clock
	users *user.Store
	ann   *user.User
}

func setup(t *testing.T) *bundle {
	t.Helper()
	c := &clock{at: time.Now().Truncate(time.Microsecond)}
	users := usertest.Store(t, dbtest.Pool(t), c.now)
	s := &session.Store{Pool: users.Pool, Users: users, Events: users.Events, Key: []byte("0123456789abcdef0123456789abcdef"), Now: c.now, Log: users.Log}
	return &bundle{Store: s, clock: c, users: users, ann: usertest.Add(t, users, "ann", "")}
}

// from is a context of a request from an address.
func from(ip, scheme string) context.Context {
	return event.WithOrigin(context.Background(), &event.Origin{ClientIP: netip.MustParseAddr(ip), UserAgent: "Test/1.0", Scheme: scheme})
}

func with(c *http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if c != nil {
		r.AddCookie(c)
	}
	return r
}

func (b *bundle) load(t *testing.T, ctx context.Context, c *http.Cookie) *session.Session {
	t.Helper()
	s, err := b.Load(ctx, with(c))
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return s
}

func (b *bundle) login(t *testing.T, ctx context.Context, o session.LoginOptions) (*session.Session, *http.Cookie) {
	t.Helper()
	sess, _, err := b.Start(ctx, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	if o.User == nil {
		o.User = b.ann
	}
	c, err := b.tryLogin(ctx, sess, o)
	if err != nil {
		t.Fatal(err)
	}
	return sess, c
}

func (b *bundle) tryLogin(ctx context.Context, sess *session.Session, o session.LoginOptions) (c *http.Cookie, err error) {
	err = db.InTx(ctx, b.Pool, func(tx pgx.Tx) (err error) {
		c, err = b.Login(ctx, tx, sess, o)
		return err
	})
	return c, err
}

func (b *bundle) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := b.Pool.QueryRow(context.Background(), `SELECT count(*) FROM `+sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLifeOfASession(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "http")
	sess, cookie, err := b.Start(ctx, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	if cookie.Name != "authentik_session" || !cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || !cookie.Expires.IsZero() {
		t.Errorf("anonymous cookie: %v", cookie)
	}
	if got := b.load(t, ctx, cookie); got == nil || got.UUID != sess.UUID || got.Actor != nil {
		t.Fatalf("anonymous session: %+v", got)
	}
	other, otherCookie := b.login(t, ctx, session.LoginOptions{})

	usertest.Superuser(t, b.users, b.ann)
	in, err := b.tryLogin(ctx, sess, session.LoginOptions{User: b.ann, Method: "password", Args: map[string]any{"x": 1},
		Factors: []string{"password", "mobile"}, TerminateOthers: true})
	if err != nil {
		t.Fatal(err)
	}
	if b.load(t, ctx, cookie) != nil {
		t.Error("the cookie from before the login is still good")
	}
	if b.load(t, ctx, otherCookie) != nil {
		t.Errorf("session %s was to be terminated", other.UUID)
	}
	got := b.load(t, ctx, in)
	if got == nil || got.UUID != sess.UUID || got.Actor == nil || got.Actor.ID != b.ann.ID || !got.Actor.Superuser || got.Actor.Session != sess.UUID {
		t.Fatalf("logged-in session: %+v", got)
	}
	if got.Auth.Method != "password" || len(got.Auth.Factors) != 2 || !got.Auth.At.Equal(b.clock.now()) {
		t.Errorf("auth: %+v", got.Auth)
	}
	if u, _ := b.users.ByID(ctx, b.Pool, b.ann.ID); u.LastLogin == nil || !u.LastLogin.Equal(b.clock.now()) {
		t.Errorf("last_login: %v", u.LastLogin)
	}
	if n := b.count(t, `events WHERE action = 'login' AND "user"->>'username' = 'ann' AND context->>'auth_method' = 'password'
		AND context->'auth_method_args'->>'x' = '1' AND client_ip = '192.0.2.1'`); n != 1 {
		t.Errorf("%d login events; want 1", n)
	}

	var out *http.Cookie
	err = db.InTx(ctx, b.Pool, func(tx pgx.Tx) (err error) {
		out, err = b.Logout(ctx, tx, got)
		return err
	})
	if err != nil || out.MaxAge >= 0 || out.Value != "" {
		t.Errorf("logout cookie: %v, %v", out, err)
	}
	if b.load(t, ctx, in) != nil {
		t.Error("the cookie is still good after the logout")
	}
	if n := b.count(t, `events WHERE action = 'logout' AND "user"->>'username' = 'ann'`); n != 1 {
		t.Errorf("%d logout events; want 1", n)
	}
}

func TestCookieOverTLS(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "https")
	_, c := b.login(t, ctx, session.LoginOptions{Duration: time.Hour})
	if !c.Secure || c.SameSite != http.SameSiteNoneMode || !c.Expires.Equal(b.clock.now().Add(time.Hour)) {
		t.Errorf("cookie: %v", c)
	}
	var claims map[string]any
	raw, err := jwt.NewParser().DecodeSegment(strings.Split(c.Value, ".")[1])
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		t.Fatal(err)
	}
	sid, _ := claims["sid"].(string)
	if claims["iss"] != "authentik" || claims["sub"] != b.users.UID(b.ann.ID) || claims["authenticated"] != true ||
		claims["acr"] != "goauthentik.io/core/default" || len(sid) < 32 || len(claims) != 5 {
		t.Errorf("claims: %v", claims)
	}
	if n := b.count(t, `sessions WHERE encode(key_hash, 'escape') LIKE '%' || $1 || '%'`, sid); n != 0 {
		t.Error("the key itself is stored")
	}
}

func TestForgedCookies(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "http")
	_, good := b.login(t, ctx, session.LoginOptions{})
	parts := strings.Split(good.Value, ".")
	raw, _ := jwt.NewParser().DecodeSegment(parts[1])
	var claims jwt.MapClaims
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	sign := func(m jwt.SigningMethod, key any, c jwt.MapClaims) string {
		v, err := jwt.NewWithClaims(m, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	foreign := jwt.MapClaims{"sid": claims["sid"], "iss": "somebody"}
	for name, value := range map[string]string{
		"raw id": claims["sid"].(string), "other key": sign(jwt.SigningMethodHS256, []byte("x"), claims), "none": sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims),
		"HS512": sign(jwt.SigningMethodHS512, b.Key, claims), "issuer": sign(jwt.SigningMethodHS256, b.Key, foreign),
		"no sid": sign(jwt.SigningMethodHS256, b.Key, jwt.MapClaims{"iss": "authentik"}), "cut": parts[0] + "." + parts[1] + ".", "empty": "", "long": strings.Repeat("x", 5000),
	} {
		if s := b.load(t, ctx, &http.Cookie{Name: session.CookieName, Value: value}); s != nil {
			t.Errorf("%s: a session came of it", name)
		}
	}
	if b.load(t, ctx, nil) != nil {
		t.Error("no cookie: a session came of it")
	}
}

// A cookie that an older key of the server signed is taken while that key is configured, and signed anew where a session is
// renewed.
func TestCookiesOfAnOlderKey(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "http")
	_, browser := b.login(t, ctx, session.LoginOptions{})
	_, hours := b.login(t, ctx, session.LoginOptions{Duration: 2 * time.Hour})
	older := b.Key
	b.Key, b.OldKeys = []byte("a newer key of thirty-two bytes."), [][]byte{[]byte("quite another one"), older}
	cookies := map[string]*http.Cookie{"until the browser ends": browser, "two hours": hours}
	for name, c := range cookies {
		if b.load(t, ctx, c) == nil {
			t.Errorf("%s: not taken while the older key is known", name)
		}
		anew, err := b.Renew(ctx, with(c))
		if err != nil || anew == nil || anew.Value == c.Value || (name == "two hours") != (anew.Expires.After(b.clock.now())) {
			t.Fatalf("%s: renewed as %v, %v", name, anew, err)
		}
		if again, err := b.Renew(ctx, with(anew)); again != nil || err != nil {
			t.Errorf("%s: renewed again as %v, %v", name, again, err)
		}
		cookies[name] = anew
	}
	b.OldKeys = nil
	for name, c := range cookies {
		if b.load(t, ctx, c) == nil {
			t.Errorf("%s: not taken when signed anew", name)
		}
	}
	if b.load(t, ctx, browser) != nil || b.load(t, ctx, hours) != nil {
		t.Error("taken although the older key is gone")
	}
}

func TestLoginRefusals(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "http")
	sess, _, err := b.Start(ctx, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	stale := *sess
	// The row says that ann is not active, the copy that the flow holds does not know it yet.
	if _, err := b.Pool.Exec(ctx, `UPDATE users SET is_active = false`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tryLogin(ctx, sess, session.LoginOptions{User: b.ann}); !fault.Is(err, fault.Denied) {
		t.Errorf("login of one who is not active = %v; want denied", err)
	}
	if _, err := b.tryLogin(ctx, sess, session.LoginOptions{User: &user.User{Username: "pretended", IsActive: true}}); !fault.Is(err, fault.Denied) {
		t.Errorf("login of a pretended user = %v; want denied", err)
	}
	if n := b.count(t, `sessions WHERE user_id IS NOT NULL`) + b.count(t, `events`); n != 0 {
		t.Errorf("%d traces of refused logins", n)
	}
	if _, err := b.Pool.Exec(ctx, `UPDATE users SET is_active = true`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tryLogin(ctx, sess, session.LoginOptions{User: b.ann}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tryLogin(ctx, &stale, session.LoginOptions{User: b.ann}); !errors.Is(err, session.ErrEnded) {
		t.Errorf("second login with the old key = %v; want ErrEnded", err)
	}
}

func TestInactiveUserHasNoSession(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "http")
	_, c := b.login(t, ctx, session.LoginOptions{})
	if _, err := b.Pool.Exec(ctx, `UPDATE users SET is_active = false`); err != nil {
		t.Fatal(err)
	}
	if b.load(t, ctx, c) != nil {
		t.Error("a session of a user who is not active")
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "http")
	_, nobody, err := b.Start(ctx, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	_, browser := b.login(t, ctx, session.LoginOptions{})
	_, hours := b.login(t, ctx, session.LoginOptions{Duration: 2 * time.Hour})

	b.clock.forward(50 * time.Minute)
	for name, c := range map[string]*http.Cookie{"anonymous": nobody, "browser": browser, "two hours": hours} {
		if b.load(t, ctx, c) == nil {
			t.Errorf("%s: gone after 50 minutes", name)
		}
	}
	b.clock.forward(50 * time.Minute) // the anonymous one slid
	if b.load(t, ctx, nobody) == nil {
		t.Error("anonymous: gone although it was used")
	}
	renewed, err := b.Renew(ctx, with(hours))
	if err != nil || renewed == nil || !renewed.Expires.Equal(b.clock.now().Add(2*time.Hour)) {
		t.Fatalf("renew: %v, %v", renewed, err)
	}
	if again, err := b.Renew(ctx, with(hours)); again != nil || err != nil {
		t.Errorf("renewed again at once: %v, %v", again, err)
	}
	if c, err := b.Renew(ctx, with(browser)); c != nil || err != nil {
		t.Errorf("renewed one that ends with the browser: %v, %v", c, err)
	}
	b.clock.forward(110 * time.Minute)
	if b.load(t, ctx, hours) == nil {
		t.Error("two hours: gone before its end, as renewed")
	}
	b.clock.forward(11 * time.Minute)
	if b.load(t, ctx, hours) != nil || b.load(t, ctx, nobody) != nil {
		t.Error("a session outlived its end")
	}
	if n, err := b.Clean(ctx); n != 2 || err != nil {
		t.Errorf("clean: %d, %v; want 2", n, err)
	}
	if b.load(t, ctx, browser) == nil {
		t.Error("browser: gone")
	}
	b.clock.forward(session.DefaultBrowserIdle)
	if b.load(t, ctx, browser) != nil {
		t.Error("browser: there after two weeks without use")
	}
}

func TestLastUseIsWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "http")
	_, c := b.login(t, ctx, session.LoginOptions{})
	start := b.clock.now()
	b.clock.forward(59 * time.Second)
	b.load(t, ctx, c)
	if n := b.count(t, `sessions WHERE last_used = $1`, start); n != 1 {
		t.Error("written within the minute")
	}
	b.clock.forward(time.Second)
	b.load(t, ctx, c)
	if n := b.count(t, `sessions WHERE last_used = $1`, b.clock.now()); n != 1 {
		t.Error("not written after the minute")
	}
	b.load(t, from("192.0.2.9", "http"), c)
	if n := b.count(t, `sessions WHERE last_ip = '192.0.2.9'`); n != 1 {
		t.Error("a new address was not written at once")
	}
}

func TestBrokenBindingEndsTheSession(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "http")
	_, c := b.login(t, ctx, session.LoginOptions{NetworkBinding: session.BindASN})
	if b.load(t, ctx, c) == nil {
		t.Fatal("gone at the same address")
	}
	if s := b.load(t, from("::ffff:192.0.2.1", "http"), c); s == nil {
		t.Fatal("gone at the same address in its IPv6 form")
	}
	if s := b.load(t, from("198.51.100.7", "http"), c); s != nil {
		t.Error("there at another address")
	}
	if b.load(t, ctx, c) != nil {
		t.Error("there again at the first address")
	}
	if n := b.count(t, `events WHERE action = 'logout' AND context->>'logout_reason' = 'Session binding broken'
		AND context->'binding'->>'reason' = 'network.missing' AND context->'ip'->>'new' = '198.51.100.7' AND "user"->>'username' = 'ann'`); n != 1 {
		t.Errorf("%d events; want 1", n)
	}
}

func TestParallelLoadsAndLogins(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), from("192.0.2.1", "http")
	sess, _, err := b.Start(ctx, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	won := make(chan *http.Cookie, 8)
	for range 8 {
		mine := *sess
		wg.Go(func() {
			if c, err := b.tryLogin(ctx, &mine, session.LoginOptions{User: b.ann}); err == nil {
				won <- c
			} else if !errors.Is(err, session.ErrEnded) {
				t.Errorf("login: %v", err)
			}
		})
	}
	wg.Wait()
	close(won)
	if len(won) != 1 {
		t.Errorf("%d of 8 logins with one key succeeded; want 1", len(won))
	}
}
