package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"countersign/mobile/wire"
)

const (
	maxChallenges  = 30 // of one flow
	maxWaits       = 60 // POSTs that wait for one answer
	maxCodes       = 10 // codes that are typed for one
	retryPause     = 250 * time.Millisecond
	maxReconnects  = 30 // of one login
	firstReconnect = 250 * time.Millisecond
	lastReconnect  = 5 * time.Second
	enrolPollEvery = 3 * time.Second
	maxEnrolPolls  = 100
)

// Outcome is how a login ended.
type Outcome string

// The outcomes.
const (
	Approved    Outcome = "approved"     // the phone approved and the flow is done
	Denied      Outcome = "denied"       // the phone said "no, it was not me"
	WrongNumber Outcome = "wrong_number" // the phone sent another item
	Expired     Outcome = "expired"      // no answer in time
	Superseded  Outcome = "superseded"   // a newer login asked the same phone
	Throttled   Outcome = "throttled"    // the server asks the phone no more for now
	NoPhone     Outcome = "no_phone"     // the flow is done and asked no phone
	Refused     Outcome = "refused"      // refused before a phone was asked: name, password, policy
	Failed      Outcome = "failed"       // neither: see Result.Detail
)

// Step is one exchange of a login.
type Step struct {
	Name  string        `json:"name"` // page, start, identify, password, select, wait, reconnect, login, finish, enrol
	Began time.Time     `json:"began"`
	Took  time.Duration `json:"took"`
}

// Result of a login.
type Result struct {
	Outcome    Outcome `json:"outcome"`
	Detail     string  `json:"detail,omitempty"`      // the server's words, or what went wrong
	To         string  `json:"to,omitempty"`          // where the flow sends the browser
	Device     string  `json:"device,omitempty"`      // the phone that was asked
	Item       string  `json:"item,omitempty"`        // what the page last showed
	PushFailed string  `json:"push_failed,omitempty"` // the server's words that the push did not go out
	Waits      int     `json:"waits,omitempty"`       // POSTs that waited
	Reconnects int     `json:"reconnects,omitempty"`  // connections that broke, and were made again
	Steps      []Step  `json:"steps"`
}

// Login logs in with name and password and waits for the phone. It returns an error only when ctx
// ends; everything else is an Outcome.
func (b *Browser) Login(ctx context.Context, user, secret string) (Result, error) {
	w := walk{b: b, slug: b.o.LoginFlow, user: user, secret: secret}
	w.run(ctx)
	if w.result.Device != "" {
		b.o.OnItem(w.result.Device, "")
	}
	if w.result.Outcome == "" {
		w.end(Failed, "the login was given up")
	}
	return w.result, ctx.Err()
}

// EnrolPhone walks the set-up flow of a logged-in browser: enrol is given the text of the QR code
// and gives the fingerprint that the phone shows, "" for one without keys (phone.EnrolFromQR and its
// Account); then the browser polls until the server has seen the phone, and completes the flow if
// it shows the same. It returns the device's UUID.
func (b *Browser) EnrolPhone(ctx context.Context, enrol func(ctx context.Context, payload []byte) (fingerprint string, err error)) (string, error) {
	w := walk{b: b, slug: b.o.SetupFlow, enrol: enrol}
	w.run(ctx)
	switch {
	case ctx.Err() != nil:
		return w.enrolled, ctx.Err()
	case w.result.Outcome != NoPhone:
		return w.enrolled, fmt.Errorf("set up phone: %s: %s", w.result.Outcome, w.result.Detail)
	case w.enrolled == "":
		return "", errors.New("set up phone: the flow ended without a QR code")
	}
	return w.enrolled, nil
}

// walk is one run through a flow.
type walk struct {
	b            *Browser
	slug         string
	user, secret string
	enrol        func(ctx context.Context, payload []byte) (string, error)

	result   Result
	asked    bool // a phone was asked and accepted
	miscoded bool // the code that was typed last was wrong
	lost     bool // the connection broke in the last request
	enrolled string
}

func (w *walk) run(ctx context.Context) {
	if !w.b.o.NoPage {
		err := w.step("page", func() error { return w.b.page(ctx, w.slug) })
		if err != nil {
			w.end(Failed, err.Error())
			return
		}
	}
	c, _, ok := w.ask(ctx, "start", http.MethodGet, nil)
	for range maxChallenges {
		if w.lost {
			c, ok = w.reconnect(ctx)
		}
		if !ok || w.result.Outcome != "" {
			return
		}
		c, ok = w.answer(ctx, c)
	}
	if w.result.Outcome == "" {
		w.end(Failed, fmt.Sprintf("more than %d challenges", maxChallenges))
	}
}

// broken ends the walk by an error of a request; one of the connection, or of a server that is away, it may get over: see
// reconnect.
func (w *walk) broken(err error) {
	var status *StatusError
	lasting := errors.As(err, &status) && status.Status < http.StatusBadGateway
	if w.b.o.Reconnect && !lasting && w.result.Reconnects < maxReconnects {
		w.lost = true
		return
	}
	w.end(Failed, err.Error())
}

// reconnect asks for what is to be done now, with growing pauses until somebody answers.
func (w *walk) reconnect(ctx context.Context) (c challenge, ok bool) {
	for wait := firstReconnect; w.lost && ctx.Err() == nil; wait = min(2*wait, lastReconnect) {
		w.lost = false
		w.result.Reconnects++
		if err := w.b.pause(ctx, wait); err != nil {
			w.end(Failed, err.Error())
			return c, false
		}
		c, _, ok = w.ask(ctx, "reconnect", http.MethodGet, nil)
	}
	return c, ok
}

// answer meets one challenge and returns the next; ok is false when the walk has ended.
func (w *walk) answer(ctx context.Context, c challenge) (next challenge, ok bool) {
	switch c.Component {
	case redirect:
		w.result.To = c.To
		if w.asked {
			w.end(Approved, "")
		} else {
			w.end(NoPhone, "")
		}
	case accessDenied:
		switch {
		case w.result.Device != "" && !w.asked:
			w.end(Denied, c.ErrorMessage)
		default:
			w.end(Refused, c.ErrorMessage)
		}
	case flowError:
		w.end(Failed, "the server reports an error, request "+c.RequestID)
	case identification:
		body := map[string]any{"component": c.Component, "uid_field": w.user}
		if c.PasswordFields {
			body["password"] = w.secret
		}
		return w.plain(ctx, "identify", body)
	case password:
		return w.plain(ctx, "password", map[string]any{"component": c.Component, "password": w.secret})
	case userLogin:
		return w.plain(ctx, "login", map[string]any{"component": c.Component, "remember_me": false})
	case validate:
		return w.validate(ctx, c)
	case mobileSetup:
		return w.setup(ctx, c)
	default:
		w.end(Failed, "unknown challenge "+c.Component)
	}
	return challenge{}, false
}

// plain answers a challenge that accepts or refuses at once.
func (w *walk) plain(ctx context.Context, name string, body map[string]any) (challenge, bool) {
	next, moved, ok := w.ask(ctx, name, http.MethodPost, body)
	if !ok {
		return next, false
	}
	if fault := next.anyFault(); !moved && fault != (stringError{}) {
		w.end(Refused, fault.Text)
		return next, false
	}
	return next, true
}

// validate selects a phone and waits for its answer.
func (w *walk) validate(ctx context.Context, c challenge) (challenge, bool) {
	phones := c.phones()
	if len(phones) == 0 {
		w.end(Failed, "the login asks for an authenticator other than a phone")
		return c, false
	}
	i := w.b.o.Pick(phones)
	if i < 0 || i >= len(phones) {
		w.end(Failed, "no such phone")
		return c, false
	}
	chosen := phones[i]
	w.result.Device = chosen.UID
	w.show(c)
	next, moved, ok := w.ask(ctx, "select", http.MethodPost, map[string]any{
		"component": validate,
		"selected_challenge": map[string]any{
			"device_class": mobileClass, "device_uid": chosen.UID, "challenge": map[string]any{},
		},
	})
	if !ok {
		return next, false
	}
	if next.Component != validate || moved {
		return next, true // denied by policy, or already over
	}
	if fault := next.fault("selected_challenge"); fault.Code != "" {
		w.end(Failed, fault.Text)
		return next, false
	}
	if fault := next.fault(mobileClass); fault.Code != "" && !w.pushTrouble(next) {
		w.end(phoneFault(fault))
		return next, false
	}
	w.show(next)
	for _, shown := range next.phones() {
		if shown.UID == chosen.UID {
			chosen = shown
		}
	}
	w.b.o.OnAsked(chosen)
	if chosen.Mode == string(wire.CodeShown6) {
		return w.code(ctx)
	}
	return w.wait(ctx, "")
}

// code types what the phone shows, until it is right, and waits for the phone's approval.
func (w *walk) code(ctx context.Context) (challenge, bool) {
	if w.b.o.Code == nil {
		w.end(Failed, "the page asks for the code on the phone, and nobody reads it")
		return challenge{}, false
	}
	for range maxCodes {
		code, next, ok := w.read(ctx)
		if code == "" {
			return next, ok
		}
		w.miscoded = false
		if next, ok := w.wait(ctx, code); !w.miscoded {
			return next, ok
		}
	}
	w.end(Failed, fmt.Sprintf("%d codes were refused", maxCodes))
	return challenge{}, false
}

// show tells what the page now shows for the chosen phone.
func (w *walk) show(c challenge) {
	for _, d := range c.phones() {
		if d.UID == w.result.Device && d.Item != "" {
			w.result.Item = d.Item
			w.b.o.OnItem(d.UID, d.Item)
		}
	}
}

// pushTrouble notes that the server could not deliver the push; true when it says so.
func (w *walk) pushTrouble(c challenge) bool {
	fault := c.fault(mobileClass)
	if fault.Code != "internal" {
		return false
	}
	w.result.PushFailed = fault.Text
	w.b.o.OnPushFailed(fault.Text)
	return true
}

// read waits for what the phone shows, as long as the server waits too; "" when that is over.
func (w *walk) read(ctx context.Context) (code string, next challenge, ok bool) {
	held, release := context.WithCancel(ctx)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer release()
		code, err = w.b.o.Code(reading, w.result.Device)
	}()
	next, ok = w.wait(held, "")
	stop()
	<-done
	if err != nil && ctx.Err() == nil && !ok && !w.lost && w.result.Outcome == "" {
		w.end(Failed, err.Error())
	}
	if ok || w.result.Outcome != "" { // it was over before the code was there
		code = ""
	}
	return code, next, ok
}

// wait holds on until the phone has answered, asking again as long as the server says to. A code, "" for none, goes
// with the first of the waits; w.miscoded says that it was refused.
func (w *walk) wait(ctx context.Context, code string) (challenge, bool) {
	began := w.b.o.Clock.Now()
	defer func() { w.note("wait", began) }()
	body := map[string]any{"component": validate, mobileClass: w.result.Device}
	if code != "" {
		body["code"] = code
	}
	troubles := 0
	for range maxWaits {
		w.result.Waits++
		next, moved, err := w.b.ask(ctx, http.MethodPost, w.b.executor(w.slug), body)
		if err != nil && ctx.Err() != nil {
			return next, false
		}
		if err != nil {
			w.broken(err)
			return next, false
		}
		if moved || next.Component == redirect {
			w.asked = true
			return next, true
		}
		if next.Component != validate {
			return next, true
		}
		delete(body, "code")
		if w.miscoded = next.fault("code").Code != ""; w.miscoded {
			return next, false
		}
		fault := next.fault(mobileClass)
		if fault.Code != "waiting" && fault.Code != wire.WrongNumber && !w.pushTrouble(next) {
			if fault.Code == "" {
				fault = next.anyFault()
			}
			w.end(phoneFault(fault))
			return next, false
		}
		w.show(next)
		if fault.Code == "waiting" || fault.Code == wire.WrongNumber { // which the person is about to mend
			continue
		}
		// Told once, it waits again at once; a server that keeps telling is not asked in a hurry.
		if troubles++; troubles > 1 {
			if err := w.b.pause(ctx, retryPause); err != nil {
				w.end(Failed, err.Error())
				return next, false
			}
		}
	}
	w.end(Failed, fmt.Sprintf("no answer after %d waits", maxWaits))
	return challenge{}, false
}

// phoneFault is the outcome that an error on the field mobile stands for.
func phoneFault(f stringError) (Outcome, string) {
	switch {
	case f.Code == "denied":
		return WrongNumber, f.Text
	case f.Code == "superseded":
		return Superseded, f.Text
	case f.Code == "throttled":
		return Throttled, f.Text
	case f.Code == "invalid" && strings.Contains(f.Text, "timed out"):
		return Expired, f.Text
	}
	return Failed, fmt.Sprintf("asking the phone: %q (%s)", f.Text, f.Code)
}

// setup shows the QR code to a phone and waits until the server knows it.
func (w *walk) setup(ctx context.Context, c challenge) (challenge, bool) {
	if w.enrol == nil {
		w.end(Failed, "the flow asks to enrol a phone")
		return c, false
	}
	if w.enrolled != "" {
		w.end(Failed, "the server does not accept the enrolment")
		return c, false
	}
	qr, err := wire.ParsePayload(c.Payload)
	if err != nil {
		w.end(Failed, err.Error())
		return c, false
	}
	var phone, page string // the fingerprint that each of them shows
	err = w.step("enrol", func() error {
		if phone, err = w.enrol(ctx, c.Payload); err != nil {
			return err
		}
		page, err = w.await(ctx, qr.Device)
		return err
	})
	if err != nil {
		w.end(Failed, err.Error())
		return c, false
	}
	if page != phone {
		_, _, _ = w.ask(ctx, "refuse", http.MethodPost, map[string]any{"component": mobileSetup, "matches": false})
		w.end(Failed, fmt.Sprintf("the page shows %q, the phone %q: another one enrolled", page, phone))
		return c, false
	}
	w.enrolled = qr.Device
	if page == "" {
		return w.plain(ctx, "finish", map[string]any{})
	}
	return w.plain(ctx, "finish", map[string]any{"component": mobileSetup, "fingerprint": page})
}

// await polls until the phone is enrolled, or waits for its fingerprint to be compared, which it gives.
func (w *walk) await(ctx context.Context, device string) (string, error) {
	for range maxEnrolPolls {
		reply, err := w.b.Do(ctx, http.MethodPost, "/"+wire.Path(device, wire.ActionStatus), nil)
		if err != nil {
			return "", err
		}
		var status wire.EnrollmentStatus
		if reply.Status != http.StatusOK {
			return "", &StatusError{Status: reply.Status, Body: excerpt(reply.Body)}
		}
		if err := json.Unmarshal(reply.Body, &status); err != nil {
			return "", fmt.Errorf("read enrolment status: %w", err)
		}
		if status.Status == wire.Success || status.Fingerprint != "" {
			return status.Fingerprint, nil
		}
		if err := w.b.pause(ctx, enrolPollEvery); err != nil {
			return "", err
		}
	}
	return "", errors.New("the phone did not enrol")
}

func (w *walk) ask(ctx context.Context, name, method string, body any) (c challenge, moved, ok bool) {
	err := w.step(name, func() error {
		var err error
		c, moved, err = w.b.ask(ctx, method, w.b.executor(w.slug), body)
		return err
	})
	if err != nil {
		w.broken(err)
		return c, moved, false
	}
	return c, moved, true
}

func (w *walk) step(name string, do func() error) error {
	began := w.b.o.Clock.Now()
	err := do()
	w.note(name, began)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (w *walk) note(name string, began time.Time) {
	s := Step{Name: name, Began: began, Took: w.b.o.Clock.Now().Sub(began)}
	w.result.Steps = append(w.result.Steps, s)
	w.b.o.OnStep(s)
}

func (w *walk) end(o Outcome, detail string) { w.result.Outcome, w.result.Detail = o, detail }
