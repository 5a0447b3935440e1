package userlogout_test

import (
	"testing"

	"countersign/core/session"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
	"countersign/flows/stages/userlogout"
)

func kinds(b *flowtest.Bench) []*flows.Kind { return []*flows.Kind{userlogout.Kind(b.Sessions)} }

func TestConformance(t *testing.T) {
	t.Parallel()
	flowtest.Stage(t, flowtest.Suite{
		Kinds: kinds, Ends: true,
		Prepare: func(t testing.TB, b *flowtest.Bench, br *flowtest.Browser) flows.Context {
			br.LogIn(t, usertest.Add(t, b.Users, "ann", ""))
			return flows.Context{}
		},
	})
}

func TestLogout(t *testing.T) {
	t.Parallel()
	b := flowtest.New(t, kinds)
	b.Flow(t, "logout", func(f *flows.Flow) { f.Designation = flows.Invalidation }, flowtest.Step{Kind: "userlogoutstage"})
	br := b.Browser("logout")
	br.Query = "next=/bye"
	br.LogIn(t, usertest.Add(t, b.Users, "ann", ""))
	id := br.Session
	p := br.Get(t).Want(t, flows.ComponentRedirect)
	if p.Text("to") != "/bye" || br.Cookie(session.CookieName) != nil || br.Who(t) != "" {
		t.Errorf("%s, logged in: %q", p, br.Who(t))
	}
	if n := b.Count(t, `SELECT count(*) FROM sessions WHERE session_uuid = $1`, id); n != 0 {
		t.Error("the session is still there")
	}
	if n := b.Count(t, `SELECT count(*) FROM events WHERE action = 'logout' AND "user"->>'username' = 'ann'`); n != 1 {
		t.Errorf("%d events of the logout", n)
	}
	// Nobody is logged in: it is over at once, and no event says otherwise.
	br.Get(t).Want(t, flows.ComponentRedirect)
	if n := b.Count(t, `SELECT count(*) FROM events WHERE action = 'logout'`); n != 1 {
		t.Errorf("%d events of a logout that was none", n-1)
	}
}
