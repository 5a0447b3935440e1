package wire

import "encoding/json"

// The device operations are POST (Pending: GET) to <base>api/v3/authenticators/mobile/<uuid>/<action>/
// with "Authorization: Bearer <token>"; see [Path].
const (
	ActionEnrol    = "enrollment_callback"
	ActionStatus   = "enrollment_status"
	ActionPushKey  = "set_notification_key"
	ActionCheckIn  = "check_in"
	ActionResponse = "receive_response"
	ActionPending  = "pending"
)

// Path is the path of a device operation below the server's base URL, without a leading slash.
func Path(device, action string) string {
	return "api/v3/authenticators/mobile/" + device + "/" + action + "/"
}

// Enrollment is the body of enrollment_callback, sent with the token of the QR payload.
type Enrollment struct {
	DeviceUID string          `json:"device_uid" api:"required"` // the phone's own name for this enrolment, unique
	Info      Info            `json:"info" api:"required"`
	Keys      *EnrollmentKeys `json:"keys,omitempty"` // of a phone that signs; the request then carries a proof
}

// EnrollmentKeys are the public keys that a phone signs with from now on, as JWK: see [ParseKey]. They are made for this
// enrolment. The request carries a proof by the possession key in the header DPoP, with the token of the QR payload.
type EnrollmentKeys struct {
	Possession       json.RawMessage `json:"possession" api:"required"`
	UserVerification json.RawMessage `json:"user_verification,omitempty"`
	// VerificationProof is a proof by the second key, of a request with the same method, URL and token and the thumbprint of
	// the first key as its body.
	VerificationProof string `json:"user_verification_proof,omitempty"`
	// Passkey takes the place of both in a browser, which has no key of its own that asks for a finger.
	Passkey *PasskeyRegistration `json:"user_verification_passkey,omitempty"`
	// Attestation is what the phone's maker says of one of the keys, and VerificationAttestation, of a phone whose two keys
	// are attested apart, what it says of the second.
	Attestation             *Attestation `json:"attestation,omitempty"`
	VerificationAttestation *Attestation `json:"user_verification_attestation,omitempty"`
}

// SchemaName is the component's name in the API document.
func (EnrollmentKeys) SchemaName() string { return "MobileDeviceEnrollmentKeys" }

// SchemaName is the component's name in the API document.
func (Enrollment) SchemaName() string { return "MobileDeviceEnrollment" }

// Validate returns what is wrong with e, nil if nothing is. Fields of info are named "info.…".
func (e Enrollment) Validate() []Violation {
	var v violations
	v.text("device_uid", e.DeviceUID, MaxText)
	for _, one := range e.Info.Validate() {
		one.Field = "info." + one.Field
		v = append(v, one)
	}
	if e.Keys != nil {
		v = append(v, e.Keys.Validate()...)
	}
	return v
}

// EnrollmentCallback is the reply to enrollment_callback: the token that the phone uses from now on.
type EnrollmentCallback struct {
	Token     string          `json:"token" api:"required"`
	ServerKey json.RawMessage `json:"server_key,omitempty"` // for a phone that signs: what it is shown is signed by this, a JWK
	// Status, for a phone that signs, is waiting until its owner has compared the fingerprint of its [Binding], at a page or at
	// the phone whose place it takes; Salt goes into that.
	Status Status `json:"status,omitempty"`
	Salt   string `json:"salt,omitempty"`
}

// SchemaName is the component's name in the API document.
func (EnrollmentCallback) SchemaName() string { return "MobileDeviceEnrollmentCallback" }

// Status says whether a phone has completed its enrolment.
type Status string

// The values of Status.
const (
	Success Status = "success"
	Waiting Status = "waiting"
)

// Enum lists the values of Status for the API document.
func (Status) Enum() []string { return []string{string(Success), string(Waiting)} }

// SchemaName is the component's name in the API document.
func (Status) SchemaName() string { return "StatusEnum" }

// Progress says more exactly how far an enrolment is.
type Progress string

// The steps of an enrolment, in their order.
const (
	Shown     Progress = "shown"     // the page shows codes
	Opened    Progress = "opened"    // a phone has exchanged the code of the link
	Contested Progress = "contested" // that code came a second time: two phones have seen it
	CalledIn  Progress = "called_in" // a phone has brought its keys; its fingerprint is to be compared
	Confirmed Progress = "confirmed"
)

// Enum lists the values of Progress for the API document.
func (Progress) Enum() []string {
	return []string{string(Shown), string(Opened), string(Contested), string(CalledIn), string(Confirmed)}
}

// SchemaName is the component's name in the API document.
func (Progress) SchemaName() string { return "MobileDeviceEnrollmentProgressEnum" }

// EnrollmentStatus is the reply to enrollment_status.
type EnrollmentStatus struct {
	Status   Status   `json:"status" api:"required"`
	Progress Progress `json:"progress,omitempty"`
	// Fingerprint is what the page shows with called_in. No phone gets it: it computes its own.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// SchemaName is the component's name in the API document.
func (EnrollmentStatus) SchemaName() string { return "MobileDeviceEnrollmentStatus" }

// Response is the body of receive_response: the item that the person tapped, the number that they typed, the code that the
// phone shows where they approve, or [ItemDeny].
type Response struct {
	TxID         string `json:"tx_id" api:"required,format=uuid"`
	SelectedItem string `json:"selected_item" api:"required"`
	Signed       string `json:"signed_answer,omitempty"` // of a phone that signs: see [Signer.SignAnswer]

	// Verification makes an answer that the possession key signed one of the user-verification key, if that is a passkey.
	Verification *PasskeyAssertion `json:"user_verification,omitempty"`
}

// SchemaName is the component's name in the API document.
func (Response) SchemaName() string { return "MobileDeviceResponse" }

// Validate returns what is wrong with r, nil if nothing is. Whether the item is one of the
// prompt's is the server's to judge: it costs the prompt, not a 400.
func (r Response) Validate() []Violation {
	var v violations
	if !IsUUID(r.TxID) {
		v.add("tx_id", "invalid", "Must be a valid UUID.")
	}
	v.text("selected_item", r.SelectedItem, MaxItem)
	return v
}

// WrongNumber is the code in the reply to a number that was typed wrong. Its status is 400.
const WrongNumber = "wrong_number"

// Refusal is the body of a 400 reply, as far as a phone has to tell one from another.
type Refusal struct {
	Code         string `json:"code"`          // [WrongNumber], or ""
	AttemptsLeft int    `json:"attempts_left"` // with WrongNumber: how many more are taken; 0: the prompt is over
}

// ParseRefusal reads the body of a 400 reply; what is none of ours is a zero Refusal.
func ParseRefusal(body []byte) Refusal {
	var r Refusal
	if json.Unmarshal(body, &r) != nil || r.Code != WrongNumber || r.AttemptsLeft < 0 {
		return Refusal{}
	}
	return r
}

// IsUUID reports whether s is a UUID in the hyphenated form of RFC 9562 §4, in either case.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
	}
	return true
}
