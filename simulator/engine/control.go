package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"countersign/simulator/phone"
)

// Control steers a run: it is a desk.Control. The zero Control lets it go. Give it to one run at a time.
type Control struct {
	mu      sync.Mutex
	run     *run
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

// attach says whose phones they are; nil: nobody's any more.
func (c *Control) attach(r *run) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run = r
}

// person is the one with a phone's number; nil: there is none.
func (c *Control) person(number int) *person {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run == nil || number < 1 || number > len(c.run.people) {
		return nil
	}
	return c.run.people[number-1]
}

// TakeOver stops the behaviour of a phone: from now on somebody answers by hand what it is rung for.
func (c *Control) TakeOver(number int) {
	if p := c.person(number); p != nil {
		p.manual.Store(true)
	}
}

// Release gives the phone back to its behaviour, from its next ring on.
func (c *Control) Release(number int) {
	if p := c.person(number); p != nil {
		p.manual.Store(false)
	}
}

// Ring are the prompts on a phone, newest first.
func (c *Control) Ring(number int) []phone.Ring {
	p := c.person(number)
	if p == nil {
		return nil
	}
	return p.phone.Rings()
}

// Answer sends an item for a prompt on a phone.
func (c *Control) Answer(number int, tx, item string) error {
	p := c.person(number)
	if p == nil {
		return fmt.Errorf("there is no phone %d", number)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	return p.phone.Answer(ctx, tx, item)
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
