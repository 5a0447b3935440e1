package validate

import (
	"context"

	"countersign/authenticators"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/flows"
)

// NetworkMismatch is what happens when a device that answers over the network did so from another one than the browser's:
// somebody may have talked its owner into approving a login of theirs.
type NetworkMismatch string

// The actions. The empty one is MismatchEvent.
const (
	MismatchIgnore NetworkMismatch = "ignore"
	MismatchEvent  NetworkMismatch = "event"
	MismatchStepUp NetworkMismatch = "step_up" // a passkey too, or nobody is let in
)

// Enum lists the actions.
func (NetworkMismatch) Enum() []string {
	return []string{string(MismatchIgnore), string(MismatchEvent), string(MismatchStepUp)}
}

// SchemaName is the component's name.
func (NetworkMismatch) SchemaName() string { return "NetworkMismatchEnum" }

// resistant is the class that a login cannot be relayed with: its browser names the site to the authenticator.
const resistant = "webauthn"

// noStepUp is what a person is told who has nothing to step up with.
const noStepUp = "Your phone answered from another network than this browser's, and you have no passkey to confirm it with. " +
	"Connect both to the same network, or sign in another way."

// elsewhere tells whether an answer came from another network, and it matters.
func (s *Stage) elsewhere(o *authenticators.Offer) bool {
	return s.settings.NetworkMismatch != MismatchIgnore && o.Proof != nil && o.Proof.SameNetwork != nil && !*o.Proof.SameNetwork
}

// actionMismatch is the event of an approval from another network.
const actionMismatch event.Action = "custom_network_mismatch"

// mismatch says what becomes of an answer from another network, which would have passed.
func (s *Stage) mismatch(ctx context.Context, run *flows.Run, st *state, o *authenticators.Offer, passed flows.Outcome) (flows.Outcome, error) {
	e := event.Event{Action: actionMismatch, App: "authentik.stages.authenticator_validate", Context: map[string]any{
		"message":      "A device approved from another network than the browser's.",
		"device_class": o.Class, "device_uid": o.UID, "device_name": o.Name, "stage": s.id, "action": s.settings.NetworkMismatch,
	}}
	u, err := run.PendingUser(ctx)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u != nil {
		e.User = &event.User{PK: u.ID, Username: u.Username, Email: u.Email}
	}
	if err := run.Emit(ctx, e); err != nil || s.settings.NetworkMismatch != MismatchStepUp {
		return passed, err
	}
	st.StepUp, st.Selected = true, ""
	if err := keep(run, st); err != nil {
		return flows.Outcome{}, err
	}
	return flows.Soft(fault.Fields{s.store.Kind(o.Class).Field: {{
		Code: "network_mismatch", Text: "Your phone answered from another network than this browser's. Confirm with your passkey as well.",
	}}}), nil
}
