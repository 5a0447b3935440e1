package webauthn

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/api"
	"countersign/core/rbac"
	"countersign/core/user/usertest"
	"countersign/core/web"
	"countersign/e2e/chromium"
	"countersign/flows"
	"countersign/flows/executor"
	"countersign/flows/flowtest"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/userlogin"
)

// chromiumMake is the AAGUID of Chromium's virtual authenticator.
var chromiumMake = uuid.MustParse(chromium.Make)

// house is a server with pages, at http://localhost:PORT.
type house struct {
	*bench
	url string
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{bench: &bench{t: t, marker: &flowtest.Marker{}}}
	h.Bench = flowtest.New(t, func(f *flowtest.Bench) []*flows.Kind {
		h.service = serviceOf(f)
		store := authenticators.NewStore(h.service.Kind())
		return []*flows.Kind{
			h.service.StageKind(), validate.Kind(store, f.Users, f.Keeper), identification.Kind(f.Users), userlogin.Kind(f.Sessions),
		}
	})
	if err := h.service.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.user = usertest.Add(t, h.Users, "ada", "")
	a := api.New(api.Options{Log: h.Log})
	pages, err := web.New(web.Options{CSRF: func(http.ResponseWriter, *http.Request) {}})
	if err != nil {
		t.Fatal(err)
	}
	executor.Mount(a, executor.Options{
		Engine: h.Engine, Sessions: h.Sessions, Pool: h.Pool, Kinds: h.Kinds,
		Brand: func(context.Context, string) (executor.Brand, error) {
			return executor.Brand{Title: "Countersign"}, nil
		},
		Bearer: func(context.Context, *http.Request) (*rbac.Actor, error) { return nil, nil }, //nolint:nilnil // no header is no caller
		Page: func(r *api.Request, f *flows.Flow) {
			r.CSRF()
			pages.FlowPage(r.Writer, r.HTTP, web.Flow{Slug: f.Slug, Title: f.Title})
		},
		ErrorPage: func(r *api.Request, err error) { http.Error(r.Writer, err.Error(), http.StatusInternalServerError) },
	})
	static := pages.Static()
	a.Page(http.MethodGet, "/static/*file", "static", api.Open, func(_ context.Context, r *api.Request) error {
		static.ServeHTTP(r.Writer, r.HTTP)
		return nil
	})
	a.Page(http.MethodGet, "/arrived/", "arrived", api.Open, func(_ context.Context, r *api.Request) error {
		r.Writer.Header().Set("Content-Type", "text/html")
		_, err := fmt.Fprint(r.Writer, "<title>arrived</title>")
		return err
	})
	handler, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	h.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return h
}

// flow makes a flow of identification, a stage, and the login; name false leaves identification out.
func (h *house) flow(slug, model string, settings any, name bool, passwordless *uuid.UUID) uuid.UUID {
	h.t.Helper()
	var steps []flowtest.Step
	if name {
		steps = append(steps, flowtest.Step{Kind: "identificationstage", Settings: identification.Settings{
			UserFields: []identification.UserField{"username"}, PasswordlessFlow: passwordless,
		}})
	}
	steps = append(steps, flowtest.Step{Kind: model, Settings: settings},
		flowtest.Step{Kind: "userloginstage", Settings: userlogin.Settings{SessionDuration: "seconds=0", RememberOffset: "seconds=0"}})
	return h.Flow(h.t, slug, func(f *flows.Flow) { f.Title = "Welcome to Countersign" }, steps...).PK
}

// tab is a page of Chromium, with an authenticator.
type tab struct {
	*chromium.Tab
	t      testing.TB
	device *chromium.Authenticator
}

func newTab(t testing.TB) *tab {
	t.Helper()
	b, err := chromium.StartFor(t).NewTab("", chromium.Desktop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &tab{Tab: b, t: t}
}

// plug adds an authenticator built into the computer, which knows its owner.
func (b *tab) plug() {
	b.t.Helper()
	var err error
	if b.device, err = b.Plug(); err != nil {
		b.t.Fatal(err)
	}
}

// set changes the authenticator or the page.
func (b *tab) set(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// cancels has every later page's requests to use a passkey cancelled, as a person can.
func (b *tab) cancels() {
	b.t.Helper()
	_, err := chromium.Command(b.Tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `navigator.credentials.get = () => Promise.reject(new DOMException("", "NotAllowedError"))`,
	})
	b.set(err)
}

func (b *tab) open(url string) { b.t.Helper(); b.set(b.Open(url)) }

func (b *tab) keys(keys string) { b.t.Helper(); b.set(b.Keys(keys)) }

// until waits for an expression to become true.
func (b *tab) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		v, err := chromium.Value[bool](b.Tab, "Boolean("+expression+")")
		if err == nil && v {
			return
		}
		if time.Now().After(deadline) {
			text, _ := b.Text()
			b.t.Fatalf("never true: %s (%v)\npage: %s\ncomplaints: %v", expression, err, text, b.Complaints())
		}
	}
}

func (b *tab) says(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

func (b *tab) focused(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.activeElement.innerText === %q", text))
}

func (b *tab) name(name string) {
	b.t.Helper()
	b.until("document.activeElement.name === 'uid_field'")
	b.keys(name + kb.Enter)
}

func (b *tab) arrived() { b.t.Helper(); b.until("location.pathname === '/arrived/'") }

const next = "/?next=%2Farrived%2F"

// Somebody adds a passkey and signs in with it: by name, without a name on a page of its own, and by the suggestions of
// the name field; by keyboard alone.
func TestPasskeyInABrowser(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.flow("setup", setupModel, setupSettings(), true, nil)
	h.flow("login", loginModel, loginSettings(), true, nil)
	anyone := h.flow("anyone", loginModel, loginSettings(), false, nil)
	h.flow("suggest", loginModel, loginSettings(), true, &anyone)
	b := newTab(t)
	b.plug()

	b.open(h.url + "/if/flow/setup" + next)
	b.name("ada")
	b.says("Add a passkey")
	b.focused("Create a passkey")
	b.keys(kb.Enter)
	b.arrived()
	own, err := devicesOf(t.Context(), h.Direct, h.user.ID)
	if err != nil || len(own) != 1 || own[0].AAGUID != chromiumMake || strings.Join(own[0].Transports, "") != "internal" {
		t.Fatalf("%+v %v", own, err)
	}
	h.Exec(t, `DELETE FROM sessions`)

	b.open(h.url + "/if/flow/login" + next)
	b.name("ada")
	b.arrived() // asked without a click
	h.Exec(t, `DELETE FROM sessions`)

	b.open(h.url + "/if/flow/anyone" + next)
	b.says("Sign in with a passkey")
	b.focused("Use a passkey")
	b.keys(kb.Enter)
	b.arrived()
	if n := h.Count(t, `SELECT count(*) FROM events WHERE action = 'login' AND context->>'auth_method' = 'auth_webauthn_pwl'`); n != 1 {
		t.Errorf("%d logins without a name", n)
	}
	h.Exec(t, `DELETE FROM sessions`)

	// The virtual authenticator picks the suggestion by itself.
	b.open(h.url + "/if/flow/suggest" + next)
	b.arrived()
	if n := h.Count(t, `SELECT count(*) FROM events WHERE action = 'login' AND context->>'auth_method' = 'auth_webauthn_pwl'`); n != 2 {
		t.Errorf("%d logins without a name", n)
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// What goes wrong is told in plain words, and can be tried again.
func TestPasskeyTroublesInABrowser(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	only := setupSettings()
	only.Restrictions = []uuid.UUID{yubikey}
	strict := setupSettings()
	strict.UserVerification = "required"
	h.flow("setup", setupModel, setupSettings(), true, nil)
	h.flow("only", setupModel, only, true, nil)
	h.flow("strict", setupModel, strict, true, nil)
	h.flow("login", loginModel, loginSettings(), true, nil)
	allowed := loginSettings()
	allowed.AllowedDeviceTypes = []uuid.UUID{yubikey}
	h.flow("allowed", loginModel, allowed, false, nil)
	b := newTab(t)

	enter := func(slug string) {
		b.open(h.url + "/if/flow/" + slug + next)
		b.name("ada")
		b.focused("Create a passkey")
		b.keys(kb.Enter)
	}
	b.plug()
	enter("only")
	b.says("Invalid device type. Contact your Countersign administrator for help. This server does not know which make it is.")
	b.focused("Try again")
	b.keys(kb.Enter) // with the new challenge: the same again, and no complaint about the challenge
	b.says("This server does not know which make it is.")

	b.set(b.device.Verifies(false))
	enter("strict")
	b.says("Nothing was confirmed")
	b.set(b.device.Verifies(true))
	b.focused("Try again")
	b.keys(kb.Enter)
	b.arrived()
	h.Exec(t, `DELETE FROM sessions`)
	enter("setup")
	b.says("This device has a passkey for your account already.")

	b.set(b.device.Forges(true))
	b.open(h.url + "/if/flow/login" + next)
	b.name("ada")
	b.says("The signature is wrong.")
	b.set(b.device.Forges(false))
	b.focused("Try again")
	b.keys(kb.Enter)
	b.arrived()
	h.Exec(t, `DELETE FROM sessions`)

	b.open(h.url + "/if/flow/allowed" + next)
	b.focused("Use a passkey")
	b.keys(kb.Enter)
	b.says("Invalid device type. Contact your Countersign administrator for help. This server does not know which make it is.")

	b.cancels()
	b.open(h.url + "/if/flow/login" + next)
	b.name("ada")
	b.says("Nothing was confirmed: it was cancelled")
	b.focused("Try again")
	if n := h.Count(t, `SELECT count(*) FROM webauthn_devices`); n != 1 {
		t.Errorf("%d passkeys were stored, want 1", n)
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// At an address by number there are no passkeys: it is said, and nobody gets in without theirs.
func TestPasskeyAtANumber(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.flow("setup", setupModel, setupSettings(), true, nil)
	s := loginSettings()
	s.NotConfigured = validate.Skip
	h.flow("login", loginModel, s, true, nil)
	b := newTab(t)
	b.plug()
	b.open(h.url + "/if/flow/setup" + next)
	b.name("ada")
	b.focused("Create a passkey")
	b.keys(kb.Enter)
	b.arrived()
	h.Exec(t, `DELETE FROM sessions`)
	at := strings.Replace(h.url, "localhost", "127.0.0.1", 1)
	b.open(at + "/if/flow/setup" + next)
	b.name("ada")
	b.says("Open this page by its name, not by its IP address.")
	b.open(at + "/if/flow/login" + next)
	b.name("ada")
	b.says("Passkeys do not work at this address.")
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// With COUNTERSIGN_WEB_SCREENS=dir it leaves a picture of each state, at both sizes, light and dark.
func TestPasskeyScreens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	only := setupSettings()
	only.Restrictions = []uuid.UUID{yubikey}
	h.flow("setup", setupModel, setupSettings(), true, nil)
	h.flow("only", setupModel, only, true, nil)
	h.flow("login", loginModel, loginSettings(), true, nil)
	anyone := h.flow("anyone", loginModel, loginSettings(), false, nil)
	h.flow("suggest", loginModel, loginSettings(), true, &anyone)
	k := newKey(t)
	br := h.registering(h.user, setupSettings())
	k.create(t, creation(t, br.Get(t)))
	br.Post(t, object{"response": k.created}).WantContinue(t)

	dir := os.Getenv("COUNTERSIGN_WEB_SCREENS")
	b := newTab(t)
	b.plug()
	b.cancels()
	for _, size := range []struct{ w, h int64 }{{390, 844}, {1280, 800}} {
		for _, scheme := range []string{"light", "dark"} {
			b.set(b.Do(chromedp.EmulateViewport(size.w, size.h)))
			_, err := chromium.Command(b.Tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
			b.set(err)
			for _, s := range []struct{ slug, state, ready string }{
				{"setup", "", "Create a passkey"}, {"only", "refused", "Invalid device type"}, {"login", "", "Nothing was confirmed"},
				{"anyone", "", "Use a passkey"}, {"suggest", "", "Sign in with a passkey"},
			} {
				h.Exec(t, `DELETE FROM sessions`)
				b.open(h.url + "/if/flow/" + s.slug + next)
				if s.slug != "anyone" && s.slug != "suggest" {
					b.name("ada")
				}
				if s.state != "" {
					b.focused("Create a passkey")
					b.keys(kb.Enter)
				}
				b.says(s.ready)
				wide, err := b.Overflows()
				if err != nil || wide {
					t.Errorf("%s at %d: wider than the screen (%v)", s.slug, size.w, err)
				}
				if dir == "" {
					continue
				}
				png, err := b.FullPicture()
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("webauthn-%s-%d-%s.png", s.slug, size.w, scheme)), png, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}
