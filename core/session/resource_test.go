package session_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/core/areatest"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/session"
	"countersign/core/user"
)

// enter logs a user in and gives the cookie.
func enter(t *testing.T, s *areatest.Server, u *user.User) (*session.Session, *http.Cookie) {
	t.Helper()
	ctx := event.WithOrigin(context.Background(), &event.Origin{ClientIP: netip.MustParseAddr("192.0.2.1"), UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"})
	sess, _, err := s.Sessions.Start(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var c *http.Cookie
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) (err error) {
		c, err = s.Sessions.Login(ctx, tx, sess, session.LoginOptions{User: u, Duration: time.Hour})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sess, c
}

func TestSessionsResource(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	if _, _, err := s.Sessions.Start(context.Background(), nil); err != nil { // nobody's: in no list
		t.Fatal(err)
	}
	mine, cookie := enter(t, s, s.Ann)
	_, second := enter(t, s, s.Ann)
	his, _ := enter(t, s, s.Admin)

	call := func(method, path string, csrf bool) areatest.Answer {
		r := httptest.NewRequest(method, "/api/v3/core/authenticated_sessions/"+path, nil)
		r.RemoteAddr = "192.0.2.1:1234"
		r.AddCookie(cookie)
		if csrf {
			r.AddCookie(&http.Cookie{Name: "authentik_csrf", Value: "0123456789012345678901234567890123456789"})
			r.Header.Set("X-authentik-CSRF", "0123456789012345678901234567890123456789")
		}
		return s.Send(t, r)
	}
	list := call("GET", "", false)
	if results := list.At("results").([]any); len(results) != 2 {
		t.Fatalf("ann sees %d sessions: %s", len(results), list.Text)
	}
	one := call("GET", mine.UUID.String()+"/", false)
	if one.At("current") != true || one.At("user") != float64(s.Ann.ID) || one.At("last_ip") != "192.0.2.1" || one.At("geo_ip") != nil || one.At("asn") != nil ||
		one.At("user_agent", "user_agent", "family") != "Firefox" || one.At("user_agent", "os", "family") != "Linux" || one.At("expires") == nil {
		t.Errorf("own session: %s", one.Text)
	}
	if a := call("GET", his.UUID.String()+"/", false); a.Status != 404 {
		t.Errorf("another's session: %d", a.Status)
	}
	all := s.Must(t, 200, s.AdminKey, "GET", "/core/authenticated_sessions/", nil)
	if results := all.At("results").([]any); len(results) != 3 || all.At("results", 0, "user") != float64(s.Admin.ID) || all.At("results", 0, "current") != false {
		t.Errorf("admin sees: %s", all.Text)
	}
	if a := s.Must(t, 200, s.AdminKey, "GET", "/core/authenticated_sessions/?user__username=ann&last_ip=192.0.2.1", nil); len(a.At("results").([]any)) != 2 {
		t.Errorf("filtered: %s", a.Text)
	}
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		path := mine.UUID.String() + "/"
		if method == "POST" {
			path = ""
		}
		if a := call(method, path, true); a.Status != 405 {
			t.Errorf("%s: %d; want 405", method, a.Status)
		}
	}
	if a := call("DELETE", his.UUID.String()+"/", true); a.Status != 404 {
		t.Errorf("delete of another's: %d", a.Status)
	}
	if a := call("DELETE", mine.UUID.String()+"/", false); a.Status != 403 {
		t.Errorf("delete without the anti-forgery token: %d", a.Status)
	}
	if a := call("DELETE", mine.UUID.String()+"/", true); a.Status != 204 {
		t.Errorf("delete: %d %s", a.Status, a.Text)
	}
	if a := call("GET", "", false); a.Status != 403 {
		t.Errorf("the deleted session is still good: %d", a.Status)
	}
	cookie = second
	if a := call("GET", "", false); a.Status != 200 {
		t.Errorf("the other session ended too: %d", a.Status)
	}
}

func TestMeRenewsTheSession(t *testing.T) {
	t.Parallel()
	c := &clock{at: time.Now()}
	s := areatest.New(t, c.now)
	_, cookie := enter(t, s, s.Ann)
	c.forward(30 * time.Minute)
	r := httptest.NewRequest("GET", "/api/v3/core/users/me/", nil)
	r.RemoteAddr = "192.0.2.1:1234"
	r.AddCookie(cookie)
	a := s.Send(t, r)
	if a.Status != 200 || a.At("user", "username") != "ann" {
		t.Fatalf("me: %d %s", a.Status, a.Text)
	}
	sent, err := http.ParseSetCookie(a.Header.Get("Set-Cookie"))
	if err != nil || sent.Name != session.CookieName || sent.Expires.Before(c.now().Add(59*time.Minute)) {
		t.Errorf("cookie: %q, %v", a.Header.Get("Set-Cookie"), err)
	}
}
