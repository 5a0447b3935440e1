package flowtest

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"countersign/core/api/schema"
	"countersign/core/fault"
	"countersign/flows"
)

// Field is one key of a stage's answer.
type Field struct {
	Name     string
	Required bool
	Nullable bool
	Blank    bool
	Text     bool   // takes hostile text
	Wrong    any    // a value of a wrong type; default an object
	Code     string // of the error about Wrong; default invalid
}

// Suite says which stage to try and how.
type Suite struct {
	Kinds     func(b *Bench) []*flows.Kind // the stage's own first, and what it needs
	Settings  func(t testing.TB, b *Bench) any
	Component string // "" asks nothing

	// Prepare makes what the stage needs in the database and for the browser, and gives the plan's context.
	Prepare func(t testing.TB, b *Bench, br *Browser) flows.Context
	// Right is an answer that passes; page is what was shown, or zero for an answer without a GET before. nil: {}.
	Right func(t testing.TB, b *Bench, br *Browser, page Page) map[string]any
	// Wrong is a well-formed answer that does not pass, and WrongField where the error stands; nil: there is none.
	Wrong      map[string]any
	WrongField string
	Fields     []Field
	// Denied changes the situation, after Prepare, to one in which the stage ends the flow; nil: it never does.
	Denied func(t testing.TB, b *Bench, br *Browser, given *flows.Context)

	NeedsGet bool // an answer without a GET before shows the challenge
	Ends     bool // the stage ends the session
}

const (
	suiteSlug  = "suite"
	markerName = "marker"
)

type trial struct {
	Suite
	*Bench
	br     *Browser
	marker *Marker
	given  flows.Context
}

// Stage runs the conformance suite of a stage.
func Stage(t *testing.T, s Suite) {
	t.Helper()
	for _, sub := range []struct {
		name string
		run  func(*testing.T, Suite)
		skip bool
	}{
		{"envelope", envelope, s.Component == ""},
		{"reload", reload, s.Component == ""},
		{"passes", passes, false},
		{"post without get", postFirst, false},
		{"fields", fields, s.Component == ""},
		{"wrong", wrong, s.Wrong == nil},
		{"restart", restart("restart"), s.Wrong == nil},
		{"restart with context", restart("restart_with_context"), s.Wrong == nil},
		{"double submit", doubleSubmit, false},
		{"deny", deny, s.Denied == nil},
		{"database away", databaseAway, false},
		{"round trip", roundTrip, s.Component == ""},
		{"hostile text", hostile, s.Component == ""},
	} {
		if sub.skip {
			continue
		}
		t.Run(sub.name, func(t *testing.T) {
			t.Parallel()
			sub.run(t, s)
		})
	}
}

// begin makes a flow of the stage and a marker, and a browser that has it planned.
func (s Suite) begin(t *testing.T, onInvalid string) *trial {
	t.Helper()
	x := &trial{Suite: s, marker: &Marker{}}
	x.Bench = New(t, func(b *Bench) []*flows.Kind { return append(s.Kinds(b), x.marker.Kind(markerName)) })
	var settings any
	if s.Settings != nil {
		settings = s.Settings(t, x.Bench)
	}
	x.Flow(t, suiteSlug, func(f *flows.Flow) { f.Title = "Suite of %(user)s" },
		Step{Kind: x.Bench.Kinds[0].Model, Settings: settings, OnInvalid: onInvalid}, Step{Kind: markerName})
	x.br = x.Browser(suiteSlug)
	if s.Prepare != nil {
		x.given = s.Prepare(t, x.Bench, x.br)
	}
	x.plan(t)
	return x
}

func (x *trial) plan(t testing.TB) {
	t.Helper()
	x.Bench.Start(t, x.br, suiteSlug, x.given)
}

// show asks for the challenge; nothing for a stage that has none.
func (x *trial) show(t *testing.T) Page {
	t.Helper()
	if x.Component == "" {
		return Page{}
	}
	return x.br.Get(t).Want(t, x.Component)
}

func (x *trial) right(t *testing.T, page Page) map[string]any {
	t.Helper()
	if x.Right == nil {
		return map[string]any{}
	}
	return x.Right(t, x.Bench, x.br, page)
}

// passed fails the test unless the browser is at the marker, which was given nothing.
func (x *trial) passed(t *testing.T) {
	t.Helper()
	x.br.Follow(t).Want(t, Component(markerName))
	if n := x.marker.Answered.Load(); n != 0 {
		t.Fatalf("the next stage was given %d answers that were not meant for it", n)
	}
}

// version is of the stored plan.
func (x *trial) version(t *testing.T) int64 {
	t.Helper()
	if p := x.Plan(t, x.br, suiteSlug); p != nil {
		return p.Version
	}
	return 0
}

// unchanged runs do, which is to change nothing, in the plan or beside it.
func (x *trial) unchanged(t *testing.T, what string, do func()) {
	t.Helper()
	version, before := x.version(t), x.Snapshot(t)
	do()
	if after := x.version(t); after != version {
		t.Errorf("%s: the plan was written: version %d, was %d", what, after, version)
	}
	after := x.Snapshot(t)
	for table, digest := range before {
		if after[table] != digest {
			t.Errorf("%s: table %s was changed", what, table)
		}
	}
}

func envelope(t *testing.T, s Suite) {
	x := s.begin(t, "")
	page := x.show(t)
	if page.Text("type") != flows.TypeNative {
		t.Errorf("type %q", page.Text("type"))
	}
	info, _ := page.JSON["flow_info"].(map[string]any)
	user := ""
	if id := x.given.PendingUser; id != 0 {
		u, err := x.Users.ByID(context.Background(), x.Direct, id)
		if err != nil {
			t.Fatal(err)
		}
		user = u.Username
	}
	for key, want := range map[string]string{
		"title": "Suite of " + user, "cancel_url": "/flows/-/cancel/", "layout": "stacked", "background": "/static/brand/background.svg",
	} {
		if info[key] != want {
			t.Errorf("flow_info.%s is %v, want %q", key, info[key], want)
		}
	}
	if _, errs := page.JSON["response_errors"]; errs {
		t.Errorf("a first challenge has errors: %s", page)
	}
	if who, ok := page.JSON["pending_user"]; ok && (who != user || page.Text("pending_user_avatar") == "") {
		t.Errorf("pending_user %v with avatar %q, want %q", who, page.Text("pending_user_avatar"), user)
	}
	x.documented(t, page)
}

// documented fails the test unless the page is as the kind's Exchange says.
func (x *trial) documented(t *testing.T, page Page) {
	t.Helper()
	for _, e := range x.Bench.Kinds[0].Exchanges {
		if e.Component != page.Component {
			continue
		}
		set := schema.NewSet()
		ref, err := set.Ref(reflect.TypeOf(e.Challenge), schema.Response)
		if err != nil {
			t.Fatal(err)
		}
		doc := &openapi3.T{
			OpenAPI: "3.0.3", Info: &openapi3.Info{Title: "t", Version: "1"}, Paths: openapi3.NewPaths(),
			Components: &openapi3.Components{Schemas: set.Components()},
		}
		raw, err := doc.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := openapi3.NewLoader().LoadFromData(raw)
		if err != nil {
			t.Fatal(err)
		}
		component := loaded.Components.Schemas[strings.TrimPrefix(ref.Ref, "#/components/schemas/")].Value
		if err := component.VisitJSON(any(page.JSON), openapi3.MultiErrors()); err != nil {
			t.Errorf("not as the document says: %v\n%s", err, page)
		}
		return
	}
	t.Errorf("the kind documents no component %q", page.Component)
}

func reload(t *testing.T, s Suite) {
	x := s.begin(t, "")
	first := x.show(t)
	x.unchanged(t, "reload", func() {
		if again := x.show(t); again.Raw != first.Raw {
			t.Errorf("a reload shows something else:\n%s\n%s", first.Raw, again.Raw)
		}
	})
}

func passes(t *testing.T, s Suite) {
	x := s.begin(t, "")
	page := x.show(t)
	if x.Component == "" {
		x.br.Get(t).WantContinue(t)
	} else {
		x.br.Post(t, x.right(t, page)).WantContinue(t)
	}
	x.passed(t)
}

func postFirst(t *testing.T, s Suite) {
	x := s.begin(t, "")
	page := x.br.Post(t, x.right(t, Page{}))
	if x.NeedsGet {
		page.Want(t, x.Component)
		page = x.br.Post(t, x.right(t, page))
	}
	page.WantContinue(t)
	x.passed(t)
}

func fields(t *testing.T, s Suite) {
	x := s.begin(t, "")
	page := x.show(t)
	right := map[string]any{}
	if !x.NeedsGet { // else the fields do not decide, and the situation that passes is made at the end
		right = x.right(t, page)
	}
	try := func(what, field, code string, body map[string]any) {
		t.Helper()
		x.unchanged(t, what, func() {
			p := x.br.Post(t, body)
			if p.Err != nil || p.Component != x.Component || p.Code(field) != code {
				t.Errorf("%s: want code %q of %s, got %s", what, code, field, p)
			}
		})
	}
	with := func(name string, value any) map[string]any {
		body := maps.Clone(right)
		body[name] = value
		return body
	}
	for _, f := range append([]Field{{Name: "component"}}, x.Fields...) {
		if f.Required {
			body := maps.Clone(right)
			delete(body, f.Name)
			try(f.Name+" missing", f.Name, "required", body)
		}
		if !f.Nullable {
			try(f.Name+" null", f.Name, "null", with(f.Name, nil))
		}
		if f.Wrong == nil {
			f.Wrong = map[string]any{"a": 1}
		}
		if f.Code == "" {
			f.Code = "invalid"
		}
		try(f.Name+" of a wrong type", f.Name, f.Code, with(f.Name, f.Wrong))
		if !f.Blank && (f.Text || f.Name == "component") {
			try(f.Name+" blank", f.Name, "blank", with(f.Name, ""))
		}
	}
	// A component is never compared with the stage's, and unknown keys are nobody's business.
	right = x.right(t, page)
	body := with("component", "ak-stage-of-another-name")
	body["unheard_of"] = []int{1}
	x.br.Post(t, body).WantContinue(t)
	x.passed(t)
}

func wrong(t *testing.T, s Suite) {
	x := s.begin(t, "")
	page := x.show(t)
	p := x.br.Post(t, x.Wrong).Want(t, x.Component)
	if len(p.Codes(x.WrongField)) == 0 {
		t.Fatalf("want an error of %s, got %s", x.WrongField, p)
	}
	x.documented(t, p)
	if again := x.show(t); again.JSON["response_errors"] != nil {
		t.Errorf("a reload still shows the errors: %s", again)
	}
	x.br.Post(t, x.right(t, page)).WantContinue(t)
	x.passed(t)
}

func restart(action string) func(*testing.T, Suite) {
	return func(t *testing.T, s Suite) {
		x := s.begin(t, action)
		x.given.Application = "kept"
		x.plan(t)
		x.show(t)
		before := x.Plan(t, x.br, suiteSlug)
		x.Clock.Advance(time.Second)
		x.br.Post(t, x.Wrong).WantContinue(t)
		after := x.Plan(t, x.br, suiteSlug)
		if after == nil || !after.Started.After(before.Started) || len(after.Steps) != 2 || after.Steps[0].State != nil {
			t.Fatalf("not planned anew: %+v", after)
		}
		if kept := after.Context.Application != ""; kept != (action == "restart_with_context") {
			t.Errorf("the context was kept: %v", kept)
		}
	}
}

// hold keeps every request of the engine at its first statement until release.
func (x *trial) hold(t *testing.T) (release func()) {
	t.Helper()
	tx, err := x.Direct.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `LOCK TABLE flow_epoch`)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// doubleSubmit sends one answer several times at once: it counts once, and nobody hears of an error.
func doubleSubmit(t *testing.T, s Suite) {
	const n = 8
	x := s.begin(t, "")
	page := x.show(t)
	body := x.right(t, page)
	requests := make([]func() Page, n)
	for i := range requests {
		requests[i] = x.br.Prepare(t, true, body)
	}
	release := x.hold(t)
	var wg sync.WaitGroup
	pages := make([]Page, n)
	for i, send := range requests {
		wg.Add(1)
		go func() {
			defer wg.Done()
			pages[i] = send()
		}()
	}
	// One that came after the advance would be an answer to the next step, so all are to stand in line before.
	for deadline := time.Now().Add(10 * time.Second); x.Engine.Active() < n && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	release()
	wg.Wait()
	for _, p := range pages {
		if p.Err != nil || !p.Continue {
			t.Errorf("one of the submits got %s", p)
		}
	}
	if p := x.Plan(t, x.br, suiteSlug); !x.Ends && (p == nil || p.Moves != 1) {
		t.Errorf("the plan was not moved once: %+v", p)
	}
	x.passed(t)
}

func deny(t *testing.T, s Suite) {
	x := s.begin(t, "")
	x.Denied(t, x.Bench, x.br, &x.given)
	x.plan(t)
	p := x.br.Get(t)
	if !p.Continue && p.Component == x.Component && x.Component != "" {
		p = x.br.Post(t, x.right(t, p))
	}
	p.Want(t, flows.ComponentAccessDenied)
	if p.Text("error_message") == "" || p.JSON["flow_info"] == nil {
		t.Errorf("the refusal says nothing: %s", p)
	}
	if stored := x.Plan(t, x.br, suiteSlug); stored != nil {
		t.Errorf("the plan is still there: %s", stored.Raw)
	}
	if n := x.marker.Begun.Load(); n != 0 {
		t.Error("the next stage was begun")
	}
}

// databaseAway loses the database between the session and the plan: the answer is Unavailable, and the login goes on
// where it was when the database is back.
func databaseAway(t *testing.T, s Suite) {
	x := s.begin(t, "")
	page := x.show(t)
	send := x.br.Prepare(t, true, x.right(t, page))
	x.Gate.Shut()
	if p := send(); !fault.Is(p.Err, fault.Unavailable) {
		t.Errorf("without a database: %s", p)
	}
	x.Gate.Open()
	x.br.Post(t, x.right(t, page)).WantContinue(t)
	x.passed(t)
}

// roundTrip reads the stored plan and writes it again: nothing is lost.
func roundTrip(t *testing.T, s Suite) {
	x := s.begin(t, "")
	page := x.show(t)
	if x.Wrong != nil {
		x.br.Post(t, x.Wrong)
	}
	stored := x.Plan(t, x.br, suiteSlug)
	raw, err := json.Marshal(stored.Plan)
	if err != nil {
		t.Fatal(err)
	}
	var before, after any
	if json.Unmarshal(stored.Raw, &before) != nil || json.Unmarshal(raw, &after) != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("the plan changed on its way through JSON:\n%s\n%s", stored.Raw, raw)
	}
	x.Exec(t, `UPDATE flow_plans SET plan = $1`, raw)
	x.br.Post(t, x.right(t, page)).WantContinue(t)
	x.passed(t)
}

// hostileTexts are strings that have broken something somewhere, as JSON.
func hostileTexts() []string {
	quoted := func(s string) string {
		raw, _ := json.Marshal(s)
		return string(raw)
	}
	return []string{
		quoted(strings.Repeat("a", 10_000)), quoted(strings.Repeat("ä€😀", 3_400)), quoted("\u202etxet\u202c"), quoted("e\u0301\u0327"),
		`"\ud800"`, `"\u0000"`, `"a\u0000b"`, quoted("\ufeff"), quoted("\u2028\u2029"), quoted("👩‍👩‍👧‍👦"), quoted("'; DROP TABLE users; --"),
		quoted("%(user)s %s %"), quoted("<script>alert(1)</script>"), quoted("a\r\nSet-Cookie: b=c"), quoted("\x7f\x1b[31m"), `"\t\n "`,
		"1e999", "-1", "12345678901234567890", "true", "[]", "{}", "[[[[]]]]",
	}
}

// hostile sends odd values in every field: whatever comes of it, it is an answer and no error.
func hostile(t *testing.T, s Suite) {
	x := s.begin(t, "")
	right := x.right(t, x.show(t))
	for _, f := range append([]Field{{Name: "component"}, {Name: "unheard_of"}}, x.Fields...) {
		for _, text := range hostileTexts() {
			x.plan(t)
			x.show(t)
			body := maps.Clone(right)
			body[f.Name] = json.RawMessage(text)
			p := x.br.Post(t, body)
			if p.Err != nil || p.Component == flows.ComponentFlowError {
				t.Errorf("%s = %.60s: %s", f.Name, text, p)
			}
			if p = x.br.Follow(t); p.Err != nil || p.Component == flows.ComponentFlowError {
				t.Errorf("after %s = %.60s: %s", f.Name, text, p)
			}
		}
	}
}
