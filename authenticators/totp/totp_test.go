package totp_test

import (
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/authenticators"
	"countersign/authenticators/authtest"
	"countersign/authenticators/totp"
	"countersign/authenticators/validate"
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
	for _, digits := range []totp.Digits{totp.Six, totp.Eight} {
		t.Run(string(digits), func(t *testing.T) {
			t.Parallel()
			authtest.Kind(t, authtest.Suite{
				New:       func(_ testing.TB, b *flowtest.Bench) authtest.Subject { return subject(b, digits) },
				Malformed: append(authtest.Text(), `"1234567"`, `"12345"`, `"123 45"`, `123456789`, `"12345a"`, `"a2345678"`),
				Once:      true, Guarded: true,
				Moves: map[time.Duration]bool{
					0: true, 30 * time.Second: true, -30 * time.Second: true,
					60 * time.Second: false, -60 * time.Second: false, 50 * time.Minute: false,
				},
			})
		})
	}
}

func subject(b *flowtest.Bench, digits totp.Digits) authtest.Subject {
	s := totp.New(b.Keeper)
	return authtest.Subject{
		Kind: s.Kind(), Stages: []*flows.Kind{s.StageKind()}, Settings: totp.Settings{Digits: digits},
		Path: "/authenticators/totp/", Mount: s.MountDevices,
		Enrol: func(t testing.TB, br *flowtest.Browser, page flowtest.Page) authtest.Device {
			a := read(t, b, page)
			br.Post(t, map[string]any{"code": a.code(t, 0)}).WantContinue(t)
			return authtest.Device{
				Right:   func(t testing.TB, _ flowtest.Page) map[string]any { return map[string]any{"code": a.code(t, 0)} },
				Wrong:   func(t testing.TB) map[string]any { return map[string]any{"code": a.wrong(t)} },
				Secrets: []string{a.secret, string(a.seed)},
			}
		},
	}
}

// phone is an authenticator app.
type phone struct {
	b      *flowtest.Bench
	secret string // as it is typed
	seed   []byte
	digits int
	url    *url.URL
}

// read adds the account that a page shows.
func read(t testing.TB, b *flowtest.Bench, page flowtest.Page) *phone {
	t.Helper()
	u, err := url.Parse(page.Text("config_url"))
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{b: b, secret: u.Query().Get("secret"), digits: len("123456"), url: u}
	if u.Query().Get("digits") == "8" {
		p.digits = 8
	}
	if p.seed, err = base32.StdEncoding.DecodeString(p.secret); err != nil || len(p.seed) != 20 {
		t.Fatalf("the secret of %s: %v", u, err)
	}
	return p
}

// code is what the app shows some steps from now.
func (p *phone) code(t testing.TB, steps int64) string {
	t.Helper()
	return totp.CodeAt(p.seed, p.b.Clock.Now().Unix()/30+steps, p.digits)
}

// wrong is a code that the app does not show around now.
func (p *phone) wrong(t testing.TB) string {
	t.Helper()
	last := "0"
	if strings.HasSuffix(p.code(t, 0), "0") {
		last = "1"
	}
	for c := p.code(t, 0); ; {
		c = c[1:] + last
		if c != p.code(t, -1) && c != p.code(t, 0) && c != p.code(t, 1) {
			return c
		}
	}
}

func TestSetUpStage(t *testing.T) {
	t.Parallel()
	flowtest.Stage(t, flowtest.Suite{
		Kinds:     func(b *flowtest.Bench) []*flows.Kind { return []*flows.Kind{totp.New(b.Keeper).StageKind()} },
		Component: totp.Component, NeedsGet: true,
		Settings: func(testing.TB, *flowtest.Bench) any { return totp.Settings{Digits: totp.Six} },
		Prepare: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser) flows.Context {
			return flows.Context{PendingUser: usertest.Add(t, b.Users, "ann", "").ID}
		},
		Right: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser, page flowtest.Page) map[string]any {
			if page.Raw == "" {
				return map[string]any{"code": "123456"}
			}
			return map[string]any{"code": read(t, b, page).code(t, 0)}
		},
		Wrong: map[string]any{"code": "12345"}, WrongField: "code",
		Fields: []flowtest.Field{{Name: "code", Required: true}},
	})
}

// world is a bench with a set-up flow and a login flow, and a user.
func world(t *testing.T, onInvalid string) (*flowtest.Bench, *user.User) {
	t.Helper()
	b := flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind {
		s := totp.New(b.Keeper)
		return []*flows.Kind{
			s.StageKind(), validate.Kind(authenticators.NewStore(s.Kind()), b.Users, b.Keeper), flowtest.Kind("marker", flowtest.Script{}),
		}
	})
	b.Flow(t, "set-up", nil, flowtest.Step{Kind: "authenticatortotpstage", Settings: totp.Settings{Digits: totp.Six}}, flowtest.Step{Kind: "marker"})
	b.Flow(t, "login", nil, flowtest.Step{Kind: "authenticatorvalidatestage", OnInvalid: onInvalid, Settings: validate.Settings{
		NotConfigured: validate.Deny, DeviceClasses: validate.AllClasses(), LastAuthThreshold: "seconds=0", UserVerification: "preferred",
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

func enrol(t *testing.T, b *flowtest.Bench, u *user.User) *phone {
	t.Helper()
	br := begin(t, b, "set-up", u)
	p := read(t, b, br.Get(t))
	br.Post(t, map[string]any{"code": p.code(t, 0)}).WantContinue(t)
	return p
}

func TestSetUp(t *testing.T) {
	t.Parallel()
	b, ann := world(t, "")
	br := begin(t, b, "set-up", ann)
	page := br.Get(t).Want(t, totp.Component)
	p := read(t, b, page)
	if got := p.url.String(); got != "otpauth://totp/Test:ann?secret="+p.secret+"&algorithm=SHA1&digits=6&period=30&issuer=Test" {
		t.Errorf("config_url %s", got)
	}
	if !strings.HasPrefix(page.Text("qr_code"), "data:image/svg+xml;base64,") {
		t.Errorf("qr_code %.80s", page.Text("qr_code"))
	}
	for _, wrong := range []string{p.wrong(t), p.code(t, 2), p.code(t, -2)} {
		bad := br.Post(t, map[string]any{"code": wrong}).Want(t, totp.Component)
		if bad.Code("code") != "invalid" || bad.Text("config_url") != page.Text("config_url") {
			t.Errorf("a wrong code: %s", bad)
		}
	}
	if n := b.Count(t, `SELECT count(*) FROM totp_devices`); n != 0 {
		t.Fatalf("%d devices before a right code", n)
	}
	br.Post(t, map[string]any{"code": " " + p.code(t, 1)[:3] + " " + p.code(t, 1)[3:]}).WantContinue(t)

	// The code that confirmed the device logs nobody in, nor does one before it.
	br = begin(t, b, "login", ann)
	for _, used := range []int64{1, 0} {
		if bad := br.Post(t, map[string]any{"code": p.code(t, used)}); bad.Code("code") != "used" {
			t.Errorf("the code of the set-up: %s", bad)
		}
	}
	b.Clock.Advance(30 * time.Second)
	br.Post(t, map[string]any{"code": p.code(t, 1)}).WantContinue(t)
}

// A number has no zeros in front; generated clients send one, as the document says.
func TestCodeAsNumber(t *testing.T) {
	t.Parallel()
	b, ann := world(t, "")
	p := enrol(t, b, ann)
	for !strings.HasPrefix(p.code(t, 0), "0") {
		b.Clock.Advance(30 * time.Second)
	}
	b.Clock.Advance(60 * time.Second)
	for !strings.HasPrefix(p.code(t, 0), "0") || strings.HasPrefix(p.code(t, 0), "00") {
		b.Clock.Advance(30 * time.Second)
	}
	br := begin(t, b, "login", ann)
	br.Post(t, `{"code": `+strings.TrimPrefix(p.code(t, 0), "0")+`}`).WantContinue(t)

	br = begin(t, b, "set-up", ann)
	p = read(t, b, br.Get(t))
	for !strings.HasPrefix(p.code(t, 0), "0") || strings.HasPrefix(p.code(t, 0), "00") {
		b.Clock.Advance(30 * time.Second)
		br.Get(t)
		if b.Plan(t, br, "set-up") == nil {
			t.Fatal("the plan is gone")
		}
	}
	br.Post(t, `{"code": `+strings.TrimPrefix(p.code(t, 0), "0")+`}`).WantContinue(t)
}

// A refused answer is no failed one: a flow that restarts at failures goes on where it is.
func TestRefusedAnswersDoNotRestart(t *testing.T) {
	t.Parallel()
	b, ann := world(t, "restart_with_context")
	p := enrol(t, b, ann)
	b.Clock.Advance(time.Minute)
	br := begin(t, b, "login", ann)
	br.Get(t)
	br.Post(t, map[string]any{"code": p.wrong(t)}).WantContinue(t) // restarts
	br.Follow(t).Want(t, validate.Component)
	if page := br.Post(t, map[string]any{"code": p.code(t, 0)}); page.Code("code") != "throttled" {
		t.Errorf("at once after a wrong code: %s", page)
	}
	b.Clock.Advance(time.Second)
	br.Post(t, map[string]any{"code": p.code(t, 0)}).WantContinue(t)
}

// A seed that was shown to one person becomes nobody else's device, and a plan from before a change of keys begins anew.
func TestSeedIsForItsUser(t *testing.T) {
	t.Parallel()
	b, ann := world(t, "")
	bob := usertest.Add(t, b.Users, "bob", "")
	br := begin(t, b, "set-up", ann)
	p := read(t, b, br.Get(t))
	b.Exec(t, `UPDATE flow_plans SET plan = jsonb_set(plan, '{context,pending_user}', to_jsonb($1::int))`, bob.ID)
	br.Post(t, map[string]any{"code": p.code(t, 0)}).Want(t, totp.Component)
	again := read(t, b, br.Get(t))
	if again.secret == p.secret {
		t.Error("bob is shown ann's seed")
	}
	b.Exec(t, `UPDATE flow_plans SET plan = jsonb_set(plan, '{steps,0,state,sealed}', '"AAAA"')`)
	if third := read(t, b, br.Get(t)); third.secret == again.secret {
		t.Error("the seed was opened without its seal")
	}
}

// The stored seed opens with its own device only.
func TestSeedIsBoundToItsDevice(t *testing.T) {
	t.Parallel()
	b, ann := world(t, "")
	p := enrol(t, b, ann)
	var id int
	var sealed []byte
	if err := b.Direct.QueryRow(t.Context(), `SELECT id, key_sealed FROM totp_devices`).Scan(&id, &sealed); err != nil {
		t.Fatal(err)
	}
	seed, err := b.Keeper.Open(sealed, totp.Sealed()[0].AAD(id))
	if err != nil || string(seed) != string(p.seed) {
		t.Errorf("the stored seed: %x %v", seed, err)
	}
	if _, err := b.Keeper.Open(sealed, totp.Sealed()[0].AAD(id+1)); err == nil {
		t.Error("it opens for another device")
	}
}

func TestStageAPI(t *testing.T) {
	t.Parallel()
	admin := authtest.StageAPI(t, func(k *secret.Keeper) *flows.Kind { return totp.New(k).StageKind() }, resourcetest.Suite{
		Path: "/stages/authenticator/totp/", Valid: func(n int) map[string]any {
			return map[string]any{"name": fmt.Sprint("stage ", n), "digits": []string{"6", "8"}[n%2], "friendly_name": "An app"}
		},
	})
	// A number is taken too, and given back as text.
	got := admin.Want(t, 201, "POST", "/stages/authenticator/totp/", map[string]any{"name": "number", "digits": 8}).Object(t)
	if got["digits"] != "8" || got["verbose_name"] != "TOTP Authenticator Setup Stage" || got["component"] != "ak-stage-authenticator-totp-form" {
		t.Errorf("the stage is %v", got)
	}
	for _, bad := range []any{7, "７", "", nil, "06", 6.5, []any{"6"}} {
		admin.Want(t, 400, "POST", "/stages/authenticator/totp/", map[string]any{"name": "bad", "digits": bad})
	}
	admin.Want(t, 400, "POST", "/stages/authenticator/totp/", map[string]any{"name": "none"})
}

// A device that belongs to another person by now proves nothing, although the plan still offers it.
func TestDeviceOfAnother(t *testing.T) {
	t.Parallel()
	b, ann := world(t, "")
	p := enrol(t, b, ann)
	b.Clock.Advance(time.Minute)
	br := begin(t, b, "login", ann)
	br.Get(t).Want(t, validate.Component)
	b.Exec(t, `UPDATE totp_devices SET user_id = $1`, usertest.Add(t, b.Users, "bob", "").ID)
	if page := br.Post(t, map[string]any{"code": p.code(t, 0)}); page.Code("code") != "invalid" {
		t.Errorf("another's code: %s", page)
	}
}
