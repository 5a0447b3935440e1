package sms

import (
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/flows"
	"countersign/flows/flowtest"
)

const validateComponent = "ak-stage-authenticator-validate"

func TestLogin(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada := b.user(t, "ada")
	device := b.enrol(t, ada, numberOne)
	br := b.start(t, loginSlug, ada)
	p := br.Get(t).Want(t, validateComponent)
	offered := p.JSON["device_challenges"].([]any)
	if len(offered) != 1 || !strings.Contains(p.Raw, `"device_class":"sms","device_uid":"`+device+`","challenge":{"number":"••23"}`) || strings.Contains(p.Raw, "7700") {
		t.Fatalf("offered: %s", p)
	}
	before := len(b.provider.sent())
	if p := br.Post(t, map[string]any{"code": "123456"}); p.Code("code") != "invalid" || len(b.provider.sent()) != before {
		t.Errorf("a code before the choice: %s", p)
	}
	if n := b.events(t, "login_failed"); n != 0 {
		t.Errorf("%d failures before a code was sent", n)
	}
	if p := br.Post(t, selectBody(device)); p.Code("non_field_errors") != "invalid" || !strings.Contains(p.Raw, "Empty response") {
		t.Errorf("chosen: %s", p)
	}
	code := b.provider.last(t, numberOne).Code
	if len(b.provider.sent()) != before+1 {
		t.Fatal("no code was sent")
	}
	if p := br.Post(t, selectBody(device)); p.Code("non_field_errors") != "invalid" || len(b.provider.sent()) != before+1 || !strings.Contains(p.Raw, `"again":"`) {
		t.Errorf("chosen again at once: %s", p)
	}
	if p := b.start(t, loginSlug, ada).Post(t, selectBody(device)); p.Code("selected_challenge") != "not_sent" || !strings.Contains(p.Raw, "A code is on its way. You can ask for another one in 30 seconds.") {
		t.Errorf("chosen at once in another run: %s", p)
	}
	if p := br.Post(t, map[string]any{"code": other(code)}); p.Code("code") != "invalid" {
		t.Errorf("wrong: %s", p)
	}
	if n := b.events(t, "login_failed"); n != 1 {
		t.Errorf("%d events of one failure", n)
	}
	br.Post(t, map[string]any{"code": code}).WantContinue(t)
	br.Follow(t).Want(t, flowtest.Component(markerName))
	if n := b.Count(t, `SELECT count(*) FROM sms_devices WHERE last_used IS NOT NULL`); n != 1 {
		t.Error("the use is not noted")
	}
	b.absent(t, code, "7700900123")
}

// A code passes once, in the run that asked for it, and in time.
func TestCodeBelongsToItsRun(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada, eve := b.user(t, "ada"), b.user(t, "eve")
	adas, eves := b.enrol(t, ada, numberOne), b.enrol(t, eve, numberTwo)
	first := b.start(t, loginSlug, ada)
	first.Post(t, selectBody(adas))
	code := b.provider.last(t, numberOne).Code
	b.Clock.Advance(b.service.Limits.Gap)
	second := b.start(t, loginSlug, ada)
	second.Post(t, selectBody(adas))
	if p := second.Post(t, map[string]any{"code": code}); p.Code("code") != "invalid" {
		t.Errorf("the code of another run of the same user: %s", p)
	}
	third := b.start(t, loginSlug, eve)
	third.Post(t, selectBody(eves))
	if p := third.Post(t, map[string]any{"code": code}); p.Code("code") != "invalid" {
		t.Errorf("another user's code: %s", p)
	}
	if p := third.Post(t, selectBody(adas)); p.Code("selected_challenge") != "invalid" {
		t.Errorf("another user's device: %s", p)
	}
	first.Post(t, map[string]any{"code": code}).WantContinue(t)

	// Asked for again, the older one is nothing any more; in the end both are over.
	b.Clock.Advance(b.service.Limits.Gap)
	old := b.provider.last(t, numberOne).Code
	if p := second.Post(t, selectBody(adas)); p.Code("non_field_errors") != "invalid" {
		t.Fatalf("again: %s", p)
	}
	if p := second.Post(t, map[string]any{"code": old}); p.Code("code") != "invalid" {
		t.Errorf("an older code: %s", p)
	}
	b.Clock.Advance(codeLife)
	if p := second.Post(t, map[string]any{"code": b.provider.last(t, numberOne).Code}); p.Code("code") != "expired" {
		t.Errorf("after its time: %s", p)
	}
}

func TestGuessing(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada := b.user(t, "ada")
	device := b.enrol(t, ada, numberOne)
	br := b.start(t, loginSlug, ada)
	br.Post(t, selectBody(device))
	code := b.provider.last(t, numberOne).Code
	// All at once, on two nodes: no more than five are compared with the code.
	nodes := []*flows.Engine{br.Engine, b.NewEngine()}
	var requests []func() flowtest.Page
	for i := range 16 {
		br.Engine = nodes[i%2]
		requests = append(requests, br.Prepare(t, true, map[string]any{"code": other(code)}))
	}
	var wg sync.WaitGroup
	for _, send := range requests {
		wg.Go(func() {
			if p := send(); p.Err != nil || p.Component == flows.ComponentFlowError {
				t.Errorf("a guess: %s", p)
			}
		})
	}
	wg.Wait()
	if n := b.Count(t, `SELECT max(failures) FROM sms_codes`); n != maxFailures {
		t.Errorf("%d failures are counted", n)
	}
	if p := br.Post(t, map[string]any{"code": code}); p.Code("code") != "expired" {
		t.Errorf("the right one after them: %s", p)
	}
}

func TestCodeIsUsedOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada := b.user(t, "ada")
	device := b.enrol(t, ada, numberOne)
	br := b.start(t, loginSlug, ada)
	br.Post(t, selectBody(device))
	code := b.provider.last(t, numberOne).Code
	nodes := []*flows.Engine{br.Engine, b.NewEngine()}
	var requests []func() flowtest.Page
	for i := range 2 {
		br.Engine = nodes[i]
		requests = append(requests, br.Prepare(t, true, map[string]any{"code": code}))
	}
	var wg sync.WaitGroup
	for _, send := range requests {
		wg.Go(func() { send() })
	}
	wg.Wait()
	br.Engine = nodes[0]
	br.Follow(t)
	if n := b.Count(t, `SELECT count(*) FROM sms_codes WHERE used IS NOT NULL`); n != 2 { // the set-up's, and this one
		t.Errorf("%d codes are used", n)
	}
	// A restored plan does not bring the code back.
	b.Start(t, br, loginSlug, flows.Context{PendingUser: ada.ID})
	br.Get(t)
	b.Exec(t, `UPDATE flow_plans SET plan = jsonb_set(plan::jsonb, '{steps,0,state}', $1::jsonb)`,
		`{"offers":[{"class":"sms","uid":"`+device+`","name":"x","state":{"hint":"","code":"`+b.lastCodeID(t)+`"}}],"selected":"sms/`+device+`"}`)
	if p := br.Post(t, map[string]any{"code": code}); p.Code("code") != "expired" {
		t.Errorf("used again: %s", p)
	}
}

func (b *bench) lastCodeID(t *testing.T) (id string) {
	t.Helper()
	if err := b.Direct.QueryRow(t.Context(), `SELECT code_uuid::text FROM sms_codes WHERE used IS NOT NULL ORDER BY created DESC LIMIT 1`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// Who has the password alone uses up the count of strange places; the owner at home is not locked out.
func TestLimitsSpareTheOwner(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada := b.user(t, "ada")
	device := b.enrol(t, ada, numberOne) // a right code was typed at home
	for i := range b.service.Limits.Number.Sends + 1 {
		thief := b.start(t, loginSlug, ada)
		thief.IP = "198.51.100.9"
		p := thief.Post(t, selectBody(device))
		if refused := p.Code("selected_challenge") != ""; refused != (i == b.service.Limits.Number.Sends) {
			t.Fatalf("attempt %d: %s", i, p)
		}
		b.Clock.Advance(b.service.Limits.Gap)
	}
	home := b.start(t, loginSlug, ada)
	if p := home.Post(t, selectBody(device)); p.Code("non_field_errors") != "invalid" {
		t.Fatalf("at home: %s", p)
	}
	home.Post(t, map[string]any{"code": b.provider.last(t, numberOne).Code}).WantContinue(t)
}

func TestChoiceFails(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada := b.user(t, "ada")
	device := b.enrol(t, ada, numberOne)
	br := b.start(t, loginSlug, ada)
	br.Get(t)
	b.provider.refuse(500, "no")
	if p := br.Post(t, selectBody(device)); p.Code("selected_challenge") != "not_sent" || !strings.Contains(p.Raw, "could not be sent") {
		t.Errorf("refused: %s", p)
	}
	if n := b.events(t, "configuration_error"); n != 1 {
		t.Errorf("%d events", n)
	}
	b.provider.refuse(0, "")
	b.Exec(t, `UPDATE sms_devices SET phone_sealed = '\x01'`)
	if p := br.Post(t, selectBody(device)); p.Code("selected_challenge") != "not_sent" {
		t.Errorf("a number that does not open: %s", p)
	}
	if p := b.start(t, loginSlug, ada).Get(t); !strings.Contains(p.Raw, `"device_uid":"`+device+`"`) {
		t.Errorf("it hides the offer: %s", p)
	}
	b.Exec(t, `DELETE FROM sms_devices`)
	if p := br.Post(t, selectBody(device)); p.Code("selected_challenge") != "invalid" || !strings.Contains(p.Raw, "was removed") {
		t.Errorf("removed meanwhile: %s", p)
	}
	if n := len(b.provider.sent()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestCleanUp(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	b.enrol(t, b.user(t, "ada"), numberOne)
	b.Clock.Advance(retention - time.Hour)
	if err := b.service.CleanUp(t.Context()); err != nil || b.Count(t, `SELECT count(*) FROM sms_codes`) != 1 {
		t.Errorf("history is gone: %v", err)
	}
	b.Clock.Advance(2 * time.Hour)
	if err := b.service.CleanUp(t.Context()); err != nil || b.Count(t, `SELECT count(*) FROM sms_codes`) != 0 {
		t.Errorf("history stays: %v", err)
	}
}
