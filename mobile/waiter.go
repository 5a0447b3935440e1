package mobile

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// waiters are the requests of this process that sleep until a prompt, or an enrolment, changes; and what this process
// knows of the prompts that it opened. A prompt whose row names this node is answered through this process, so that as
// long as nothing was heard of it, nothing happened to it, and what was heard need not be read again.
type waiters struct {
	mu    sync.Mutex
	m     map[uuid.UUID]*watch
	swept time.Time
}

// watch is one prompt or enrolment.
type watch struct {
	channels map[chan struct{}]bool // true: to be woken by news of the delivery too
	expires  time.Time              // of a prompt that this process opened; zero for all else
	stirred  bool                   // something happened that only the database can tell
	outcome                         // how it was answered
	delivery Delivery               // how far it came to the phone, as far as this process heard
}

// outcome is how a prompt ended, and by what its answer was authenticated.
type outcome struct {
	status, signed string
	hardware       bool  // by a key that is proved to be in hardware
	sameNetwork    *bool // the phone answered from the browser's network; nil: not known
}

// sweepEvery is how often what expired is forgotten.
const sweepEvery = time.Minute

func newWaiters() *waiters { return &waiters{m: map[uuid.UUID]*watch{}} }

func (w *waiters) at(id uuid.UUID) *watch {
	e := w.m[id]
	if e == nil {
		e = &watch{}
		w.m[id] = e
	}
	return e
}

// opened says that this process opened a prompt, which lives until expires.
func (w *waiters) opened(id uuid.UUID, now, expires time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at(id).expires = expires
	if now.Sub(w.swept) < sweepEvery {
		return
	}
	w.swept = now
	for id, e := range w.m {
		if len(e.channels) == 0 && now.After(e.expires) {
			delete(w.m, id)
		}
	}
}

// heard is what this process knows of a prompt without asking: how it was answered, or that it still waits. known is
// false when only the database can tell.
func (w *waiters) heard(id uuid.UUID) (o outcome, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.m[id]
	switch {
	case e == nil || e.expires.IsZero() || e.stirred:
		return outcome{}, false
	case e.status != "":
		return e.outcome, true
	}
	return outcome{status: statusWait}, true
}

// subscribe gives a channel that becomes readable when id changes, with follows also when it came further to the phone. cancel
// gives it back.
func (w *waiters) subscribe(id uuid.UUID, follows bool) (wake <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.at(id)
	if e.channels == nil {
		e.channels = map[chan struct{}]bool{}
	}
	e.channels[ch] = follows
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(e.channels, ch)
		if len(e.channels) == 0 && (e.expires.IsZero() || e.status != "") && w.m[id] == e {
			delete(w.m, id)
		}
	}
}

// settle tells all who wait for a prompt how it was answered. It never blocks.
func (w *waiters) settle(id uuid.UUID, o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.m[id]; e != nil {
		e.outcome = o
		e.nudge()
	}
}

// came tells those who follow a prompt how far it came. It never blocks.
func (w *waiters) came(id uuid.UUID, d Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.m[id]
	if e == nil || e.delivery.later(d) == e.delivery {
		return
	}
	e.delivery = d
	for ch, follows := range e.channels {
		if follows {
			nudge(ch)
		}
	}
}

// delivery is how far this process heard that a prompt came; "" when it heard nothing.
func (w *waiters) delivery(id uuid.UUID) Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.m[id]; e != nil {
		return e.delivery
	}
	return ""
}

// wake lets all who wait for id look again. It never blocks.
func (w *waiters) wake(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.m[id]; e != nil {
		e.stirred = true
		e.nudge()
	}
}

// wakeAll is for when wake-ups from other nodes may have been lost.
func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.m {
		e.stirred = true
		e.nudge()
	}
}

func (e *watch) nudge() {
	for ch := range e.channels {
		nudge(ch)
	}
}

func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // woken already
	}
}
