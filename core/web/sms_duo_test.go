package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// sentOf is what was sent, a line each.
func sentOf(s *script) string {
	var lines []string
	for _, p := range s.sent() {
		delete(p, "component")
		line, _ := json.Marshal(p)
		lines = append(lines, string(line))
	}
	return strings.Join(lines, "\n")
}

// A number is added with the keyboard alone: what is wrong is said at its field, another number may be given.
func TestAddingANumber(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, newBrowser(t))
	empty := person("ak-stage-authenticator-sms", object{"phone_number_required": true})
	asked := person("ak-stage-authenticator-sms", object{"phone_number_required": false, "sent_to": "••23"})
	s := f.flow("setup", step{empty, func(_ *call, body object) object {
		switch {
		case body["code"] == "012345":
			return nil
		case body["code"] != nil:
			return wrong(asked, "code", "invalid", "Code does not match")
		case body["phone_number"] == "+44 7700 900123":
			return asked
		case body["phone_number"] == "+44 7700 900124":
			return wrong(asked, "phone_number", "not_sent", "A code is on its way. You can ask for another one in 20 seconds.")
		}
		return wrong(empty, "phone_number", "invalid", "Invalid phone number. Write it with its country code, like +44 7700 900123.")
	}})
	b.do(chromedp.Navigate(f.URL + "/if/flow/setup/"))
	b.heading("Add your phone number")
	b.until("document.activeElement.name === 'phone_number'")
	b.keys("0770" + kb.Enter)
	b.until("document.querySelector('.error:not(:empty)')?.textContent.startsWith('Invalid phone number')")
	b.eval("document.activeElement.select()")
	b.keys("+44 7700 900123" + kb.Enter)
	b.heading("Enter the code we sent")
	b.until("document.activeElement.name === 'code'")
	b.until("document.getElementById('live').textContent === 'A code was sent.'")
	b.until("document.querySelector('.hint').textContent.includes('ends in 23')")
	b.until("[...document.querySelectorAll('button')].some((x) => x.disabled && x.textContent.startsWith('Send a new code (in '))")
	b.keys("999999" + kb.Enter)
	b.until("document.querySelector('.error:not(:empty)')?.textContent === 'Code does not match'")
	b.tabTo("Use another number")
	b.keys(kb.Enter)
	b.heading("Add your phone number")
	b.until("document.activeElement.value === '+44 7700 900123'")
	b.eval("document.activeElement.select()")
	b.keys("+44 7700 900124" + kb.Enter)
	b.until("document.querySelector('.error:not(:empty)')?.textContent.startsWith('A code is on its way')")
	b.do(chromedp.Navigate(f.URL + "/if/flow/setup/"))
	b.heading("Add your phone number")
	b.keys("+44 7700 900123" + kb.Enter)
	b.heading("Enter the code we sent")
	b.keys("012 345" + kb.Enter)
	b.until("location.pathname === '/arrived'")
	want := `{"phone_number":"0770"}
{"phone_number":"+44 7700 900123"}
{"code":"999999"}
{"phone_number":"+44 7700 900124"}
{"phone_number":"+44 7700 900123"}
{"code":"012345"}`
	if got := sentOf(s); got != want {
		t.Errorf("sent:\n%s\nwant:\n%s", got, want)
	}
	if c := b.complained(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

func TestSigningInByTextMessage(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, newBrowser(t))
	offered := validate(device("sms", "7", object{"number": "••23"}))
	sends := 0
	s := f.flow("login", step{offered, func(_ *call, body object) object {
		if body["selected_challenge"] != nil {
			sends++
			if sends == 1 {
				return selected(validate(device("sms", "7", object{"number": "••23", "again": soon(3 * time.Second)})))
			}
			return wrong(offered, "selected_challenge", "not_sent", "Too many codes were sent to this number. Try again in 40 minutes, or use another way.")
		}
		if body["code"] == "012345" {
			return nil
		}
		return wrong(offered, "code", "invalid", "This code is not right. Look at the newest message.")
	}})
	b.do(chromedp.Navigate(f.URL + "/if/flow/login/"))
	b.heading("Enter the code we sent")
	b.until("[...document.querySelectorAll('button')].some((x) => x.disabled && x.textContent.startsWith('Send a new code (in '))")
	b.until("document.querySelectorAll('.notice:not(:empty), .error:not(:empty)').length === 0")
	b.until("[...document.querySelectorAll('button')].some((x) => !x.disabled && x.textContent === 'Send a new code')")
	b.tabTo("Send a new code")
	b.keys(kb.Enter)
	b.until("document.querySelector('.notice:not(:empty)')?.textContent.startsWith('Too many codes were sent')")
	b.eval("document.querySelector('input').focus()")
	b.keys("111111" + kb.Enter)
	b.until("document.querySelector('.error:not(:empty)')?.textContent.startsWith('This code is not right')")
	b.keys("012345" + kb.Enter)
	b.until("location.pathname === '/arrived'")
	if n := len(s.sent()); n != 4 {
		t.Errorf("sent:\n%s", sentOf(s))
	}
	if c := b.complained(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

func TestAddingDuo(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, newBrowser(t))
	const stage = "018f6f7e-0000-7000-8000-00000000000d"
	shown := person("ak-stage-authenticator-duo", object{
		"activation_barcode": "https://api-1.duosecurity.com/frame/qr?value=x", "activation_code": "duo://8LIRa5danrICkhHtkLxi-cKLu2DWzDYCmBwBHY2YzW5ZYnYaRxA",
		"stage_uuid": stage, "qr_code": enrolment()["qr_code"],
	})
	s := f.flow("setup", step{challenge: shown})
	path := "/stages/authenticator/duo/" + stage + "/enrollment_status/"
	f.data[path] = object{"duo_response": "waiting"}
	b.do(chromedp.Navigate(f.URL + "/if/flow/setup/"))
	b.heading("Add Duo")
	b.until("document.querySelector('.qr img')?.naturalWidth > 0")
	b.until("document.querySelector('.state').textContent === 'Waiting for the Duo app…'")
	f.mu.Lock()
	f.data[path] = object{"duo_response": "success"}
	f.mu.Unlock()
	b.heading("Duo is ready")
	b.until("location.pathname === '/arrived'")
	if got := sentOf(s); got != "{}" {
		t.Errorf("sent %s", got)
	}
	if c := b.complained(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

func TestSigningInByDuo(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, newBrowser(t))
	offered := validate(device("duo", "12", object{"device_name": "Duo Authenticator"}), device("totp", "1", nil))
	answers := []object{
		wrong(offered, "duo", "waiting", "Waiting for push answer"),
		wrong(offered, "duo", "denied", "Duo denied access"),
		wrong(offered, "duo", "invalid", "Duo push notification timed out."),
		wrong(offered, "duo", "denied", "Duo could not be asked. Try again, or use another way."),
		nil, // held
	}
	at := 0
	s := f.flow("login", step{offered, func(s *call, _ object) object {
		s.mu.Lock()
		a := answers[at]
		at++
		s.mu.Unlock()
		if a == nil {
			s.hold()
		}
		return a
	}})
	b.do(chromedp.Navigate(f.URL + "/if/flow/login/"))
	b.heading("How do you want to confirm?")
	b.tabTo("Duo")
	b.keys(kb.Enter)
	b.heading("Approve with Duo")
	b.heading("Duo did not approve")
	b.until("document.activeElement.innerText === 'Try again'")
	b.keys(kb.Enter)
	b.heading("No answer came")
	b.keys(kb.Enter)
	b.heading("That did not work")
	b.keys(kb.Enter)
	b.heading("Approve with Duo")
	s.mu.Lock()
	close(s.held)
	s.mu.Unlock()
	b.until("location.pathname === '/arrived'")
	if got := sentOf(s); got != strings.TrimSuffix(strings.Repeat("{\"duo\":12}\n", 5), "\n") {
		t.Errorf("sent:\n%s", got)
	}
	if c := b.complained(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}
