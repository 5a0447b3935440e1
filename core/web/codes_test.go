package web

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"countersign/e2e/chromium"
)

const otpKey = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// appSetUp is the challenge that sets an authenticator app up.
func appSetUp() object {
	return person("ak-stage-authenticator-totp", object{
		"config_url": "otpauth://totp/Team%20Countersign:ada.lovelace?secret=" + otpKey + "&algorithm=SHA1&digits=6&period=30&issuer=Team%20Countersign",
		"qr_code":    enrolment()["qr_code"],
	})
}

// recoveryCodes is the challenge that hands recovery codes out.
func recoveryCodes() object {
	return person("ak-stage-authenticator-static", object{
		"codes": []string{"abcdefghjkmn", "pqrstuvwxyz2", "3456789abcde", "fghjkmnpqrst", "uvwxyz234567", "89abcdefghjk"},
	})
}

// codeScreens are the pages about codes.
func codeScreens(f *fake) []screen {
	keyOnly := appSetUp()
	delete(keyOnly, "qr_code")
	locked := validate(device("static", "2", object{"device_name": "Static Token", "codes_left": 2}))
	again := func(c object) step { // shown again after the first answer
		return step{locked, func(*call, object) object { return c }}
	}
	choice := validate(
		device("totp", "1", object{"device_name": "TOTP Authenticator"}), device("totp", "3", object{"device_name": "Work phone"}),
		device("static", "2", object{"device_name": "Static Token", "codes_left": 2}))
	steps := map[string]step{
		"app": {challenge: appSetUp()}, "app-key": {challenge: keyOnly},
		"app-wrong": {challenge: wrong(appSetUp(), "code", "invalid", "Code does not match")}, "codes": {challenge: recoveryCodes()},
		"codes-locked": again(wrong(locked, "code", "throttled", "Too many wrong codes. Try again in 8 seconds.")), "codes-choice": {challenge: choice},
	}
	out := []screen{
		{name: "app", ready: "The 6 digits"}, {name: "app-key", ready: "ABCD"}, {name: "app-wrong", ready: "Code does not match"},
		{name: "codes", ready: "I have saved them"}, {name: "codes-choice", ready: "2 left"},
		{name: "codes-locked", ready: "Try again in 8 seconds.", first: "document.activeElement.name === 'code'", keys: "abcd-efgh-jkmn" + kb.Enter},
	}
	for i := range out {
		out[i].path = "/if/flow/" + out[i].name + "/"
		f.flow(out[i].name, steps[out[i].name])
	}
	return out
}

// A device that takes no code for a while says so before one is typed, counts down, and says nothing any more then.
func TestLockedDeviceCountsDown(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	f.flow("soon", step{challenge: validate(device("totp", "1", object{"device_name": "App", "locked_until": soon(3 * time.Second)}))})
	f.flow("never", step{challenge: validate(device("totp", "1", object{"device_name": "App", "locked_until": soon(100 * 365 * 24 * time.Hour)}))})
	b.do(chromedp.Navigate(f.URL + "/if/flow/soon/"))
	b.until("/again in 0:0[1-4]\\.$/.test(document.querySelector('.notice')?.textContent ?? '')")
	b.until("document.querySelector('.notice').hidden")
	b.do(chromedp.Navigate(f.URL + "/if/flow/never/"))
	b.until("document.querySelector('.notice')?.textContent.includes('no more codes from here')")
}

// Both set-ups with the keyboard alone.
func TestSetUpWithTheKeyboard(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	app := appSetUp()
	s := f.flow("set-up",
		step{app, func(_ *call, body object) object {
			if body["code"] != "012345" {
				return wrong(app, "code", "invalid", "Code does not match")
			}
			return nil
		}},
		step{challenge: recoveryCodes()},
	)

	b.do(chromedp.Navigate(f.URL + "/if/flow/set-up/"))
	b.heading("Add an authenticator app")
	if got := b.eval("document.querySelector('.qr img').naturalWidth > 0"); got != "true" {
		t.Error("the QR code is not drawn")
	}
	b.tabTo("Can’t scan?")
	b.keys(kb.Enter)
	b.until("document.querySelector('details').open")
	if got := b.eval("[...document.querySelectorAll('.key span')].map((e) => e.textContent).join(' ')"); got != `"ABCD EFGH IJKL MNOP QRST UVWX YZ23 4567"` {
		t.Errorf("the key reads %s", got)
	}
	copied := func(label string) {
		t.Helper()
		b.tabTo(label)
		b.keys(kb.Enter)
		b.until("['Copied', 'Copy by hand'].includes(document.activeElement.innerText)")
	}
	copied("Copy the key")
	b.keys(kb.Tab)
	b.until("document.activeElement.name === 'code'")
	b.keys("999 999" + kb.Enter)
	b.until("document.activeElement.getAttribute('aria-invalid') === 'true'")
	if b.eval("document.querySelector('details').open") != "true" {
		t.Error("what was opened is closed after a wrong code")
	}
	b.keys("012 345" + kb.Enter)

	b.heading("Save your recovery codes")
	if got := b.eval("[...document.querySelectorAll('.codes li')].map((e) => e.textContent).slice(0, 2)"); got != `["abcd-efgh-jkmn","pqrs-tuvw-xyz2"]` {
		t.Errorf("the codes read %s", got)
	}
	b.eval(`(((make) => (URL.createObjectURL = (blob) => (blob.text().then((t) => (window.saved = t)), make(blob))))(URL.createObjectURL.bind(URL)), 0)`)
	copied("Copy")
	b.tabTo("Download")
	b.keys(kb.Enter)
	b.until("window.saved?.includes('ada.lovelace at Countersign') && window.saved.includes('89ab-cdef-ghjk')")
	b.tabTo("I have saved them")
	b.keys(kb.Enter)
	b.until("location.pathname === '/arrived'")
	var got []string
	for _, p := range s.sent() {
		delete(p, "component")
		line, _ := json.Marshal(p)
		got = append(got, string(line))
	}
	if want := []string{`{"code":"999999"}`, `{"code":"012345"}`, `{}`}; !slices.Equal(got, want) {
		t.Errorf("sent %s, want %s", got, want)
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// drawn counts the pieces of text that a PDF draws: they end with ET (ISO 32000-1 §9.4.1).
func drawn(t *testing.T, pdf []byte) int {
	t.Helper()
	n := 0
	for _, part := range bytes.Split(pdf, []byte(">> stream\n"))[1:] {
		r, err := zlib.NewReader(bytes.NewReader(part))
		if err != nil {
			continue // not compressed: no page
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("read PDF: %v", err)
		}
		n += bytes.Count(text, []byte("\nET\n"))
	}
	return n
}

// On paper there are the codes and whose they are, in black on white, and nothing else.
func TestPrintedCodes(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	f.flow("codes", step{challenge: recoveryCodes()})
	b.media("prefers-color-scheme", "dark")
	b.do(chromedp.Navigate(f.URL + "/if/flow/codes/"))
	b.heading("Save your recovery codes")
	if _, err := chromium.Command(b.Tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	text := b.eval("document.body.innerText")
	if !strings.Contains(text, "Recovery codes for ada.lovelace at Countersign") || !strings.Contains(text, "89ab-cdef-ghjk") ||
		strings.Contains(text, "Cancel") || strings.Contains(text, "saved") || strings.Contains(text, "Not you?") {
		t.Errorf("printed: %s", text)
	}
	paper, err := chromium.Command(b.Tab, page.PrintToPDF, page.PrintToPDFParams{PaperWidth: 8.27, PaperHeight: 11.69, PreferCSSPageSize: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(paper.Data, []byte("/Type /Page\n")); n != 1 {
		t.Errorf("%d sheets of paper", n)
	}
	if n := drawn(t, paper.Data); n < 9 { // three lines, six codes
		t.Errorf("%d pieces of text on paper", n)
	}
	if dir := os.Getenv("COUNTERSIGN_WEB_SCREENS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "codes.pdf"), paper.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.eval("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.codes')).color]"); got != `["rgb(255, 255, 255)","rgb(0, 0, 0)"]` {
		t.Errorf("colours: %s", got)
	}
}
