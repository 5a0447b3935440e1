package web

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"countersign/e2e/chromium"
)

// A tab is one page of a real browser, for one test.
type tab struct {
	*chromium.Tab
	t testing.TB
}

func newTab(t testing.TB, browser *chromium.Browser) *tab {
	t.Helper()
	b, err := browser.NewTab("", chromium.Desktop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &tab{b, t}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := b.Do(steps...); err != nil {
		b.t.Fatal(err)
	}
}

// eval runs an expression and returns its value as JSON text.
func (b *tab) eval(expression string) string {
	b.t.Helper()
	v, err := chromium.Value[json.RawMessage](b.Tab, expression)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(v)
}

// until waits for an expression to become true.
func (b *tab) until(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		// A navigation may take the page away under the question.
		v, err := chromium.Value[bool](b.Tab, "Boolean("+expression+")")
		if err == nil && v {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never true: %s (%v)\npage: %s\ncomplaints: %v", expression, err, b.eval("document.body.innerText"), b.Complaints())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (b *tab) heading(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.getElementById('heading')?.textContent === %q", text))
}

func (b *tab) keys(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// tabTo presses Tab until the element with this text has the focus.
func (b *tab) tabTo(text string) {
	b.t.Helper()
	for range 30 {
		if b.eval(fmt.Sprintf("document.activeElement.innerText?.startsWith(%q) ?? false", text)) == "true" {
			return
		}
		b.keys(kb.Tab)
	}
	b.t.Fatalf("Tab never reached %q", text)
}

func (b *tab) media(features ...string) {
	b.t.Helper()
	var list []*emulation.MediaFeature
	for i := 0; i < len(features); i += 2 {
		list = append(list, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	if _, err := chromium.Command(b.Tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: list}); err != nil {
		b.t.Fatal(err)
	}
}

func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	devices := validate(device("totp", "1", nil), phone("number_matching_2", "07", object{"expires": soon(time.Minute)}))
	password := person("ak-stage-password", nil)
	waits := 0
	s := f.flow("login",
		step{challenge: identification(nil)},
		step{password, func(_ *call, body object) object {
			if body["password"] != "secret" {
				return wrong(password, "password", "invalid", "Invalid password")
			}
			return nil
		}},
		step{devices, func(s *call, body object) object {
			if waits++; waits == 1 {
				return wrong(devices, "mobile", "waiting", "Waiting for push answer")
			}
			s.hold()
			return nil
		}},
		step{challenge: person("ak-stage-user-login", nil)},
	)

	b.do(chromedp.Navigate(f.URL + "/if/flow/login/?next=%2Farrived%3Fa%3D1%26b"))
	b.heading("Welcome to Countersign")
	b.until("document.activeElement.name === 'uid_field'")
	b.keys(kb.Enter) // nothing typed: said at once, nothing sent
	b.until("document.activeElement.getAttribute('aria-invalid') === 'true'")
	if got := b.eval("document.getElementById(document.activeElement.getAttribute('aria-describedby').split(' ')[0]).textContent"); got != `"Fill this in."` {
		t.Errorf("text at the empty field: %s", got)
	}
	if len(s.sent()) != 0 {
		t.Errorf("an empty form was sent: %v", s.sent())
	}
	b.keys("ada.lovelace" + kb.Enter)

	b.heading("Enter your password")
	b.until("document.activeElement.name === 'password'")
	if got := b.eval("document.querySelector('.chip .name').textContent"); got != `"ada.lovelace"` {
		t.Errorf("chip: %s", got)
	}
	b.keys("wrong" + kb.Enter)
	b.until("document.querySelector('.error:not(:empty)')?.textContent === 'Invalid password'")
	if got := b.eval("[document.activeElement.name, document.activeElement.value]"); got != `["password","wrong"]` {
		t.Errorf("after a wrong password: %s", got)
	}
	b.keys("secret" + kb.Enter) // what stands there is selected

	b.heading("How do you want to confirm?")
	b.tabTo("Approve on Ada")
	b.keys(kb.Enter)
	b.heading("Tap this number on your phone")
	if got := b.eval("document.querySelector('.number').textContent"); got != `"07"` {
		t.Errorf("number: %s", got)
	}
	b.until("document.getElementById('live').textContent.includes('0 7')")
	b.until("document.querySelector('.ask .fine').textContent.endsWith('left')")
	s.mu.Lock()
	close(s.held)
	s.mu.Unlock()

	b.heading("Stay signed in?")
	b.tabTo("No")
	b.keys(kb.Enter)
	b.until("location.pathname === '/arrived'")

	posts := s.sent()
	var got []string
	for _, p := range posts {
		delete(p, "component")
		line, _ := json.Marshal(p)
		got = append(got, string(line))
	}
	uid := "018f6f7e-0000-7000-8000-000000000001"
	want := []string{
		`{"uid_field":"ada.lovelace"}`, `{"password":"wrong"}`, `{"password":"secret"}`,
		`{"mobile":"` + uid + `","selected_challenge":{"challenge":{"delivery":"sent","item":"07"},"device_class":"mobile","device_uid":"` + uid + `"}}`,
		`{"mobile":"` + uid + `"}`, `{"remember_me":false}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("sent:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

func TestServerAway(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	s := f.flow("login", step{challenge: identification(nil)}, step{challenge: person("ak-stage-password", nil)})

	b.do(chromedp.Navigate(f.URL + "/if/flow/login/"))
	b.until("document.activeElement.name === 'uid_field'")
	s.mu.Lock()
	s.fail = []int{503, 503}
	s.mu.Unlock()
	b.keys("ada.lovelace" + kb.Enter)
	b.until("document.getElementById('link').innerText.includes('The server is busy or starting.')")
	if got := b.eval("document.querySelector('[name=uid_field]').value"); got != `"ada.lovelace"` {
		t.Errorf("what was typed is gone: %s", got)
	}
	b.do(chromedp.KeyEvent(kb.Enter)) // a second submit while one runs
	b.heading("Enter your password")
	b.until("document.getElementById('link').innerText === ''")
	if n := len(s.sent()); n != 1 {
		t.Errorf("%d answers arrived, want 1", n)
	}

	// A broken connection after the answer was taken: the page asks where the flow stands and does not answer twice.
	s.mu.Lock()
	s.cut = true
	s.mu.Unlock()
	b.keys("secret" + kb.Enter)
	b.until("location.pathname === '/arrived'")
	if n := len(s.sent()); n != 2 {
		t.Errorf("%d answers arrived, want 2", n)
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// A screen is one state of a page: where it is, what is typed once first has the focus, and the text that it shows then.
type screen struct {
	name, path, first, keys, ready string
	set                            func() // what is true of the server then
}

func screens(f *fake) []screen {
	dead := func(c, again object) step {
		return step{c, func(s *call, body object) object {
			return again
		}}
	}
	waits := func(c object) step {
		return step{c, func(s *call, body object) object {
			s.hold()
			return c
		}}
	}
	number := validate(phone("number_matching_2", "47", object{"expires": soon(90 * time.Second)}), device("totp", "1", nil))
	one := func(mode, item string, more object) object { return validate(phone(mode, item, more)) }
	ready := enrolment()
	ready["payload"] = object{"u": "https://login.example.org/", "s": "ready", "t": "x"}
	f.data["/authenticators/mobile/ready/enrollment_status/"] = object{"status": "success"}
	used := enrolment()
	used["progress"] = "contested"
	totp := validate(device("totp", "1", nil))
	full := identification(object{
		"password_fields": true, "application_pre": "Team wiki", "recovery_url": "/if/flow/recovery/", "enroll_url": "/if/flow/enrol/",
		"sources": []object{{"name": "GitHub", "challenge": object{"type": "redirect", "component": "xak-flow-redirect", "to": "/source/oauth/login/github/"}}},
	})
	flows := []struct {
		name, ready string
		step        step
		first, keys string
	}{
		{name: "identification", ready: "Log in", step: step{challenge: identification(nil)}},
		{name: "identification-full", ready: "Sign up", step: step{challenge: full}},
		{name: "identification-error", ready: "Failed to authenticate.", step: step{challenge: wrong(identification(nil), "non_field_errors", "invalid", "Failed to authenticate.")}},
		{name: "password", ready: "Not you?", step: step{challenge: person("ak-stage-password", object{"recovery_url": "/if/flow/recovery/"})}},
		{name: "password-error", ready: "Invalid password", step: step{challenge: wrong(person("ak-stage-password", nil), "password", "invalid", "Invalid password")}},
		{name: "remember", ready: "Yes, stay signed in", step: step{challenge: person("ak-stage-user-login", nil)}},
		{name: "choose", ready: "Recovery code", step: step{challenge: validate(phone("number_matching_2", "47", nil), device("totp", "1", nil), device("static", "2", nil), device("sms", "3", nil))}},
		{name: "configure", ready: "Phone app", step: step{challenge: person("ak-stage-authenticator-validate", object{
			"device_challenges": []any{}, "configuration_stages": []object{
				{"pk": "1", "name": "setup-mobile", "verbose_name": "Mobile Authenticator Setup Stage", "meta_model_name": "authentik_stages_authenticator_mobile.authenticatormobilestage"},
				{"pk": "2", "name": "setup-totp", "verbose_name": "TOTP Authenticator Setup Stage", "meta_model_name": "authentik_stages_authenticator_totp.authenticatortotpstage"},
				{"pk": "3", "name": "Company keys", "verbose_name": "A kind from the future", "meta_model_name": "x"}}})}},
		{name: "totp", ready: "Enter your code", step: step{challenge: validate(device("totp", "1", nil))}},
		{name: "totp-error", ready: "Invalid Token", first: "document.activeElement.name === 'code'", keys: "123 456" + kb.Enter,
			step: step{totp, func(*call, object) object {
				return wrong(totp, "code", "invalid", "Invalid Token. Please ensure the time on your device is accurate and try again.")
			}}},
		{name: "number2", ready: "47", step: waits(one("number_matching_2", "47", object{"expires": soon(90 * time.Second)}))},
		{name: "number3", ready: "305", step: waits(one("number_matching_3", "305", nil))},
		{name: "number-choice", ready: "Use another way", step: waits(number),
			first: "document.activeElement.className === 'choice'", keys: kb.Enter},
		{name: "accept", ready: "approve the sign-in", step: waits(one("accept_deny", "accept", object{"expires": soon(40 * time.Second)}))},
		{name: "unreachable", ready: "We could not reach your phone", step: step{one("number_matching_2", "47", nil), func(s *call, body object) object {
			c := one("number_matching_2", "47", nil)
			if len(s.sent()) < 2 {
				return wrong(c, "mobile", "internal", "Failed to send push notification")
			}
			s.hold()
			return c
		}}},
		{name: "wrong-number", ready: "Nobody was let in", step: dead(one("number_matching_2", "47", nil), wrong(one("number_matching_2", "47", nil), "mobile", "denied", "Mobile denied access"))},
		{name: "typed6", ready: "type this number", step: waits(one("number_typed_6", "093027", object{"expires": soon(50 * time.Second), "attempts_left": 3}))},
		{name: "typed2", ready: "type this number", step: waits(one("number_typed_2", "47", object{"attempts_left": 3}))},
		{name: "typed-wrong", ready: "2 tries are left", step: step{one("number_typed_6", "093027", nil), func(s *call, _ object) object {
			c := one("number_typed_6", "093027", object{"attempts_left": 2})
			if len(s.sent()) < 2 {
				return wrong(c, "mobile", "wrong_number", "A wrong number was typed on the phone. 2 tries are left.")
			}
			s.hold()
			return c
		}}},
		{name: "mistyped", ready: "Too many wrong numbers", step: dead(one("number_typed_6", "093027", nil), wrong(one("number_typed_6", "093027", nil), "mobile", "denied", "Mobile denied access"))},
		{name: "code", ready: "It shows a code", step: waits(one("code_shown_6", "", object{"expires": soon(50 * time.Second), "attempts_left": 3, "approved": false}))},
		{name: "code-approved", ready: "Type the code that", step: step{one("code_shown_6", "", object{"approved": false}), func(s *call, _ object) object {
			c := one("code_shown_6", "", object{"approved": true, "attempts_left": 3})
			if len(s.sent()) < 2 {
				return wrong(c, "mobile", "waiting", "Waiting for push answer")
			}
			s.hold()
			return c
		}}},
		{name: "code-wrong", ready: "One try is left", first: "document.activeElement.name === 'code'", keys: "123 456" + kb.Enter,
			step: step{one("code_shown_6", "", nil), func(s *call, body object) object {
				c := one("code_shown_6", "", object{"approved": true, "attempts_left": 1})
				if body["code"] != nil {
					return wrong(c, "code", "wrong_number", "That is not the code that your phone shows. One try is left.")
				}
				s.hold()
				return c
			}}},
		{name: "miscoded", ready: "Too many wrong codes", step: dead(one("code_shown_6", "", nil), wrong(one("code_shown_6", "", nil), "mobile", "denied", "Mobile denied access"))},
		{name: "phone-unable", ready: "This phone cannot be asked", step: dead(one("number_typed_6", "093027", nil), wrong(one("number_typed_6", "093027", nil), "mobile", "unsupported", "The app on this phone cannot be asked in the way that is demanded here. Update the app and open it, or use another way."))},
		{name: "expired", ready: "No answer came", step: dead(one("number_matching_2", "47", nil), wrong(one("number_matching_2", "47", nil), "mobile", "invalid", "Mobile push notification timed out."))},
		{name: "superseded", ready: "Replaced by a newer", step: dead(one("number_matching_2", "47", nil), wrong(one("number_matching_2", "47", nil), "mobile", "superseded", "x"))},
		{name: "throttled", ready: "Wait 40 seconds", step: step{one("number_matching_2", "47", nil), func(*call, object) object {
			return wrong(one("number_matching_2", "47", nil), "selected_challenge", "throttled", "Your phone was asked too often. Wait 40 seconds, then try again.")
		}}},
		{name: "denied", ready: "You were not let in", step: step{challenge: person("ak-stage-access-denied", object{"error_message": "Mobile denied access"})}},
		{name: "flow-error", ready: "name this number", step: step{challenge: object{"type": "native", "component": "ak-stage-flow-error",
			"request_id": "0f9a6f0e2b8c4e55a1d2c3b4a5968778", "error": "boom", "traceback": "goroutine 1\n" + strings.Repeat("main.go:1 ", 60)}}},
		{name: "enrol", ready: "Waiting for your phone", step: step{challenge: enrolment()}},
		{name: "enrol-compare", ready: "Does your phone show this?", step: step{challenge: calledIn()}},
		{name: "enrol-used", ready: "This code was used already", step: step{challenge: used}},
		{name: "enrol-done", ready: "From now on", step: step{ready, func(*call, object) object { return ready }}},
		{name: "unknown", ready: "This step cannot be shown", step: step{challenge: challenge("ak-stage-from-the-future", nil)}},
	}
	var out []screen
	for _, s := range flows {
		f.flow(s.name, s.step)
		out = append(out, screen{name: s.name, path: "/if/flow/" + s.name + "/", first: s.first, keys: s.keys, ready: s.ready})
	}
	away := f.flow("away", step{challenge: identification(nil)})
	away.fail = slices.Repeat([]int{503}, 1000)
	f.data["/authenticators/mobile/018f6f7e-0000-7000-8000-00000000000a/enrollment_status/"] = object{"status": "waiting"}
	out = append(out, codeScreens(f)...)
	out = append(out, otherScreens(f)...)
	out = append(out, accountScreens(f)...)
	return append(out, []screen{
		{name: "away", path: "/if/flow/away/", ready: "The server is busy or starting."},
		{name: "missing-flow", path: "/if/flow/none/", ready: "There is nothing here"},
		{name: "admin", path: "/if/admin/", ready: "Open the API browser"},
		{name: "session-end", path: "/if/session-end/wiki/", ready: "Back into Team wiki"},
		{name: "setup", path: "/if/setup/good/", ready: "Set the password"},
		{name: "setup-used", path: "/if/setup/bad/", ready: "This link is used up"},
		{name: "missing", path: "/nowhere", ready: "There is nothing here"},
	}...)
}

// faint lists the texts whose contrast is below WCAG 2.2's AA (1.4.3): 4.5:1, 3:1 for large ones. Disabled controls are exempt.
const faint = `(() => {
	const parts = (c) => (c.match(/[\d.]+/g) ?? []).map(Number);
	const light = (c) => parts(c).slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = getComputedStyle(e).backgroundColor;
			if ((parts(c)[3] ?? 1) > 0) return c;
		}
		return "rgb(255, 255, 255)";
	};
	const out = [], walk = document.createTreeWalker(document.querySelector("dialog[open]") ?? document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walk.nextNode()); ) {
		const e = n.parentElement;
		if (!n.textContent.trim() || !e.checkVisibility() || e.closest("noscript, .sr, :disabled, [aria-disabled=true]")) continue;
		const style = getComputedStyle(e), size = parseFloat(style.fontSize);
		const [a, b] = [light(style.color), light(ground(e))].sort((x, y) => y - x);
		const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < (large ? 3 : 4.5)) out.push(ratio.toFixed(2) + " " + n.textContent.trim());
	}
	return out;
})()`

// reaches goes through the page with Tab: every control gets the focus, and shows it.
func (b *tab) reaches(name string) {
	b.t.Helper()
	const controls = `[...(document.querySelector("dialog[open]") ?? document).querySelectorAll("button, a[href], input, textarea, summary")]
		.filter((e) => e.checkVisibility() && !e.disabled && !e.closest("[aria-hidden=true]"))`
	b.eval("(window.reached = new Set(), document.activeElement.blur(), 0)")
	n := b.eval(controls + ".length")
	presses, _ := strconv.Atoi(n)
	for range presses + 2 { // the page itself is one place more
		b.keys(kb.Tab)
		b.eval(`(window.reached.add(document.activeElement), document.activeElement !== document.body &&
			getComputedStyle(document.activeElement).outlineStyle === "none" && (window.unseen = document.activeElement.outerHTML), 0)`)
	}
	if got := b.eval(controls + ".filter((e) => !window.reached.has(e)).map((e) => e.outerHTML)"); got != "[]" {
		b.t.Errorf("%s: Tab does not reach %s", name, got)
	}
	if got := b.eval("window.unseen ?? ''"); got != `""` {
		b.t.Errorf("%s: the focus cannot be seen at %s", name, got)
	}
}

// Every state at every width, light and dark: no complaint of the browser, no sideways scrolling, every control with a
// name and in reach of the Tab key, every text with enough contrast. With COUNTERSIGN_WEB_SCREENS=dir it leaves a picture of each.
func TestScreens(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("COUNTERSIGN_WEB_SCREENS")
	browser := chromium.StartFor(t)
	f := newFake(t)
	list := screens(f)
	for _, size := range []struct{ w, h int64 }{{320, 640}, {390, 844}, {1280, 800}} {
		for _, scheme := range []string{"light", "dark"} {
			if dir == "" && (scheme == "dark") != (size.w == 390) {
				continue // colours do not move boxes: for the checks alone each state is seen once a width
			}
			b := newTab(t, browser)
			b.do(chromedp.EmulateViewport(size.w, size.h))
			b.media("prefers-color-scheme", scheme, "prefers-reduced-motion", "reduce")
			for _, s := range list {
				f.mu.Lock()
				if flow := f.flows[s.name]; flow != nil {
					flow.mu.Lock()
					flow.at, flow.posts = 0, nil
					flow.mu.Unlock()
				}
				f.mu.Unlock()
				if s.set != nil {
					s.set()
				}
				b.do(chromedp.Navigate(f.URL + s.path))
				if s.first != "" {
					b.until(s.first)
					b.keys(s.keys)
				}
				b.until(fmt.Sprintf("document.body.innerText.includes(%q)", s.ready))
				if got := b.eval("document.documentElement.scrollWidth > innerWidth"); got != "false" {
					t.Errorf("%s is wider than %d px", s.name, size.w)
				}
				if got := b.eval(`[...document.querySelectorAll("button, a, input:not([aria-hidden]), textarea")]
					.filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML)`); got != "[]" {
					t.Errorf("%s: controls without a name: %s", s.name, got)
				}
				if got := b.eval(faint); got != "[]" {
					t.Errorf("%s %s: text that is hard to read: %s", s.name, scheme, got)
				}
				if dir != "" {
					picture(b, filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", s.name, size.w, scheme)))
				}
				if size.w == 320 && scheme == "light" {
					b.reaches(s.name)
				}
			}
			for _, c := range b.Complaints() {
				t.Errorf("%d %s: the browser complained: %s", size.w, scheme, c)
			}
		}
	}
}

func picture(b *tab, path string) {
	b.t.Helper()
	png, err := b.FullPicture()
	if err == nil {
		err = os.WriteFile(path, png, 0o600)
	}
	if err != nil {
		b.t.Fatalf("picture: %v", err)
	}
}
