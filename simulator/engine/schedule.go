package engine

import (
	"math"
	"math/rand/v2"
	"time"

	"countersign/simulator/scenario"
)

// arrival is a login of an open stream.
type arrival struct {
	due    time.Duration // since the begin of the run
	stream int
	nth    int // of the stream, from 0
}

// arrivals yields the arrivals of an open stream in order. Between from and until the rate goes evenly from Rate to To; even
// arrivals come where the integral of the rate reaches the next whole number, Poisson ones where it has grown by a draw of the
// exponential distribution with mean 1.
type arrivals struct {
	l      scenario.Logins
	stream int
	rng    *rand.Rand
	nth    int
	sum    float64 // of the rate's integral
}

func newArrivals(seed uint64, stream int, l scenario.Logins) *arrivals {
	return &arrivals{l: l, stream: stream, rng: rng(seed, "arrivals", stream)}
}

// next is the next arrival; false after the last.
func (a *arrivals) next() (arrival, bool) {
	if a.l.Count > 0 && a.nth >= a.l.Count {
		return arrival{}, false
	}
	if a.l.Arrival == "poisson" {
		a.sum += a.rng.ExpFloat64()
	} else if a.nth > 0 {
		a.sum++
	}
	at, ok := a.when(a.sum)
	if !ok || a.l.Until > 0 && a.l.From+at >= a.l.Until {
		return arrival{}, false
	}
	a.nth++
	return arrival{a.l.From + at, a.stream, a.nth - 1}, true
}

// when is the time at which the integral of the rate reaches sum; false where it never does.
func (a *arrivals) when(sum float64) (time.Duration, bool) {
	from, to := a.l.Rate, a.l.To
	if from == to || a.l.Until == 0 {
		return time.Duration(sum / from * float64(time.Second)), true
	}
	// from·t + slope·t²/2 = sum
	slope := (to - from) / (a.l.Until - a.l.From).Seconds()
	root := from*from + 2*slope*sum
	if root < 0 {
		return 0, false
	}
	return time.Duration((math.Sqrt(root) - from) / slope * float64(time.Second)), true
}

// schedule merges the open streams by time; ties by stream. It numbers nothing.
type schedule struct {
	streams []*arrivals
	heads   []*arrival
}

func newSchedule(seed uint64, logins []scenario.Logins) *schedule {
	s := &schedule{}
	for i, l := range logins {
		if l.Rate > 0 {
			s.streams = append(s.streams, newArrivals(seed, i, l))
			s.heads = append(s.heads, nil)
		}
	}
	for i := range s.streams {
		s.advance(i)
	}
	return s
}

func (s *schedule) advance(i int) {
	s.heads[i] = nil
	if a, ok := s.streams[i].next(); ok {
		s.heads[i] = &a
	}
}

// next is the earliest arrival that is left; false when there is none.
func (s *schedule) next() (arrival, bool) {
	best := -1
	for i, h := range s.heads {
		if h != nil && (best < 0 || h.due < s.heads[best].due) {
			best = i
		}
	}
	if best < 0 {
		return arrival{}, false
	}
	out := *s.heads[best]
	s.advance(best)
	return out, true
}
