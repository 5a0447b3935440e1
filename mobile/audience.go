package mobile

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// audience are the phones that this process holds, on a long poll or a socket, until something changes for them. A phone has
// one seat: who comes later takes it, so that no phone holds more than one request.
type audience struct {
	mu     sync.Mutex
	seats  map[uuid.UUID]*seat
	closed bool
}

// seat is where one phone is held.
type seat struct {
	wake chan struct{} // readable when the phone is to look again, or to leave
	gone bool          // under audience.mu: somebody else has the seat, or the house closes
}

// wakePace is the pause between two phones when all are to look again, so that they do not all ask the database at once.
const wakePace = 200 * time.Microsecond

func newAudience() *audience { return &audience{seats: map[uuid.UUID]*seat{}} }

// sit gives a phone its seat, from which whoever had it is woken to leave. leave gives it back.
func (a *audience) sit(device uuid.UUID) (s *seat, leave func()) {
	s = &seat{wake: make(chan struct{}, 1)}
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.seats[device]; old != nil {
		old.gone = true
		old.nudge()
	}
	a.seats[device] = s
	if s.gone = a.closed; s.gone {
		s.nudge()
	}
	return s, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.seats[device] == s {
			delete(a.seats, device)
		}
	}
}

// taken tells whether the seat is no longer its phone's.
func (a *audience) taken(s *seat) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return s.gone
}

// wake lets a phone look again, if it sits here. It never blocks.
func (a *audience) wake(device uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.seats[device]; s != nil {
		s.nudge()
	}
}

// wakeAll is for when wake-ups from other nodes may have been lost. The phones are woken one after the other.
func (a *audience) wakeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	var pause time.Duration
	for _, s := range a.seats {
		time.AfterFunc(pause, s.nudge)
		pause += wakePace
	}
}

// close sends everybody away, and whoever comes later.
func (a *audience) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, s := range a.seats {
		s.gone = true
		s.nudge()
	}
}

// size is how many phones sit here.
func (a *audience) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seats)
}

func (s *seat) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // woken already
	}
}
