package flows

import "github.com/google/uuid"

// Queued is how many requests hold or await the turn on a plan.
func (e *Engine) Queued(session uuid.UUID, slug string) int {
	e.turns.mu.Lock()
	defer e.turns.mu.Unlock()
	if t := e.turns.m[turnKey{session, slug}]; t != nil {
		return t.users
	}
	return 0
}
