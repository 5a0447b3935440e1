package authenticators

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"countersign/core/event"
	"countersign/flows"
)

// UserVerification is whether an authenticator must check that it is its owner who uses it: by a PIN, a finger, a face.
type UserVerification string

// The values (WebAuthn §5.8.6).
const (
	VerificationRequired    UserVerification = "required"
	VerificationPreferred   UserVerification = "preferred"
	VerificationDiscouraged UserVerification = "discouraged"
)

// Enum lists the values.
func (UserVerification) Enum() []string {
	return []string{string(VerificationRequired), string(VerificationPreferred), string(VerificationDiscouraged)}
}

// SchemaName is the component's name.
func (UserVerification) SchemaName() string { return "UserVerificationEnum" }

// Rules are what a validation stage demands of the devices that it takes.
type Rules struct {
	UserVerification UserVerification
	DeviceTypes      []uuid.UUID // makes of authenticator, by AAGUID; none: all
}

// Ruled is a Method that heeds rules.
type Ruled interface {
	// Under is the method as it acts under the rules of a stage.
	Under(r Rules) Method
}

// Passwordless is a Method by which somebody who has not said a name can sign in.
type Passwordless interface {
	// OfferAnyone prepares what is asked of whoever it may be. Answering it names the pending user of the run.
	OfferAnyone(ctx context.Context, run *flows.Run) (*Offer, error)
}

// Foreseeing is a Method that can tell from the value of its field what it will read.
type Foreseeing interface {
	// Ahead is that; nil if the value is none that it knows.
	Ahead(value json.RawMessage, o *event.Origin) flows.Ahead
}

// Comparing is a Method that has the person compare what the browser shows with what the device does.
type Comparing interface {
	// Outdated tells whether the browser showed something else, as the challenge of an offer that was chosen, than what is
	// asked now: another tab was answered meanwhile. A browser that does not say what it showed is never outdated.
	Outdated(o *Offer, shown map[string]any) (bool, error)
}

// Coded is a Method whose devices may show a code that the person types in the browser: the answer's field "code", beside the
// kind's own field that names the device, or alone when the device was chosen before.
type Coded interface {
	// TakesCode tells whether an offer is answered so.
	TakesCode(o *Offer) (bool, error)
	// AnswerCode takes the code, as JSON, and goes on as Answer does.
	AnswerCode(ctx context.Context, run *flows.Run, o *Offer, code json.RawMessage) (flows.Outcome, error)
}

// Anyone is the uid of an offer by OfferAnyone (core.md §3.2).
const Anyone = "-1"

// Proof is what an answer proved, for the event and the session. A Method whose offer stands for several devices, or
// that learns more than that one was there, leaves it in the offer.
type Proof struct {
	UID, Name    string // of the device
	UserVerified bool   // the device checked that it is its owner
	SameNetwork  *bool  // the device answered from the network that the browser is in; nil: not known, or no matter

	// Facts are more that the kind knows of how it was proved, for whoever has to judge it later; nil: none. Keys of the
	// device itself are not overwritten.
	Facts map[string]any
}
