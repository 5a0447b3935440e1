package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"countersign/simulator/admin"
	"countersign/simulator/browser"
	"countersign/simulator/clock"
	"countersign/simulator/phone"
)

const (
	callLimit  = 30 * time.Second
	loginLimit = 3 * time.Minute
	leaveLimit = time.Minute
	lateAfter  = 100 * time.Millisecond
	maxWrong   = 20 // described one by one in the report
	maxPhones  = 100_000
)

// Kind is what a person does in a login.
type Kind string

// The kinds.
const (
	Approve Kind = "approve"
	Deny    Kind = "deny"
	Wrong   Kind = "wrong_number"
	Ignore  Kind = "ignore"
)

func (k Kind) behaviour(s *phone.Screen) phone.Behaviour {
	switch k {
	case Deny:
		return phone.Deny
	case Wrong:
		return phone.WrongNumber(s)
	case Ignore:
		return phone.Ignore
	}
	return phone.Approve(s)
}

// outcome is the one right outcome of a kind.
func (k Kind) outcome() browser.Outcome {
	switch k {
	case Deny:
		return browser.Denied
	case Wrong:
		return browser.WrongNumber
	case Ignore:
		return browser.Expired
	}
	return browser.Approved
}

// Mix is the shares of the kinds, relative to each other. The zero Mix is all Approve.
type Mix struct {
	Approve float64 `json:"approve"`
	Deny    float64 `json:"deny"`
	Wrong   float64 `json:"wrong_number"`
	Ignore  float64 `json:"ignore"`
}

func (m Mix) draw(rng *rand.Rand) Kind {
	total := m.Approve + m.Deny + m.Wrong + m.Ignore
	at := rng.Float64() * total
	for _, one := range []struct {
		kind  Kind
		share float64
	}{{Approve, m.Approve}, {Deny, m.Deny}, {Wrong, m.Wrong}, {Ignore, m.Ignore}} {
		if at < one.share {
			return one.kind
		}
		at -= one.share
	}
	return Approve
}

// Options of a run. Base, Token and Push are required.
type Options struct {
	Base  string       // the server's URL
	Token string       // an API token that may create users
	Push  phone.Source // the push service that the server sends to

	Phones int     // users, each with one phone; default 10
	Logins int     // default 100
	Rate   float64 // arrivals a second; default 10
	Mix    Mix
	Seed   uint64 // of the drawn plans
	Stock  bool   // phones that cannot fetch
	NoPage bool   // browsers do not load the login page first
	// OpenApp lets people open the app when their browser says that the push did not go out.
	OpenApp bool

	Prefix    string // of user names; default "simulated-"
	Password  string // of the users; default one that meets common policies
	LoginFlow string // slugs; default browser's
	SetupFlow string
	Keep      bool // leave the users on the server

	Clock    clock.Clock       // default the wall clock
	Progress func(text string) // default: none
}

func (o *Options) complete() error {
	if o.Base == "" || o.Token == "" || o.Push == nil {
		return errors.New("load: a server, a token and a push service are needed")
	}
	o.Base = strings.TrimSuffix(o.Base, "/") + "/"
	if o.Phones == 0 {
		o.Phones = 10
	}
	if o.Logins == 0 {
		o.Logins = 100
	}
	if o.Rate == 0 {
		o.Rate = 10
	}
	if o.Phones < 1 || o.Phones > maxPhones || o.Logins < 1 || o.Rate <= 0 {
		return fmt.Errorf("load: phones must lie in 1 to %d, logins and rate above 0", maxPhones)
	}
	for _, share := range []float64{o.Mix.Approve, o.Mix.Deny, o.Mix.Wrong, o.Mix.Ignore} {
		if share < 0 {
			return errors.New("load: a share of the mix is negative")
		}
	}
	if o.Prefix == "" {
		o.Prefix = "simulated-"
	}
	if o.Password == "" {
		o.Password = "Simulated-phone-4711"
	}
	if o.Clock == nil {
		o.Clock = clock.Wall{}
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return nil
}

// run is the state of one Run.
type run struct {
	o         Options
	admin     admin.API
	transport *http.Transport
	people    []*person
	meter     meter

	mu     sync.Mutex
	report *Report
}

// Run provisions, runs the logins and cleans up. The report is returned also when ctx ends the run
// early. An error means that the run could not be made; wrong outcomes are in the report, see
// [Report.Err].
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 2*min(o.Phones, 2000)
	defer transport.CloseIdleConnections()
	r := &run{
		o: o, transport: transport, meter: newMeter(), report: newReport(o),
		admin: admin.API{Base: o.Base, Token: o.Token, HTTP: &http.Client{Transport: transport, Timeout: callLimit}},
	}
	began := o.Clock.Now()
	err := r.provision(ctx)
	if err == nil {
		r.report.Provisioning = milliseconds(o.Clock.Now().Sub(began))
		r.meter.reset() // enrolments are not what is measured
		r.logins(ctx)
	}
	cleanUp, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer cancel()
	if left := r.leave(cleanUp); err == nil {
		err = left
	}
	if err != nil {
		return nil, err
	}
	r.report.Interrupted = ctx.Err() != nil
	r.report.Steps = r.meter.summary()
	return r.report, nil
}

// logins lets the arrivals come and waits for the last one.
func (r *run) logins(ctx context.Context) {
	rng := rand.New(rand.NewPCG(r.o.Seed, 1)) //nolint:gosec // G404: draws that a seed repeats, no secrets
	free := make(chan *person, len(r.people))
	for _, p := range r.people {
		free <- p
	}
	var flying sync.WaitGroup
	start := r.o.Clock.Now()
	for i := range r.o.Logins {
		due := start.Add(time.Duration(float64(i) / r.o.Rate * float64(time.Second)))
		kind := r.o.Mix.draw(rng)
		if !r.sleep(ctx, due.Sub(r.o.Clock.Now())) {
			break
		}
		var p *person
		select {
		case p = <-free:
		case <-ctx.Done():
		}
		if p == nil {
			break
		}
		flying.Go(func() {
			r.login(ctx, p, kind, due)
			free <- p
		})
	}
	flying.Wait()
	r.report.Duration = milliseconds(r.o.Clock.Now().Sub(start))
	if r.report.Duration > 0 {
		r.report.AchievedRate = float64(r.report.Finished) / (r.report.Duration / 1000)
	}
}

func (r *run) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	c, stop := r.o.Clock.After(d)
	defer stop()
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *run) browser(ctx context.Context, p *person, onStep func(browser.Step)) (*browser.Browser, error) {
	return browser.New(browser.Options{
		Base: r.o.Base, Transport: r.transport, Clock: r.o.Clock, LoginFlow: r.o.LoginFlow, SetupFlow: r.o.SetupFlow,
		NoPage: r.o.NoPage, OnItem: p.screen.Show, Code: p.screen.Code, OnStep: onStep,
		OnPushFailed: func(string) {
			if r.o.OpenApp {
				// What it finds, or does not, shows in the login's outcome.
				_ = p.phone.Refresh(ctx)
			}
		},
	})
}

// login is one arrival.
func (r *run) login(ctx context.Context, p *person, kind Kind, due time.Time) {
	current := &plan{kind: kind}
	p.plan.Store(current)
	began := r.o.Clock.Now()
	b, err := r.browser(ctx, p, func(s browser.Step) { r.meter.record("browser: "+s.Name, s.Took) })
	if err != nil {
		r.conclude(due, began, wrong(p, kind, browser.Result{Outcome: browser.Failed, Detail: err.Error()}, ""), browser.Failed)
		return
	}
	bounded, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	result, _ := b.Login(bounded, p.name, p.secret)
	if ctx.Err() != nil {
		return // interrupted: says nothing of the server
	}
	tapped := current.tapped.Load()
	if tapped != nil && result.Outcome == browser.Approved {
		r.meter.record("answer to release", r.o.Clock.Now().Sub(tapped.at))
	}
	if result.PushFailed != "" {
		r.mu.Lock()
		r.report.PushFailed++
		r.mu.Unlock()
	}
	r.conclude(due, began, judge(p, kind, result, tapped), result.Outcome)
}

// judge holds a result against its plan; nil is right. What was let in without the phone's answer
// is the worst of all and said so.
func judge(p *person, kind Kind, result browser.Result, tapped *tap) *WrongLogin {
	letIn := result.Outcome == browser.Approved || result.Outcome == browser.NoPhone
	switch {
	case letIn && kind != Approve:
		return wrong(p, kind, result, "let in although the phone did not approve")
	case letIn && tapped == nil:
		return wrong(p, kind, result, "let in without an answer from the phone")
	case result.Outcome != kind.outcome():
		return wrong(p, kind, result, "")
	case kind != Ignore && tapped == nil:
		return wrong(p, kind, result, "ended before the phone answered")
	}
	return nil
}

func wrong(p *person, kind Kind, result browser.Result, why string) *WrongLogin {
	if why == "" {
		why = "other outcome than planned"
	}
	return &WrongLogin{User: p.name, Plan: kind, Expected: kind.outcome(), Outcome: result.Outcome, Why: why, Detail: result.Detail}
}

func (r *run) conclude(due, began time.Time, w *WrongLogin, outcome browser.Outcome) {
	now := r.o.Clock.Now()
	r.meter.record("login", now.Sub(due))
	r.meter.record("queued", began.Sub(due))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Finished++
	r.report.Outcomes[outcome]++
	if began.Sub(due) > lateAfter {
		r.report.Late++
	}
	if w != nil {
		r.report.WrongCount++
		if len(r.report.Wrong) < maxWrong {
			r.report.Wrong = append(r.report.Wrong, *w)
		}
	}
}

func (r *run) phoneStep(s phone.Step) {
	switch s.Name {
	case phone.StepReceived, phone.StepFetched, phone.StepAnswered:
		if s.Error == "" {
			r.meter.record("phone: "+s.Name, s.Took)
		}
	}
}
