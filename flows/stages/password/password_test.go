package password_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/token"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/password"
)

func kinds(b *flowtest.Bench) []*flows.Kind {
	return []*flows.Kind{password.Kind(b.Users, b.Tokens), identification.Kind(b.Users)}
}

func settings() password.Settings {
	return password.Settings{Backends: []password.Backend{password.Inbuilt, password.LDAP, password.Token}, MaxFailures: 5}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	flowtest.Stage(t, flowtest.Suite{
		Kinds: kinds, Component: password.Component,
		Settings: func(testing.TB, *flowtest.Bench) any { return settings() },
		Prepare: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser) flows.Context {
			return flows.Context{PendingUser: usertest.Add(t, b.Users, "ann", " correct ").ID}
		},
		Right: func(testing.TB, *flowtest.Bench, *flowtest.Browser, flowtest.Page) map[string]any {
			return map[string]any{"password": " correct "}
		},
		Wrong: map[string]any{"password": "correct"}, WrongField: "password",
		Fields: []flowtest.Field{{Name: "password", Required: true, Text: true}},
		Denied: func(_ testing.TB, _ *flowtest.Bench, _ *flowtest.Browser, given *flows.Context) {
			given.PendingUser = 0
		},
	})
}

// login is the flow of identification, password and a marker.
func login(t *testing.T) (*flowtest.Bench, *flowtest.Marker) {
	t.Helper()
	marker := &flowtest.Marker{}
	b := flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind { return append(kinds(b), marker.Kind("marker")) })
	b.Flow(t, "login", nil,
		flowtest.Step{Kind: "identificationstage", Settings: identification.Settings{
			UserFields: []identification.UserField{"username"}, FoldCase: true, ShowMatched: true, Pretend: true,
		}},
		flowtest.Step{Kind: "passwordstage", Settings: settings()}, flowtest.Step{Kind: "marker"})
	return b, marker
}

// A user who is there, one who is not active and one who is not there all end alike at the fifth wrong password.
func TestFailuresEndTheFlow(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ann", "off", "nobody", strings.Repeat("€", 150)} {
		t.Run(name[:3], func(t *testing.T) {
			t.Parallel()
			b, marker := login(t)
			usertest.Add(t, b.Users, "ann", "correct")
			usertest.Add(t, b.Users, strings.Repeat("€", 150), "correct")
			usertest.Add(t, b.Users, "off", "correct")
			b.Exec(t, `UPDATE users SET is_active = false WHERE username = 'off'`)
			br := b.Browser("login")
			br.Post(t, map[string]any{"uid_field": name}).WantContinue(t)
			guess := "wrong"
			if name == "off" {
				guess = "correct"
			}
			for i := range 4 {
				if p := br.Post(t, map[string]any{"password": guess}); p.Code("password") != "invalid" {
					t.Fatalf("attempt %d: %s", i+1, p)
				}
			}
			p := br.Post(t, map[string]any{"password": guess}).Want(t, flows.ComponentAccessDenied)
			if p.Text("error_message") != "Unknown error" {
				t.Errorf("said %q", p.Text("error_message"))
			}
			if n := b.Count(t, `SELECT count(*) FROM events WHERE action = 'login_failed' AND "user"->>'username' = $1
				AND context->'stage'->>'model_name' = 'passwordstage'`, name); n != 5 {
				t.Errorf("%d events, want 5", n)
			}
			if marker.Begun.Load() != 0 {
				t.Error("passed")
			}
			br.Get(t).Want(t, identification.Component)
		})
	}
}

// Many sessions do not help a guesser: the address is refused for the user, also with the right password; the owner at
// another address, and another user at this one, are not. What failed on a phone is no guess.
func TestLimitOverSessions(t *testing.T) {
	t.Parallel()
	b, _ := login(t)
	usertest.Add(t, b.Users, "ann", "correct")
	usertest.Add(t, b.Users, "bob", "correct")
	enter := func(ip, name, pass string) flowtest.Page {
		br := b.Browser("login")
		br.IP = ip
		br.Post(t, map[string]any{"uid_field": name}).WantContinue(t)
		return br.Post(t, map[string]any{"password": pass})
	}
	b.Exec(t, `INSERT INTO events (event_uuid, action, app, "user", context, client_ip, brand, created, expires)
		SELECT gen_random_uuid(), 'login_failed', 'authentik_stages_authenticator_mobile', '{"username": "ann"}', '{}', '192.0.2.66', '{}', $1, $1::timestamptz + interval '1 year'
		FROM generate_series(1, 30)`, b.Clock.Now())
	for i := range 20 {
		if p := enter("::ffff:192.0.2.66", "ann", fmt.Sprint("guess", i)); p.Code("password") != "invalid" {
			t.Fatalf("guess %d: %s", i, p)
		}
	}
	for _, ip := range []string{"192.0.2.66", "::ffff:192.0.2.66"} { // one address, however the listener writes it
		if p := enter(ip, "ann", "correct"); p.Code("password") != "throttled" {
			t.Errorf("after 20 guesses from %s: %s", ip, p)
		}
	}
	enter("192.0.2.66", "bob", "correct").WantContinue(t)
	enter("192.0.2.7", "ann", "correct").WantContinue(t)
	b.Clock.Advance(11 * time.Minute)
	enter("192.0.2.66", "ann", "correct").WantContinue(t)
}

func TestBackends(t *testing.T) {
	t.Parallel()
	b, _ := login(t)
	usertest.Add(t, b.Users, "ann", "correct")
	bob := usertest.Add(t, b.Users, "bob", "")
	var key string
	err := db.InTx(context.Background(), b.Direct, func(tx pgx.Tx) (err error) {
		key, err = b.Tokens.Issue(context.Background(), tx, &token.Token{Identifier: "mail-client", Intent: token.AppPassword, User: bob.ID}, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		user, password, method, backend string
	}{
		{"ann", "correct", "password", string(password.Inbuilt)},
		{"bob", key, "token", string(password.Token)},
		{"ann", key, "", ""},
		{"nobody", key, "", ""},
	} {
		br := b.Browser("login")
		br.Post(t, map[string]any{"uid_field": tc.user}).WantContinue(t)
		p := br.Post(t, map[string]any{"password": tc.password})
		if tc.method == "" {
			if p.Code("password") != "invalid" {
				t.Errorf("%s with another's token: %s", tc.user, p)
			}
			continue
		}
		p.WantContinue(t)
		if c := b.Plan(t, br, "login").Context; c.AuthMethod != tc.method || c.UserBackend != tc.backend {
			t.Errorf("%s: %+v", tc.user, c)
		}
	}
}

func TestRecoveryURL(t *testing.T) {
	t.Parallel()
	b, _ := login(t)
	for _, slug := range []string{"z-recover", "a-recover"} {
		b.Flow(t, slug, func(f *flows.Flow) { f.Designation = flows.Recovery })
	}
	br := b.Browser("login")
	br.Post(t, map[string]any{"uid_field": "ann"}).WantContinue(t)
	if got := br.Get(t).Text("recovery_url"); got != "http://login.test/if/flow/a-recover/" {
		t.Errorf("recovery_url %q", got)
	}
}
