package flows_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
	"countersign/flows/stages/userlogin"
	"countersign/flows/stages/userlogout"
)

// eventually polls until ok, for what another goroutine is about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// sleeper is a stage that waits: what is sent on wake decides what it says then.
type sleeper struct {
	wake     chan struct{}
	limit    time.Duration
	then     func(run *flows.Run) (flows.Outcome, error)
	released chan struct{}
}

func newSleeper(limit time.Duration) *sleeper {
	return &sleeper{wake: make(chan struct{}, 100), limit: limit, released: make(chan struct{}, 100),
		then: func(*flows.Run) (flows.Outcome, error) { return flows.Next(), nil }}
}

func (s *sleeper) kind() *flows.Kind {
	return flowtest.Kind("sleep", flowtest.Script{Answer: func(_ context.Context, run *flows.Run, a flows.Answer) (flows.Outcome, error) {
		switch {
		case a["choose"] != nil:
			return flows.Soft(nil), run.SetState(string(a["choose"]))
		case run.Resumed:
			return s.then(run)
		}
		run.Queue(`UPDATE users SET name = 'asleep'`)
		return flows.Wait(s.wake, s.limit, func() { s.released <- struct{}{} }), nil
	}})
}

// send runs a request aside.
func send(do func() flowtest.Page) <-chan flowtest.Page {
	out := make(chan flowtest.Page, 1)
	go func() { out <- do() }()
	return out
}

func waiting(t *testing.T, b *flowtest.Bench, n int64) {
	t.Helper()
	eventually(t, "requests sleep", func() bool { return b.Engine.Waiting() == n })
}

func TestWait(t *testing.T) {
	t.Parallel()
	s := newSleeper(time.Minute)
	b, _, two := markers(t, s.kind())
	usertest.Add(t, b.Users, "ann", "")
	b.Flow(t, "f", nil, steps("sleep", "two")...)
	br := b.Browser("f")
	want(t, br.Get(t), "sleep")
	page := send(br.Prepare(t, true, map[string]any{}))
	waiting(t, b, 1)
	if n := b.Count(t, `SELECT count(*) FROM users WHERE name = 'asleep'`); n != 1 {
		t.Error("what the stage wrote before it slept is not committed")
	}
	want(t, br.Get(t), "sleep") // the plan is free meanwhile
	s.wake <- struct{}{}
	(<-page).WantContinue(t)
	<-s.released
	waiting(t, b, 0)
	want(t, br.Get(t), "two")
	if two.Answered.Load() != 0 {
		t.Error("an answer went astray")
	}
	if n := b.Engine.Active(); n != 0 {
		t.Errorf("%d turns are not given back", n)
	}
}

func TestWaitLimit(t *testing.T) {
	t.Parallel()
	s := newSleeper(10 * time.Millisecond)
	s.then = func(*flows.Run) (flows.Outcome, error) { return flows.StayField("x", "invalid", "too late"), nil }
	b, _, _ := markers(t, s.kind())
	b.Flow(t, "f", nil, steps("sleep")...)
	p := b.Browser("f").Post(t, map[string]any{})
	want(t, p, "sleep")
	if p.Code("x") != "invalid" {
		t.Errorf("got %s", p)
	}
	<-s.released
}

func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	s := newSleeper(time.Hour)
	b, _, _ := markers(t, s.kind())
	b.Flow(t, "f", nil, steps("sleep", "two")...)
	br := b.Browser("f")
	ctx, leave := context.WithCancel(t.Context())
	page := send(br.PrepareContext(ctx, t, true, map[string]any{}))
	waiting(t, b, 1)
	leave()
	if p := <-page; p.Err == nil {
		t.Errorf("got %s", p)
	}
	<-s.released
	waiting(t, b, 0)
	if n := b.Engine.Active(); n != 0 {
		t.Errorf("%d turns are not given back", n)
	}
	// The login goes on where it was.
	page = send(br.Prepare(t, true, map[string]any{}))
	waiting(t, b, 1)
	s.wake <- struct{}{}
	(<-page).WantContinue(t)
	want(t, br.Get(t), "two")
}

// Two requests wait for the same answer: one moves the flow on, the other is told to look.
func TestTwoWait(t *testing.T) {
	t.Parallel()
	s := newSleeper(time.Minute)
	b, _, two := markers(t, s.kind())
	b.Flow(t, "f", nil, steps("sleep", "two")...)
	br := b.Browser("f")
	first, second := send(br.Prepare(t, true, map[string]any{})), send(br.Prepare(t, true, map[string]any{}))
	waiting(t, b, 2)
	s.wake <- struct{}{}
	s.wake <- struct{}{}
	(<-first).WantContinue(t)
	(<-second).WantContinue(t)
	want(t, br.Get(t), "two")
	if p := b.Plan(t, br, "f"); p.Moves != 1 || two.Answered.Load() != 0 {
		t.Errorf("%d moves, %d answers", p.Moves, two.Answered.Load())
	}
}

// Another tab writes the plan while a request sleeps, without moving it: the answer that the sleeper waited for counts.
func TestOvertakenByAnotherTabsChoice(t *testing.T) {
	t.Parallel()
	s := newSleeper(time.Minute)
	s.then = func(run *flows.Run) (flows.Outcome, error) {
		run.Queue(`UPDATE users SET email = email || 'x'`)
		return flows.Next(), nil
	}
	b, _, _ := markers(t, s.kind())
	b.Exec(t, `INSERT INTO users (uuid, username) VALUES (gen_random_uuid(), 'ann')`)
	b.Flow(t, "f", nil, steps("sleep", "two")...)
	br := b.Browser("f")
	page := send(br.Prepare(t, true, map[string]any{}))
	waiting(t, b, 1)
	want(t, br.Post(t, map[string]any{"choose": "other"}), "sleep")
	s.wake <- struct{}{}
	<-s.released
	waiting(t, b, 1) // it was overtaken, asked again and sleeps once more
	s.wake <- struct{}{}
	(<-page).WantContinue(t)
	want(t, br.Get(t), "two")
	if n := b.Count(t, `SELECT count(*) FROM users WHERE email = 'x'`); n != 1 {
		t.Error("the effect of an overtaken try was kept")
	}
}

// The flow was restarted while a request slept: its answer is nobody's.
func TestOvertakenByRestart(t *testing.T) {
	t.Parallel()
	s := newSleeper(time.Minute)
	b, _, two := markers(t, s.kind())
	b.Flow(t, "f", nil, steps("sleep", "two")...)
	br := b.Browser("f")
	page := send(br.Prepare(t, true, map[string]any{}))
	waiting(t, b, 1)
	b.Clock.Advance(time.Second)
	b.Start(t, br, "f", flows.Context{})
	s.wake <- struct{}{}
	(<-page).WantContinue(t)
	want(t, br.Get(t), "sleep")
	if two.Begun.Load() != 0 {
		t.Error("the new plan was moved by an answer to the old one")
	}
}

// A hundred answers stand in line at one step: the first is taken, no other reaches the next step.
func TestHundredAnswersAtOnce(t *testing.T) {
	t.Parallel()
	const n = 100
	entered, release := make(chan struct{}, n), make(chan struct{})
	b, _, two := markers(t, flowtest.Kind("gate", flowtest.Script{
		Answer: func(context.Context, *flows.Run, flows.Answer) (flows.Outcome, error) {
			entered <- struct{}{}
			<-release
			return flows.Next(), nil
		},
	}))
	b.Flow(t, "f", nil, steps("gate", "two")...)
	br := b.Browser("f")
	want(t, br.Get(t), "gate")
	pages := make([]<-chan flowtest.Page, n)
	for i := range pages {
		pages[i] = send(br.Prepare(t, true, map[string]any{}))
	}
	eventually(t, "all stand in line", func() bool { return b.Engine.Active() == n })
	close(release)
	for _, p := range pages {
		(<-p).WantContinue(t)
	}
	if len(entered) != 1 || two.Answered.Load() != 0 {
		t.Errorf("the step took %d answers, the next %d", len(entered), two.Answered.Load())
	}
	if p := b.Plan(t, br, "f"); p.Moves != 1 {
		t.Errorf("%d moves", p.Moves)
	}
	want(t, br.Get(t), "two")
}

// Answers on several nodes, where no line is stood in: the compare-and-set decides.
func TestAnswersOnSeveralNodes(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t)
	b.Flow(t, "f", nil, steps("one", "two")...)
	for range 20 {
		br := b.Browser("f")
		want(t, br.Get(t), "one")
		var wg sync.WaitGroup
		for range 4 {
			br.Engine = b.NewEngine()
			do := br.Prepare(t, true, map[string]any{})
			wg.Add(1)
			go func() {
				defer wg.Done()
				// The one who comes after the advance answers the step that stands then: a browser cannot say which it means.
				if p := do(); p.Err != nil || !p.Continue && p.Component != flows.ComponentRedirect {
					t.Errorf("got %s", p)
				}
			}()
		}
		wg.Wait()
		if p := b.Plan(t, br, "f"); p.Moves != 1 && !p.Finished() {
			t.Errorf("%d moves", p.Moves)
		}
	}
}

func loginKinds(b *flowtest.Bench) []*flows.Kind {
	one := &flowtest.Marker{}
	return []*flows.Kind{userlogin.Kind(b.Sessions), userlogout.Kind(b.Sessions), one.Kind("one")}
}

var atOnce = userlogin.Settings{SessionDuration: "seconds=0", RememberOffset: "seconds=0", NetworkBinding: "no_binding", GeoIPBinding: "no_binding"}

func TestTwoTabsOnOneFlow(t *testing.T) {
	t.Parallel()
	b := flowtest.New(t, loginKinds)
	ann := usertest.Add(t, b.Users, "ann", "")
	b.Flow(t, "login", nil, flowtest.Step{Kind: "one"}, flowtest.Step{Kind: "userloginstage", Settings: atOnce})
	first := b.Browser("login")
	first.Query = "next=/there"
	b.Start(t, first, "login", flows.Context{PendingUser: ann.ID})
	second := first.Tab("login")
	want(t, first.Get(t), "one")
	want(t, second.Get(t), "one")
	late := second.Prepare(t, false, nil) // under way while the first one logs in
	first.Post(t, map[string]any{}).WantContinue(t)
	wantTo(t, first.Get(t), "/there")

	second.Post(t, map[string]any{"uid_field": "whoever"}).WantContinue(t)
	wantTo(t, second.Follow(t), "/there") // it ends where the first one went
	// One with the old key neither learns where the login went nor begins another in its place.
	late().WantContinue(t)
	b.Clock.Advance(11 * time.Second)
	b.Start(t, first, "login", flows.Context{PendingUser: ann.ID})
	want(t, second.Get(t), "one") // a new login may be begun
}

func TestTwoFlowsInTwoTabs(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t)
	b.Flow(t, "f", nil, steps("one", "two")...)
	b.Flow(t, "g", nil, steps("two", "one")...)
	f := b.Browser("f")
	want(t, f.Get(t), "one")
	g := f.Tab("g")
	want(t, g.Get(t), "two")
	f.Post(t, map[string]any{}).WantContinue(t)
	want(t, g.Get(t), "two")
	want(t, f.Get(t), "two")
	wantTo(t, f.Post(t, map[string]any{}), "/")
	g.Post(t, map[string]any{}).WantContinue(t)
	want(t, g.Get(t), "one")
	if f.Session != g.Session {
		t.Error("two sessions")
	}
}

// Somebody else logs in at the same browser: the plans of the first person are not theirs.
func TestPlanOfAnotherUser(t *testing.T) {
	t.Parallel()
	b := flowtest.New(t, loginKinds)
	ann, bob := usertest.Add(t, b.Users, "ann", ""), usertest.Add(t, b.Users, "bob", "")
	b.Flow(t, "setup", func(f *flows.Flow) {
		f.Designation, f.Authentication = flows.StageConfiguration, flows.RequireAuthenticated
	}, steps("one")...)
	b.Flow(t, "login", nil, flowtest.Step{Kind: "userloginstage", Settings: atOnce}, flowtest.Step{Kind: "one"})
	br := b.Browser("setup")
	br.LogIn(t, ann)
	b.Start(t, br, "setup", flows.Context{PendingUser: ann.ID})
	if who := br.Get(t).Text("pending_user"); who != "ann" {
		t.Fatalf("set up for %q", who)
	}
	login := br.Tab("login")
	b.Start(t, login, "login", flows.Context{PendingUser: bob.ID})
	login.Get(t).WantContinue(t)
	want(t, login.Get(t), "one") // his own login goes on
	if p := b.Plan(t, login, "login"); p.Moves != 1 {
		t.Error("the login began anew")
	}
	if who := br.Get(t).Text("pending_user"); who != "bob" {
		t.Errorf("bob goes on with the plan of %q", who)
	}
}

// The session ends under a request: it is told to look again, which a new session does.
func TestSessionEndsUnderARequest(t *testing.T) {
	t.Parallel()
	for _, post := range []bool{false, true} {
		b, _, _ := markers(t)
		b.Flow(t, "f", nil, steps("one", "two")...)
		br := b.Browser("f")
		do := br.Prepare(t, post, map[string]any{})
		b.Exec(t, `DELETE FROM sessions`)
		do().WantContinue(t)
		want(t, br.Get(t), "one")
	}
}
