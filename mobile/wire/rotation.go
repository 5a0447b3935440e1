package wire

// ActionRotate changes a phone's keys.
const ActionRotate = "rotate_keys"

// Rotation is the body of rotate_keys: new keys, which wait until the phone first proves the new possession key. Until then the
// old ones are good, so that a phone that lost the new ones, or the reply, goes on with them.
type Rotation struct {
	Keys EnrollmentKeys `json:"keys" api:"required"` // user_verification and its like only where that key changes too
	// PossessionProof is a proof by the new possession key, of a request with the same method, URL and token and the thumbprint
	// of the old one as its body.
	PossessionProof string `json:"possession_proof" api:"required"`
	// Endorsement is needed to change the user-verification key: see [Signer.SignEndorsement]. Verification asserts it where the
	// old one is a passkey.
	Endorsement  string            `json:"endorsement,omitempty"`
	Verification *PasskeyAssertion `json:"user_verification,omitempty"`
}

// SchemaName is the component's name in the API document.
func (Rotation) SchemaName() string { return "MobileDeviceRotation" }
