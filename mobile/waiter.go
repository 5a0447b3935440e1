package mobile

import (
	"sync"

	"github.com/google/uuid"
)

// waiters are the requests of this process that sleep until a prompt, or an enrolment, changes.
type waiters struct {
	mu sync.Mutex
	m  map[uuid.UUID]map[chan struct{}]struct{}
}

func newWaiters() *waiters { return &waiters{m: map[uuid.UUID]map[chan struct{}]struct{}{}} }

// subscribe gives a channel that becomes readable when id is woken. cancel gives it back.
func (w *waiters) subscribe(id uuid.UUID) (wake <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m[id] == nil {
		w.m[id] = map[chan struct{}]struct{}{}
	}
	w.m[id][ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.m[id], ch)
		if len(w.m[id]) == 0 {
			delete(w.m, id)
		}
	}
}

// wake lets all who wait for id look again. It never blocks.
func (w *waiters) wake(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	nudge(w.m[id])
}

// wakeAll is for when wake-ups from other nodes may have been lost.
func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.m {
		nudge(all)
	}
}

func nudge(all map[chan struct{}]struct{}) {
	for ch := range all {
		select {
		case ch <- struct{}{}:
		default: // woken already
		}
	}
}

// count is how many wait for id.
func (w *waiters) count(id uuid.UUID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.m[id])
}
