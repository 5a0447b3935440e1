package fault

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"countersign/simulator/clock"
	"countersign/simulator/scenario"
)

// The longest that a message is held back for the next one to overtake it.
const overtakeLimit = time.Second

// Board says which faults are on. It is safe for concurrent use; the zero Board has none.
type Board struct {
	mu sync.Mutex
	on []scenario.Fault
}

// Begin puts a fault on.
func (b *Board) Begin(f scenario.Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.on = append(b.on[:len(b.on):len(b.on)], f)
}

// End takes the fault of that name off.
func (b *Board) End(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var rest []scenario.Fault
	for _, f := range b.on {
		if f.Name != name {
			rest = append(rest, f)
		}
	}
	b.on = rest
}

// On are the faults of a hop that are on now.
func (b *Board) On(hop string) []scenario.Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []scenario.Fault
	for _, f := range b.on {
		if f.On == hop {
			out = append(out, f)
		}
	}
	return out
}

// dice is a stream of draws, for one phone or browser.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newDice(rng *rand.Rand) *dice { return &dice{rng: rng} }

// luck is true with probability share.
func (d *dice) luck(share float64) bool {
	if share <= 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.Float64() < share
}

// latency draws from the fault's distribution; never negative.
func (d *dice) latency(f scenario.Fault) time.Duration {
	if f.Latency == 0 && f.Jitter == 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	mean, jitter := float64(f.Latency), float64(f.Jitter)
	at := mean + jitter*(2*d.rng.Float64()-1)
	switch f.Distribution {
	case "normal":
		at = mean + jitter*d.rng.NormFloat64()
	case "exponential":
		at = mean * d.rng.ExpFloat64()
	case "pareto": // shape 3, scaled to the mean
		const shape = 3
		at = mean * (shape - 1) / shape / math.Pow(1-d.rng.Float64(), 1./shape)
	}
	return time.Duration(max(0, at))
}

// pause waits on the clock; an error is that of ctx.
func pause(ctx context.Context, c clock.Clock, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	over, stop := c.After(d)
	defer stop()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
