package wire

import "time"

// The operations of a phone that moves its account to another one. ActionTransfer is POST to begin, GET to look and DELETE to
// give up.
const (
	ActionTransfer = "transfer"
	ActionApprove  = "approve_transfer"
)

// TransferState is how far a transfer is.
type TransferState string

// The states of a transfer.
const (
	TransferNone     TransferState = "none"
	TransferOffered  TransferState = "offered"  // the old phone shows the QR code
	TransferArrived  TransferState = "arrived"  // the new one has enrolled, and waits for the old one's approval
	TransferApproved TransferState = "approved" // both are good, until the old one is removed
)

// Enum lists the states for the API document.
func (TransferState) Enum() []string {
	return []string{string(TransferNone), string(TransferOffered), string(TransferArrived), string(TransferApproved)}
}

// SchemaName is the component's name in the API document.
func (TransferState) SchemaName() string { return "MobileDeviceTransferStateEnum" }

// Transfer is how a transfer stands, for the old phone.
type Transfer struct {
	State   TransferState `json:"state" api:"required"`
	Payload *Payload      `json:"payload,omitempty"` // for the QR code; in the reply to POST alone
	Link    string        `json:"link,omitempty"`    // the same for a phone's browser, in that reply too
	QRLink  string        `json:"qr_link,omitempty"` // a QR code of the link, as a data URI: for an old phone that draws none itself
	Code    string        `json:"code,omitempty"`    // of the link, for typing
	Expires time.Time     `json:"expires,omitzero"`  // when it is given up; once it is approved, when the old phone is removed

	// Of the new phone, once it has arrived. The endorsement is over its keys; its [Binding] is made of these and of the server's key.
	Device       string `json:"device,omitempty"`
	Name         string `json:"name,omitempty"`
	Possession   string `json:"possession,omitempty"` // thumbprints
	Verification string `json:"user_verification,omitempty"`
	TokenHash    string `json:"token_hash,omitempty"` // of the token that it enrolled with
	Salt         string `json:"salt,omitempty"`       // that it was given
}

// Binding is that of the new phone, for an old one that knows the server by the key of that thumbprint.
func (t Transfer) Binding(server string) Binding {
	return Binding{
		Device: t.Device, TokenHash: t.TokenHash, Possession: t.Possession, Verification: t.Verification, Server: server, Salt: t.Salt,
	}
}

// SchemaName is the component's name in the API document.
func (Transfer) SchemaName() string { return "MobileDeviceTransfer" }

// Approval is the body of approve_transfer.
type Approval struct {
	Endorsement  string            `json:"endorsement" api:"required"` // [ActTransfer], by the key that checks the phone's owner
	Verification *PasskeyAssertion `json:"user_verification,omitempty"`
	// AtFirstUse removes the old phone when the new one has approved a login, not only when the overlap is over.
	AtFirstUse bool `json:"at_first_use"`
}

// SchemaName is the component's name in the API document.
func (Approval) SchemaName() string { return "MobileDeviceTransferApproval" }
