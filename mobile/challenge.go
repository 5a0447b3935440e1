package mobile

import (
	"sync"
	"time"

	"countersign/mobile/wire"
)

// challenges are those that this process signed for phones, by prompt. What is signed of a prompt never changes, so that
// an answer to one of these is checked without reading the prompt; whether it still counts, only the database knows.
type challenges struct {
	mu    sync.Mutex
	m     map[string]wire.Presented
	swept time.Time
}

func newChallenges() *challenges { return &challenges{m: map[string]wire.Presented{}} }

// add remembers a challenge until it is forgotten, or a minute after its end at the latest.
func (s *challenges) add(c wire.Presented, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[c.TxID] = c
	if now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	for tx, c := range s.m {
		if !now.Before(c.Expires) {
			delete(s.m, tx)
		}
	}
}

// of is the challenge of a prompt; false: this process signed none, or not lately.
func (s *challenges) of(tx string) (wire.Presented, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.m[tx]
	return c, ok
}

// forget is for a prompt that was answered.
func (s *challenges) forget(tx string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, tx)
}
