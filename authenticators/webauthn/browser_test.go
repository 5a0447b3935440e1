package webauthn

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	cdpwebauthn "github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/api"
	"countersign/core/rbac"
	"countersign/core/user/usertest"
	"countersign/core/web"
	"countersign/flows"
	"countersign/flows/executor"
	"countersign/flows/flowtest"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/userlogin"
)

// chromiumMake is the AAGUID of Chromium's virtual authenticator.
var chromiumMake = uuid.MustParse("01020304-0506-0708-0102-030405060708")

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
	t          testing.TB
	ctx        context.Context
	mu         sync.Mutex
	complaints []string
	device     cdpwebauthn.AuthenticatorID
}

func newTab(t testing.TB) *tab {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no Chromium in PATH")
		}
		t.Skip("no Chromium in PATH: the pages are not tried in a browser")
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.ExecPath(path), chromedp.Flag("disable-dev-shm-usage", true), chromedp.DisableGPU)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	b := &tab{t: t, ctx: ctx}
	err := chromedp.Listen(ctx, func(ev any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			b.complaints = append(b.complaints, "exception: "+e.ExceptionDetails.Text+" "+fmt.Sprint(e.ExceptionDetails.Exception))
		case *log.EventEntryAdded:
			if e.Entry.Level == "error" && e.Entry.Source != "network" {
				b.complaints = append(b.complaints, e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	command(b, log.Enable, cdp.Empty{})
	command(b, cdpwebauthn.Enable, cdpwebauthn.EnableParams{})
	return b
}

func command[P, R any](b *tab, c cdp.Command[P, R], p P) (out R) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) (err error) {
		out, err = cdp.Call(ctx, t, c, p)
		return err
	}))
	return out
}

// plug adds an authenticator built into the computer, which knows its owner.
func (b *tab) plug() {
	b.t.Helper()
	o := &cdpwebauthn.VirtualAuthenticatorOptions{
		Protocol: "ctap2", Ctap2version: "ctap2_1", Transport: "internal", HasResidentKey: true, HasUserVerification: true,
		IsUserVerified: true, AutomaticPresenceSimulation: true,
	}
	b.device = command(b, cdpwebauthn.AddVirtualAuthenticator, cdpwebauthn.AddVirtualAuthenticatorParams{Options: o}).AuthenticatorID
}

// cancels has every later page's requests to use a passkey cancelled, as a person can.
func (b *tab) cancels() {
	b.t.Helper()
	command(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `navigator.credentials.get = () => Promise.reject(new DOMException("", "NotAllowedError"))`,
	})
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(url string) { b.t.Helper(); b.do(chromedp.Navigate(url)) }

func (b *tab) keys(keys string) { b.t.Helper(); b.do(chromedp.KeyEvent(keys)) }

func (b *tab) text() string {
	v, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return v
}

// until waits for an expression to become true.
func (b *tab) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && v {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never true: %s (%v)\npage: %s\ncomplaints: %v", expression, err, b.text(), b.complained())
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

func (b *tab) complained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.complaints)
}

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
	if c := b.complained(); len(c) > 0 {
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

	command(b, cdpwebauthn.SetUserVerified, cdpwebauthn.SetUserVerifiedParams{AuthenticatorID: b.device})
	enter("strict")
	b.says("Nothing was confirmed")
	command(b, cdpwebauthn.SetUserVerified, cdpwebauthn.SetUserVerifiedParams{AuthenticatorID: b.device, IsUserVerified: true})
	b.focused("Try again")
	b.keys(kb.Enter)
	b.arrived()
	h.Exec(t, `DELETE FROM sessions`)
	enter("setup")
	b.says("This device has a passkey for your account already.")

	command(b, cdpwebauthn.SetResponseOverrideBits, cdpwebauthn.SetResponseOverrideBitsParams{AuthenticatorID: b.device, IsBogusSignature: new(true)})
	b.open(h.url + "/if/flow/login" + next)
	b.name("ada")
	b.says("The signature is wrong.")
	command(b, cdpwebauthn.SetResponseOverrideBits, cdpwebauthn.SetResponseOverrideBitsParams{AuthenticatorID: b.device})
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
	if c := b.complained(); len(c) > 0 {
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
	if c := b.complained(); len(c) > 0 {
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
			b.do(chromedp.EmulateViewport(size.w, size.h))
			command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
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
				wide, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > innerWidth"))
				if err != nil || wide {
					t.Errorf("%s at %d: wider than the screen (%v)", s.slug, size.w, err)
				}
				if dir == "" {
					continue
				}
				png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("webauthn-%s-%d-%s.png", s.slug, size.w, scheme)), png, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if c := b.complained(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}
