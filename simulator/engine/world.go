package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"countersign/simulator/event"
	"countersign/simulator/fault"
	"countersign/simulator/scenario"
)

// behind is by how much trouble comes later than it is due, each a little more than the one before: what falls on one instant then
// comes in one order, logins first, and not as chance will.
func behind(nth int) time.Duration { return time.Microsecond + time.Duration(nth) }

// faults puts each fault on and takes it off at its time.
func (r *run) faults(ctx context.Context) {
	for i, f := range r.s.Faults {
		r.beside.Go(func() {
			if !r.sleep(ctx, f.From+behind(i)) {
				return
			}
			r.board.Begin(f)
			r.pushConditions(ctx, f)
			r.take(event.Event{At: r.at(r.clock.Now()), Kind: event.FaultOn, Name: f.Name, Text: "on the hop " + f.On})
			if f.Until == 0 || !r.sleep(ctx, f.Until-f.From) {
				return
			}
			r.board.End(f.Name)
			r.pushConditions(ctx, f)
			r.take(event.Event{At: r.at(r.clock.Now()), Kind: event.FaultOff, Name: f.Name})
		})
	}
}

// pushConditions tells the push service what is on, if the fault is its own.
func (r *run) pushConditions(ctx context.Context, f scenario.Fault) {
	if f.On != "push" || r.target.conditions == nil {
		return
	}
	if err := r.target.conditions(ctx, fault.Conditions(r.board.On("push"))); err != nil {
		r.take(event.Event{At: r.at(r.clock.Now()), Kind: event.FaultOn, Name: f.Name, Error: err.Error()})
	}
}

// acts does each act upon the world at its time.
func (r *run) acts(ctx context.Context) {
	for i, a := range r.s.World {
		r.beside.Go(func() {
			if !r.sleep(ctx, a.At+behind(len(r.s.Faults)+i)) || !r.asked.reach(ctx, a.When) {
				return
			}
			text, err := r.act(ctx, i, a)
			e := event.Event{At: r.at(r.clock.Now()), Kind: event.World, Name: a.Do, Text: text}
			if err != nil {
				e.Error = err.Error()
			}
			r.take(e)
		})
	}
}

// act does one act and says what it did.
func (r *run) act(ctx context.Context, nth int, a scenario.Act) (string, error) {
	w := r.target.world
	word, what, _ := strings.Cut(a.Do, "_")
	switch {
	case what == "phones":
		return r.losePhones(nth, a), nil
	case what == "node" && word == "start":
		return fmt.Sprintf("node %d", a.Node), w.StartNode(ctx, a.Node)
	case what == "node":
		waiting := r.asked.value()
		if word == "kill" && r.killed.CompareAndSwap(false, true) {
			r.tally.add(countKilled, waiting)
		}
		w.StopNode(a.Node, word == "kill")
		return fmt.Sprintf("node %d, while %d logins waited for their phone", a.Node, waiting), nil
	case word == "start":
		return "", w.StartDatabase(ctx)
	}
	w.StopDatabase(word == "kill")
	return fmt.Sprintf("while %d logins waited for their phone", r.asked.value()), nil
}

// losePhones takes phones from their people: they ring no more.
func (r *run) losePhones(nth int, a scenario.Act) string {
	draws, lost := rng(r.o.Seed, "lose", nth), 0
	for _, p := range r.people {
		if p.group.Name != a.Group || draws.Float64() >= a.Share {
			continue
		}
		p.lost.Store(true)
		p.phone.Disconnect()
		r.take(event.Event{At: r.at(r.clock.Now()), Kind: event.PhoneStep, Phone: p.number, Name: event.StepOffline})
		lost++
	}
	return fmt.Sprintf("%d of %s", lost, a.Group)
}
