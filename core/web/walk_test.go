package web

import (
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"countersign/e2e/chromium"
)

// Every outcome of asking a phone, as the browser sees it.
func TestPhoneOutcomes(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	devices := validate(phone("number_matching_2", "47", object{"expires": soon(time.Minute)}))
	asked, waits := 0, 0
	outcome := []object{
		wrong(devices, "mobile", "denied", "Mobile denied access"),
		wrong(devices, "mobile", "invalid", "Mobile push notification timed out."),
		wrong(devices, "mobile", "internal", "Failed to send push notification"),
		nil, // held until the browser gives up
		person("ak-stage-access-denied", object{"error_message": "Refused on the phone."}),
	}
	s := f.flow("login", step{devices, func(s *call, body object) object {
		s.mu.Lock()
		if body["selected_challenge"] != nil {
			asked++
		}
		o := outcome[waits]
		waits++
		s.mu.Unlock()
		if o != nil {
			return o
		}
		s.hold()
		return devices
	}})
	counts := func(wantAsked int) {
		t.Helper()
		s.mu.Lock()
		defer s.mu.Unlock()
		if asked != wantAsked {
			t.Errorf("the phone was asked %d times, want %d", asked, wantAsked)
		}
	}

	b.do(chromedp.Navigate(f.URL + "/if/flow/login/"))
	b.heading("That was the wrong number")
	counts(1) // one device: asked without a click; and not again by itself
	b.until("document.activeElement.innerText === 'Try again'")
	b.keys(kb.Enter)
	b.heading("No answer came")
	counts(2)
	b.keys(kb.Enter)
	b.until("document.querySelector('.notice')?.textContent.startsWith('We could not reach your phone')")
	if got := b.eval("document.querySelector('.number').textContent"); got != `"47"` {
		t.Errorf("number while the phone is out of reach: %s", got)
	}
	counts(3) // and it goes on waiting: the fourth wait is held
	eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return waits == 4
	})
	b.tabTo("Send again")
	b.keys(kb.Enter)
	b.heading("You were not let in")
	b.until("document.activeElement.id === 'heading'")
	counts(4)
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// Another tab has moved the question on: the page shows the number that counts, and waits without asking anew.
func TestPhoneAsksAnotherNumber(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	old, current := validate(phone("number_matching_2", "47", object{"answer_window": 60})), validate(phone("number_matching_2", "11", object{"answer_window": 60}))
	s := f.flow("login", step{old, func(s *call, body object) object {
		if body["selected_challenge"] != nil {
			return selected(current)
		}
		s.hold()
		return current
	}})
	b.do(chromedp.Navigate(f.URL + "/if/flow/login/"))
	b.until("document.querySelector('.number')?.textContent === '11'")
	b.until("/^(1:00|0:5.) left$/.test(document.querySelector('.ask .fine').textContent)")
	eventually(t, func() bool { return len(s.sent()) == 2 })
	sent := s.sent()
	if got := sent[0]["selected_challenge"].(map[string]any)["challenge"].(map[string]any)["item"]; got != "47" {
		t.Errorf("the page says that it showed %v", got)
	}
	if sent[1]["selected_challenge"] != nil || sent[1]["mobile"] == nil {
		t.Errorf("then it sent %v", sent[1])
	}
}

// A code is typed by keyboard alone: sent as it was typed, without spaces, once, with the device that it is of; a wrong one keeps
// the field and says how many tries are left; a right one waits for the phone.
func TestCodeFromThePhone(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	at := func(approved bool, left int) object {
		return validate(phone("code_shown_6", "", object{"answer_window": 60, "approved": approved, "attempts_left": left}))
	}
	s := f.flow("login", step{at(false, 3), func(s *call, body object) object {
		switch code := body["code"]; {
		case body["selected_challenge"] != nil:
			return selected(at(false, 3))
		case code == nil && len(s.sent()) == 2:
			return wrong(at(true, 3), "mobile", "waiting", "Waiting for push answer")
		case code == "111111":
			return wrong(at(true, 2), "code", "wrong_number", "That is not the code that your phone shows. 2 tries are left.")
		}
		s.hold()
		if body["code"] == "493027" {
			return nil
		}
		return at(true, 2)
	}}, step{challenge: person("ak-stage-user-login", nil)})
	b.do(chromedp.Navigate(f.URL + "/if/flow/login/"))
	b.heading("Type the code from your phone")
	b.until("document.activeElement.name === 'code' && document.activeElement.autocomplete === 'one-time-code'")
	b.keys("111 1")
	b.until("document.querySelector('.ask .lead').textContent.startsWith('Type the code that')") // approved meanwhile: what was typed stays
	b.keys("11" + kb.Enter)
	b.until("document.querySelector('.error')?.textContent.includes('2 tries are left')")
	b.until("document.activeElement.name === 'code' && document.activeElement.selectionEnd === 7")
	b.keys("493 027" + kb.Enter)
	b.until("document.querySelector('.ask .lead').textContent.startsWith('Now approve')")
	s.mu.Lock()
	close(s.held)
	s.mu.Unlock()
	b.heading("Stay signed in?")
	codes := []string{}
	for _, p := range s.sent() {
		if code, ok := p["code"].(string); ok {
			codes = append(codes, code)
			if p["mobile"] == nil || p["selected_challenge"] != nil {
				t.Errorf("a code was sent as %v", p)
			}
		}
	}
	if !slices.Equal(codes, []string{"111111", "493027"}) {
		t.Errorf("codes sent: %v", codes)
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

func TestEnrolment(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	status := "/authenticators/mobile/018f6f7e-0000-7000-8000-00000000000a/enrollment_status/"
	f.data[status] = object{"status": "waiting"}
	s := f.flow("setup", step{challenge: enrolment()})

	b.do(chromedp.Navigate(f.URL + "/if/flow/setup/"))
	b.heading("Add your phone")
	b.until("document.querySelector('.qr img').naturalWidth > 0")
	if got := b.eval("getComputedStyle(document.querySelector('.qr')).backgroundColor"); got != `"rgb(255, 255, 255)"` {
		t.Errorf("ground of the QR code: %s", got)
	}
	if got := b.eval("JSON.parse(document.querySelector('textarea').value).u"); got != `"https://login.example.org/"` {
		t.Errorf("code to copy: %s", got)
	}
	f.mu.Lock()
	f.data[status] = object{"status": "success"}
	f.mu.Unlock()
	b.heading("Your phone is ready")
	b.until("location.pathname === '/arrived'")
	if n := len(s.sent()); n != 1 {
		t.Errorf("%d answers, want 1", n)
	}

	// A code that is over: said, with a way on.
	f.flow("late", step{challenge: enrolment()})
	f.mu.Lock()
	delete(f.data, status)
	f.mu.Unlock()
	b.do(chromedp.Navigate(f.URL + "/if/flow/late/"))
	b.heading("This code is over")
	old := enrolment()
	old["expires"] = soon(-time.Minute)
	f.flow("old", step{challenge: old})
	b.do(chromedp.Navigate(f.URL + "/if/flow/old/"))
	b.heading("This code is over")
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// calledIn is the set-up page once a phone with keys has called in.
func calledIn() object {
	c := enrolment()
	c["progress"], c["fingerprint"], c["device_name"] = "called_in", "123 456 789", "Ada's phone"
	return c
}

// T18: the page that shows a code says that it was used, and shows the fingerprint of the phone that called in, without being
// loaded again; yes sends it, no asks for a new code, which the page then shows.
func TestFingerprintIsCompared(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	const status = "/authenticators/mobile/018f6f7e-0000-7000-8000-00000000000a/enrollment_status/"
	f.data[status] = object{"status": "waiting", "progress": "opened"}
	fresh := enrolment()
	fresh["payload"] = object{"u": "https://login.example.org/", "s": "018f6f7e-0000-7000-8000-00000000000b", "t": "other"}
	f.data["/authenticators/mobile/018f6f7e-0000-7000-8000-00000000000b/enrollment_status/"] = object{
		"status": "waiting", "progress": "called_in", "fingerprint": "987 654 321",
	}
	s := f.flow("setup", step{enrolment(), func(_ *call, body object) object {
		if body["matches"] == false {
			return fresh
		}
		return nil
	}})
	b.do(chromedp.Navigate(f.URL + "/if/flow/setup/"))
	b.heading("Add your phone")
	b.until("document.body.textContent.includes('This code was used already') && !document.querySelector('.qr')")
	f.mu.Lock()
	f.data[status] = object{"status": "waiting", "progress": "called_in", "fingerprint": "123 456 789"}
	f.mu.Unlock()
	b.heading("Does your phone show this?")
	b.until("document.querySelector('.key').textContent === '123 456 789'")
	b.tabTo("No, it does not")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("document.querySelector('.key').textContent === '987 654 321'")
	b.tabTo("Yes, it is the same")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("location.pathname === '/arrived'")
	sent := s.sent()
	if len(sent) != 2 || sent[0]["matches"] != false || sent[0]["fingerprint"] != nil || sent[1]["fingerprint"] != "987 654 321" {
		t.Errorf("sent %v", sent)
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// Targets that are no pages are not followed, and other tabs' progress is understood.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	to := func(target string) step {
		return step{challenge: object{"type": "redirect", "component": "xak-flow-redirect", "to": target}}
	}
	f.flow("script", to("javascript:document.title='owned'"))
	f.flow("data", to("data:text/html,x"))
	f.flow("inner", to("/api/v3/flows/executor/setup/?query="), step{challenge: identification(nil)})
	for _, slug := range []string{"script", "data"} {
		b.do(chromedp.Navigate(f.URL + "/if/flow/" + slug + "/"))
		b.heading("This way is closed")
	}

	password := person("ak-stage-password", nil)
	f.flow("tabs", step{identification(nil), func(s *call, _ object) object {
		s.mu.Lock()
		s.at = 1
		s.mu.Unlock()
		return wrong(password, "password", "required", "This field is required.")
	}}, step{challenge: password})
	b.do(chromedp.Navigate(f.URL + "/if/flow/tabs/"))
	b.until("document.activeElement.name === 'uid_field'")
	b.keys("ada" + kb.Enter)
	b.heading("Enter your password")
	if got := b.eval("document.querySelector('[aria-invalid]')"); got != "null" {
		t.Errorf("the complaint about another stage's answer is shown: %s", got)
	}

	throttled := f.flow("throttled", step{challenge: identification(nil)})
	b.do(chromedp.Navigate(f.URL + "/if/flow/throttled/"))
	b.until("document.activeElement.name === 'uid_field'")
	throttled.mu.Lock()
	throttled.fail = []int{429}
	throttled.mu.Unlock()
	b.keys("ada" + kb.Enter)
	b.until("document.querySelector('.notice.bad')?.textContent === 'Request was throttled.'")
	if got := b.eval("document.querySelector('[name=uid_field]').value"); got != `"ada"` {
		t.Errorf("what was typed is gone: %s", got)
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to that")
		}
	}
}
