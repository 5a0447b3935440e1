package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"countersign/e2e/chromium"
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

// otherScreens are the pages about text messages, Duo and passkeys.
func otherScreens(f *fake) []screen {
	number := person("ak-stage-authenticator-sms", object{"phone_number_required": true})
	const stage = "018f6f7e-0000-7000-8000-00000000000d"
	f.data["/stages/authenticator/duo/"+stage+"/enrollment_status/"] = object{"duo_response": "waiting"}
	message := validate(device("sms", "7", object{"number": "••23"}), device("totp", "1", nil))
	asks := step{validate(device("duo", "12", nil), device("totp", "1", nil)), func(s *call, _ object) object {
		s.hold()
		return nil
	}}
	key := validate(device("webauthn", "3", object{"challenge": "AAAA", "rpId": "login.example.org", "allowCredentials": []any{}}), device("totp", "1", nil))
	open := "document.activeElement.className === 'choice'"
	steps := []struct {
		screen
		step step
	}{
		{screen{name: "sms-add", ready: "With the country code"}, step{challenge: number}},
		{screen{name: "sms-add-code", ready: "ends in 23"}, step{challenge: person("ak-stage-authenticator-sms", object{"phone_number_required": false, "sent_to": "••23"})}},
		{screen{name: "sms", ready: "Send a new code", first: open, keys: kb.Enter}, step{message, func(*call, object) object { return selected(message) }}},
		{screen{name: "duo-add", ready: "Waiting for the Duo app"}, step{challenge: person("ak-stage-authenticator-duo", object{
			"activation_code": "duo://8LIRa5danrICkhHtkLxi-cKLu2DWzDYCmBwBHY2YzW5ZYnYaRxA", "stage_uuid": stage, "qr_code": enrolment()["qr_code"]})}},
		{screen{name: "duo", ready: "Open Duo Mobile", first: open, keys: kb.Enter}, asks},
		{screen{name: "passkey-add", ready: "Create a passkey"}, step{challenge: person("ak-stage-authenticator-webauthn", object{"registration": object{
			"challenge": "AAAA", "rp": object{"id": "login.example.org", "name": "Countersign"}, "user": object{"id": "AAAA", "name": "ada", "displayName": "Ada"},
			"pubKeyCredParams": []object{{"type": "public-key", "alg": -7}}}})}},
		{screen{name: "passkey", ready: "do not work at this address", first: open, keys: kb.Enter}, step{challenge: key}},
	}
	var out []screen
	for _, s := range steps {
		f.flow(s.name, s.step)
		s.path = "/if/flow/" + s.name + "/"
		out = append(out, s.screen)
	}
	return out
}

// A number is added with the keyboard alone: what is wrong is said at its field, another number may be given.
func TestAddingANumber(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
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
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

func TestSigningInByTextMessage(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	offered := validate(device("sms", "7", object{"number": "••23"}))
	sends := 0
	s := f.flow("login", step{offered, func(_ *call, body object) object {
		if body["selected_challenge"] != nil && body["code"] == nil {
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
	const chosen = `"selected_challenge":{"challenge":{},"device_class":"sms","device_uid":"7"}}`
	if got := sentOf(s); got != "{"+chosen+"\n{"+chosen+"\n"+`{"code":"111111",`+chosen+"\n"+`{"code":"012345",`+chosen {
		t.Errorf("sent:\n%s", got)
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

// A message may arrive before the provider's word that it took it, and a phone's keyboard fills its code in at once.
func TestTextMessageBeforeItsReceipt(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	offered := validate(device("sms", "7", object{"number": "••23"}))
	s := f.flow("login", step{offered, func(c *call, body object) object {
		if body["code"] == nil {
			c.hold()
			return selected(offered)
		}
		return nil
	}})
	b.do(chromedp.Navigate(f.URL + "/if/flow/login/"))
	b.until("document.activeElement.name === 'code'")
	b.keys("012345" + kb.Enter)
	if b.heading("Enter the code we sent"); len(s.sent()) > 1 {
		t.Errorf("the code overtook the choice:\n%s", sentOf(s))
	}
	s.mu.Lock()
	close(s.held)
	s.mu.Unlock()
	b.until("location.pathname === '/arrived'")
	if n := len(s.sent()); n != 2 {
		t.Errorf("%d answers arrived, want 2:\n%s", n, sentOf(s))
	}
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

func TestAddingDuo(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
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
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}

func TestSigningInByDuo(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
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
	if c := b.Complaints(); len(c) > 0 {
		t.Errorf("the browser complained: %v", c)
	}
}
