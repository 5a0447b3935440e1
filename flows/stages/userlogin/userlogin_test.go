package userlogin_test

import (
	"testing"
	"time"

	"countersign/core/session"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
	"countersign/flows/stages/userlogin"
)

func kinds(b *flowtest.Bench) []*flows.Kind { return []*flows.Kind{userlogin.Kind(b.Sessions)} }

func settings(duration, offset string) userlogin.Settings {
	return userlogin.Settings{
		SessionDuration: duration, RememberOffset: offset, NetworkBinding: session.NoBinding, GeoIPBinding: session.NoBinding,
	}
}

func suite(offset string) flowtest.Suite {
	return flowtest.Suite{
		Kinds:    kinds,
		Settings: func(testing.TB, *flowtest.Bench) any { return settings("seconds=0", offset) },
		Prepare: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser) flows.Context {
			return flows.Context{PendingUser: usertest.Add(t, b.Users, "ann", "").ID, AuthMethod: "password"}
		},
		Denied: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser, _ *flows.Context) {
			b.Exec(t, `UPDATE users SET is_active = false`)
		},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	flowtest.Stage(t, suite("seconds=0"))
}

func TestConformanceRememberMe(t *testing.T) {
	t.Parallel()
	s := suite("days=30")
	s.Component = userlogin.Component
	s.Right = func(testing.TB, *flowtest.Bench, *flowtest.Browser, flowtest.Page) map[string]any {
		return map[string]any{"remember_me": true}
	}
	s.Fields = []flowtest.Field{{Name: "remember_me", Required: true}}
	flowtest.Stage(t, s)
}

// start is a flow of the stage alone, planned for ann.
func start(t *testing.T, s userlogin.Settings) (*flowtest.Bench, *flowtest.Browser) {
	t.Helper()
	b := flowtest.New(t, kinds)
	b.Flow(t, "login", nil, flowtest.Step{Kind: "userloginstage", Settings: s})
	br := b.Browser("login")
	u := usertest.Add(t, b.Users, "ann", "")
	b.Start(t, br, "login", flows.Context{PendingUser: u.ID, AuthMethod: "password", Factors: []string{"password"}})
	return b, br
}

func TestLength(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name             string
		duration, offset string
		remember         bool
		want             time.Duration // of the cookie; 0 is with the browser
	}{
		{"with the browser", "seconds=0", "seconds=0", false, 0},
		{"a time", "hours=2", "seconds=0", false, 2 * time.Hour},
		{"remembered", "hours=2", "days=1", true, 26 * time.Hour},
		{"not remembered", "hours=2", "days=1", false, 2 * time.Hour},
		{"remembered only", "seconds=0", "days=1", true, 24 * time.Hour},
		{"negative", "hours=-2", "seconds=0", false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, br := start(t, settings(tc.duration, tc.offset))
			body := map[string]any{}
			if tc.offset != "seconds=0" {
				body["remember_me"] = tc.remember
			}
			br.Post(t, body).Want(t, flows.ComponentRedirect)
			c := br.Cookie(session.CookieName)
			var want time.Time
			if tc.want > 0 {
				want = b.Clock.Now().Add(tc.want)
			}
			if !c.Expires.Equal(want) {
				t.Errorf("the cookie ends %v, want %v", c.Expires, want)
			}
			if who := br.Who(t); who != "ann" {
				t.Errorf("logged in: %q", who)
			}
		})
	}
}

// The key changes at login: a cookie that somebody planted before is worth nothing after.
func TestKeyChanges(t *testing.T) {
	t.Parallel()
	b, br := start(t, settings("seconds=0", "seconds=0"))
	planted := br.Cookie(session.CookieName)
	id := br.Session
	br.Get(t).Want(t, flows.ComponentRedirect)
	if br.Who(t) != "ann" || br.Session != id {
		t.Errorf("%q is logged in, in session %s (was %s)", br.Who(t), br.Session, id)
	}
	thief := b.Browser("login")
	thief.SetCookie(planted)
	if who := thief.Who(t); who != "" || thief.Session == id {
		t.Errorf("the old cookie is %q's", who)
	}
	if n := b.Count(t, `SELECT count(*) FROM events WHERE action = 'login' AND context->>'auth_method' = 'password' AND "user"->>'username' = 'ann'`); n != 1 {
		t.Errorf("%d events of the login", n)
	}
}

func TestTerminatesOthers(t *testing.T) {
	t.Parallel()
	for _, terminate := range []bool{false, true} {
		s := settings("seconds=0", "seconds=0")
		s.TerminateOthers = terminate
		b, br := start(t, s)
		other := b.Browser("login")
		u, err := b.Users.Find(t.Context(), b.Direct, "ann", []string{"username"}, false)
		if err != nil {
			t.Fatal(err)
		}
		other.LogIn(t, u)
		br.Get(t).Want(t, flows.ComponentRedirect)
		if alive := other.Who(t) == "ann"; alive == terminate {
			t.Errorf("terminate_other_sessions %v: the other session lives: %v", terminate, alive)
		}
	}
}

func TestNobodyToLogIn(t *testing.T) {
	t.Parallel()
	for name, given := range map[string]flows.Context{"nobody": {}, "pretended": {Pretended: "nobody"}} {
		b, br := start(t, settings("seconds=0", "seconds=0"))
		b.Start(t, br, "login", given)
		p := br.Get(t).Want(t, flows.ComponentAccessDenied)
		if p.Text("error_message") != "No Pending user to login." || br.Who(t) != "" {
			t.Errorf("%s: %s", name, p)
		}
	}
}
