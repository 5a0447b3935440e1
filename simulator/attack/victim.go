package attack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
)

// phrase is the password of the users, who live as long as a run.
const phrase = "Simulated-phone-4711"

// What browsers say that they are: the owner's, and the attacker's, which is another one so that a phone can tell.
const (
	ownerAgent    = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
	attackerAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

// people are the users that a run has made.
type people struct {
	mu  sync.Mutex
	ids []int
}

func (p *people) add(id int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids = append(p.ids, id)
}

// leave removes the users.
func (r *run) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	for _, id := range r.made.ids {
		if err := r.admin.Remove(ctx, id); err != nil {
			r.o.Progress(fmt.Sprintf("user %d is left: %v", id, err))
		}
	}
}

func (r *run) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// victim is a user whose password the attacker knows, with the owner's browser and phone.
type victim struct {
	id   int
	name string
	own  *tab
	app  *app
	qr   []byte // the text of the QR code by which the phone was enrolled
}

// user makes a user whose owner is logged in, and has no phone yet.
func (r *run) user(ctx context.Context, name string) (*victim, error) {
	v := &victim{name: r.o.Prefix + name}
	id, err := r.admin.Create(ctx, v.name, phrase)
	if id != 0 {
		v.id = id
		r.made.add(id)
	}
	if err != nil {
		return nil, fmt.Errorf("make user %s: %w", v.name, err)
	}
	if v.own, err = r.tab(ownerAgent); err != nil {
		return nil, err
	}
	return v, v.enter(ctx, v.own)
}

// enter logs in a user who has no phone.
func (v *victim) enter(ctx context.Context, t *tab) error {
	result, err := t.Login(ctx, v.name, phrase)
	if err == nil && result.Outcome != browser.NoPhone {
		err = fmt.Errorf("%s: %s", result.Outcome, result.Detail)
	}
	if err != nil {
		return fmt.Errorf("log in %s without a phone: %w", v.name, err)
	}
	return nil
}

// victim makes a user with a phone of the best kind that the server takes.
func (t *trial) victim(ctx context.Context, suffix string) (*victim, error) {
	return t.victimWith(ctx, suffix, t.target.best())
}

func (r *run) victimWith(ctx context.Context, name string, k kind) (*victim, error) {
	v, err := r.user(ctx, name)
	if err != nil {
		return nil, err
	}
	if v.app, err = r.app(k); err != nil {
		return nil, err
	}
	_, err = v.own.EnrolPhone(ctx, func(ctx context.Context, payload []byte) (string, error) {
		v.qr = payload
		if err := v.app.read(payload); err != nil {
			return "", err
		}
		got, err := v.app.enrol(ctx)
		if err == nil && v.app.token == v.app.once {
			err = fmt.Errorf("enrol: %s", got)
		}
		if err != nil {
			return "", err
		}
		return v.app.fingerprint(v.app.serverKey)
	})
	if err != nil {
		return nil, fmt.Errorf("enrol the phone of %s: %w", v.name, err)
	}
	return v, v.app.settle(ctx, r)
}

// tab is a browser that says when it has a phone asked.
type tab struct {
	*browser.Browser
	asked chan browser.Device
	code  chan string // what the person types where the phone shows a code
}

func (r *run) tab(agent string) (*tab, error) {
	t := &tab{asked: make(chan browser.Device, 1), code: make(chan string)}
	var err error
	t.Browser, err = browser.New(browser.Options{
		Base: r.o.Base, Transport: r.transport, UserAgent: agent, LoginFlow: r.o.LoginFlow, SetupFlow: r.o.SetupFlow,
		OnAsked: func(d browser.Device) { t.asked <- d },
		Code: func(ctx context.Context, _ string) (string, error) {
			select {
			case code := <-t.code:
				return code, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		},
	})
	return t, err
}

// login is one under way.
type login struct {
	tab    *tab
	device browser.Device // that was asked; zero: none was, and the login is over
	done   chan browser.Result
	stop   context.CancelFunc
}

// login begins a login, until the phone is asked or the login is over.
func (t *tab) login(ctx context.Context, v *victim) (*login, error) {
	ctx, stop := context.WithCancel(ctx)
	l := &login{tab: t, done: make(chan browser.Result, 1), stop: stop}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		result, _ := t.Login(ctx, v.name, phrase) // an error is that ctx is over
		l.done <- result
	}()
	select {
	case l.device = <-t.asked:
		return l, nil
	case <-ended:
		select {
		case l.device = <-t.asked: // and it is over, too
		default:
		}
		return l, nil
	case <-ctx.Done():
		stop()
		return nil, ctx.Err()
	}
}

// end is how the login ended; it may wait for it.
func (l *login) end(ctx context.Context) (browser.Result, error) {
	defer l.stop()
	select {
	case result := <-l.done:
		l.done <- result
		return result, nil
	case <-ctx.Done():
		return browser.Result{}, ctx.Err()
	}
}

// abandon closes the page of a login.
func (l *login) abandon() { l.stop() }

func (l *login) wasAsked() bool { return l.device.UID != "" }

// let tells whether a login let somebody in.
func let(result browser.Result) bool {
	return result.Outcome == browser.Approved || result.Outcome == browser.NoPhone
}

// ask begins a login from a browser of the attacker, and gives what the phone is asked by it. Error: the phone is not asked.
func (t *trial) ask(ctx context.Context, v *victim) (*login, question, error) {
	tab, err := t.tab(attackerAgent)
	if err != nil {
		return nil, question{}, err
	}
	return t.askFrom(ctx, tab, v)
}

func (t *trial) askFrom(ctx context.Context, tab *tab, v *victim) (*login, question, error) {
	l, err := tab.login(ctx, v)
	if err != nil {
		return nil, question{}, err
	}
	if !l.wasAsked() {
		result, err := l.end(ctx)
		if err != nil {
			return nil, question{}, err
		}
		return nil, question{}, fmt.Errorf("a login of %s asks no phone: %s: %s", v.name, result.Outcome, result.Detail)
	}
	list, err := v.app.pending(ctx)
	if err != nil {
		return nil, question{}, fmt.Errorf("fetch what the phone of %s is asked: %w", v.name, err)
	}
	if len(list) == 0 {
		return nil, question{}, fmt.Errorf("the login of %s waits for a phone that is asked nothing", v.name)
	}
	return l, list[len(list)-1], nil
}

// right is the item by which the person approves a question that a login asked.
func (l *login) right(q question) string {
	switch {
	case q.Mode == wire.AcceptDeny:
		return wire.ItemAccept
	case q.Mode.Shows():
		return q.Items[0]
	}
	return l.device.Item
}

// wrong is another one; "" where there is none.
func (t *trial) wrong(l *login, q question) string {
	right := l.right(q)
	switch {
	case q.Mode == wire.AcceptDeny || right == "":
		return ""
	case q.Mode.Picks():
		at := t.rng.IntN(len(q.Items))
		if q.Items[at] == right {
			at = (at + 1) % len(q.Items)
		}
		return q.Items[at]
	}
	digits := []byte(right)
	at := t.rng.IntN(len(digits))
	digits[at] = '0' + (digits[at]-'0'+1+byte(t.rng.IntN(9)))%10
	return string(digits)
}

// approve has the owner approve a login, and gives how it ended. Error: the server does not take the answer.
func (t *trial) approve(ctx context.Context, v *victim, l *login, q question) (browser.Result, error) {
	in, err := v.app.answer(q, l.right(q))
	if err != nil {
		return browser.Result{}, err
	}
	got, err := v.app.respond(ctx, in)
	if err := t.accepted("the owner's approval", got, err); err != nil {
		return browser.Result{}, err
	}
	if err := l.typed(ctx, q); err != nil {
		return browser.Result{}, err
	}
	return l.end(ctx)
}

// typed has the person type the code that the phone shows, where it shows one.
func (l *login) typed(ctx context.Context, q question) error {
	if !q.Mode.Shows() {
		return nil
	}
	select {
	case l.tab.code <- q.Items[0]:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// control is the owner's approval at the end of an attack: who refuses the good answer too has not held.
func (t *trial) control(ctx context.Context, v *victim, l *login, q question) error {
	result, err := t.approve(ctx, v, l, q)
	if err != nil {
		return err
	}
	t.expect(result.Outcome == browser.Approved, "then the owner approves", "%s %s", result.Outcome, result.Detail)
	return nil
}

// Target is what a survey found of the server.
type Target struct {
	Stock    bool      `json:"stock"`    // it takes phones without keys
	Keys     bool      `json:"keys"`     // it takes phones with keys, and signs what it asks them
	Demanded string    `json:"demanded"` // by what answers have to be authenticated: bearer, signed or signed_user_verified
	Mode     wire.Mode `json:"mode"`     // how it asks
	Window   string    `json:"window"`   // how long a question may be answered
}

func (t Target) best() kind {
	if t.Keys {
		return verifying
	}
	return stock
}

// survey finds out what phones the server takes, and how it asks them.
func (r *run) survey(ctx context.Context) (Target, error) {
	var found Target
	var errs []error
	for _, k := range []kind{verifying, signing, stock} {
		v, err := r.victimWith(ctx, "survey-"+fmt.Sprint(int(k)), k)
		if err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil || v == nil && len(r.made.ids) == 0 {
				return found, err // it is not there, or makes no users
			}
			continue
		}
		switch {
		case v.app.possession == nil: // or the server had no use for its keys
			found.Stock, found.Demanded = true, "bearer"
		case k == verifying:
			found.Keys, found.Demanded = true, "signed_user_verified"
		default:
			found.Demanded = "signed"
		}
		if found.Mode == "" {
			t := &trial{run: r}
			l, q, err := t.ask(ctx, v)
			if err == nil {
				_, err = t.approve(ctx, v, l, q)
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			found.Mode, found.Window = q.Mode, q.Expires.Sub(q.Created).Round(time.Second).String()
		}
	}
	if found.Mode == "" {
		return found, errors.Join(errs...)
	}
	return found, nil
}

func excerpt(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 160 {
		text = text[:160] + "…"
	}
	return text
}
