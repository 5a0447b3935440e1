package duo

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/api"
	"countersign/core/session"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

func TestSetUpConforms(t *testing.T) {
	t.Parallel()
	var all clouds
	flowtest.Stage(t, flowtest.Suite{
		Kinds: func(b *flowtest.Bench) []*flows.Kind {
			return []*flows.Kind{all.of(t, b).service(b).StageKind()}
		},
		Settings:  func(t testing.TB, b *flowtest.Bench) any { return all.of(t, b).settings() },
		Component: Component, NeedsGet: true,
		Prepare: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser) flows.Context {
			return flows.Context{PendingUser: usertest.Add(t, b.Users, "ada", "").ID}
		},
		Right: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser, _ flowtest.Page) map[string]any {
			all.of(t, b).activate(statusSuccess)
			return map[string]any{}
		},
		Denied: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser, _ *flows.Context) {
			all.of(t, b).set(func(c *cloud) { c.fail["/auth/v2/enroll"] = http.StatusForbidden })
		},
	})
}

func TestSetUpSkipsNobody(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	for _, given := range []flows.Context{{}, {Pretended: "ghost"}} {
		br := b.Browser(setupSlug)
		b.Start(t, br, setupSlug, given)
		br.Follow(t).Want(t, flowtest.Component(markerName))
	}
}

func TestSetUp(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	br := b.start(t, setupSlug, ada)
	p := br.Get(t).Want(t, Component)
	code := p.Text("activation_code")
	if !strings.HasPrefix(code, "duo://") || p.Text("stage_uuid") != b.stage.String() || !strings.HasPrefix(p.Text("activation_barcode"), "https://") ||
		!strings.HasPrefix(p.Text("qr_code"), "data:image/svg+xml") {
		t.Errorf("shown: %s", p)
	}
	if got := b.cloud.calls("/auth/v2/enroll"); len(got) != 1 || got[0].Params.Get("username") != "ada" || got[0].Params.Get("valid_secs") != "86400" {
		t.Errorf("asked for %+v", got)
	}
	if n := b.Count(t, `SELECT count(*) FROM duo_enrollments WHERE encode(activation_sealed, 'escape') LIKE '%duo:%'`); n != 0 {
		t.Error("the activation code is stored readable")
	}
	// Another browser goes on with the same enrolment; Duo would not give a second one.
	second := b.start(t, setupSlug, ada)
	if q := second.Get(t).Want(t, Component); q.Text("activation_code") != code || len(b.cloud.calls("/auth/v2/enroll")) != 1 {
		t.Errorf("in another browser: %s", q)
	}
	b.cloud.activate(statusSuccess)
	second.Post(t, map[string]any{}).WantContinue(t)
	if n := b.Count(t, `SELECT count(*) FROM duo_devices WHERE user_id = $1 AND stage = $2 AND confirmed AND duo_user_id LIKE 'DU%'`, ada.ID, b.stage); n != 1 {
		t.Errorf("%d devices", n)
	}
	if n := b.Count(t, `SELECT count(*) FROM duo_enrollments`); n != 0 {
		t.Errorf("%d enrolments are left", n)
	}
	if n := b.events(t, "model_created"); n != 1 {
		t.Errorf("%d events tell of the device", n)
	}
}

func TestSetUpIsDenied(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*bench)
		text    string
		events  int
	}{
		"not scanned": {func(*bench) {}, "Invalid enrollment status: waiting.", 0},
		"too late":    {func(b *bench) { b.cloud.activate(statusInvalid) }, "Invalid enrollment status: invalid.", 0},
		"taken": {func(b *bench) {
			b.cloud.activate(statusSuccess)
			b.Exec(t, `INSERT INTO duo_devices (user_id, stage, name, duo_user_id) SELECT user_id, stage, 'x', duo_user_id FROM duo_enrollments`)
		}, "Device with Credential ID already exists.", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t)
			br := b.start(t, setupSlug, b.user(t, "ada"))
			br.Get(t).Want(t, Component)
			c.prepare(b)
			p := br.Post(t, map[string]any{}).Want(t, flows.ComponentAccessDenied)
			if p.Text("error_message") != c.text {
				t.Errorf("says %q", p.Text("error_message"))
			}
			if b.passed.Begun.Load() != 0 {
				t.Error("the flow went on")
			}
		})
	}
}

func TestSetUpWithoutDuo(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	deny := func(what, text string) {
		t.Helper()
		before := b.events(t, "configuration_error")
		p := b.start(t, setupSlug, ada).Get(t).Want(t, flows.ComponentAccessDenied)
		if !strings.Contains(p.Text("error_message"), text) || strings.Contains(p.Raw, "40002") {
			t.Errorf("%s: %s", what, p)
		}
		if n := b.events(t, "configuration_error") - before; n != 1 {
			t.Errorf("%s: %d events", what, n)
		}
	}
	b.cloud.set(func(c *cloud) { c.strict, c.names["ada"] = true, true })
	deny("known to Duo", "ask your administrator to import")
	b.cloud.set(func(c *cloud) { c.strict = false; c.fail["/auth/v2/enroll"] = http.StatusTooManyRequests })
	deny("too many requests", "could not be reached")
	b.cloud.set(func(c *cloud) { delete(c.fail, "/auth/v2/enroll") })
	b.Exec(t, `UPDATE stages SET settings = settings || '{"client_secret": "another"}' WHERE kind = $1`, kindName)
	b.fresh(t)
	deny("wrong secret", "did not begin")
	b.Exec(t, `UPDATE stages SET settings = settings || '{"client_secret": "sealed:AAAA"}' WHERE kind = $1`, kindName)
	b.fresh(t)
	deny("a secret that does not open", "could not be reached")
	b.Exec(t, `UPDATE stages SET settings = settings || '{"api_hostname": "127.0.0.1:1", "client_secret": "x"}' WHERE kind = $1`, kindName)
	b.fresh(t)
	deny("nobody there", "could not be reached")
	if n := b.Count(t, `SELECT count(*) FROM events WHERE context::text LIKE '%client-secret%'`); n != 0 {
		t.Error("an event shows the secret")
	}
}

// fresh has the engine read the stages again.
func (b *bench) fresh(t testing.TB) {
	t.Helper()
	if _, err := b.Engine.Fresh(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Duo is away when the person says that they are done: they may say it again.
func TestSetUpDuoGoesAway(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	br := b.start(t, setupSlug, b.user(t, "ada"))
	br.Get(t).Want(t, Component)
	b.cloud.activate(statusSuccess)
	b.cloud.set(func(c *cloud) { c.fail["/auth/v2/enroll_status"] = http.StatusBadGateway })
	if p := br.Post(t, map[string]any{}); p.Code("non_field_errors") != "unavailable" {
		t.Errorf("away: %s", p)
	}
	b.cloud.set(func(c *cloud) { delete(c.fail, "/auth/v2/enroll_status") })
	br.Post(t, map[string]any{}).WantContinue(t)
}

func (b *bench) api(t testing.TB) http.Handler {
	t.Helper()
	a := api.New(api.Options{})
	b.service.Mount(a)
	h, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestEnrolmentStatus(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	handler := b.api(t)
	ask := func(br *flowtest.Browser, stage string) (int, string) {
		r := httptest.NewRequest("POST", "/api/v3/stages/authenticator/duo/"+stage+"/enrollment_status/", nil)
		if br != nil {
			r.AddCookie(br.Cookie(session.CookieName))
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	want := func(what string, br *flowtest.Browser, stage string, status int, body string) {
		t.Helper()
		if got, text := ask(br, stage); got != status || !strings.Contains(text, body) || body == "" && text != "" {
			t.Errorf("%s: %d %s, want %d %s", what, got, text, status, body)
		}
	}
	id := b.stage.String()
	ada := b.user(t, "ada")
	br, other := b.start(t, setupSlug, ada), b.start(t, setupSlug, b.user(t, "bob"))
	want("before the page", br, id, 400, "")
	br.Get(t).Want(t, Component)
	want("no session", nil, id, 400, "")
	want("another session", other, id, 400, "")
	want("unknown stage", br, uuid.NewString(), 404, "Not found.")
	want("no uuid", br, "x", 404, "Not found.")
	want("not scanned", br, id, 200, `{"duo_response":"waiting"}`)
	b.cloud.set(func(c *cloud) { c.fail["/auth/v2/enroll_status"] = 500 })
	want("Duo is away", br, id, 503, "Duo cannot be reached.")
	b.cloud.set(func(c *cloud) { delete(c.fail, "/auth/v2/enroll_status") })
	b.cloud.activate(statusInvalid)
	want("refused", br, id, 200, `{"duo_response":"invalid"}`)
	b.cloud.activate(statusSuccess)
	want("scanned", br, id, 200, `{"duo_response":"success"}`)
	b.cloud.activate("gone")
	want("asked again", br, id, 200, `{"duo_response":"success"}`)
	br.Post(t, map[string]any{}).WantContinue(t) // what was seen stays seen
	want("afterwards", br, id, 400, "")
	b.Clock.Advance(time.Second)
}

func TestCleanUp(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	b.start(t, setupSlug, ada).Get(t).Want(t, Component)
	b.Exec(t, `INSERT INTO duo_pushes (push_uuid, device, created) VALUES (gen_random_uuid(), $1, $2)`, b.device(t, ada), b.Clock.Now())
	for _, c := range []struct {
		after              time.Duration
		enrolments, pushes int
	}{{enrolmentLife, 1, 1}, {time.Second, 0, 1}, {retention, 0, 0}} {
		b.Clock.Advance(c.after)
		if err := b.service.CleanUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e, p := b.Count(t, `SELECT count(*) FROM duo_enrollments`), b.Count(t, `SELECT count(*) FROM duo_pushes`); e != c.enrolments || p != c.pushes {
			t.Errorf("after %s: %d enrolments, %d pushes", c.after, e, p)
		}
	}
}
