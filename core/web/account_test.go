package web

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"countersign/e2e/chromium"
)

// A life is what the account page may find.
type life struct {
	devices []object       // of /authenticators/all/
	details map[string]any // what the kinds' own addresses tell
	ways    []string       // the kinds that may be added
	root    bool           // an administrator
}

func (f *fake) live(l life) {
	f.mu.Lock()
	defer f.mu.Unlock()
	agent := func(app, system string) object {
		return object{"user_agent": object{"family": app}, "os": object{"family": system}, "device": object{}, "string": ""}
	}
	maps.DeleteFunc(f.data, func(path string, _ any) bool {
		return strings.HasPrefix(path, "/authenticators/") && !strings.HasSuffix(path, "/enrollment_status/")
	})
	clear(f.fail)
	f.data["/core/users/me/"] = object{"user": object{"pk": 7, "username": "ada.lovelace", "name": "Ada Lovelace", "email": "ada@example.org",
		"avatar": "", "is_superuser": l.root}}
	settings := []object{{"object_uid": "p", "component": "ak-user-settings-password", "title": "Password", "configure_url": "/flows/-/configure/p/"}}
	for i, way := range l.ways {
		settings = append(settings, object{"object_uid": way, "component": "ak-user-settings-authenticator-" + way,
			"title": fmt.Sprint("Setup ", i), "configure_url": "/flows/-/configure/" + way + "/"})
	}
	// A kind without a flow to configure it: listed all the same, and not to be offered.
	settings = append(settings, object{"object_uid": "q", "component": "ak-user-settings-authenticator-sms", "title": "Closed"})
	f.data["/stages/all/user_settings/"] = settings
	f.data["/authenticators/all/"] = append([]object{}, l.devices...)
	maps.Copy(f.data, l.details)
	f.data["/core/authenticated_sessions/"] = results(
		object{"uuid": "s2", "current": false, "user": 7, "user_agent": agent("Firefox", "Windows"), "last_ip": "2001:db8::8a2e:370:7334", "last_used": soon(-50 * time.Hour)},
		object{"uuid": "s1", "current": true, "user": 7, "user_agent": agent("Chrome", "Linux"), "last_ip": "192.0.2.7", "last_used": soon(0)},
		object{"uuid": "s3", "current": false, "user": 8, "user_agent": agent("Safari", "iOS"), "last_ip": "192.0.2.9", "last_used": soon(0)})
}

func (f *fake) called(call string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.calls, call)
}

func results(items ...object) object { return object{"pagination": object{}, "results": items} }

// owns is a device in the list over all kinds.
func owns(class, model string, pk int, name string) object {
	return object{"type": "authentik_stages_authenticator_" + class + "." + model, "pk": pk, "name": name, "confirmed": true, "verbose_name": model}
}

func codes(pk, left int) object {
	return object{"pk": pk, "name": "Static Token", "token_set": slices.Repeat([]object{{"token": "************"}}, left)}
}

func handset(uid, name, platform, model, version string) object {
	return object{"pk": uid, "name": name, "confirmed": true, "last_checkin": object{"platform": platform, "os_version": version, "model": model,
		"hostname": model, "app_version": "1.4.0", "others": object{}}}
}

var everyWay = []string{"totp", "duo", "static", "webauthn", "mobile", "sms"}

// many has devices of every kind, and one of a kind that no page knows.
func many() life {
	return life{
		ways: everyWay,
		devices: []object{
			owns("mobile", "MobileDevice", 1, "Ada’s Pixel 9"), owns("mobile", "MobileDevice", 2, "Old phone with a rather long name that somebody once gave it"),
			owns("totp", "TOTPDevice", 1, "TOTP Authenticator"), owns("totp", "TOTPDevice", 2, "Work tablet"),
			owns("static", "StaticDevice", 1, "Static Token"),
			owns("webauthn", "WebAuthnDevice", 1, "iCloud Keychain"), owns("webauthn", "WebAuthnDevice", 2, "Blue key on the key ring"),
			owns("duo", "DuoDevice", 1, "Duo Authenticator"), owns("sms", "SMSDevice", 1, "SMS Device"), owns("ring", "RingDevice", 1, "Signet"),
		},
		details: map[string]any{
			"/authenticators/mobile/": results(
				handset("aa", "Ada’s Pixel 9", "android", "Pixel 9", "16"),
				handset("bb", "Old phone with a rather long name that somebody once gave it", "ios", "iPhone 12", "18.1")),
			"/authenticators/static/": results(codes(1, 6)),
			"/authenticators/webauthn/": results(
				object{"pk": 1, "name": "iCloud Keychain", "created_on": soon(-200 * 24 * time.Hour), "last_used": soon(-26 * time.Hour), "backup_eligible": true, "backup_state": true,
					"device_type": object{"description": "iCloud Keychain"}},
				object{"pk": 2, "name": "Blue key on the key ring", "created_on": soon(-time.Hour), "last_used": nil, "backup_eligible": false, "backup_state": false,
					"device_type": object{"description": "YubiKey 5 Series with NFC"}}),
			"/authenticators/sms/": results(object{"pk": 1, "name": "SMS Device", "phone_number": "+447700900123"}),
		},
	}
}

// one has a single phone.
func one() life {
	return life{ways: everyWay, devices: []object{owns("mobile", "MobileDevice", 1, "Ada’s Pixel 9")},
		details: map[string]any{"/authenticators/mobile/": results(handset("aa", "Ada’s Pixel 9", "android", "Pixel 9", "16"))}}
}

// few has a phone and nearly no recovery codes.
func few(left int) life {
	l := one()
	l.devices = append(l.devices, owns("static", "StaticDevice", 1, "Static Token"))
	l.details["/authenticators/static/"] = results(codes(1, left))
	return l
}

// accountScreens are the states of the account page.
func accountScreens(f *fake) []screen {
	with := func(l life, fail ...string) func() {
		return func() {
			f.live(l)
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, call := range fail {
				f.fail[call] = 500
			}
		}
	}
	press := func(label string) string {
		return fmt.Sprintf("(document.querySelector('[aria-label=%q]')?.focus(), document.activeElement.ariaLabel === %q)", label, label)
	}
	root := many()
	root.root = true
	out := []screen{
		{name: "user-empty", set: with(life{ways: everyWay}), ready: "You have no second step yet"},
		{name: "user-closed", set: with(life{}), ready: "An administrator has to allow it"},
		{name: "user-many", set: with(many()), ready: "This one"},
		{name: "user-root", set: with(root), ready: "Administration"},
		{name: "user-few", set: with(few(2)), ready: "only 2 recovery codes left"},
		{name: "user-remove", set: with(many()), ready: "Remove iCloud Keychain?", first: press("Remove iCloud Keychain"), keys: kb.Enter},
		{name: "user-remove-last", set: with(one()), ready: "your only second step", first: press("Remove Ada’s Pixel 9"), keys: kb.Enter},
		{name: "user-moving", set: with(moved()), ready: "Pixel 11 is to take"},
		{name: "user-remove-refused", set: with(one(), "DELETE /authenticators/mobile/aa/"), ready: "name this number",
			first: "document.querySelector('dialog') ? (document.querySelector('dialog [type=submit]').focus(), true) : document.querySelector('.danger')?.click()", keys: kb.Enter},
		{name: "user-rename", set: with(many()), ready: "So that you can tell it", first: press("Rename Duo"), keys: kb.Enter},
		{name: "user-failed", set: with(one(), "GET /authenticators/all/", "GET /core/authenticated_sessions/"), ready: "on our side"},
		{name: "user-partly", set: with(many(), "GET /authenticators/mobile/", "GET /stages/all/user_settings/"), ready: "Some details could not be loaded"},
		{name: "user-away", set: with(one(), "GET /core/users/me/"), ready: "on our side"},
	}
	for i := range out {
		out[i].path = "/if/user/"
	}
	return out
}

// Everything on the account page with the keyboard alone.
func TestAccount(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	f.live(many())
	b.do(chromedp.Navigate(f.URL + "/if/user/"))
	b.until("document.querySelectorAll('.row').length === 12") // ten devices, two sessions of this person
	texts := b.eval("[...document.querySelectorAll('[data-device] .what')].map((e) => e.innerText.replace(/\\s+/g, ' '))")
	for _, want := range []string{
		"Ada’s Pixel 9 Phone app · Pixel 9 · Android 16 · app 1.4.0", "\"Authenticator app (one-time codes)\"", "Work tablet Authenticator app (one-time codes)",
		"Recovery codes 6 codes left", "iCloud Keychain Synced Passkey or security key · also on your other devices · added 7 months ago · used yesterday",
		"Blue key on the key ring Passkey or security key · YubiKey 5 Series with NFC · on one device only · added 1 hour ago · not used yet",
		"\"Duo\"", "Text message to the number that ends in 23", "Signet RingDevice",
	} {
		if !strings.Contains(texts, want) {
			t.Errorf("no %q among %s", want, texts)
		}
	}
	links := b.eval("[...document.querySelectorAll('.choice')].map((e) => e.pathname.split('/')[4] + ': ' + e.querySelector('strong').innerText)")
	if want := `["mobile: Another phone","webauthn: Another passkey or security key","totp: Another authenticator app",` +
		`"static: New recovery codes","sms: Another number for text messages","duo: Another Duo account"]`; links != want {
		t.Errorf("on offer: %s", links)
	}

	b.tabTo("Rename")
	b.keys(kb.Enter)
	b.until("document.activeElement.name === 'name' && document.activeElement.value === 'Ada’s Pixel 9'")
	b.keys(" " + kb.Enter)
	b.until("document.activeElement.getAttribute('aria-invalid') === 'true'")
	f.mu.Lock()
	f.data["/authenticators/all/"].([]object)[0]["name"] = "Work phone"
	f.data["/authenticators/mobile/"].(object)["results"].([]object)[0]["name"] = "Work phone"
	f.mu.Unlock()
	b.keys("Work phone" + kb.Enter)
	b.until("!document.querySelector('dialog') && document.activeElement.ariaLabel === 'Rename Work phone'")
	b.until("document.getElementById('live').textContent === 'Renamed.'")
	if !f.called("PATCH /authenticators/mobile/aa/") {
		t.Errorf("no rename among %v", f.calls)
	}

	b.tabTo("Remove")
	b.keys(kb.Enter)
	b.until("document.querySelector('dialog')?.textContent.includes('can no longer approve') && document.activeElement.innerText === 'Cancel'")
	if got := b.eval("document.querySelector('dialog .notice:not(:empty)')"); got != "null" {
		t.Error("one of many is called the last one")
	}
	b.keys(kb.Escape)
	b.until("!document.querySelector('dialog') && document.activeElement.ariaLabel === 'Remove Work phone'")
	if f.called("DELETE /authenticators/mobile/aa/") {
		t.Error("Escape removed the phone")
	}
	b.keys(kb.Enter)
	b.until("document.querySelector('dialog')")
	f.mu.Lock()
	f.data["/authenticators/all/"] = many().devices[4:5]
	f.mu.Unlock()
	b.tabTo("Remove")
	b.keys(kb.Enter)
	b.until("document.querySelectorAll('[data-device]').length === 1 && document.activeElement.tagName === 'H2'")
	b.until("document.getElementById('live').textContent === 'Removed: Work phone.'")
	if !f.called("DELETE /authenticators/mobile/aa/") {
		t.Errorf("no removal among %v", f.calls)
	}

	// The last one, which another tab has removed meanwhile.
	b.tabTo("Remove")
	b.keys(kb.Enter)
	b.until("document.querySelector('dialog')?.textContent.includes('It is your only second step.')")
	f.mu.Lock()
	f.data["/authenticators/all/"] = []object{}
	f.fail["DELETE /authenticators/static/1/"] = 404
	f.mu.Unlock()
	b.tabTo("Remove")
	b.keys(kb.Enter)
	b.until("document.body.innerText.includes('You have no second step yet') && document.querySelectorAll('.choices').length === 1")
	if got := b.eval("[...document.querySelectorAll('.choice')].filter((e) => e.innerText.includes('Recommended')).map((e) => e.pathname)"); got !=
		`["/flows/-/configure/mobile/","/flows/-/configure/webauthn/"]` {
		t.Errorf("to begin with: %s", got)
	}

	b.tabTo("End")
	b.keys(kb.Enter)
	b.until("document.querySelector('dialog')")
	b.tabTo("End it")
	b.keys(kb.Enter)
	b.until("!document.querySelector('dialog')")
	if !f.called("DELETE /core/authenticated_sessions/s2/") {
		t.Errorf("no end of the session among %v", f.calls)
	}
	b.tabTo("Phone app")
	b.keys(kb.Enter)
	b.until("location.pathname === '/flows/-/configure/mobile/'")
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}

	// Signed out meanwhile: on to the login, and back here afterwards.
	f.mu.Lock()
	delete(f.data, "/core/users/me/")
	f.mu.Unlock()
	b.do(chromedp.Navigate(f.URL + "/if/user/"))
	b.until("location.pathname === '/flows/-/default/authentication/'")
	if got := b.eval("location.search"); got != `"?next=%2Fif%2Fuser%2F"` {
		t.Errorf("query: %s", got)
	}
}

// An administrator's lists hold everybody's devices (core.md §5): the page shows and changes their own alone.
func TestAccountOfAnAdministrator(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	l := few(1)
	l.root = true
	l.details["/authenticators/mobile/"] = results(handset("zz", "Ada’s Pixel 9", "android", "Pixel 8", "15"), handset("aa", "Ada’s Pixel 9", "android", "Pixel 9", "16"))
	l.details["/authenticators/mobile/aa/"] = handset("aa", "Ada’s Pixel 9", "android", "Pixel 9", "16")
	l.details["/authenticators/static/1/"] = codes(1, 1)
	l.details["/authenticators/static/"] = results(codes(2, 6), codes(1, 1))
	f.live(l)
	b.do(chromedp.Navigate(f.URL + "/if/user/"))
	b.until("document.querySelectorAll('[data-device]').length === 2")
	text := b.eval("document.body.innerText")
	if !strings.Contains(text, "Android 16") || strings.Contains(text, "Pixel 8") || !strings.Contains(text, "only one recovery code left") {
		t.Errorf("the page: %s", text)
	}
	if got := b.eval("document.querySelector('.notice a').pathname"); got != `"/flows/-/configure/static/"` {
		t.Errorf("new codes are made at %s", got)
	}
	b.tabTo("Rename")
	b.keys(kb.Enter)
	b.until("document.activeElement.name === 'name'")
	b.keys("Mine" + kb.Enter)
	b.until("!document.querySelector('dialog')")
	if !f.called("PATCH /authenticators/mobile/aa/") || f.called("PATCH /authenticators/mobile/zz/") {
		t.Errorf("calls %v", f.calls)
	}
}

// What fails is said where it failed, and can be tried again; nothing moves while the page comes up.
func TestAccountInTrouble(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	fail := func(call string, status int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.fail[call] = status
	}
	f.live(one())
	fail("GET /authenticators/all/", 503)
	fail("GET /stages/all/user_settings/", 500)
	b.do(chromedp.Navigate(f.URL + "/if/user/"))
	b.until("document.querySelector('.notice.bad')?.textContent === 'The server is busy or starting. Try again in a moment.'")
	if got := b.eval("document.querySelectorAll('.row').length"); got != "2" {
		t.Errorf("%s sessions beside what failed", got)
	}
	fail("GET /authenticators/all/", 0)
	b.tabTo("Try again")
	b.keys(kb.Enter)
	b.until("document.querySelectorAll('[data-device]').length === 1 && document.activeElement.tagName === 'H2'")
	if text := b.eval("document.body.innerText"); !strings.Contains(text, "What you can add could not be loaded.") || strings.Contains(text, "administrator has to") {
		t.Errorf("without the settings: %s", text)
	}

	fail("DELETE /authenticators/mobile/aa/", 400)
	b.tabTo("Remove")
	b.keys(kb.Enter)
	b.until("document.querySelector('dialog')")
	b.tabTo("Remove")
	b.keys(kb.Enter)
	b.until("document.querySelector('dialog [role=alert]')?.textContent === 'Not allowed just now.'")
	b.keys(kb.Escape)
	b.until("!document.querySelector('dialog')")
	if got := b.eval("document.querySelectorAll('[data-device]').length"); got != "1" {
		t.Errorf("%s devices after a refusal", got)
	}

	connected := func(on bool) {
		t.Helper()
		state := network.OverrideNetworkStateParams{Offline: !on, DownloadThroughput: -1, UploadThroughput: -1}
		if _, err := chromium.Command(b.Tab, network.OverrideNetworkState, state); err != nil {
			t.Fatal(err)
		}
		rules := network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{
			Offline: !on, DownloadThroughput: -1, UploadThroughput: -1}}}
		if _, err := chromium.Command(b.Tab, network.EmulateNetworkConditionsByRule, rules); err != nil {
			t.Fatal(err)
		}
	}
	connected(false)
	b.until("document.getElementById('offline').innerText.startsWith('You are offline.')")
	b.tabTo("Remove")
	b.keys(kb.Enter)
	b.until("document.querySelector('dialog')")
	b.tabTo("Remove")
	b.keys(kb.Enter)
	b.until("document.querySelector('dialog [role=alert]')?.textContent.startsWith('The server cannot be reached.')")
	b.keys(kb.Escape)
	connected(true)
	b.until("document.getElementById('offline').innerText === ''")
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// What stands on the page stays where it is while the rest arrives (a layout shift below 0.1 counts as good).
func TestAccountDoesNotMove(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	f.live(many())
	for _, width := range []int64{360, 1280} {
		b.do(chromedp.EmulateViewport(width, 800), chromedp.Navigate(f.URL+"/if/user/"))
		b.until("document.querySelectorAll('.row').length === 12")
		moved := b.eval(`new Promise((done) => {
			let sum = 0;
			new PerformanceObserver((list) => { for (const e of list.getEntries()) sum += e.value; }).observe({ type: "layout-shift", buffered: true });
			requestAnimationFrame(() => setTimeout(() => done(sum < 0.02 ? "still" : sum), 100));
		})`)
		if moved != `"still"` {
			t.Errorf("%d px: what stood there moved, by %s", width, moved)
		}
	}
}

// moved has a phone that offers its account to a new one, and one whose place is taken.
func moved() life {
	l := many()
	phones := l.details["/authenticators/mobile/"].(object)["results"].([]object)
	phones[0]["changed"] = soon(-3 * time.Hour)
	phones[0]["transfer"] = object{"state": "arrived", "name": "Pixel 11", "ends": soon(5 * time.Minute)}
	phones[1]["transfer"] = object{"state": "approved", "name": "iPhone 18", "ends": soon(20 * time.Hour)}
	return l
}

// A phone that moves says so, and the person may stop it.
func TestAccountStopsAMove(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	f.live(moved())
	b.do(chromedp.Navigate(f.URL + "/if/user/"))
	b.until("document.querySelectorAll('.row').length === 12")
	texts := b.eval("[...document.querySelectorAll('[data-device] .what')].map((e) => e.innerText.replace(/\\s+/g, ' '))")
	for _, want := range []string{
		"keys or address changed 3 hours ago", "Pixel 11 is to take its place, and waits for this phone to approve it. Stop this",
		"iPhone 18 takes its place. This phone is removed in 20 hours.",
	} {
		if !strings.Contains(texts, want) {
			t.Errorf("no %q among %s", want, texts)
		}
	}
	b.tabTo("Stop this")
	b.keys(kb.Enter)
	b.until("document.querySelector('dialog')?.textContent.includes('the new phone gets nothing')")
	f.mu.Lock()
	f.data["/authenticators/mobile/"] = many().details["/authenticators/mobile/"]
	f.data["/authenticators/mobile/aa/stop_transfer/"] = object{}
	f.mu.Unlock()
	b.tabTo("Stop the move")
	b.keys(kb.Enter)
	b.until("document.getElementById('live').textContent === 'The move was stopped.'")
	b.until("!document.body.innerText.includes('Pixel 11')")
	if !f.called("POST /authenticators/mobile/aa/stop_transfer/") {
		t.Errorf("calls %v", f.calls)
	}
}
