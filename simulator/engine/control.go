package engine

import (
	"context"
	"sync"
	"time"
)

// Control pauses and steps a run. The zero Control lets it go.
type Control struct {
	mu      sync.Mutex
	paused  bool
	steps   int // logins that may begin although it is paused
	changed chan struct{}
}

// Pause lets no more logins begin; those under way go on.
func (c *Control) Pause() { c.set(func() { c.paused = true }) }

// Resume lets logins begin again. What was due meanwhile comes as much later.
func (c *Control) Resume() { c.set(func() { c.paused, c.steps = false, 0 }) }

// Step lets one login begin while the run is paused.
func (c *Control) Step() { c.set(func() { c.steps++ }) }

// Paused says whether the run is paused.
func (c *Control) Paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused
}

func (c *Control) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// pass waits until a login may begin, and tells how long that was.
func (c *Control) pass(ctx context.Context) (time.Duration, error) {
	if c == nil {
		return 0, ctx.Err()
	}
	began := time.Now()
	for waited := false; ; waited = true {
		c.mu.Lock()
		if !c.paused || c.steps > 0 {
			c.steps = max(0, c.steps-1)
			c.mu.Unlock()
			if !waited {
				return 0, ctx.Err()
			}
			return time.Since(began), ctx.Err()
		}
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
