package mobile

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// audience are the phones that this process holds, on a long poll or a socket, until something changes for them. A phone has
// one seat: who comes later takes it, so that no phone holds more than one connection.
type audience struct {
	mu     sync.Mutex
	seats  map[uuid.UUID]*seat
	closed bool
}

// seat is where one phone is held.
type seat struct {
	stir  func() // has the phone look again, or leave; must not block
	state hold   // under audience.mu
}

// hold is whether a seat is still its phone's.
type hold int

const (
	holding  hold = iota
	replaced      // another connection of the phone has the seat
	released      // the server stops
)

// wakePace is the pause between two phones when all are to look again, so that they do not all ask the database at once.
const wakePace = 200 * time.Microsecond

func newAudience() *audience { return &audience{seats: map[uuid.UUID]*seat{}} }

// sit gives a phone its seat, from which whoever had it is stirred to leave. leave gives it back.
func (a *audience) sit(device uuid.UUID, stir func()) (s *seat, leave func()) {
	s = &seat{stir: stir}
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.seats[device]; old != nil {
		old.state = replaced
		old.stir()
	}
	a.seats[device] = s
	if a.closed {
		s.state = released
		s.stir()
	}
	return s, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.seats[device] == s {
			delete(a.seats, device)
		}
	}
}

// state tells whether the seat is still its phone's.
func (a *audience) state(s *seat) hold {
	a.mu.Lock()
	defer a.mu.Unlock()
	return s.state
}

// wake lets a phone look again, if it sits here. It never blocks.
func (a *audience) wake(device uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.seats[device]; s != nil {
		s.stir()
	}
}

// wakeAll is for when wake-ups from other nodes may have been lost. The phones are woken one after the other.
func (a *audience) wakeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	var pause time.Duration
	for _, s := range a.seats {
		time.AfterFunc(pause, s.stir)
		pause += wakePace
	}
}

// close sends everybody away, and whoever comes later.
func (a *audience) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, s := range a.seats {
		s.state = released
		s.stir()
	}
}

// size is how many phones sit here.
func (a *audience) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seats)
}
