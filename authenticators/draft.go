package authenticators

import (
	"encoding/json"
	"fmt"

	"countersign/core/secret"
	"countersign/flows"
)

// Draft keeps the secret of a set-up in its plan until the device is made, sealed for the plan's session and a user: a
// reload shows the same one again.
type Draft struct {
	Class  string
	Keeper *secret.Keeper
}

// drafted is what the plan keeps.
type drafted struct {
	User   int    `json:"user"`
	Sealed []byte `json:"sealed"`
}

// Keep stores v, as JSON, for a user.
func (d Draft) Keep(run *flows.Run, user int, v any) error {
	plain, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode draft of %s: %w", d.Class, err)
	}
	return run.SetState(drafted{User: user, Sealed: d.Keeper.Seal(plain, d.place(run, user))})
}

// Recall reads what Keep stored into a pointer to the same type; false if there is nothing for that user. What was sealed
// with a key that is gone is nothing too: the set-up begins anew.
func (d Draft) Recall(run *flows.Run, user int, into any) (bool, error) {
	var kept drafted
	if _, err := run.State(&kept); err != nil || kept.User != user {
		return false, err
	}
	plain, err := d.Keeper.Open(kept.Sealed, d.place(run, user))
	if err != nil {
		return false, nil //nolint:nilerr // see above
	}
	if err := json.Unmarshal(plain, into); err != nil {
		return false, fmt.Errorf("decode draft of %s: %w", d.Class, err)
	}
	return true, nil
}

// place names the draft to the keeper.
func (d Draft) place(run *flows.Run, user int) string {
	return fmt.Sprintf("flow_plans.%s:%s/%d", d.Class, run.Session.UUID, user)
}
