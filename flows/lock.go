package flows

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// turns lets the requests on one plan take turns within this process. Between processes the compare-and-set of the
// plan decides.
type turns struct {
	mu sync.Mutex
	m  map[turnKey]*turn
}

type turnKey struct {
	session uuid.UUID
	flow    string // the slug
}

type turn struct {
	sem      chan struct{}
	users    int
	advances uint64 // how often a holder moved the plan on
}

func newTurns() *turns { return &turns{m: map[turnKey]*turn{}} }

// take waits for its turn; waited tells whether anybody else had it or waited too. overtaken tells whether the plan moved
// on since this request asked for its turn; end gives the turn back and says whether the holder moved the plan.
func (t *turns) take(ctx context.Context, key turnKey) (overtaken, waited bool, end func(advanced bool), err error) {
	t.mu.Lock()
	e := t.m[key]
	if e == nil {
		e = &turn{sem: make(chan struct{}, 1)}
		t.m[key] = e
	}
	waited = e.users > 0
	e.users++
	seen := e.advances
	t.mu.Unlock()

	select {
	case e.sem <- struct{}{}:
	case <-ctx.Done():
		t.leave(key, e)
		return false, waited, nil, ctx.Err()
	}
	t.mu.Lock()
	overtaken = e.advances != seen
	t.mu.Unlock()
	return overtaken, waited, func(advanced bool) {
		t.mu.Lock()
		if advanced {
			e.advances++
		}
		t.mu.Unlock()
		<-e.sem
		t.leave(key, e)
	}, nil
}

// taken is how many hold a turn or wait for theirs.
func (t *turns) taken() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, e := range t.m {
		n += e.users
	}
	return n
}

func (t *turns) leave(key turnKey, e *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.users--; e.users == 0 {
		delete(t.m, key)
	}
}
