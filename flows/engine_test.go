package flows_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/core/fault"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

// markers makes a bench with the marker kinds one and two, and others.
func markers(t *testing.T, more ...*flows.Kind) (b *flowtest.Bench, one, two *flowtest.Marker) {
	t.Helper()
	one, two = &flowtest.Marker{}, &flowtest.Marker{}
	b = flowtest.New(t, func(*flowtest.Bench) []*flows.Kind {
		return append(more, one.Kind("one"), two.Kind("two"))
	})
	return b, one, two
}

func steps(names ...string) []flowtest.Step {
	out := make([]flowtest.Step, len(names))
	for i, n := range names {
		out[i].Kind = n
	}
	return out
}

func want(t *testing.T, p flowtest.Page, model string) {
	t.Helper()
	p.Want(t, flowtest.Component(model))
}

func wantTo(t *testing.T, p flowtest.Page, to string) {
	t.Helper()
	if p.Want(t, flows.ComponentRedirect).Text("to") != to {
		t.Fatalf("redirected to %q, want %q", p.Text("to"), to)
	}
}

func TestWalk(t *testing.T) {
	t.Parallel()
	b, one, two := markers(t)
	b.Flow(t, "f", nil, steps("one", "two")...)
	br := b.Browser("f")
	want(t, br.Get(t), "one")
	br.Post(t, map[string]any{}).WantContinue(t)
	want(t, br.Get(t), "two")
	wantTo(t, br.Post(t, map[string]any{}), "/")
	if one.Answered.Load() != 1 || two.Answered.Load() != 1 {
		t.Error("a stage was answered twice")
	}
	// Nobody logged in: the flow can be walked again at once.
	want(t, br.Get(t), "one")
}

func TestUnknownSlug(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t)
	if p := b.Browser("nothing").Get(t); !fault.Is(p.Err, fault.NotFound) {
		t.Errorf("got %s", p)
	}
}

func TestEmptyFlow(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t)
	b.Flow(t, "f", nil)
	br := b.Browser("f")
	br.Query = "next=%2Fx"
	wantTo(t, br.Get(t), "/x")
}

func TestIdlePlanBeginsAnew(t *testing.T) {
	t.Parallel()
	b, _, two := markers(t)
	b.Flow(t, "f", nil, steps("one", "two")...)
	br := b.Browser("f")
	br.Post(t, map[string]any{}).WantContinue(t)
	b.Clock.Advance(59 * time.Minute)
	want(t, br.Get(t), "two")
	b.Clock.Advance(59 * time.Minute) // of the session; the plan was not written meanwhile
	want(t, br.Get(t), "one")
	br.Post(t, map[string]any{}).WantContinue(t)
	b.Clock.Advance(25 * time.Hour)
	if err := b.Engine.CleanUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := b.Count(t, `SELECT count(*) FROM flow_plans`); n != 0 {
		t.Errorf("%d plans after the clean-up", n)
	}
	if two.Answered.Load() != 0 {
		t.Error("an answer went astray")
	}
}

func TestUnknownPlanFormat(t *testing.T) {
	t.Parallel()
	for _, plan := range []string{`{"v": 99, "steps": [], "context": {}}`, `{"v": "x"}`, `[]`, `{}`, `null`, `"x"`, `{"v": 1, "steps": {}}`} {
		b, _, _ := markers(t)
		b.Flow(t, "f", nil, steps("one", "two")...)
		br := b.Browser("f")
		br.Post(t, map[string]any{}).WantContinue(t)
		b.Exec(t, `UPDATE flow_plans SET plan = $1`, plan)
		want(t, br.Get(t), "one")
		br.Post(t, map[string]any{}).WantContinue(t)
		want(t, br.Get(t), "two")
	}
}

func TestFlowIsEditedUnderAPlan(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t)
	b.Flow(t, "f", nil, steps("one", "two")...)
	br := b.Browser("f")
	want(t, br.Get(t), "one")
	b.Exec(t, `UPDATE flows SET title = 'Changed'`)
	if info, _ := br.Get(t).JSON["flow_info"].(map[string]any); info["title"] != "Changed" {
		t.Errorf("title %v", info["title"])
	}
	b.Exec(t, `DELETE FROM stages WHERE kind = 'one'`)
	want(t, br.Get(t), "two") // a stage that is gone is passed over
	b.Exec(t, `UPDATE flows SET slug = 'g'`)
	if p := br.Get(t); !fault.Is(p.Err, fault.NotFound) {
		t.Errorf("under the old slug: %s", p)
	}
	br.Slug = "g"
	want(t, br.Get(t), "two")
	send := br.Prepare(t, true, map[string]any{})
	b.Exec(t, `DELETE FROM flows`)
	if p := send(); !fault.Is(p.Err, fault.NotFound) {
		t.Errorf("without the flow: %s", p)
	}
}

// A catalogue that is older than the one in memory, as after a restored backup, is taken too.
func TestEpochGoesBack(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t)
	b.Flow(t, "f", nil, steps("one")...)
	br := b.Browser("f")
	want(t, br.Get(t), "one")
	b.Exec(t, `UPDATE flows SET title = 'Old'`)
	b.Exec(t, `UPDATE flow_epoch SET epoch = 1`)
	if info, _ := br.Get(t).JSON["flow_info"].(map[string]any); info["title"] != "Old" {
		t.Errorf("title %v", info["title"])
	}
}

// A stage that cannot be built ends its own flow, and is never passed over.
func TestBrokenStage(t *testing.T) {
	t.Parallel()
	b, _, two := markers(t)
	b.Flow(t, "broken", nil, flowtest.Step{Kind: "one", Settings: map[string]any{"fail": true}}, flowtest.Step{Kind: "two"})
	b.Flow(t, "unknown", nil, steps("of another release", "two")...)
	b.Flow(t, "sound", nil, steps("one")...)
	for _, slug := range []string{"broken", "unknown"} {
		br := b.Browser(slug)
		br.Get(t).Want(t, flows.ComponentFlowError)
		br.Post(t, map[string]any{}).Want(t, flows.ComponentFlowError)
	}
	want(t, b.Browser("sound").Get(t), "one")
	if two.Begun.Load() != 0 {
		t.Error("a broken stage was passed over")
	}
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t)
	ann, root := usertest.Add(t, b.Users, "ann", ""), usertest.Add(t, b.Users, "root", "")
	usertest.Superuser(t, b.Users, root)
	nobody, user, super := b.Browser(""), b.Browser(""), b.Browser("")
	user.LogIn(t, ann)
	super.LogIn(t, root)
	for need, allowed := range map[flows.Requirement][3]bool{ // nobody, user, superuser
		flows.RequireNone:            {true, true, true},
		flows.RequireAuthenticated:   {false, true, true},
		flows.RequireUnauthenticated: {true, false, false},
		flows.RequireSuperuser:       {false, false, true},
		flows.RequireOutpost:         {false, false, false},
	} {
		slug := strings.ReplaceAll(string(need), "_", "-")
		b.Flow(t, slug, func(f *flows.Flow) { f.Authentication = need }, steps("one")...)
		for i, br := range []*flowtest.Browser{nobody, user, super} {
			tab := br.Tab(slug)
			p := tab.Get(t)
			if allowed[i] {
				want(t, p, "one")
				continue
			}
			if p.Want(t, flows.ComponentAccessDenied).Text("error_message") != "Flow does not apply to current user." {
				t.Errorf("%s: %s", need, p)
			}
			if b.Plan(t, tab, slug) != nil {
				t.Errorf("%s: a plan was kept", need)
			}
		}
		// A plan that the server made for a named user is not asked (core.md §1.4).
		started := b.Browser(slug)
		b.Start(t, started, slug, flows.Context{PendingUser: ann.ID})
		want(t, started.Get(t), "one")
	}
}

func TestDeniedAction(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t)
	for _, tc := range []struct {
		action flows.DeniedAction
		next   string
		want   string // where to; "" is access denied
	}{
		{flows.DeniedMessage, "/x", ""}, {flows.DeniedMessage, "", ""},
		{flows.DeniedMessageContinue, "/x", "/x"}, {flows.DeniedMessageContinue, "", ""}, {flows.DeniedMessageContinue, "//evil", ""},
		{flows.DeniedContinue, "/x", "/x"}, {flows.DeniedContinue, "", "/"}, {flows.DeniedContinue, "https://evil", "/"},
	} {
		slug := fmt.Sprintf("%s-%d", tc.action, len(tc.next))
		b.Flow(t, slug, func(f *flows.Flow) { f.DeniedAction, f.Authentication = tc.action, flows.RequireAuthenticated }, steps("one")...)
		br := b.Browser(slug)
		br.Next, br.Query = tc.next, "next=%2Finner" // only the outer one counts
		if tc.want == "" {
			br.Get(t).Want(t, flows.ComponentAccessDenied)
		} else {
			wantTo(t, br.Get(t), tc.want)
		}
	}
}

// A flow that stops applying when it restarts ends, and what the stage wrote before is kept.
func TestRestartThatNoLongerApplies(t *testing.T) {
	t.Parallel()
	for _, action := range []flows.DeniedAction{flows.DeniedMessage, flows.DeniedContinue} {
		b, _, _ := markers(t, flowtest.Kind("no", flowtest.Script{
			Answer: func(_ context.Context, run *flows.Run, _ flows.Answer) (flows.Outcome, error) {
				run.Queue(`UPDATE users SET name = 'touched'`)
				return flows.StayField("x", "invalid", "no"), nil
			},
		}))
		u := usertest.Add(t, b.Users, "ann", "")
		b.Flow(t, "f", func(f *flows.Flow) { f.Authentication, f.DeniedAction = flows.RequireAuthenticated, action },
			flowtest.Step{Kind: "no", OnInvalid: "restart"})
		br := b.Browser("f")
		b.Start(t, br, "f", flows.Context{PendingUser: u.ID})
		p := br.Post(t, map[string]any{})
		if action == flows.DeniedMessage {
			p.Want(t, flows.ComponentAccessDenied)
		} else {
			wantTo(t, p, "/")
		}
		if b.Plan(t, br, "f") != nil {
			t.Error("the plan is still there")
		}
		if n := b.Count(t, `SELECT count(*) FROM users WHERE name = 'touched'`); n != 1 {
			t.Error("what the stage wrote is lost")
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t)
	b.Flow(t, "f", nil, steps("one")...)
	for query, to := range map[string]string{
		"": "/", "next=%2Fa%3Fb%3Dc%26d": "/a?b=c&d", "next=": "/", "other=1": "/",
		"next=//evil": "", "next=https://evil": "", "next=/%5Cevil": "", "next=/%09/evil": "", "next=javascript:alert(1)": "",
		"next=/ok&next=//evil": "/ok", "%zz": "/", "a=%ff&next=/b": "/b", "a=%00&next=/c": "/c", "\x00a\xff&next=/d": "/d",
	} {
		br := b.Browser("f")
		br.Query = query
		want(t, br.Get(t), "one")
		br.Query = "" // the plan remembers
		p := br.Post(t, map[string]any{})
		if to != "" {
			wantTo(t, p, to)
		} else if p.Want(t, flows.ComponentAccessDenied).Text("error_message") != "Invalid next URL" {
			t.Errorf("%q: %s", query, p)
		}
	}
	br := b.Browser("f")
	b.Start(t, br, "f", flows.Context{Redirect: "https://app.example/callback?code=1"})
	wantTo(t, br.Post(t, map[string]any{}), "https://app.example/callback?code=1")
}

func TestNextThen(t *testing.T) {
	t.Parallel()
	var put atomic.Value
	insert := flowtest.Kind("insert", flowtest.Script{Answer: func(_ context.Context, run *flows.Run, _ flows.Answer) (flows.Outcome, error) {
		for _, s := range put.Load().([]flowtest.Step) {
			return flows.NextThen(s.Stage), nil
		}
		return flows.Next(), nil
	}})
	b, _, _ := markers(t, insert)
	put.Store([]flowtest.Step{{Stage: b.Stage(t, "two", nil)}})
	b.Flow(t, "f", nil, steps("insert", "one")...)
	br := b.Browser("f")
	br.Post(t, map[string]any{}).WantContinue(t)
	want(t, br.Get(t), "two")
	br.Post(t, map[string]any{}).WantContinue(t)
	want(t, br.Get(t), "one")
	wantTo(t, br.Post(t, map[string]any{}), "/")
}

func TestSoftRestartsNothing(t *testing.T) {
	t.Parallel()
	stage := flowtest.Kind("choice", flowtest.Script{Answer: func(_ context.Context, run *flows.Run, a flows.Answer) (flows.Outcome, error) {
		fields := fault.Fields{"x": {{Code: "invalid", Text: "chosen"}}}
		if _, soft := a["soft"]; soft {
			return flows.Soft(fields), run.SetState(true)
		}
		return flows.Stay(fields), nil
	}})
	b, _, _ := markers(t, stage)
	b.Flow(t, "f", nil, flowtest.Step{Kind: "one"}, flowtest.Step{Kind: "choice", OnInvalid: "restart"})
	br := b.Browser("f")
	br.Post(t, map[string]any{}).WantContinue(t)
	p := br.Post(t, map[string]any{"soft": 1})
	want(t, p, "choice")
	if p.Code("x") != "invalid" || string(b.Plan(t, br, "f").Steps[0].State) != "true" {
		t.Errorf("got %s", p)
	}
	br.Post(t, map[string]any{}).WantContinue(t)
	want(t, br.Get(t), "one")
}

func TestStageFails(t *testing.T) {
	t.Parallel()
	const secret = "relation secret_table does not exist"
	for name, script := range map[string]flowtest.Script{
		"error": {Answer: func(context.Context, *flows.Run, flows.Answer) (flows.Outcome, error) {
			return flows.Outcome{}, errors.New(secret)
		}},
		"panic":      {Answer: func(context.Context, *flows.Run, flows.Answer) (flows.Outcome, error) { panic(secret) }},
		"no outcome": {Answer: func(context.Context, *flows.Run, flows.Answer) (flows.Outcome, error) { return flows.Outcome{}, nil }},
		"stay for ever": {
			Begin: func(context.Context, *flows.Run) (flows.Outcome, error) { return flows.Stay(nil), nil },
		},
		"database error": {Answer: func(ctx context.Context, run *flows.Run, _ flows.Answer) (flows.Outcome, error) {
			tx, err := run.Tx(ctx)
			if err == nil {
				_, err = tx.Exec(ctx, `SELECT secret_column FROM secret_table`)
			}
			return flows.Outcome{}, err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _, _ := markers(t, flowtest.Kind("bad", script))
			root := usertest.Add(t, b.Users, "root", "")
			usertest.Superuser(t, b.Users, root)
			b.Flow(t, "f", nil, steps("bad")...)
			ask := func(br *flowtest.Browser) flowtest.Page {
				if name == "stay for ever" {
					return br.Get(t)
				}
				return br.Post(t, map[string]any{})
			}
			p := ask(b.Browser("f")).Want(t, flows.ComponentFlowError)
			if strings.Contains(p.Raw, "secret") || p.JSON["error"] != nil || p.Text("request_id") == "" {
				t.Errorf("to anybody: %s", p)
			}
			if n := b.Count(t, `SELECT count(*) FROM events WHERE action = 'system_exception' AND context->>'flow' = 'f'`); n != 1 {
				t.Errorf("%d events", n)
			}
			super := b.Browser("f")
			super.LogIn(t, root)
			if p := ask(super); p.Text("error") == "" {
				t.Errorf("to a superuser: %s", p)
			}
			if n := b.Pool.Stat().AcquiredConns(); n != 0 {
				t.Errorf("%d connections are not given back", n)
			}
		})
	}
}

// A stage that loses the database and does not say so in the house's words is understood all the same.
func TestStageLosesTheDatabase(t *testing.T) {
	t.Parallel()
	var shut func()
	b, _, _ := markers(t, flowtest.Kind("bad", flowtest.Script{
		Answer: func(ctx context.Context, run *flows.Run, _ flows.Answer) (flows.Outcome, error) {
			shut()
			_, err := run.DB().Exec(ctx, `SELECT 1`)
			return flows.Next(), err
		},
	}))
	shut = b.Gate.Shut
	b.Flow(t, "f", nil, steps("bad")...)
	br := b.Browser("f")
	if p := br.Post(t, map[string]any{}); !fault.Is(p.Err, fault.Unavailable) {
		t.Errorf("got %s", p)
	}
	shut = func() {}
	b.Gate.Open()
	wantTo(t, br.Post(t, map[string]any{}), "/")
}

// Faults of a stage are answers of their own.
func TestStageRefuses(t *testing.T) {
	t.Parallel()
	b, _, _ := markers(t, flowtest.Kind("bad", flowtest.Script{
		Answer: func(context.Context, *flows.Run, flows.Answer) (flows.Outcome, error) {
			return flows.Outcome{}, fault.New(fault.Throttled, "throttled", "Later.")
		},
	}))
	b.Flow(t, "f", nil, steps("bad")...)
	if p := b.Browser("f").Post(t, map[string]any{}); !fault.Is(p.Err, fault.Throttled) {
		t.Errorf("got %s", p)
	}
}
