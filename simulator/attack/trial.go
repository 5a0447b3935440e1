package attack

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"countersign/simulator/verdict"
)

// trial is one attack under way. It is safe for concurrent use, but for rng.
type trial struct {
	*run
	name string
	rng  *rand.Rand

	mu       sync.Mutex
	probes   []verdict.Probe
	observed string // in a line, where all held
}

// expect notes what was tried, and whether the server held.
func (t *trial) expect(held bool, tried, got string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.probes = append(t.probes, verdict.Probe{Tried: tried, Got: strings.TrimSpace(fmt.Sprintf(got, args...)), Held: held})
}

// refused notes a request that the server has to refuse: by a status from 400 to 499.
func (t *trial) refused(tried string, r reply, err error) {
	if err != nil {
		t.expect(false, tried, "no reply: %v", err)
		return
	}
	t.expect(r.status >= 400 && r.status < 500, tried, "%s", r)
}

// accepted notes a good request, by which the refusals before are not those of a server that refuses all. Error: it was refused.
func (t *trial) accepted(what string, r reply, err error) error {
	if err == nil && (r.status < 200 || r.status > 299) {
		err = fmt.Errorf("%s", r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// note says in a line what was observed, for when all held.
func (t *trial) note(text string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.observed = fmt.Sprintf(text, args...)
}
