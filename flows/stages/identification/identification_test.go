package identification_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/password"
)

func kinds(b *flowtest.Bench) []*flows.Kind {
	return []*flows.Kind{identification.Kind(b.Users), password.Kind(b.Users, b.Tokens)}
}

func settings(pretend bool) identification.Settings {
	return identification.Settings{UserFields: []identification.UserField{"email", "username"}, FoldCase: true, ShowMatched: true, Pretend: pretend}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	flowtest.Stage(t, flowtest.Suite{
		Kinds: kinds, Component: identification.Component,
		Settings: func(testing.TB, *flowtest.Bench) any { return settings(false) },
		Prepare: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser) flows.Context {
			usertest.Add(t, b.Users, "ann", "")
			return flows.Context{}
		},
		Right: func(testing.TB, *flowtest.Bench, *flowtest.Browser, flowtest.Page) map[string]any {
			return map[string]any{"uid_field": "ann"}
		},
		Wrong: map[string]any{"uid_field": "nobody"}, WrongField: "non_field_errors",
		Fields: []flowtest.Field{
			{Name: "uid_field", Required: true, Text: true},
			{Name: "password", Nullable: true, Blank: true, Text: true},
		},
	})
}

// one is a flow of the stage, and of a password stage if password is true.
func one(t *testing.T, s identification.Settings, withPassword bool) (*flowtest.Bench, *flowtest.Browser) {
	t.Helper()
	marker := &flowtest.Marker{}
	b := flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind { return append(kinds(b), marker.Kind("marker")) })
	if withPassword {
		id := b.Stage(t, "passwordstage", password.Settings{Backends: []password.Backend{password.Inbuilt}, MaxFailures: 5})
		s.PasswordStage = &id
	}
	b.Flow(t, "login", nil, flowtest.Step{Kind: "identificationstage", Settings: s}, flowtest.Step{Kind: "marker"})
	return b, b.Browser("login")
}

func TestMatching(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, entered string
		fields        []identification.UserField
		fold          bool
		want          string // the user; "" is nobody
	}{
		{"user name", "ann", []identification.UserField{"username"}, false, "ann"},
		{"another case, folded", "ANN", []identification.UserField{"username"}, true, "ann"},
		{"another case, not folded", "ANN", []identification.UserField{"username"}, false, ""},
		{"mail", "Ann@example.com", []identification.UserField{"email"}, true, "ann"},
		{"mail, not a field", "ann@example.com", []identification.UserField{"username"}, true, ""},
		{"upn", "ann@corp", []identification.UserField{"upn"}, true, "ann"},
		{"blanks around", "  ann ", []identification.UserField{"username"}, true, "ann"},
		{"no fields", "ann", nil, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, br := one(t, identification.Settings{UserFields: tc.fields, FoldCase: tc.fold, ShowMatched: true}, false)
			usertest.Add(t, b.Users, "ann", "")
			b.Exec(t, `UPDATE users SET attributes = '{"upn": "ann@corp"}'`)
			p := br.Post(t, map[string]any{"uid_field": tc.entered})
			if tc.want == "" {
				if p.Code("non_field_errors") != "invalid" {
					t.Fatalf("want a refusal, got %s", p)
				}
				return
			}
			p.WantContinue(t)
			if who := br.Get(t).Text("pending_user"); who != tc.want {
				t.Errorf("pending user %q, want %q", who, tc.want)
			}
		})
	}
}

// A user who is not there is treated as if, and what is kept of the name is bounded.
func TestPretends(t *testing.T) {
	t.Parallel()
	b, br := one(t, settings(true), false)
	for _, name := range []string{"nobody", strings.Repeat("€", 10_000), "x@y\u202e"} {
		b.Start(t, br, "login", flows.Context{})
		br.Post(t, map[string]any{"uid_field": name}).WantContinue(t)
		want := []rune(name)
		if who := br.Get(t).Text("pending_user"); who != string(want[:min(len(want), 254)]) {
			t.Errorf("pending user %.20q of %d", who, len(who))
		}
	}
}

func TestShowMatched(t *testing.T) {
	t.Parallel()
	s := settings(true)
	s.ShowMatched = false
	b, br := one(t, s, false)
	usertest.Add(t, b.Users, "ann", "")
	br.Post(t, map[string]any{"uid_field": "ann@example.com"}).WantContinue(t)
	if who := br.Get(t).Text("pending_user"); who != "ann@example.com" {
		t.Errorf("pending user %q: the match is shown", who)
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	s := settings(true)
	b, _ := one(t, s, true)
	recovery := b.Flow(t, "recover", func(f *flows.Flow) { f.Designation = flows.Recovery })
	enrol := b.Flow(t, "join", func(f *flows.Flow) { f.Designation = flows.Enrollment })
	gone := uuid.New()
	s.RecoveryFlow, s.EnrollmentFlow, s.PasswordlessFlow = &recovery.PK, &enrol.PK, &gone
	b.Flow(t, "other", func(f *flows.Flow) { f.Designation = flows.Authorization }, flowtest.Step{Kind: "identificationstage", Settings: s})
	br := b.Browser("other")
	br.Query = "next=%2Fx&a=b"
	p := br.Get(t)
	for key, want := range map[string]any{
		"recovery_url": "/if/flow/recover/?next=%2Fx&a=b", "enroll_url": "/if/flow/join/?next=%2Fx&a=b", "passwordless_url": nil,
		"primary_action": "Continue", "flow_designation": "authorization", "password_fields": false, "show_source_labels": false,
	} {
		if p.JSON[key] != want {
			t.Errorf("%s is %v, want %v", key, p.JSON[key], want)
		}
	}
	if raw, _ := json.Marshal(p.JSON["user_fields"]); string(raw) != `["email","username"]` {
		t.Errorf("user_fields %s", raw)
	}
	if p := b.Browser("login").Get(t); p.Text("primary_action") != "Log in" || p.JSON["password_fields"] != true {
		t.Errorf("login: %s", p)
	}
}

func TestPasswordOnTheSamePage(t *testing.T) {
	t.Parallel()
	b, br := one(t, settings(true), true)
	usertest.Add(t, b.Users, "ann", "correct")
	off := usertest.Add(t, b.Users, "off", "correct")
	b.Exec(t, `UPDATE users SET is_active = false WHERE id = $1`, off.ID)
	for _, tc := range []struct {
		name        string
		body        map[string]any
		field, code string
	}{
		{"no password", map[string]any{"uid_field": "ann"}, "password", "required"},
		{"null password", map[string]any{"uid_field": "ann", "password": nil}, "password", "required"},
		{"wrong", map[string]any{"uid_field": "ann", "password": "wrong"}, "non_field_errors", "invalid"},
		{"unknown user", map[string]any{"uid_field": "nobody", "password": "correct"}, "non_field_errors", "invalid"},
		{"inactive user", map[string]any{"uid_field": "off", "password": "correct"}, "non_field_errors", "invalid"},
	} {
		p := br.Post(t, tc.body)
		if p.Code(tc.field) != tc.code {
			t.Errorf("%s: got %s", tc.name, p)
		}
	}
	if n := b.Count(t, `SELECT count(*) FROM events WHERE action = 'login_failed'`); n != 3 {
		t.Errorf("%d events of a failed login, want 3", n)
	}
	br.Post(t, map[string]any{"uid_field": "ann", "password": "correct"}).WantContinue(t)
	stored := b.Plan(t, br, "login")
	if stored.Context.UserBackend == "" || stored.Context.AuthMethod != "password" || len(stored.Context.Factors) != 1 {
		t.Errorf("what was proved is not kept: %+v", stored.Context)
	}
}

// What was proved of one user is not another's: a flow that restarts with its context may come back with another name.
func TestAnotherNameForgetsTheProof(t *testing.T) {
	t.Parallel()
	b := flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind {
		return append(kinds(b), flowtest.Kind("refusal", flowtest.Script{
			Answer: func(context.Context, *flows.Run, flows.Answer) (flows.Outcome, error) {
				return flows.StayField("x", "invalid", "no"), nil
			},
		}))
	})
	usertest.Add(t, b.Users, "mallory", "her own")
	usertest.Add(t, b.Users, "ann", "correct")
	b.Flow(t, "login", nil, flowtest.Step{Kind: "identificationstage", Settings: settings(true)},
		flowtest.Step{Kind: "passwordstage", Settings: password.Settings{Backends: []password.Backend{password.Inbuilt}, MaxFailures: 5}},
		flowtest.Step{Kind: "refusal", OnInvalid: "restart_with_context"})
	br := b.Browser("login")
	br.Post(t, map[string]any{"uid_field": "mallory"}).WantContinue(t)
	br.Post(t, map[string]any{"password": "her own"}).WantContinue(t)
	br.Get(t).Want(t, flowtest.Component("refusal"))
	br.Post(t, map[string]any{}).WantContinue(t)
	br.Get(t).Want(t, identification.Component)
	br.Post(t, map[string]any{"uid_field": "ann"}).WantContinue(t)
	br.Follow(t).Want(t, password.Component)
}
