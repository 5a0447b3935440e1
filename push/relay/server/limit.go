package server

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limit is how often something may happen: so many in a burst, and then so many a minute.
type Limit struct {
	PerMinute int
	Burst     int
}

// maxBuckets is how many names one limit counts for; more are refused until some have rested.
const maxBuckets = 100_000

// buckets counts by name.
type buckets struct {
	limit Limit

	mu    sync.Mutex
	all   map[string]*rate.Limiter
	swept time.Time
}

func newBuckets(l Limit) *buckets { return &buckets{limit: l, all: map[string]*rate.Limiter{}} }

// take uses one, or says how long there will be none.
func (b *buckets) take(name string, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.all[name]
	if one == nil {
		if len(b.all) >= maxBuckets {
			b.sweep(now)
		}
		if len(b.all) >= maxBuckets {
			return time.Minute
		}
		one = rate.NewLimiter(rate.Limit(float64(b.limit.PerMinute)/60), b.limit.Burst)
		b.all[name] = one
	}
	r := one.ReserveN(now, 1)
	if !r.OK() {
		return time.Minute
	}
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// sweep forgets those that are full again, at most once a second.
func (b *buckets) sweep(now time.Time) {
	if now.Sub(b.swept) < time.Second {
		return
	}
	b.swept = now
	for name, one := range b.all {
		if one.TokensAt(now) >= float64(b.limit.Burst) {
			delete(b.all, name)
		}
	}
}

// seen remembers proofs until they are too old to count.
type seen struct {
	life time.Duration
	max  int

	mu       sync.Mutex
	now, old map[string]struct{} // of this span of life, and of the one before
	turned   time.Time
}

func newSeen(life time.Duration, limit int) *seen {
	return &seen{life: life, max: limit, now: map[string]struct{}{}, old: map[string]struct{}{}}
}

// first reports whether the proof is new, and that there was room to remember it.
func (s *seen) first(id string, now time.Time) (fresh, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.turned) >= s.life {
		if s.old = s.now; now.Sub(s.turned) >= 2*s.life {
			s.old = map[string]struct{}{}
		}
		s.now, s.turned = map[string]struct{}{}, now
	}
	if _, known := s.now[id]; known {
		return false, true
	}
	if _, known := s.old[id]; known {
		return false, true
	}
	if len(s.now) >= s.max {
		return true, false
	}
	s.now[id] = struct{}{}
	return true, true
}
