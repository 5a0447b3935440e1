package static_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/authenticators"
	"countersign/authenticators/authtest"
	"countersign/authenticators/static"
	"countersign/authenticators/validate"
	"countersign/core/api"
	"countersign/core/resource"
	"countersign/core/resourcetest"
	"countersign/core/secret"
	"countersign/core/user"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

// T11: among all that a kind is put through, the password alone adds no device beside others.
func TestAuthenticator(t *testing.T) {
	t.Parallel()
	s := suite(false)
	s.Malformed = append(authtest.Text(), `"abcdefghjkm"`, `"abcdefghjkmnp"`, `"------------"`)
	s.Once, s.Guarded = true, true
	s.Moves = map[time.Duration]bool{50 * time.Minute: true}
	authtest.Kind(t, s)
}

// suite is the kind with a person who uses one code of the list after the other; lasting puts each back behind the
// server's back.
func suite(lasting bool) authtest.Suite {
	return authtest.Suite{New: func(_ testing.TB, b *flowtest.Bench) authtest.Subject {
		s := static.New(b.Keeper)
		return authtest.Subject{
			Kind: s.Kind(), Stages: []*flows.Kind{s.StageKind()}, Settings: static.Settings{TokenCount: 50, TokenLength: 12},
			Path: "/authenticators/static/", Mount: s.MountDevices,
			Enrol: func(t testing.TB, br *flowtest.Browser, page flowtest.Page) authtest.Device {
				left := codes(t, page)
				secrets := slices.Clone(left)
				br.Post(t, map[string]any{}).WantContinue(t)
				if lasting {
					b.Exec(t, `CREATE OR REPLACE FUNCTION put_back() RETURNS trigger LANGUAGE plpgsql AS
						'BEGIN INSERT INTO static_codes VALUES (OLD.device, OLD.code_hash); RETURN NULL; END'`)
					b.Exec(t, `CREATE OR REPLACE TRIGGER lasting AFTER DELETE ON static_codes FOR EACH ROW EXECUTE FUNCTION put_back()`)
				}
				return authtest.Device{
					Right: func(t testing.TB, _ flowtest.Page) map[string]any {
						code := left[0]
						if !lasting {
							left = left[1:]
						}
						return map[string]any{"code": code}
					},
					Wrong:   func(testing.TB) map[string]any { return map[string]any{"code": "aaaabbbbcccc"} },
					Secrets: secrets,
				}
			},
		}
	}}
}

// codes are those that a page shows.
func codes(t testing.TB, page flowtest.Page) []string {
	t.Helper()
	list, _ := page.JSON["codes"].([]any)
	var out []string
	for _, c := range list {
		out = append(out, fmt.Sprint(c))
	}
	if len(out) == 0 {
		t.Fatalf("no codes: %s", page)
	}
	return out
}

func TestSetUpStage(t *testing.T) {
	t.Parallel()
	flowtest.Stage(t, flowtest.Suite{
		Kinds:     func(b *flowtest.Bench) []*flows.Kind { return []*flows.Kind{static.New(b.Keeper).StageKind()} },
		Component: static.Component, NeedsGet: true,
		Settings: func(testing.TB, *flowtest.Bench) any { return static.Settings{TokenCount: 6, TokenLength: 12} },
		Prepare: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser) flows.Context {
			return flows.Context{PendingUser: usertest.Add(t, b.Users, "ann", "").ID}
		},
	})
}

// world is a bench with a set-up flow and a login flow, and a user.
func world(t *testing.T, settings static.Settings) (*flowtest.Bench, *user.User) {
	t.Helper()
	b := flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind {
		s := static.New(b.Keeper)
		return []*flows.Kind{
			s.StageKind(), validate.Kind(authenticators.NewStore(s.Kind()), b.Users, b.Keeper), flowtest.Kind("marker", flowtest.Script{}),
		}
	})
	b.Flow(t, "set-up", nil, flowtest.Step{Kind: "authenticatorstaticstage", Settings: settings}, flowtest.Step{Kind: "marker"})
	// Skipping people without a device is what must not happen to those whose codes are spent.
	b.Flow(t, "login", nil, flowtest.Step{Kind: "authenticatorvalidatestage", Settings: validate.Settings{
		NotConfigured: validate.Skip, DeviceClasses: validate.AllClasses(), LastAuthThreshold: "seconds=0", UserVerification: "preferred",
	}}, flowtest.Step{Kind: "marker"})
	return b, usertest.Add(t, b.Users, "ann", "")
}

// begin is a browser in a flow about a user.
func begin(t *testing.T, b *flowtest.Bench, slug string, u *user.User) *flowtest.Browser {
	t.Helper()
	br := b.Browser(slug)
	b.Start(t, br, slug, flows.Context{PendingUser: u.ID})
	return br
}

// Each code works once, in any spelling; the last ones come with a warning, and without any the person is still asked.
func TestCodesRunOut(t *testing.T) {
	t.Parallel()
	b, ann := world(t, static.Settings{TokenCount: 5, TokenLength: 12})
	br := begin(t, b, "set-up", ann)
	page := br.Get(t).Want(t, static.Component)
	all := codes(t, page)
	if len(all) != 5 || b.Count(t, `SELECT count(*) FROM static_devices`) != 0 {
		t.Fatalf("%d codes before they are put away, want 5 and no device", len(all))
	}
	br.Post(t, map[string]any{}).WantContinue(t)
	if left := b.Plan(t, br, "set-up"); left != nil && strings.Contains(string(left.Raw), "sealed") {
		t.Error("the plan still has the codes")
	}
	for i, code := range all {
		switch i {
		case 1:
			code = strings.ToUpper(code)
		case 2:
			code = code[:4] + "-" + code[4:8] + "-" + code[8:]
		case 3:
			code = " " + code[:6] + " " + code[6:] + " "
		}
		br := begin(t, b, "login", ann)
		if got, want := shown(t, br)["codes_left"], any(float64(5-i)); 5-i > 3 && got != nil || 5-i <= 3 && got != want {
			t.Errorf("with %d codes the challenge says %v", 5-i, got)
		}
		br.Post(t, map[string]any{"code": code}).WantContinue(t)
		b.Clock.Advance(time.Minute)
	}
	br = begin(t, b, "login", ann)
	if got := shown(t, br)["codes_left"]; got != 0.0 {
		t.Errorf("without codes the challenge says %v", got)
	}
	if p := br.Post(t, map[string]any{"code": all[0]}); p.Code("code") != "invalid" {
		t.Errorf("a used code: %s", p)
	}
}

// shown is the challenge of the only device.
func shown(t *testing.T, br *flowtest.Browser) map[string]any {
	t.Helper()
	devices, _ := br.Get(t).Want(t, validate.Component).JSON["device_challenges"].([]any)
	if len(devices) != 1 {
		t.Fatalf("offered %v", devices)
	}
	return devices[0].(map[string]any)["challenge"].(map[string]any)
}

// The codes that were shown to one person become nobody else's.
func TestCodesAreForTheirUser(t *testing.T) {
	t.Parallel()
	b, ann := world(t, static.Settings{TokenCount: 5, TokenLength: 12})
	bob := usertest.Add(t, b.Users, "bob", "")
	br := begin(t, b, "set-up", ann)
	before := codes(t, br.Get(t))
	b.Exec(t, `UPDATE flow_plans SET plan = jsonb_set(plan, '{context,pending_user}', to_jsonb($1::int))`, bob.ID)
	again := codes(t, br.Post(t, map[string]any{}).Want(t, static.Component))
	if slices.Equal(before, again) || b.Count(t, `SELECT count(*) FROM static_devices`) != 0 {
		t.Error("bob got ann's codes")
	}
	b.Exec(t, `UPDATE flow_plans SET plan = jsonb_set(plan, '{steps,0,state,sealed}', '"AAAA"')`)
	if slices.Equal(again, codes(t, br.Get(t))) {
		t.Error("the codes were opened without their seal")
	}
}

// A stage that an admin, or a row written by hand, gives senseless numbers cannot be walked, and does no harm.
func TestSettingsOutOfBounds(t *testing.T) {
	t.Parallel()
	for _, s := range []static.Settings{{TokenCount: 0, TokenLength: 12}, {TokenCount: 1 << 30, TokenLength: 12}, {TokenCount: 6, TokenLength: 0}, {TokenCount: 6, TokenLength: 17}} {
		b, ann := world(t, s)
		if p := begin(t, b, "set-up", ann).Get(t); p.Err == nil {
			t.Errorf("%+v: %s", s, p)
		}
	}
}

func TestStageAPI(t *testing.T) {
	t.Parallel()
	admin := authtest.StageAPI(t, func(k *secret.Keeper) *flows.Kind { return static.New(k).StageKind() }, resourcetest.Suite{
		Path: "/stages/authenticator/static/", Skip: []string{"token_count", "token_length"}, // narrower than documented
		Valid: func(n int) map[string]any {
			return map[string]any{"name": fmt.Sprint("stage ", n), "token_count": 1 + n%100, "token_length": 6 + n%11, "friendly_name": "Codes"}
		},
	})
	const path = "/stages/authenticator/static/"
	got := admin.Want(t, 201, "POST", path, map[string]any{"name": "plain"}).Object(t)
	if got["token_count"] != 6.0 || got["token_length"] != 12.0 || got["verbose_name"] != "Static Authenticator Setup Stage" {
		t.Errorf("the stage is %v", got)
	}
	for _, bad := range []map[string]any{
		{"token_count": 0}, {"token_count": 101}, {"token_count": -1}, {"token_length": 5}, {"token_length": 17}, {"token_length": 2147483647},
	} {
		bad["name"] = "bad"
		admin.Want(t, 400, "POST", path, bad)
	}
}

// The API counts the codes that are left and shows none of them.
func TestTokenSet(t *testing.T) {
	t.Parallel()
	b, ann := world(t, static.Settings{TokenCount: 3, TokenLength: 12})
	br := begin(t, b, "set-up", ann)
	all := codes(t, br.Get(t))
	br.Post(t, map[string]any{}).WantContinue(t)
	as := authtest.Serve(t, b, func(_ *api.API, r *resource.Registry) { static.New(b.Keeper).MountDevices(r) })
	left := func() int {
		t.Helper()
		r := as(ann).Want(t, 200, "GET", "/authenticators/static/", nil)
		for _, code := range all {
			if strings.Contains(r.Raw, code) {
				t.Fatalf("a code is shown: %s", r.Raw)
			}
		}
		set, ok := r.Object(t)["results"].([]any)[0].(map[string]any)["token_set"].([]any)
		if !ok {
			t.Fatalf("token_set is missing: %s", r.Raw)
		}
		for _, token := range set {
			if text := token.(map[string]any)["token"]; text != "************" {
				t.Errorf("a code is shown as %v", text)
			}
		}
		return len(set)
	}
	for n := 3; n > 0; n-- {
		if got := left(); got != n {
			t.Errorf("%d codes are told of, want %d", got, n)
		}
		begin(t, b, "login", ann).Post(t, map[string]any{"code": all[n-1]}).WantContinue(t)
	}
	if got := left(); got != 0 {
		t.Errorf("%d codes are told of, want none", got)
	}
	r := as(nil).Want(t, 400, "POST", "/authenticators/admin/static/", map[string]any{"name": "x"})
	if len(r.Texts("non_field_errors")) != 1 {
		t.Errorf("making one: %s", r.Raw)
	}
}

// A list that belongs to another person by now proves nothing, although the plan still offers it.
func TestListOfAnother(t *testing.T) {
	t.Parallel()
	b, ann := world(t, static.Settings{TokenCount: 3, TokenLength: 12})
	br := begin(t, b, "set-up", ann)
	all := codes(t, br.Get(t))
	br.Post(t, map[string]any{}).WantContinue(t)
	br = begin(t, b, "login", ann)
	shown(t, br)
	b.Exec(t, `UPDATE static_devices SET user_id = $1`, usertest.Add(t, b.Users, "bob", "").ID)
	if p := br.Post(t, map[string]any{"code": all[0]}); p.Code("code") != "invalid" {
		t.Errorf("another's code: %s", p)
	}
}
