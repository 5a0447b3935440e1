package engine

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/event"
	"countersign/simulator/phone"
	"countersign/simulator/scenario"
)

// person is a user with a phone. At most one login of theirs runs at a time.
type person struct {
	number int // from 1
	id     int // at the server
	name   string
	secret string
	group  scenario.Phones
	screen phone.Screen
	phone  *phone.Phone
	plan   atomic.Pointer[plan]
	manual atomic.Bool // a human has the phone
	lost   atomic.Bool // the phone is gone: it rings no more

	known  *browser.Browser                   // the one that they keep to, in streams that say so; of the login that runs
	onStep atomic.Pointer[func(browser.Step)] // of the login that runs

	mu   sync.Mutex
	last chan struct{} // closed when the login before is over

	prompts map[string]int // their login
}

// queue puts a login behind the person's last one: before is closed when it may run, and done is to be closed after it.
func (p *person) queue() (before <-chan struct{}, done chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, done = p.last, make(chan struct{})
	if before == nil {
		free := make(chan struct{})
		close(free)
		before = free
	}
	p.last = done
	return before, done
}

// behave is the phone's behaviour: the current plan's.
func (p *person) behave(ctx context.Context, ph *phone.Phone, r phone.Ring) (string, error) {
	current := p.plan.Load()
	if current != nil && p.manual.Load() {
		current.byHand.Store(true)
	}
	if current == nil || p.manual.Load() || p.lost.Load() {
		return "", nil
	}
	item, err := current.act(ctx, ph, r)
	if p.lost.Load() {
		return "", err
	}
	return item, err
}

// witness is a phone's transport that sees answers go out, whichever way they are made.
type witness struct {
	http.RoundTripper
	p *person
}

// RoundTrip makes the request.
func (w witness) RoundTrip(req *http.Request) (*http.Response, error) {
	if current := w.p.plan.Load(); current != nil && strings.HasSuffix(req.URL.Path, "/"+wire.ActionResponse+"/") {
		current.answered.Store(true)
	}
	return w.RoundTripper.RoundTrip(req)
}

// loginOf is the login that a prompt belongs to: the one that ran when the phone first heard of it. Its last step may come when the
// person's next login has begun.
func (p *person) loginOf(tx string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if login, known := p.prompts[tx]; known {
		return login
	}
	login := 0
	if current := p.plan.Load(); current != nil {
		login = current.login
	}
	if tx != "" {
		if len(p.prompts) >= maxPrompts || p.prompts == nil {
			p.prompts = map[string]int{}
		}
		p.prompts[tx] = login
	}
	return login
}

// maxPrompts is how many prompts of a phone are remembered.
const maxPrompts = 100

// address is what an error of net/http begins with: another one for each phone, where it is the cause that tells.
var address = regexp.MustCompile(`(Get|Post) "[^"]*": `)

// heard takes a step of the phone.
func (r *run) heard(p *person, s phone.Step) {
	// The step's own time is that of the phone's clock, which may go wrong.
	e := event.Event{At: r.at(r.clock.Now()), Kind: event.PhoneStep, Phone: p.number, Name: s.Name, Took: event.Millis(s.Took), Error: s.Error}
	e.Login = p.loginOf(s.TxID)
	switch s.Name {
	case phone.StepRang:
		r.tally.rang(p.number)
	case phone.StepAnswered:
		if s.Error == "" {
			r.tally.answered(p.number, s.TxID)
		}
	}
	if s.Error != "" {
		if r.ctx.Err() != nil {
			return // the phones are switched off: nobody's fault
		}
		e.Error = address.ReplaceAllString(s.Error, "")
		r.tally.add(countErrors, 1)
		if r.virtual() {
			e.Error = "failed" // its words name what no seed draws, such as ports and keys
		}
	}
	r.take(e)
}

// sleep waits on the run's clock; false when the run is over first.
func (r *run) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	c, stop := r.clock.After(d)
	defer stop()
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}
