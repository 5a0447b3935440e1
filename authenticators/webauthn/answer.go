package webauthn

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	library "github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"countersign/authenticators"
)

// question is a challenge that waits for its answer.
type question struct {
	Challenge string    `json:"challenge,omitempty"` // base64url
	Made      time.Time `json:"made,omitzero"`
}

// pose makes a new question: 32 random bytes (WebAuthn §13.4.3 asks for 16).
func pose(now time.Time) (question, error) {
	c, err := protocol.CreateChallenge()
	return question{Challenge: c.String(), Made: now}, err
}

// open tells whether the question may be answered at a time.
func (q question) open(now time.Time) bool {
	return q.Challenge != "" && now.Sub(q.Made) < challengeLife && !q.Made.After(now)
}

// errAnswer is an answer that proves nothing. Its text is for people; cause is for the log and the event.
type errAnswer struct {
	text  string
	cause error
}

func (e *errAnswer) Error() string { return e.text }
func (e *errAnswer) Unwrap() error { return e.cause }

// detail is what an event says of it: nothing that came from the browser.
func (e *errAnswer) detail() string {
	var p *protocol.Error
	if errors.As(e.cause, &p) {
		return e.text + " (" + p.Type + ")"
	}
	return e.text
}

// inner is what the log says of it: what was expected and what came instead.
func (e *errAnswer) inner() string {
	var p *protocol.Error
	if errors.As(e.cause, &p) {
		return clip(p.Details+" "+p.DevInfo, 1000)
	}
	if e.cause != nil {
		return clip(e.cause.Error(), 1000)
	}
	return ""
}

func malformed(err error) error {
	return &errAnswer{"The answer of the browser could not be read.", err}
}

// parseCreation reads what navigator.credentials.create gave, as JSON.
func parseCreation(raw json.RawMessage) (*protocol.ParsedCredentialCreationData, error) {
	if len(raw) > maxAnswer {
		return nil, malformed(errors.New("it is too long"))
	}
	p, err := protocol.ParseCredentialCreationResponseBytes(raw)
	if err != nil {
		return nil, malformed(err)
	}
	if n := len(p.RawID); n > maxCredentialID {
		return nil, malformed(errors.New("its credential id is too long"))
	}
	return p, nil
}

// parseAssertion reads what navigator.credentials.get gave, as JSON.
func parseAssertion(raw json.RawMessage) (*protocol.ParsedCredentialAssertionData, error) {
	if len(raw) > maxAnswer {
		return nil, malformed(errors.New("it is too long"))
	}
	p, err := protocol.ParseCredentialRequestResponseBytes(raw)
	if err != nil {
		return nil, malformed(err)
	}
	if n := len(p.RawID); n > maxCredentialID {
		return nil, malformed(errors.New("its credential id is too long"))
	}
	return p, nil
}

// algorithms are what a new key may be made for, in the order of the contract (core.md §2.14), by COSE numbers.
var algorithms = [...]int{-7, -8, -36, -37, -38, -39, -257, -258, -259}

func parameters() []protocol.CredentialParameter {
	out := make([]protocol.CredentialParameter, 0, len(algorithms))
	for _, a := range algorithms {
		out = append(out, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.COSEAlgorithmIdentifier(a)})
	}
	return out
}

// created checks a registration and gives the new credential (WebAuthn §7.1). set may be nil.
func created(at site, q question, uv authenticators.UserVerification, handle []byte, set *metadataSet, p *protocol.ParsedCredentialCreationData) (*library.Credential, error) {
	party, err := at.party(set)
	if err != nil {
		return nil, &errAnswer{"This address cannot have passkeys.", err}
	}
	if !supported(p) {
		return nil, &errAnswer{"The device made a kind of key that is not supported.", nil}
	}
	c, err := party.CreateCredential(holder{handle: handle}, library.SessionData{
		Challenge: q.Challenge, RelyingPartyID: at.id, UserID: handle, CredParams: parameters(),
		UserVerification: protocol.UserVerificationRequirement(uv),
	}, p)
	if err != nil {
		return nil, &errAnswer{explain(err, uv, p.Response.AttestationObject.AuthData.Flags), err}
	}
	if len(c.Authenticator.AAGUID) != len(uuid.UUID{}) {
		return nil, malformed(errors.New("its AAGUID is none"))
	}
	return c, nil
}

// supported tells whether the key is of one of the algorithms. The library would refuse it too, but as a fault of the
// attestation.
func supported(p *protocol.ParsedCredentialCreationData) bool {
	var k webauthncose.PublicKeyData
	err := webauthncbor.Unmarshal(p.Response.AttestationObject.AuthData.AttData.CredentialPublicKey, &k)
	return err == nil && slices.Contains(algorithms[:], int(k.Algorithm))
}

// asserted checks a signature of a device and gives the device as it is to be stored (WebAuthn §7.2).
func asserted(at site, q question, uv authenticators.UserVerification, handle []byte, d stored, p *protocol.ParsedCredentialAssertionData) (stored, error) {
	party, err := at.party(nil)
	if err != nil {
		return d, &errAnswer{"This address cannot have passkeys.", err}
	}
	c, err := party.ValidateLogin(holder{handle, []library.Credential{d.credential()}}, library.SessionData{
		Challenge: q.Challenge, RelyingPartyID: at.id, UserID: handle, UserVerification: protocol.UserVerificationRequirement(uv),
	}, p)
	if err != nil {
		return d, &errAnswer{explain(err, uv, p.Response.AuthenticatorData.Flags), err}
	}
	if c.Authenticator.CloneWarning {
		return d, &errAnswer{"The counter of the passkey went back: there may be a copy of it.", errCopied}
	}
	d.SignCount, d.BackupState = int64(c.Authenticator.SignCount), c.Flags.BackupState
	return d, nil
}

// errCopied is a counter that did not go on (WebAuthn §6.1.1).
var errCopied = errors.New("the signature counter went back")

// explain says in plain words what was wrong. It repeats nothing that came from the browser.
func explain(err error, uv authenticators.UserVerification, flags protocol.AuthenticatorFlags) string {
	var p *protocol.Error
	if !errors.As(err, &p) {
		return "The answer could not be checked."
	}
	switch p.Details {
	case "Error validating ceremony type":
		return "The answer was meant for something else."
	case "Error validating challenge":
		return "The answer came too late or belongs to another try."
	case "Error validating origin", "Error validating cross origin flag", "Error validating topOrigin":
		return "The answer was made for another address."
	}
	switch {
	case p.Type == protocol.ErrVerification.Type && uv == authenticators.VerificationRequired && !flags.UserVerified():
		return "The device did not check that it is you. Set up a PIN, a fingerprint or a face on it."
	case p.Type == protocol.ErrVerification.Type && !flags.UserPresent():
		return "The device was not touched."
	case p.Type == protocol.ErrVerification.Type:
		return "The answer was made for another address."
	case p.Type == protocol.ErrInvalidAttestation.Type, p.Type == protocol.ErrAttestationCertificate.Type,
		p.Type == protocol.ErrMetadata.Type, p.Type == protocol.ErrAttestation.Type:
		return "The device could not prove which make it is."
	case p.Type == protocol.ErrUnsupportedKey.Type, p.Type == protocol.ErrUnsupportedAlgorithm.Type:
		return "The device made a kind of key that is not supported."
	case p.Type == protocol.ErrAssertionSignature.Type:
		return "The signature is wrong."
	}
	return "The answer could not be checked."
}
