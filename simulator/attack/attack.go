package attack

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"countersign/simulator/admin"
	"countersign/simulator/phone"
	"countersign/simulator/verdict"
)

const (
	callLimit   = 75 * time.Second // longer than any request is held
	leaveLimit  = time.Minute
	attackLimit = 10 * time.Minute
	together    = 4 // attacks at a time
)

// Attack is one thing that an attacker tries.
type Attack struct {
	Name    string   `json:"name"`
	Does    string   `json:"does"`    // what is tried, in a line
	Expects string   `json:"expects"` // of a server that holds
	Proves  []string `json:"proves"`  // ids of requirements, T1 to T24
	run     func(context.Context, *trial) error
}

// All are the attacks, in the order of a report.
func All() []Attack { return slices.Clone(all) }

var all = slices.Concat(fatigueAttacks, enrolmentAttacks, requestAttacks, appAttacks, paymentAttacks, sessionAttacks, pushAttacks)

// Options of a run. Base and Token are required.
type Options struct {
	Base  string   // the server's URL
	Token string   // an API token that may make and remove users
	Only  []string // names of attacks; none: all
	Seed  uint64   // of what is drawn: wrong numbers, and what is tampered with first

	Tries    int           // logins of a push bombing; default 200
	Rings    int           // that they may cause; default 3
	Patience time.Duration // to wait for a question to expire; default 3 minutes

	// Push is the push service that the server sends to; nil: what needs one is not tried, as all phones ask by themselves.
	Push phone.Source

	Prefix    string // of the users' names, default "attack-"; users of such names are replaced
	LoginFlow string // slugs; default browser's
	SetupFlow string
	Progress  func(text string) // default: none
}

func (o *Options) complete() error {
	if o.Base == "" || o.Token == "" {
		return errors.New("attack: a server and a token are needed")
	}
	o.Base = strings.TrimSuffix(o.Base, "/") + "/"
	for _, name := range o.Only {
		if !slices.ContainsFunc(all, func(a Attack) bool { return a.Name == name }) {
			return fmt.Errorf("attack: there is no attack %q", name)
		}
	}
	if o.Tries == 0 {
		o.Tries = 200
	}
	if o.Rings == 0 {
		o.Rings = 3
	}
	if o.Patience == 0 {
		o.Patience = 3 * time.Minute
	}
	if o.Tries < 1 || o.Rings < 1 || o.Patience < 0 {
		return errors.New("attack: tries, rings and patience lie above 0")
	}
	if o.Prefix == "" {
		o.Prefix = "attack-"
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return nil
}

// ErrUnreachable is the error of a run whose target is not there, or does not let people and phones be made.
var ErrUnreachable = errors.New("the server cannot be attacked")

// Run carries the attacks out, a few at a time, each on users of its own, whom it removes in the end. The report is returned also
// when ctx ends the run early: it has the attacks that were done. An error means that there is nothing to report, such as
// ErrUnreachable; what broke is in the report, see [Report.Err].
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 2 * crowd
	defer transport.CloseIdleConnections()
	r := &run{o: o, transport: transport, http: &http.Client{Transport: transport, Timeout: callLimit}}
	r.admin = admin.API{Base: o.Base, Token: o.Token, HTTP: r.http}
	defer r.leave(context.WithoutCancel(ctx))

	began := time.Now()
	var err error
	if r.target, err = r.survey(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	report := &Report{Server: o.Base, Seed: o.Seed, Began: began, Target: r.target}
	var chosen []Attack
	for _, a := range all {
		if len(o.Only) == 0 || slices.Contains(o.Only, a.Name) {
			chosen = append(chosen, a)
		}
	}
	results := make([]*Result, len(chosen))
	var group errgroup.Group
	group.SetLimit(together)
	for i, a := range chosen {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			results[i] = r.carryOut(ctx, a)
			return nil
		})
	}
	_ = group.Wait() // no attack has an error: see carryOut
	for _, one := range results {
		if one != nil {
			report.Results = append(report.Results, *one)
		}
	}
	report.Interrupted = ctx.Err() != nil
	report.Took = time.Since(began)
	return report, nil
}

// run is the state of one Run.
type run struct {
	o         Options
	transport *http.Transport
	http      *http.Client
	admin     admin.API
	target    Target
	made      people
}

// carryOut does one attack; nil when it was interrupted.
func (r *run) carryOut(ctx context.Context, a Attack) *Result {
	name := fnv.New64a()
	_, _ = name.Write([]byte(a.Name))                                                     // a hash takes all
	t := &trial{run: r, name: a.Name, rng: rand.New(rand.NewPCG(r.o.Seed, name.Sum64()))} //nolint:gosec // G404: draws that a seed repeats, no secrets
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, attackLimit)
	defer cancel()
	err := a.run(limited, t)
	if ctx.Err() != nil {
		return nil
	}
	result := &Result{Attack: a, Took: time.Since(began)}
	result.Evidence = t.probes
	result.Outcome, result.Observed = verdict.Judge(t.probes, err, t.observed)
	r.o.Progress(fmt.Sprintf("%s: %s", a.Name, result.Outcome))
	return result
}
