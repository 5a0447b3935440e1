package authtest

import (
	"testing"

	"countersign/authenticators/validate"
	"countersign/flows"
	"countersign/flows/flowtest"
)

const (
	denied  = "ak-stage-access-denied"
	within  = "within"  // a login that sets the kind up, with nothing in front of it
	guarded = "guarded" // one that asks for the kind first
)

// A session of the password alone sets the first device up, and no other beside it; one that used the first does.
func enrolUnproved(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	br := w.Browser(setUpFlow)
	br.LogIn(t, ann, "password")
	w.Enrol(t, br, br.Get(t).Want(t, w.pages))
	w.Clock.Advance(ages)
	// The session that set the first one up goes on; nobody else is logged in there.
	w.Start(t, br, setUpFlow, flows.Context{})
	br.Get(t).Want(t, w.pages)

	for _, factors := range [][]string{{"password"}, nil} {
		br = w.Browser(setUpFlow)
		br.LogIn(t, ann, factors...)
		br.Get(t).Want(t, denied)
		br = w.Browser(setUpFlow)
		br.LogIn(t, ann, factors...)
		if p := br.Post(t, map[string]any{"code": "123456"}); p.Continue || p.Component != denied {
			t.Errorf("an answer at once by %q: %s", factors, p)
		}
	}
	if n := len(w.devices(t, ann)); n != 1 {
		t.Errorf("%d devices, want 1", n)
	}
	br = w.Browser(setUpFlow)
	br.LogIn(t, ann, "password", w.Kind.Class)
	br.Get(t).Want(t, w.pages)
	// What somebody else proved in this browser is nothing.
	bob := w.person(t, "bob")
	br = w.Browser(within)
	w.within(t)
	br.LogIn(t, bob, "password", w.Kind.Class)
	w.Start(t, br, within, flows.Context{PendingUser: ann.ID, Factors: []string{"password"}})
	br.Get(t).Want(t, denied)
}

// A login that sets a device up goes by the same rule: the first one, or behind a factor that it proved, now or lately.
func enrolWithin(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	w.within(t)
	login := func(br *flowtest.Browser, factors ...string) flowtest.Page {
		w.Start(t, br, br.Slug, flows.Context{PendingUser: ann.ID, Factors: factors})
		return br.Get(t)
	}
	br := w.Browser(within)
	dev := w.Enrol(t, br, login(br, "password").Want(t, w.pages))
	if c := w.Plan(t, br, within).Context; c.AuthMethodArgs["mfa_enrolled"] != true {
		t.Errorf("the login is told by %v", c.AuthMethodArgs)
	}
	w.Clock.Advance(ages)
	login(w.Browser(within), "password").Want(t, denied)
	login(w.Browser(within)).Want(t, w.pages) // an administrator's way in

	br = w.Browser(guarded)
	login(br, "password").Want(t, validate.Component)
	d := w.devices(t, ann)[0]
	br.Post(t, dev.Right(t, choose(t, br, d))).WantContinue(t)
	br.Follow(t).Want(t, w.pages)
	// The cookie stands for the device, if it is there.
	again := br.Tab(guarded)
	login(again, "password").WantContinue(t)
	again.Follow(t).Want(t, w.pages)
	if c := w.Plan(t, again, guarded).Context; c.AuthMethodArgs["mfa_remembered"] != d.Class+"/"+d.UID {
		t.Errorf("the login is told by %v", c.AuthMethodArgs)
	}
}

// within adds the flows within and guarded.
func (w *world) within(t *testing.T) {
	t.Helper()
	up, end := flowtest.Step{Kind: w.Stages[0].Model, Settings: w.Settings}, flowtest.Step{Kind: finished}
	w.Flow(t, within, nil, up, end)
	w.Flow(t, guarded, nil, flowtest.Step{Kind: "authenticatorvalidatestage", Settings: validate.Settings{
		NotConfigured: validate.Deny, DeviceClasses: validate.AllClasses(), LastAuthThreshold: "minutes=10", UserVerification: "preferred",
	}}, up, end)
}
