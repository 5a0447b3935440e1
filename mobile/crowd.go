package mobile

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// crowd counts the prompts of strangers to all users that are not approved, by network and in all, so that whoever has many
// passwords does not ring many phones. Each node counts its own, in memory: this is about masses, and what one user is spared
// is decided from the database (Budget).
type crowd struct {
	mu     sync.Mutex
	from   map[uuid.UUID]string // network by prompt
	count  map[string]int
	opened []opening // the oldest first
}

type opening struct {
	tx uuid.UUID
	at time.Time
}

func newCrowd() *crowd { return &crowd{from: map[uuid.UUID]string{}, count: map[string]int{}} }

// full tells whether no more prompt may be opened from a network.
func (c *crowd) full(now time.Time, source string, b Budget) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.opened) && now.Sub(c.opened[n].at) >= b.Window {
		c.drop(c.opened[n].tx)
		n++
	}
	c.opened = c.opened[n:]
	return len(c.from) >= b.Total || c.count[source] >= b.Source
}

// add counts a prompt that was opened.
func (c *crowd) add(tx uuid.UUID, source string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.from[tx] = source
	c.count[source]++
	c.opened = append(c.opened, opening{tx, now})
}

// approved forgets a prompt: its owner was there.
func (c *crowd) approved(tx uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(tx)
	if len(c.opened) > 2*len(c.from)+64 { // most of them are approved
		c.opened = slices.DeleteFunc(c.opened, func(o opening) bool {
			_, counts := c.from[o.tx]
			return !counts
		})
	}
}

func (c *crowd) drop(tx uuid.UUID) {
	source, ok := c.from[tx]
	if !ok {
		return
	}
	delete(c.from, tx)
	if c.count[source]--; c.count[source] == 0 {
		delete(c.count, source)
	}
}
