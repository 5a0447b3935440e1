package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"countersign/simulator/engine"
	"countersign/simulator/event"
	"countersign/simulator/standin"
)

// recorder remembers events and tells a waiter of each.
type recorder struct {
	mu   sync.Mutex
	all  []event.Event
	each func(event.Event)
}

func (r *recorder) Take(e event.Event) {
	r.mu.Lock()
	r.all = append(r.all, e)
	r.mu.Unlock()
	if r.each != nil {
		r.each(e)
	}
}

func (r *recorder) of(kind event.Kind) []event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []event.Event
	for _, e := range r.all {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

func TestAServerThatLetsInUnaskedIsFound(t *testing.T) {
	t.Parallel()
	careless := standin.New(t, standin.Options{Careless: true})
	s := read(t, "name: s\ntarget: {url: x}\nphones: [{name: all, count: 2}]\nlogins: [{rate: 100, count: 4}]\nchecks: [approved_unanswered == 0]\n")
	s.Target.URL = careless.URL
	var log recorder
	v, err := engine.Run(t.Context(), engine.Options{Scenario: s, Token: standin.AdminToken, Push: push{careless}, Meter: meter{}, Sink: &log})
	if err != nil || v.Wrong != 4 || len(v.Failed) != 1 {
		t.Errorf("%+v %v", v, err)
	}
	if ends := log.of(event.LoginEnded); len(ends) != 4 || ends[0].Wrong != "let in without an answer from the phone" {
		t.Errorf("%+v", ends)
	}
	if careless.Users() != 0 {
		t.Errorf("%d users are left", careless.Users())
	}
}

func TestWaitingForABusyPersonCounts(t *testing.T) {
	t.Parallel()
	s := read(t, "name: s\nclock: virtual\nphones: [{name: all, count: 1, people: [{do: approve, after: 3s}]}]\nlogins: [{rate: 1, count: 4}]\n")
	var log recorder
	if _, err := engine.Run(t.Context(), engine.Options{Scenario: s, Meter: meter{}, Sink: &log}); err != nil {
		t.Fatal(err)
	}
	// Due at 0, 1, 2 and 3 s, ended at 3, 6, 9 and 12 s.
	var took []float64
	for _, e := range log.of(event.LoginEnded) {
		took = append(took, float64(e.Took)/1e9)
	}
	if len(took) != 4 || took[0] != 3 || took[1] != 5 || took[2] != 7 || took[3] != 9 {
		t.Errorf("logins took %v s, want 3, 5, 7, 9", took)
	}
}

func TestATargetThatGoesAwayEndsTheRun(t *testing.T) {
	t.Parallel()
	server := standin.Start(standin.Options{})
	s := read(t, "name: s\ntarget: {url: x}\nphones: [{name: all, count: 4}]\nlogins: [{rate: 20, until: 1h}]\n")
	s.Target.URL = server.URL
	var once sync.Once
	log := recorder{}
	log.each = func(e event.Event) {
		if e.Kind == event.LoginEnded {
			once.Do(server.Close)
		}
	}
	v, err := engine.Run(t.Context(), engine.Options{Scenario: s, Token: standin.AdminToken, Push: push{server}, Meter: meter{}, Sink: &log})
	if err != nil || !errors.Is(v.Unreachable, engine.ErrUnreachable) {
		t.Fatalf("%+v %v", v, err)
	}
	ends := log.of(event.RunEnded)
	if len(ends) != 1 || !strings.HasPrefix(ends[0].Text, "target unreachable") || len(log.of(event.LoginEnded)) == 0 {
		t.Errorf("%+v", ends)
	}
}

// A short run is over before anybody could know that the server is away: it waits for that.
func TestATargetThatGoesAwayIsTheVerdictOfAShortRunToo(t *testing.T) {
	t.Parallel()
	server := standin.Start(standin.Options{})
	s := read(t, "name: s\ntarget: {url: x}\nphones: [{name: all, count: 1}]\nlogins: [{rate: 1000, count: 3}]\n")
	s.Target.URL = server.URL
	log := recorder{}
	log.each = func(e event.Event) {
		if e.Kind == event.RunStarted {
			server.Close()
		}
	}
	v, err := engine.Run(t.Context(), engine.Options{Scenario: s, Token: standin.AdminToken, Push: push{server}, Meter: meter{}, Sink: &log})
	if err != nil || !errors.Is(v.Unreachable, engine.ErrUnreachable) {
		t.Errorf("%+v %v", v, err)
	}
}

// A parameter that a habit does not take is told before anything runs, also where no reader saw the scenario.
func TestAWrongParameterIsToldFirst(t *testing.T) {
	t.Parallel()
	s := read(t, "name: s\ntarget: {stand_in: true}\nphones: [{name: all, count: 1}]\nlogins: [{rate: 1, count: 1}]\n")
	s.Phones[0].People[0].Param = "x"
	var log recorder
	_, err := engine.Run(t.Context(), engine.Options{Scenario: s, Meter: meter{}, Sink: &log})
	if err == nil || !strings.Contains(err.Error(), "people of all") || len(log.of(event.RunBegun)) != 0 {
		t.Errorf("%v", err)
	}
	words := engine.Words(nil)
	if words.Param("approve", "x") == nil || words.Param("wrong_alg", "HS256") != nil {
		t.Error("the reader does not hear of it, or of what is right")
	}
}

func TestAnInterruptionEndsTheRunWithItsReport(t *testing.T) {
	t.Parallel()
	server := standin.New(t, standin.Options{})
	s := read(t, "name: s\ntarget: {url: x}\nphones: [{name: all, count: 2}]\nlogins: [{people: 2, until: 1h}]\nchecks: [finished == logins]\n")
	s.Target.URL = server.URL
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := recorder{}
	log.each = func(e event.Event) {
		if e.Kind == event.LoginEnded && e.Login == 5 {
			cancel()
		}
	}
	v, err := engine.Run(ctx, engine.Options{Scenario: s, Token: standin.AdminToken, Push: push{server}, Meter: meter{}, Sink: &log})
	if err != nil || !v.Interrupted || v.Wrong != 0 || len(v.Failed) != 0 || len(log.of(event.Check)) != 1 || server.Users() != 0 {
		t.Errorf("%+v %v, %d users left", v, err, server.Users())
	}
}

func TestPauseStepAndTakeOver(t *testing.T) {
	t.Parallel()
	server := standin.New(t, standin.Options{})
	s := read(t, "name: s\ntarget: {url: x}\nphones: [{name: all, count: 1, people: [{do: deny}]}]\nlogins: [{rate: 1000, count: 3}]\n")
	s.Target.URL = server.URL
	var control engine.Control
	var answering sync.WaitGroup
	control.Pause()
	log := recorder{}
	log.each = func(e event.Event) {
		switch {
		case e.Kind == event.RunStarted:
			control.Step()
		case e.Kind == event.LoginEnded && e.Login == 1:
			control.TakeOver(1)
			control.Step()
		case e.Kind == event.PhoneStep && e.Name == "rang" && e.Login == 2:
			ring := control.Ring(1)[0]
			answering.Go(func() {
				if err := control.Answer(1, ring.TxID, server.Right(ring.TxID)); err != nil {
					t.Error(err)
				}
			})
		case e.Kind == event.LoginEnded && e.Login == 2:
			control.Release(1)
			control.Resume()
		}
	}
	v, err := engine.Run(t.Context(), engine.Options{Scenario: s, Token: standin.AdminToken, Push: push{server}, Meter: meter{}, Sink: &log, Control: &control})
	answering.Wait()
	if err != nil || v.Wrong != 0 {
		t.Errorf("%+v %v", v, err)
	}
	var got []string
	for _, e := range log.of(event.LoginEnded) {
		got = append(got, e.Outcome)
	}
	if strings.Join(got, " ") != "denied approved denied" {
		t.Errorf("outcomes %v", got)
	}
}

func TestNamesAndSeeds(t *testing.T) {
	t.Parallel()
	for _, word := range engine.Counters() {
		if strings.ToLower(word) != word {
			t.Errorf("counter %q", word)
		}
	}
	if !strings.Contains(strings.Join(engine.Habits(), " "), "approve") {
		t.Error("nobody approves")
	}
}
