package validate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/fault"
	"countersign/core/user"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

// fake is an authenticator kind whose devices are the users' attributes: {"<class>": ["uid", …]}. A code is right when it
// is "right-<uid>".
type fake struct {
	class, field string
	names        bool
	selects      atomic.Int64
	tried        atomic.Value // the uids that the last answer was tried on, joined
}

func (f *fake) kind() *authenticators.Kind {
	f.tried.Store("")
	return &authenticators.Kind{
		Class: f.class, Label: f.class + " Device", Plural: f.class + " Devices", Model: "test_" + f.class + "." + f.class + "device",
		Type: "test_" + f.class + "." + f.class + "Device", Field: f.field, NamesDevice: f.names, Method: f,
		Query: fmt.Sprintf(`SELECT d.n::integer AS pk, d.uid, u.id AS user_id, 'My ' || d.uid AS name, d.uid NOT LIKE 'new-%%' AS confirmed,
			'2020-01-01'::timestamptz + d.n * '1s'::interval AS created
			FROM users u, jsonb_array_elements_text(u.attributes->'%s') WITH ORDINALITY AS d(uid, n)`, f.class),
	}
}

func (f *fake) Offer(_ context.Context, _ *flows.Run, devices []authenticators.Device) ([]*authenticators.Offer, error) {
	var out []*authenticators.Offer
	for _, d := range devices {
		out = append(out, &authenticators.Offer{Class: d.Class, UID: d.UID, Name: d.Name})
	}
	return out, nil
}

func (f *fake) Show(_ context.Context, _ *flows.Run, o *authenticators.Offer) (map[string]any, error) {
	var n int
	_, err := o.Kept(&n)
	return map[string]any{"selected": n}, err
}

func (f *fake) Select(_ context.Context, _ *flows.Run, o *authenticators.Offer) (fault.Fields, error) {
	f.selects.Add(1)
	f.tried.Store("")
	var n int
	if _, err := o.Kept(&n); err != nil {
		return nil, err
	}
	if n == 3 {
		return fault.Fields{f.field: {{Code: "throttled", Text: "too often"}}}, nil
	}
	return nil, o.Keep(n + 1)
}

func (f *fake) Answer(_ context.Context, _ *flows.Run, o *authenticators.Offer, value json.RawMessage) (flows.Outcome, error) {
	f.tried.Store(strings.TrimSpace(f.tried.Load().(string) + " " + o.UID))
	var said string
	_ = json.Unmarshal(value, &said)
	switch {
	case f.names || said == "right-"+o.UID:
		return flows.Next(), nil
	case said == "deny":
		return flows.Deny("denied"), nil
	}
	return flows.StayField(f.field, "invalid", "wrong"), nil
}

// fakes are the kinds of a test, in the order of their offers.
type fakes struct{ totp, static, mobile, duo *fake }

func newFakes() *fakes {
	return &fakes{
		totp: &fake{class: "totp", field: "code"}, static: &fake{class: "static", field: "code"},
		mobile: &fake{class: "mobile", field: "mobile", names: true}, duo: &fake{class: "duo", field: "duo", names: true},
	}
}

func (f *fakes) kinds(b *flowtest.Bench) []*flows.Kind {
	store := authenticators.NewStore(f.totp.kind(), f.static.kind(), f.mobile.kind(), f.duo.kind())
	return []*flows.Kind{validate.Kind(store, b.Users, b.Keeper)}
}

func settings() validate.Settings {
	return validate.Settings{NotConfigured: validate.Deny, DeviceClasses: validate.AllClasses(), LastAuthThreshold: "seconds=0", UserVerification: "preferred"}
}

// add makes a user with devices.
func add(t testing.TB, b *flowtest.Bench, name string, devices map[string][]string) *user.User {
	t.Helper()
	u := usertest.Add(t, b.Users, name, "")
	raw, err := json.Marshal(devices)
	if err != nil {
		t.Fatal(err)
	}
	b.Exec(t, `UPDATE users SET attributes = $1 WHERE id = $2`, raw, u.ID)
	return u
}

type setup struct {
	*fakes
	*flowtest.Bench
	ann *user.User
	br  *flowtest.Browser
}

// start is a flow of the stage and a marker, planned for a user with two TOTP devices, a static one, a phone and a Duo.
func start(t *testing.T, s validate.Settings, onInvalid string, more ...*flows.Kind) *setup {
	t.Helper()
	x := &setup{fakes: newFakes()}
	marker := &flowtest.Marker{}
	x.Bench = flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind {
		return append(append(x.kinds(b), marker.Kind("marker")), more...)
	})
	x.ann = add(t, x.Bench, "ann", map[string][]string{
		"totp": {"t1", "t2", "new-t3"}, "static": {"s1"}, "mobile": {"m1"}, "duo": {"7"},
	})
	x.Flow(t, "login", nil, flowtest.Step{Kind: "authenticatorvalidatestage", Settings: s, OnInvalid: onInvalid}, flowtest.Step{Kind: "marker"})
	x.br = x.Browser("login")
	x.replan(t, x.ann.ID)
	return x
}

// replan plans the flow anew for a user.
func (x *setup) replan(t *testing.T, id int) {
	t.Helper()
	x.Start(t, x.br, "login", flows.Context{PendingUser: id})
}

func offered(p flowtest.Page) []string {
	list, _ := p.JSON["device_challenges"].([]any)
	out := []string{}
	for _, e := range list {
		m, _ := e.(map[string]any)
		out = append(out, fmt.Sprint(m["device_class"], "/", m["device_uid"]))
	}
	return out
}

func choice(class, uid string) map[string]any {
	return map[string]any{"selected_challenge": map[string]any{"device_class": class, "device_uid": uid, "challenge": map[string]any{}}}
}

func with(body map[string]any, key string, value any) map[string]any {
	body[key] = value
	return body
}

func TestConformance(t *testing.T) {
	t.Parallel()
	flowtest.Stage(t, flowtest.Suite{
		Kinds: func(b *flowtest.Bench) []*flows.Kind { return newFakes().kinds(b) }, Component: validate.Component,
		Settings: func(testing.TB, *flowtest.Bench) any { return settings() },
		Prepare: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser) flows.Context {
			return flows.Context{PendingUser: add(t, b, "ann", map[string][]string{"totp": {"t1"}, "mobile": {"m1"}}).ID}
		},
		Right: func(testing.TB, *flowtest.Bench, *flowtest.Browser, flowtest.Page) map[string]any {
			return map[string]any{"code": "right-t1"}
		},
		Wrong: map[string]any{"code": "wrong"}, WrongField: "code",
		Fields: []flowtest.Field{
			{Name: "code", Text: true}, {Name: "mobile", Text: true}, {Name: "selected_stage", Text: true},
			{Name: "duo", Wrong: "x"}, {Name: "webauthn", Wrong: "x"},
		},
		Denied: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser, _ *flows.Context) {
			b.Exec(t, `UPDATE users SET attributes = '{}'`)
		},
	})
}

func TestDeviceClasses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		classes []validate.DeviceClass
		want    []string
	}{
		{validate.AllClasses(), []string{"totp/t1", "totp/t2", "static/s1", "mobile/m1", "duo/7"}},
		{[]validate.DeviceClass{"mobile", "totp"}, []string{"totp/t1", "totp/t2", "mobile/m1"}},
		{[]validate.DeviceClass{"webauthn"}, nil}, // none of these: denied
		{nil, nil},
	} {
		s := settings()
		s.DeviceClasses = tc.classes
		x := start(t, s, "")
		p := x.br.Get(t)
		if tc.want == nil {
			if p.Want(t, flows.ComponentAccessDenied).Text("error_message") != "No (allowed) MFA authenticator configured." {
				t.Errorf("%v: %s", tc.classes, p)
			}
			continue
		}
		if got := offered(p.Want(t, validate.Component)); !slices.Equal(got, tc.want) {
			t.Errorf("%v: offered %v, want %v", tc.classes, got, tc.want)
		}
	}
}

// A class that an administrator forbids while somebody is at the stage is not offered, nor taken, any more.
func TestClassIsForbiddenMeanwhile(t *testing.T) {
	t.Parallel()
	x := start(t, settings(), "")
	x.br.Get(t).Want(t, validate.Component)
	x.Exec(t, `UPDATE stages SET settings = jsonb_set(settings, '{device_classes}', '["mobile"]') WHERE kind = 'authenticatorvalidatestage'`)
	if p := x.br.Post(t, map[string]any{"code": "right-t1"}); p.Code("code") != "invalid" || !slices.Equal(offered(p), []string{"mobile/m1"}) {
		t.Errorf("got %s", p)
	}
}

func TestNotConfigured(t *testing.T) {
	t.Parallel()
	setupKind := func(name string) *flows.Kind { return flowtest.Kind(name, flowtest.Script{}) }
	for _, tc := range []struct {
		action validate.NotConfigured
		stages int
		want   string // component; "choose" is the choice page
	}{
		{validate.Skip, 0, "ak-test-marker"}, {validate.Skip, 2, "ak-test-marker"}, {validate.Deny, 1, flows.ComponentAccessDenied},
		{validate.Configure, 0, flows.ComponentAccessDenied}, {validate.Configure, 1, "ak-test-red"}, {validate.Configure, 2, "choose"},
	} {
		t.Run(fmt.Sprint(tc.action, tc.stages), func(t *testing.T) {
			t.Parallel()
			x := start(t, settings(), "", setupKind("red"), setupKind("blue"))
			stages := []uuid.UUID{x.Stage(t, "red", nil), x.Stage(t, "blue", nil), uuid.New()}
			s := settings()
			s.NotConfigured = tc.action
			if s.ConfigurationStages = stages[:tc.stages]; tc.stages == 1 {
				s.ConfigurationStages = []uuid.UUID{stages[2], stages[0]} // one of them is gone
			}
			raw, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			x.Exec(t, `UPDATE stages SET settings = $1 WHERE kind = 'authenticatorvalidatestage'`, raw)
			x.Exec(t, `UPDATE users SET attributes = '{}'`)
			x.Exec(t, `UPDATE stages SET settings = '{"friendly_name": "The blue one"}' WHERE stage_uuid = $1`, stages[1])
			p := x.br.Follow(t)
			if n := x.Count(t, `SELECT count(*) FROM events WHERE action = 'configuration_error'`); (n == 1) != (tc.action == validate.Configure && tc.stages == 0) {
				t.Errorf("%d events of a wrong configuration", n)
			}
			if tc.want != "choose" {
				p.Want(t, tc.want)
				return
			}
			x.chooses(t, p.Want(t, validate.Component), stages)
		})
	}
}

// chooses plays the choice among set-up stages to its end.
func (x *setup) chooses(t *testing.T, p flowtest.Page, stages []uuid.UUID) {
	t.Helper()
	if len(offered(p)) != 0 || p.JSON["device_challenges"] == nil {
		t.Errorf("devices are offered: %s", p)
	}
	raw, _ := json.Marshal(p.JSON["configuration_stages"])
	want := fmt.Sprintf(`[{"meta_model_name":"test.red","name":%q,"pk":%q,"verbose_name":"red"},{"meta_model_name":"test.blue","name":%q,"pk":%q,"verbose_name":"blue"}]`,
		"red "+stages[0].String(), stages[0], "The blue one", stages[1])
	if string(raw) != want {
		t.Errorf("configuration_stages %s\nwant %s", raw, want)
	}
	for _, bad := range []any{stages[2].String(), "x", "00000000-0000-0000-0000-000000000000"} {
		if p := x.br.Post(t, map[string]any{"selected_stage": bad}); p.Code("selected_stage") != "invalid" {
			t.Errorf("selected_stage %v: %s", bad, p)
		}
	}
	if p := x.br.Post(t, map[string]any{"code": "1"}); p.Code("code") != "invalid" {
		t.Errorf("a code without a device: %s", p)
	}
	x.br.Post(t, map[string]any{"selected_stage": stages[1].String()}).WantContinue(t)
	x.br.Get(t).Want(t, "ak-test-blue")
	x.br.Post(t, map[string]any{}).WantContinue(t)
	x.br.Get(t).Want(t, "ak-test-marker") // and nobody asks again
}

// Choosing shows the challenge again with the contract's error, restarts nothing, and is kept.
func TestSelectionIsNoFailedAnswer(t *testing.T) {
	t.Parallel()
	x := start(t, settings(), "restart")
	first := x.br.Get(t).Want(t, validate.Component)
	p := x.br.Post(t, choice("mobile", "m1")).Want(t, validate.Component)
	if p.Code("non_field_errors") != "invalid" || !strings.Contains(p.Raw, "Empty response") || !slices.Equal(offered(p), offered(first)) {
		t.Errorf("got %s", p)
	}
	x.br.Post(t, choice("mobile", "m1"))
	x.br.Post(t, choice("mobile", "m1"))
	if p := x.br.Post(t, choice("mobile", "m1")).Want(t, validate.Component); p.Code("mobile") != "throttled" {
		t.Errorf("a refused choice: %s", p)
	}
	if x.mobile.selects.Load() != 4 || x.totp.selects.Load() != 0 {
		t.Errorf("chosen %d times", x.mobile.selects.Load())
	}
	x.br.Post(t, map[string]any{}).WantContinue(t) // but nothing at all is one: it restarts
	for _, bad := range []map[string]any{choice("mobile", "m2"), choice("mobile", "t1"), choice("sms", "m1"), choice("", "")} {
		x.replan(t, x.ann.ID)
		x.br.Get(t)
		x.br.Post(t, bad).WantContinue(t)
	}
}

func TestSelectionErrors(t *testing.T) {
	t.Parallel()
	x := start(t, settings(), "")
	x.br.Get(t)
	for body, field := range map[string]string{
		`{"selected_challenge": {"device_class": "mobile", "device_uid": "m2", "challenge": {}}}`:     "selected_challenge",
		`{"selected_challenge": {"device_class": "webauthn", "device_uid": "-1", "challenge": {}}}`:   "selected_challenge",
		`{"selected_challenge": {"device_class": "mobile", "device_uid": "new-t3", "challenge": {}}}`: "selected_challenge",
		`{"selected_challenge": {"device_class": "mobile", "device_uid": "m1"}}`:                      "selected_challenge.challenge",
		`{"selected_challenge": {"device_class": "mobile", "device_uid": "m1", "challenge": "x"}}`:    "selected_challenge.challenge",
		`{"selected_challenge": {"device_class": null, "device_uid": "m1", "challenge": {}}}`:         "selected_challenge.device_class",
		`{"selected_challenge": {"device_class": "mobile", "device_uid": {"a": 1}, "challenge": {}}}`: "selected_challenge.device_uid",
		`{"selected_challenge": "m1"}`: "selected_challenge.non_field_errors",
		`{"selected_challenge": null}`: "selected_challenge",
		`{"mobile": "m2"}`:             "mobile", `{"mobile": ""}`: "mobile", `{"duo": 8}`: "duo", `{"duo": "x"}`: "duo", `{"webauthn": {}}`: "webauthn",
		`{"webauthn": []}`: "webauthn", `{"selected_stage": "` + uuid.NewString() + `"}`: "selected_stage", `{}`: "non_field_errors",
		`{"factor": "x"}`: "non_field_errors",
	} {
		if p := x.br.Post(t, body); len(p.Codes(field)) != 1 {
			t.Errorf("%s: %s", body, p)
		}
	}
	if p := x.br.Post(t, map[string]any{"webauthn": map[string]any{}}); !strings.Contains(p.Raw, "No compatible device class allowed") {
		t.Errorf("a class that is not offered: %s", p)
	}
	if p := x.br.Post(t, map[string]any{"mobile": "m2"}); !strings.Contains(p.Raw, "Invalid device") {
		t.Errorf("a device that is not offered: %s", p)
	}
}

// A code counts for the chosen device alone; without a choice for any that takes codes.
func TestCodeOfTheChosenDevice(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		before map[string]any // chosen by an earlier request
		body   map[string]any
		tried  string // the TOTP devices that were tried
		passes bool
	}{
		{"no choice, first", nil, map[string]any{"code": "right-t1"}, "t1", true},
		{"no choice, second", nil, map[string]any{"code": "right-t2"}, "t1 t2", true},
		{"no choice, another class", nil, map[string]any{"code": "right-s1"}, "t1 t2", true},
		{"chosen before", choice("totp", "t2"), map[string]any{"code": "right-t2"}, "t2", true},
		{"another's code", choice("totp", "t2"), map[string]any{"code": "right-t1"}, "t2", false},
		{"another class's code", choice("totp", "t2"), map[string]any{"code": "right-s1"}, "t2", false},
		{"chosen at once", nil, with(choice("totp", "t2"), "code", "right-t2"), "t2", true},
		{"chosen at once, another's", choice("totp", "t1"), with(choice("totp", "t2"), "code", "right-t1"), "t2", false},
		{"unconfirmed device", nil, map[string]any{"code": "right-new-t3"}, "t1 t2", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x := start(t, settings(), "")
			x.br.Get(t)
			if tc.before != nil {
				x.br.Post(t, tc.before).Want(t, validate.Component)
			}
			p := x.br.Post(t, tc.body)
			if p.Continue != tc.passes || !tc.passes && p.Code("code") != "invalid" {
				t.Errorf("got %s", p)
			}
			if got := x.totp.tried.Load(); got != tc.tried {
				t.Errorf("tried on %q, want %q", got, tc.tried)
			}
		})
	}
}

// A code that comes along with its device is of what was asked before: another message would make it worthless. A device
// that is named as its own answer is asked now.
func TestAProofAsksNothingAnew(t *testing.T) {
	t.Parallel()
	x := start(t, settings(), "")
	x.br.Get(t)
	x.br.Post(t, choice("totp", "t2")).Want(t, validate.Component)
	if p := x.br.Post(t, with(choice("totp", "t2"), "code", "wrong")); p.Code("code") != "invalid" {
		t.Errorf("a wrong code: %s", p)
	}
	x.br.Post(t, with(choice("totp", "t2"), "code", "right-t2")).WantContinue(t)
	if n := x.totp.selects.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	x = start(t, settings(), "")
	x.br.Post(t, with(choice("mobile", "m1"), "mobile", "m1")).WantContinue(t)
	if n := x.mobile.selects.Load(); n != 1 {
		t.Errorf("the phone was asked %d times, want once", n)
	}
}

func TestWhatWasProved(t *testing.T) {
	t.Parallel()
	for body, device := range map[string]string{
		`{"mobile": "m1"}`: `{"app":"test_mobile","model_name":"mobiledevice","name":"My m1","pk":"m1"}`,
		`{"duo": 7}`:       `{"app":"test_duo","model_name":"duodevice","name":"My 7","pk":"7"}`,
	} {
		x := start(t, settings(), "")
		x.br.Post(t, body).WantContinue(t)
		c := x.Plan(t, x.br, "login").Context
		raw, _ := json.Marshal(c.AuthMethodArgs)
		if c.AuthMethod != "auth_mfa" || string(raw) != `{"mfa_devices":[`+device+`]}` || len(c.Factors) != 1 {
			t.Errorf("%s: %+v", body, c)
		}
	}
	x := start(t, settings(), "")
	x.Start(t, x.br, "login", flows.Context{PendingUser: x.ann.ID, AuthMethod: "password", UserBackend: "b", Factors: []string{"password"}})
	x.br.Post(t, map[string]any{"mobile": "m1"}).WantContinue(t)
	if c := x.Plan(t, x.br, "login").Context; c.AuthMethod != "password" || !slices.Equal(c.Factors, []string{"password", "mobile"}) || c.UserBackend != "b" {
		t.Errorf("after a password: %+v", c)
	}
}

func TestDenyEndsTheFlow(t *testing.T) {
	t.Parallel()
	x := start(t, settings(), "")
	x.br.Get(t)
	x.br.Post(t, map[string]any{"code": "deny"}).Want(t, flows.ComponentAccessDenied)
	if got := x.totp.tried.Load(); got != "t1" || x.static.tried.Load() != "" {
		t.Errorf("after the refusal others were tried: %q %q", got, x.static.tried.Load())
	}
}

// T10: nobody and somebody who does not exist are treated as one without a device.
func TestWithoutAUser(t *testing.T) {
	t.Parallel()
	setupKind := flowtest.Kind("red", flowtest.Script{})
	x := start(t, settings(), "", setupKind)
	bare := add(t, x.Bench, "bare", nil)
	s := settings()
	s.ConfigurationStages = []uuid.UUID{x.Stage(t, "red", nil), x.Stage(t, "red", nil)}
	for _, action := range []validate.NotConfigured{validate.Skip, validate.Deny, validate.Configure} {
		s.NotConfigured = action
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		x.Exec(t, `UPDATE stages SET settings = $1 WHERE kind = 'authenticatorvalidatestage'`, raw)
		seen := map[string]bool{}
		for _, given := range []flows.Context{{PendingUser: bare.ID, PendingUserIdentifier: "x"}, {Pretended: "nobody", PendingUserIdentifier: "x"}} {
			x.Start(t, x.br, "login", given)
			p := x.br.Follow(t)
			seen[strings.NewReplacer("nobody", "who", "bare", "who").Replace(p.Raw)] = true
		}
		if len(seen) != 1 {
			t.Errorf("%s: one who exists can be told from one who does not: %v", action, seen)
		}
	}
	x.Start(t, x.br, "login", flows.Context{})
	x.br.Follow(t).Want(t, "ak-test-marker")
}

func TestRecentValidation(t *testing.T) {
	t.Parallel()
	s := settings()
	s.LastAuthThreshold = "minutes=10"
	x := start(t, s, "")
	bob := add(t, x.Bench, "bob", map[string][]string{"totp": {"t1"}})
	x.br.Get(t)
	x.br.Post(t, map[string]any{"code": "right-t1"}).WantContinue(t)
	c := x.br.Cookie("authentik_mfa")
	if c == nil || !c.HttpOnly || c.Path != "/" || !c.Expires.Equal(x.Clock.Now().Add(10*time.Minute)) {
		t.Fatalf("cookie %+v", c)
	}
	asks := func(what string, id int, want bool) {
		t.Helper()
		x.replan(t, id)
		if p := x.br.Follow(t); (p.Component == validate.Component) != want {
			t.Errorf("%s: %s", what, p)
		}
	}
	asks("the same user", x.ann.ID, false)
	asks("another user", bob.ID, true)

	forged := func(change func(jwt.MapClaims), key []byte, method jwt.SigningMethod) string {
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(c.Value, claims); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(claims)
		}
		value, err := jwt.NewWithClaims(method, claims).SignedString(any(key))
		if method == jwt.SigningMethodNone {
			value, err = jwt.NewWithClaims(method, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
		}
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	key := x.Keeper.Derive("authentication cookie of the validation stage")
	for what, value := range map[string]string{
		"another key":   forged(nil, []byte("another"), jwt.SigningMethodHS256),
		"no key":        forged(nil, nil, jwt.SigningMethodNone),
		"another HMAC":  forged(nil, key, jwt.SigningMethodHS512),
		"another stage": forged(func(c jwt.MapClaims) { c["stage"] = strings.Repeat("0", 32) }, key, jwt.SigningMethodHS256),
		"no device":     forged(func(c jwt.MapClaims) { c["device"] = "totp/t9" }, key, jwt.SigningMethodHS256),
		"no end":        forged(func(c jwt.MapClaims) { delete(c, "exp") }, key, jwt.SigningMethodHS256),
		"no user":       forged(func(c jwt.MapClaims) { delete(c, "sub") }, key, jwt.SigningMethodHS256),
		"rubbish":       "rubbish",
	} {
		x.br.SetCookie(cookie(value))
		asks(what, x.ann.ID, true)
	}
	x.br.SetCookie(cookie(forged(nil, key, jwt.SigningMethodHS256)))
	asks("a true copy", x.ann.ID, false)

	x.Exec(t, `UPDATE users SET attributes = '{"totp": ["t2"]}' WHERE id = $1`, x.ann.ID)
	asks("the device is gone", x.ann.ID, true)
	x.Exec(t, `UPDATE users SET attributes = '{"totp": ["t1"]}' WHERE id = $1`, x.ann.ID)
	x.Exec(t, `UPDATE stages SET settings = jsonb_set(settings, '{last_auth_threshold}', '"minutes=5"') WHERE kind = 'authenticatorvalidatestage'`)
	asks("a lowered threshold", x.ann.ID, true)
	x.Exec(t, `UPDATE stages SET settings = jsonb_set(settings, '{last_auth_threshold}', '"minutes=20"') WHERE kind = 'authenticatorvalidatestage'`)
	x.Clock.Advance(9 * time.Minute)
	asks("in time", x.ann.ID, false)
	x.Clock.Advance(2 * time.Minute)
	asks("too late", x.ann.ID, true)
}

func cookie(value string) *http.Cookie { return &http.Cookie{Name: "authentik_mfa", Value: value} }

func TestNoCookieWithoutThreshold(t *testing.T) {
	t.Parallel()
	x := start(t, settings(), "")
	x.br.Post(t, map[string]any{"mobile": "m1"}).WantContinue(t)
	if c := x.br.Cookie("authentik_mfa"); c != nil {
		t.Errorf("cookie %+v", c)
	}
}
