package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/simulator/clock"
	"countersign/simulator/event"
	"countersign/simulator/fault"
	"countersign/simulator/maker"
	"countersign/simulator/phone"
	"countersign/simulator/scenario"
)

// run is the state of one Run.
type run struct {
	o      Options
	s      scenario.Scenario
	clock  clock.Clock
	start  time.Time // of the logins, once started
	begun  atomic.Bool
	target target
	board  fault.Board
	maker  *maker.Maker
	people []*person
	tally  *tally
	growth growth // the samples' own

	ctx        context.Context // ends with the run; its cause says why
	stop       context.CancelCauseFunc
	beside     sync.WaitGroup // faults, acts, samples
	walking    sync.WaitGroup // logins
	queued     atomic.Int64   // logins under way, those too whose person is still busy with another
	flying     atomic.Int64   // of them, those that have a browser
	asked      gauge          // of them, those that wait for their phone
	lag        atomic.Int64   // the most since the last sample, in nanoseconds
	shift      atomic.Int64   // of all that is due, by pauses, in nanoseconds
	killed     atomic.Bool
	suspecting atomic.Bool
	suspicions sync.WaitGroup

	habits       map[string]phone.Kind // by name
	open, logins int                   // of open streams, and in all, as planned
}

// Run runs a scenario to its end and gives the verdict. The sinks have the run's last event when it returns. An error means
// that the run could not be made; its last event says so too.
func Run(ctx context.Context, o Options) (Verdict, error) {
	if o.Prefix == "" {
		o.Prefix = "simulated-"
	}
	r := &run{o: o, s: o.Scenario, clock: clockOf(o.Scenario.Clock), tally: newTally()}
	r.ctx, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	if err := r.begin(); err != nil {
		return Verdict{}, err
	}
	var v Verdict
	var err error
	play := func(context.Context) { v, err = r.play(ctx) }
	if c, ok := r.clock.(*clock.Virtual); ok {
		if stuck := c.Drive(ctx, play); stuck != nil && err == nil {
			err = stuck
		}
	} else {
		play(ctx)
	}
	r.end(v, err)
	return v, err
}

// begin emits the header.
func (r *run) begin() error {
	spec, err := json.Marshal(r.s)
	if err != nil {
		return fmt.Errorf("write scenario: %w", err)
	}
	if r.habits, err = habits(r.s.Phones); err != nil {
		return err
	}
	r.open, r.logins = Planned(r.s, r.o.Seed)
	people := 0
	for _, g := range r.s.Phones {
		people += g.Count
		if g.Attests != "" && r.maker == nil {
			if r.maker, err = maker.New(); err != nil {
				return err
			}
		}
	}
	r.take(event.Event{Kind: event.RunBegun, Header: &event.Header{
		Format: event.Format, Scenario: r.s.Name, About: r.s.About, Seed: r.o.Seed, Clock: r.s.Clock, Server: r.s.Target.URL,
		Started: r.clock.Now().UTC(), Version: r.o.Version, Phones: people, Logins: r.logins, Lasts: event.Millis(r.s.Last()),
		Command: r.o.Command, Spec: spec,
	}})
	return nil
}

// end emits how it went, last of all.
func (r *run) end(v Verdict, err error) {
	text := "done"
	switch {
	case err != nil:
		text = "not run: " + err.Error()
	case v.Unreachable != nil:
		text = v.Unreachable.Error()
	case v.Interrupted:
		text = "interrupted"
	}
	r.take(event.Event{At: r.at(r.clock.Now()), Kind: event.RunEnded, Text: text})
}

// play is the run proper.
func (r *run) play(ctx context.Context) (v Verdict, err error) {
	defer r.closeTarget()
	if err := r.openTarget(r.ctx); err != nil {
		return r.failed(ctx, err)
	}
	err = away(r.provision(r.ctx))
	if err == nil {
		r.run()
		r.suspicions.Wait() // the last logins may have failed as the server is away
	}
	cause := context.Cause(r.ctx)
	r.stop(nil)
	r.beside.Wait()
	left := r.leave(ctx)
	if err != nil {
		return r.failed(ctx, err)
	}
	switch v.Interrupted = ctx.Err() != nil; {
	case errors.Is(cause, ErrUnreachable):
		v.Unreachable, left = cause, nil
	case cause != nil && !v.Interrupted:
		return v, errors.Join(cause, left)
	}
	r.judge(&v)
	return v, left
}

// failed tells a server that is away, and an interruption, from a mistake.
func (r *run) failed(ctx context.Context, err error) (Verdict, error) {
	switch {
	case ctx.Err() != nil:
		return Verdict{Interrupted: true}, nil //nolint:nilerr // it follows from the interruption
	case errors.Is(err, ErrUnreachable):
		return Verdict{Unreachable: err}, nil
	}
	return Verdict{}, err
}

// run lets the logins come, and waits for the last one.
func (r *run) run() {
	r.start = r.clock.Now()
	r.begun.Store(true)
	r.o.Control.attach(r)
	defer r.o.Control.attach(nil)
	r.take(event.Event{Kind: event.RunStarted, At: 0})
	r.faults(r.ctx)
	r.acts(r.ctx)
	r.samples(r.ctx)
	groups := r.groups()
	var streams sync.WaitGroup
	streams.Go(func() { r.arrive(groups) })
	stride, offset := 0, 0
	for _, l := range r.s.Logins {
		stride += l.People
	}
	for i, l := range r.s.Logins {
		for k := range l.People {
			number := r.open + offset + k + 1
			streams.Go(func() { r.closed(l, groups[i][k], k, number, stride) })
		}
		offset += l.People
	}
	streams.Wait()
	r.walking.Wait()
}

// groups are the people of each stream, in an order that the seed draws.
func (r *run) groups() [][]*person {
	out := make([][]*person, len(r.s.Logins))
	for i, l := range r.s.Logins {
		for _, p := range r.people {
			if slices.Contains(l.Phones, p.group.Name) {
				out[i] = append(out[i], p)
			}
		}
		rng(r.o.Seed, "order", i).Shuffle(len(out[i]), func(a, b int) { out[i][a], out[i][b] = out[i][b], out[i][a] })
	}
	return out
}

// arrive lets the logins of the open streams come when they are due.
func (r *run) arrive(groups [][]*person) {
	schedule, turn := newSchedule(r.o.Seed, r.s.Logins), make([]int, len(r.s.Logins))
	for number := 1; ; number++ {
		a, ok := schedule.next()
		if !ok {
			return
		}
		due := r.start.Add(a.due + time.Duration(r.shift.Load()))
		if !r.sleep(r.ctx, due.Sub(r.clock.Now())) {
			return
		}
		paused, err := r.o.Control.pass(r.ctx)
		if err != nil {
			return
		}
		if paused > 0 {
			r.shift.Add(int64(paused))
			due = r.clock.Now()
		}
		for late := int64(r.clock.Now().Sub(due)); ; {
			if was := r.lag.Load(); late <= was || r.lag.CompareAndSwap(was, late) {
				break
			}
		}
		people := groups[a.stream]
		p := people[turn[a.stream]%len(people)]
		turn[a.stream]++
		r.launch(number, p, r.s.Logins[a.stream], due)
	}
}

// launch begins one login beside the caller.
func (r *run) launch(number int, p *person, l scenario.Logins, due time.Time) {
	r.tally.add(countLogins, 1)
	if r.queued.Add(1) > maxFlying {
		r.queued.Add(-1)
		r.tally.add(countFinished, 1)
		r.tally.add(string(Dropped), 1)
		r.tally.add(countWrong, 1)
		r.take(event.Event{
			At: r.at(due), Kind: event.LoginEnded, Login: number, Phone: p.number, Outcome: string(Dropped),
			Wrong: fmt.Sprintf("not begun: %d logins are under way", maxFlying),
		})
		return
	}
	before, done := p.queue()
	r.walking.Go(func() {
		defer r.queued.Add(-1)
		defer close(done)
		r.login(r.ctx, number, p, l, due, before)
	})
}

// closed lets one person log in, one login after another: number, number+stride, …
func (r *run) closed(l scenario.Logins, p *person, nth, number, stride int) {
	if !r.sleep(r.ctx, l.From+time.Duration(number)) { // one after another, as the seed has it
		return
	}
	for i := 0; l.Count == 0 || i*l.People+nth < l.Count; i++ {
		if i > 0 && !r.sleep(r.ctx, l.Pause) {
			return
		}
		if _, err := r.o.Control.pass(r.ctx); err != nil {
			return
		}
		now := r.clock.Now()
		if l.Until > 0 && now.Sub(r.start) >= l.Until {
			return
		}
		r.tally.add(countLogins, 1)
		before, done := p.queue()
		r.login(r.ctx, number+i*stride, p, l, now, before)
		close(done)
	}
}

// judge holds checks and thresholds against what was counted.
func (r *run) judge(v *Verdict) {
	at := r.at(r.clock.Now())
	v.Wrong = int(r.tally.value(countWrong))
	for _, c := range r.s.Checks {
		found := r.tally.value(c.Counter)
		e := event.Event{At: at, Kind: event.Check, Name: c.String(), Passed: c.Holds(found, r.tally.value(c.Other)), Text: fmt.Sprintf("%s is %v", c.Counter, found)}
		if !e.Passed {
			v.Failed = append(v.Failed, e.Name+": "+e.Text)
		}
		r.take(e)
	}
	for _, e := range r.growth.checks(r.s.Soak) {
		if e.At = at; !e.Passed {
			v.Failed = append(v.Failed, e.Name+": "+e.Text)
		}
		r.take(e)
	}
	for _, metric := range slices.Sorted(maps.Keys(r.s.Limits)) {
		for _, limit := range r.s.Limits[metric] {
			found, known := r.o.Meter.Value(metric, limit.Aggregation, limit.Quantile)
			e := event.Event{At: at, Kind: event.Threshold, Name: metric + ": " + limit.String(), Passed: known && limit.Holds(found), Text: fmt.Sprintf("found %.6g", found)}
			if !known {
				e.Text = "the run has no such value"
			}
			if !e.Passed {
				v.Crossed = append(v.Crossed, e.Name+": "+e.Text)
			}
			r.take(e)
		}
	}
}

// take hands an event on.
func (r *run) take(e event.Event) {
	r.o.Meter.Take(e)
	if r.o.Sink != nil {
		r.o.Sink.Take(e)
	}
}

// at is a time of the run; all that was before its start was at 0.
func (r *run) at(t time.Time) event.Millis {
	if !r.begun.Load() {
		return 0
	}
	return event.Millis(t.Sub(r.start))
}

func (r *run) virtual() bool { return r.s.Clock == "virtual" }
