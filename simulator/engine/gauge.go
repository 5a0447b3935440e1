package engine

import (
	"context"
	"sync"
)

// gauge is a number that may be waited for. The zero gauge is 0.
type gauge struct {
	mu      sync.Mutex
	n       int
	changed chan struct{}
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n += n
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

func (g *gauge) value() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// reach waits until the gauge has reached n; false when ctx ends first.
func (g *gauge) reach(ctx context.Context, n int) bool {
	for {
		g.mu.Lock()
		if g.n >= n {
			g.mu.Unlock()
			return ctx.Err() == nil
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
