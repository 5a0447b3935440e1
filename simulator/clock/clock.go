// Package clock is time as a dependency: the wall clock for runs, a virtual one for tests that must
// not wait.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time and waits.
type Clock interface {
	Now() time.Time
	// After returns a channel that receives once d has passed, and a function that gives the timer
	// up. Whoever stops waiting early must call it.
	After(d time.Duration) (<-chan time.Time, func())
}

// Wall is the machine's clock.
type Wall struct{}

// Now is the current time.
func (Wall) Now() time.Time { return time.Now() }

// After waits on the machine's clock.
func (Wall) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// Virtual is a clock that moves only by [Virtual.Advance].
type Virtual struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*timer]struct{}
	armed  chan struct{} // closed and renewed whenever a timer is added
}

type timer struct {
	at time.Time
	c  chan time.Time
}

// NewVirtual returns a clock that stands at start.
func NewVirtual(start time.Time) *Virtual {
	return &Virtual{now: start, timers: make(map[*timer]struct{}), armed: make(chan struct{})}
}

// Now is the time the clock stands at.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// After returns a channel that receives when the clock has been advanced by d; at once when d is
// not positive.
func (v *Virtual) After(d time.Duration) (<-chan time.Time, func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := &timer{at: v.now.Add(d), c: make(chan time.Time, 1)}
	if d <= 0 {
		t.c <- v.now
		return t.c, func() {}
	}
	v.timers[t] = struct{}{}
	close(v.armed)
	v.armed = make(chan struct{})
	return t.c, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.timers, t)
	}
}

// Advance moves the clock and fires every timer that it passes.
func (v *Virtual) Advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
	for t := range v.timers {
		if !t.at.After(v.now) {
			t.c <- v.now
			delete(v.timers, t)
		}
	}
}

// Await returns once at least n timers are waiting, so that a test can advance the clock knowing
// that the code under test has got to its wait.
func (v *Virtual) Await(n int) {
	for {
		v.mu.Lock()
		waiting, armed := len(v.timers), v.armed
		v.mu.Unlock()
		if waiting >= n {
			return
		}
		<-armed
	}
}
