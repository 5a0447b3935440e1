package mobile

import (
	"testing"

	"countersign/authenticators/validate"
	"countersign/flows"
	"countersign/flows/stages/identification"
)

// T21: the waiting page is bound to the browser that began: its address, and all that it sends, copied into another browser
// begin a login of their own, which neither waits for the answer nor takes it; the browser that began is let in.
func TestCopiedWaitingPageIsALoginOfItsOwn(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	mine := l.tab()
	r := mine.begin("ada", device)
	held := mine.await(l, device)
	tx := l.waiting(device)
	thief := l.tab()
	for name, body := range map[string]any{
		"the address":              nil,
		"the waiting":              map[string]any{"mobile": device.String()},
		"the question":             askBody(device, r.item(device)),
		"the question of the page": followBody(device, r.item(device)),
	} {
		if after := thief.send(body); after.Component != identification.Component {
			t.Errorf("%s, copied: %+v, want to be asked for a name", name, after)
		}
	}
	if n := l.engine.Waiting(); n != 1 {
		t.Errorf("%d browsers wait, want the one that began", n)
	}
	if got := l.waiting(device); got != tx {
		t.Error("another browser changed the question")
	}
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	for _, body := range []any{nil, map[string]any{"mobile": device.String()}} {
		if after := thief.send(body); after.Component == flows.ComponentRedirect || after.Component == validate.Component {
			t.Errorf("the other browser, after the answer: %+v", after)
		}
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("the browser that began: %+v", after)
	}
	if n := value[int](l.bench, `SELECT count(*) FROM sessions WHERE user_id = $1`, l.user); n != 1 {
		t.Errorf("%d sessions are logged in, want 1", n)
	}
}
