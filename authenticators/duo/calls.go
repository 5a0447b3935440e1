package duo

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
)

// maxCalls bounds the calls to Duo that run at once for logins, on one node.
const maxCalls = 1000

var errFull = errors.New("too many requests wait for Duo")

// The steps of a push, each a call of its own.
type step int

const (
	asking  step = iota // auth: Duo sends the push
	polling             // auth_status: the person answers it
)

type callKey struct {
	push uuid.UUID
	step step
}

// call is one call to Duo, for the requests of this node that wait for it.
type call struct {
	done   chan struct{} // closed with the result
	result result
	users  int
	ctx    context.Context //nolint:containedctx // it ends the call's goroutine
	cancel context.CancelFunc
}

// result is what a call brought: a transaction, Duo's word, or neither for "still waiting".
type result struct {
	tx   string
	word *word
	err  error
}

// calls are the calls of this process.
type calls struct {
	mu      sync.Mutex
	m       map[callKey]*call
	running int
	limit   int
}

func newCalls() *calls { return &calls{m: map[callKey]*call{}, limit: maxCalls} }

// join gives a call to wait for, made anew where there is none: then fresh is true, and somebody must start it. leave
// gives it back; the last one who leaves ends it.
func (cs *calls) join(key callKey) (c *call, fresh bool, leave func()) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c = cs.m[key]
	if c == nil {
		c, fresh = &call{done: make(chan struct{})}, true
		c.ctx, c.cancel = context.WithCancel(context.Background())
		cs.m[key] = c
	}
	c.users++
	return c, fresh, func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		if c.users--; c.users == 0 {
			c.cancel()
			if cs.m[key] == c {
				delete(cs.m, key)
			}
		}
	}
}

// find gives the result of a call that this request waits for; false while there is none.
func (cs *calls) find(key callKey) (result, bool) {
	cs.mu.Lock()
	c := cs.m[key]
	cs.mu.Unlock()
	if c == nil {
		return result{}, false
	}
	select {
	case <-c.done:
		return c.result, true
	default:
		return result{}, false
	}
}

// start runs do, which is to heed its context, for at most limit. A call whose waiters are all gone does not start.
func (cs *calls) start(c *call, limit time.Duration, do func(context.Context) result) {
	cs.mu.Lock()
	full := cs.running >= cs.limit
	if !full {
		cs.running++
	}
	cs.mu.Unlock()
	if full {
		c.result = result{err: errFull}
		close(c.done)
		return
	}
	go func() {
		defer func() {
			cs.mu.Lock()
			cs.running--
			cs.mu.Unlock()
			close(c.done)
		}()
		ctx, cancel := context.WithTimeout(c.ctx, limit)
		defer cancel()
		if ctx.Err() == nil {
			c.result = do(ctx)
		}
	}()
}

func (cs *calls) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.running
}
