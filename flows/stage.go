package flows

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
)

// Stage is one stage with its settings: the unit that a flow is made of. A Stage holds no state of a run; what it
// must remember goes through Run.SetState.
type Stage interface {
	// Begin presents the stage: Show, or at once Next, NextThen or Deny. It is called for a GET, and again after a
	// Stay to show the challenge anew, so it repeats no effect for a plan that already has its state.
	// An error is internal unless it is a *fault.Error.
	Begin(ctx context.Context, run *Run) (Outcome, error)

	// Answer takes what the browser posted: Next, NextThen, Stay, Soft, Deny or Wait. A stage without a challenge
	// may do in Answer what Begin does. An error is internal unless it is a *fault.Error.
	Answer(ctx context.Context, run *Run, answer Answer) (Outcome, error)
}

// Automatic is embedded by a stage that asks nothing: it treats every method alike.
type Automatic struct {
	Do func(ctx context.Context, run *Run) (Outcome, error)
}

// Begin does the stage's work.
func (a Automatic) Begin(ctx context.Context, run *Run) (Outcome, error) { return a.Do(ctx, run) }

// Answer does the same, whatever was posted.
func (a Automatic) Answer(ctx context.Context, run *Run, _ Answer) (Outcome, error) {
	return a.Do(ctx, run)
}

// Builder makes the stage of a stored row: the kind's half of the catalogue. settings is the JSON that the kind's
// API wrote.
type Builder func(stage uuid.UUID, name string, settings json.RawMessage) (Stage, error)
