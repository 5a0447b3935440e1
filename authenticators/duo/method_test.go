package duo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/authenticators/authtest"
	"countersign/core/resourcetest"
	"countersign/core/secret"
	"countersign/flows"
	"countersign/flows/flowtest"
)

const validateComponent = "ak-stage-authenticator-validate"

// T11: among all that a kind is put through, the password alone adds no device beside others.
func TestAuthenticator(t *testing.T) {
	t.Parallel()
	authtest.Kind(t, suite())
}

func suite() authtest.Suite {
	return authtest.Suite{
		New: func(t testing.TB, b *flowtest.Bench) authtest.Subject {
			c := newCloud(t)
			s := c.service(b)
			return authtest.Subject{
				Kind: s.Kind(), Stages: []*flows.Kind{s.StageKind()}, Settings: c.settings(),
				Path: "/authenticators/duo/", Mount: s.MountDevices,
				Enrol: func(t testing.TB, br *flowtest.Browser, page flowtest.Page) authtest.Device {
					c.activate(statusSuccess)
					br.Post(t, map[string]any{}).WantContinue(t)
					id := b.Count(t, `SELECT max(id) FROM duo_devices`)
					as := func(mode string) map[string]any {
						c.set(func(c *cloud) { c.mode = mode })
						return map[string]any{"duo": id}
					}
					return authtest.Device{
						Right:   func(testing.TB, flowtest.Page) map[string]any { return as("allow") },
						Wrong:   func(testing.TB) map[string]any { return as("deny") },
						Secrets: []string{page.Text("activation_code"), strings.TrimPrefix(page.Text("activation_code"), "duo://")},
					}
				},
			}
		},
		Malformed: []string{`"x"`, `{}`, `[]`, `true`, `-1`, `1e9`, `1.5`, `99999999999999999999`, `""`, `"１"`, `"' OR 1=1"`},
	}
}

func TestStageAPI(t *testing.T) {
	t.Parallel()
	authtest.StageAPI(t, func(k *secret.Keeper) *flows.Kind { return New(Options{Keeper: k}).StageKind() }, resourcetest.Suite{
		Path: "/stages/authenticator/duo/",
		Valid: func(n int) map[string]any {
			return map[string]any{
				"name": fmt.Sprintf("duo %d", n), "friendly_name": "Duo", "client_id": fmt.Sprint("DI", n), "client_secret": fmt.Sprint("secret ", n),
				"api_hostname": fmt.Sprintf("api-%d.duosecurity.com", n), "admin_integration_key": "DI", "admin_secret_key": "admin secret",
			}
		},
		Skip: []string{"client_secret", "admin_secret_key", "api_hostname", "flow_set"},
	})
}

// What Duo is asked, and shows the person.
func TestPushHasContext(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	id := b.device(t, ada)
	br := b.Browser(loginSlug)
	b.Start(t, br, loginSlug, flows.Context{PendingUser: ada.ID, Application: "Wiki & more"})
	if p := br.Get(t).Want(t, validateComponent); !strings.Contains(p.Raw, fmt.Sprintf(`{"device_class":"duo","device_uid":"%d","challenge":{"device_name":"My Duo"}}`, id)) {
		t.Errorf("offered: %s", p)
	}
	br.Post(t, map[string]any{"duo": id}).WantContinue(t)
	got := b.cloud.calls("/auth/v2/auth")
	if len(got) != 1 {
		t.Fatalf("%d pushes", len(got))
	}
	for name, want := range map[string]string{
		"factor": "auto", "device": "auto", "async": "1", "user_id": "DUada", "display_username": "ada", "type": "Test Login request", "ipaddr": "192.0.2.7",
	} {
		if v := got[0].Params.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	info, err := url.ParseQuery(got[0].Params.Get("pushinfo"))
	if err != nil || info.Get("Domain") != "login.test" || info.Get("Application") != "Wiki & more" {
		t.Errorf("pushinfo %q, %v", got[0].Params.Get("pushinfo"), err)
	}
	if n := b.Count(t, `SELECT count(*) FROM duo_devices d JOIN duo_pushes p ON p.device = d.id WHERE last_used IS NOT NULL AND result = 'allow'`); n != 1 {
		t.Error("the use is not noted")
	}
}

func TestDuoSaysNo(t *testing.T) {
	t.Parallel()
	for mode, c := range map[string]struct{ code, text string }{
		"deny":    {"denied", "Duo denied access"},
		"fraud":   {"denied", "Duo denied access"},
		"locked":  {"denied", "Duo denied access"},
		"timeout": {"invalid", "Duo push notification timed out."},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := setUp(t)
			ada := b.user(t, "ada")
			id := b.device(t, ada)
			br := b.start(t, loginSlug, ada)
			b.cloud.set(func(c *cloud) { c.mode = mode })
			if p := br.Post(t, map[string]any{"duo": id}); p.Code("duo") != c.code || !strings.Contains(p.Raw, `"`+c.text+`"`) {
				t.Errorf("got %s", p)
			}
			n := b.Count(t, `SELECT count(*) FROM events WHERE action = 'login_failed' AND "user"->>'username' = 'ada' AND context->'duo_response'->>'status' = $1`, mode)
			if n != 1 || b.events(t, "configuration_error") != 0 {
				t.Errorf("%d events tell of it", n)
			}
			// Asked again, it is asked anew.
			b.cloud.set(func(c *cloud) { c.mode = "allow" })
			br.Post(t, map[string]any{"duo": id}).WantContinue(t)
			if n := len(b.cloud.calls("/auth/v2/auth")); n != 2 {
				t.Errorf("%d pushes", n)
			}
		})
	}
}

// A person whom Duo's administrator lets pass unasked passes, and it is noted.
func TestBypass(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	id := b.device(t, ada)
	br := b.start(t, loginSlug, ada)
	b.cloud.set(func(c *cloud) { c.mode = "bypass" })
	br.Post(t, map[string]any{"duo": id}).WantContinue(t)
	if got := b.Plan(t, br, loginSlug).Context.AuthMethodArgs["duo_status"]; got != "bypass" {
		t.Errorf("noted %v", got)
	}
}

func TestDuoFails(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	id := b.device(t, ada)
	br := b.start(t, loginSlug, ada)
	fails := func(what string) {
		t.Helper()
		before := b.events(t, "configuration_error")
		if p := br.Post(t, map[string]any{"duo": id}); p.Code("duo") != "denied" {
			t.Errorf("%s: %s", what, p)
		}
		if n := b.events(t, "configuration_error") - before; n != 1 {
			t.Errorf("%s: %d events", what, n)
		}
		b.Clock.Advance(b.service.Budget.Window)
	}
	for path, status := range map[string]int{"/auth/v2/auth": 500, "/auth/v2/auth_status": http.StatusTooManyRequests} {
		b.cloud.set(func(c *cloud) { c.fail[path] = status })
		fails(path)
		b.cloud.set(func(c *cloud) { delete(c.fail, path) })
	}
	b.Exec(t, `UPDATE stages SET settings = settings || '{"client_secret": "another"}' WHERE kind = $1`, kindName)
	b.fresh(t)
	fails("wrong secret")
	b.service.calls.limit = 0
	fails("too many requests of our own")
	if b.passed.Begun.Load() != 0 {
		t.Error("a login went on")
	}
}

// A request is given back before the person answers, and another node hears the answer.
func TestWaitingMovesBetweenNodes(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	id := b.device(t, ada)
	br := b.start(t, loginSlug, ada)
	b.cloud.set(func(c *cloud) { c.mode = "" })
	b.service.Hold = 50 * time.Millisecond
	for range 2 {
		if p := br.Post(t, map[string]any{"duo": id}); p.Code("duo") != "waiting" {
			t.Fatalf("before the answer: %s", p)
		}
	}
	if n := b.events(t, "login_failed") + b.events(t, "configuration_error"); n != 0 {
		t.Errorf("waiting wrote %d events", n)
	}
	br.Engine = b.NewEngine() // its calls are those of this process, but none of them runs any more
	eventually(t, "the calls end", func() bool { return b.service.Waiting() == 0 })
	b.service.Hold = time.Minute
	done := make(chan flowtest.Page, 1)
	send := br.Prepare(t, true, map[string]any{"duo": id})
	go func() { done <- send() }()
	eventually(t, "a call waits", func() bool { return b.service.Waiting() == 1 && b.Engine.Waiting()+br.Engine.Waiting() == 1 })
	if n := b.Pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("the wait holds %d connections to the database", n)
	}
	b.cloud.answer("allow")
	(<-done).WantContinue(t)
	if n := len(b.cloud.calls("/auth/v2/auth")); n != 1 {
		t.Errorf("%d pushes", n)
	}
}

// The goroutine that waits for Duo ends with the browser that waits for it.
func TestBrowserGoesAway(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	id := b.device(t, ada)
	br := b.start(t, loginSlug, ada)
	b.cloud.set(func(c *cloud) { c.mode = "" })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan flowtest.Page, 1)
	send := br.PrepareContext(ctx, t, true, map[string]any{"duo": id})
	go func() { done <- send() }()
	<-b.cloud.waiting
	if b.service.Waiting() != 1 {
		t.Errorf("%d calls wait", b.service.Waiting())
	}
	cancel()
	<-done
	eventually(t, "the call ends", func() bool { return b.service.Waiting() == 0 })
	if n := len(b.service.calls.m); n != 0 {
		t.Errorf("%d calls are kept", n)
	}
	// It comes back, the push still stands.
	b.cloud.answer("allow")
	br.Post(t, map[string]any{"duo": id}).WantContinue(t)
	if n := len(b.cloud.calls("/auth/v2/auth")); n != 1 {
		t.Errorf("%d pushes", n)
	}
}

// Several submits of one answer ring once and let in once.
func TestSubmitsAtOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	id := b.device(t, ada)
	br := b.start(t, loginSlug, ada)
	br.Get(t)
	b.cloud.set(func(c *cloud) { c.mode = "" })
	const n = 6
	requests := make([]func() flowtest.Page, n)
	for i := range requests {
		requests[i] = br.Prepare(t, true, map[string]any{"duo": id})
	}
	pages := make([]flowtest.Page, n)
	var wg sync.WaitGroup
	for i, send := range requests {
		wg.Go(func() { pages[i] = send() })
	}
	<-b.cloud.waiting
	b.cloud.answer("allow")
	wg.Wait()
	for _, p := range pages {
		if p.Err != nil || !p.Continue && p.Code("duo") != "waiting" {
			t.Errorf("one of the submits got %s", p)
		}
	}
	if n := len(b.cloud.calls("/auth/v2/auth")); n != 1 {
		t.Errorf("%d pushes", n)
	}
	if p := b.Plan(t, br, loginSlug); p == nil || p.Moves != 1 {
		t.Errorf("the plan was not moved once: %+v", p)
	}
	eventually(t, "the calls end", func() bool { return b.service.Waiting() == 0 })
}

// A push that Duo forgot, or that is older than any answer, is asked anew.
func TestOldPush(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	id := b.device(t, ada)
	br := b.start(t, loginSlug, ada)
	b.cloud.set(func(c *cloud) { c.mode = "" })
	b.service.Hold = 20 * time.Millisecond
	if p := br.Post(t, map[string]any{"duo": id}); p.Code("duo") != "waiting" {
		t.Fatalf("waiting: %s", p)
	}
	b.Clock.Advance(pushLife)
	b.service.Hold = time.Minute
	b.cloud.set(func(c *cloud) { c.mode = "allow" })
	br.Post(t, map[string]any{"duo": id}).WantContinue(t)
	if n := len(b.cloud.calls("/auth/v2/auth")); n != 2 {
		t.Errorf("%d pushes", n)
	}
}

// Who has only the password makes the device ring so often and no more, and does not keep its owner out at home.
func TestBudget(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	id := b.device(t, ada)
	home := b.start(t, loginSlug, ada)
	home.Post(t, map[string]any{"duo": id}).WantContinue(t)
	b.cloud.set(func(c *cloud) { c.mode = "deny" })
	for i := range b.service.Budget.Pushes + 1 {
		thief := b.start(t, loginSlug, ada)
		thief.IP = fmt.Sprintf("198.51.100.%d", i)
		p := thief.Post(t, map[string]any{"duo": id})
		if throttled := p.Code("duo") == "throttled"; throttled != (i == b.service.Budget.Pushes) {
			t.Fatalf("attempt %d: %s", i, p)
		}
		if i == b.service.Budget.Pushes && !strings.Contains(p.Raw, "Too many requests were sent by Duo. Try again in") {
			t.Errorf("says %s", p)
		}
		b.Clock.Advance(time.Second)
	}
	b.cloud.set(func(c *cloud) { c.mode = "allow" })
	b.start(t, loginSlug, ada).Post(t, map[string]any{"duo": id}).WantContinue(t)
	b.Clock.Advance(b.service.Budget.Window)
	thief := b.start(t, loginSlug, ada)
	thief.IP = "198.51.100.1"
	if p := thief.Post(t, map[string]any{"duo": id}); p.Code("duo") == "throttled" {
		t.Errorf("after the window: %s", p)
	}
}

// A device may go while its owner is asked.
func TestDeviceGoesWhileItRings(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	id := b.device(t, ada)
	br := b.start(t, loginSlug, ada)
	b.cloud.set(func(c *cloud) { c.mode = "" })
	done := make(chan flowtest.Page, 1)
	send := br.Prepare(t, true, map[string]any{"duo": id})
	go func() { done <- send() }()
	<-b.cloud.waiting
	b.Exec(t, `DELETE FROM duo_devices`)
	b.cloud.answer("allow")
	if p := <-done; p.Code("duo") != "invalid" || b.passed.Begun.Load() != 0 {
		t.Errorf("removed meanwhile: %s", p)
	}
}
