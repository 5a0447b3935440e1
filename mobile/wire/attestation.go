package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// AttestationFormat is the kind of an attestation.
type AttestationFormat string

// The formats.
const (
	AndroidKey AttestationFormat = "android-key"     // Android Key Attestation: chain
	AppAttest  AttestationFormat = "apple-appattest" // App Attest: object
)

// Enum lists the formats.
func (AttestationFormat) Enum() []string { return []string{string(AndroidKey), string(AppAttest)} }

// SchemaName is the component's name in the API document.
func (AttestationFormat) SchemaName() string { return "AttestationFormatEnum" }

// The bounds of an attestation. Both leave room in [MaxBodyBytes]: chains of today have 4 to 8 kB, objects 6 kB.
const (
	MaxChain            = 10       // certificates
	MaxAttestationBytes = 20 << 10 // all of it, in base64
)

// Attestation is evidence about a key of the phone, made for this enrolment: see AttestationChallenge.
type Attestation struct {
	Format AttestationFormat `json:"format" api:"required"`
	Chain  []string          `json:"chain,omitempty"`  // certificates, DER in base64, the attested key's first
	Object string            `json:"object,omitempty"` // the attestation object, CBOR in base64
}

// SchemaName is the component's name in the API document.
func (Attestation) SchemaName() string { return "MobileDeviceAttestation" }

// validate returns what is wrong with the form of a.
func (a Attestation) validate(field string) []Violation {
	var v violations
	v.choice(field+".format", string(a.Format), a.Format.Enum())
	size := len(a.Object)
	for _, c := range a.Chain {
		size += len(c)
	}
	switch {
	case a.Format == AndroidKey && (len(a.Chain) == 0 || a.Object != ""):
		v.add(field+".chain", "required", "This format needs a chain of certificates and nothing else.")
	case a.Format == AppAttest && (a.Object == "" || len(a.Chain) > 0):
		v.add(field+".object", "required", "This format needs an attestation object and nothing else.")
	case len(a.Chain) > MaxChain || size > MaxAttestationBytes:
		v.add(field, "max_length", fmt.Sprintf("Ensure that it has no more than %d certificates and %d characters.", MaxChain, MaxAttestationBytes))
	}
	if _, _, err := a.Decode(); err != nil {
		v.add(field, "invalid", "Must be in base64.")
	}
	return v
}

// Decode gives the chain and the object in bytes. Errors: not base64 (RFC 4648 §4).
func (a Attestation) Decode() (chain [][]byte, object []byte, err error) {
	for _, c := range a.Chain {
		der, err := base64.StdEncoding.Strict().DecodeString(c)
		if err != nil {
			return nil, nil, fmt.Errorf("attestation: %w", err)
		}
		chain = append(chain, der)
	}
	if object, err = base64.StdEncoding.Strict().DecodeString(a.Object); err != nil {
		return nil, nil, fmt.Errorf("attestation: %w", err)
	}
	return chain, object, nil
}

// AttestationChallenge is what an attestation for an enrolment has to be about, in 32 bytes: the SHA-256 of
//
//	countersign-attestation-v1 ⏎ <device uuid, in small letters> ⏎ <token of the QR payload>
//
// where ⏎ is one line feed. Android puts it into the certificate as it is.
func AttestationChallenge(device, token string) []byte {
	sum := sha256.Sum256([]byte("countersign-attestation-v1\n" + strings.ToLower(device) + "\n" + token))
	return sum[:]
}

// AttestationClientData is what App Attest's clientDataHash is the SHA-256 of, since Apple attests a key of its own: the
// challenge, and the thumbprints of the keys that the phone brings, the possession key first.
func AttestationClientData(challenge []byte, thumbprints ...string) []byte {
	return append(bytes.Clone(challenge), strings.Join(thumbprints, "")...)
}

// Validate returns what is wrong with the form of the attestations of k, nil if nothing is.
func (k EnrollmentKeys) Validate() []Violation {
	var v violations
	if k.Attestation != nil {
		v = append(v, k.Attestation.validate("keys.attestation")...)
	}
	if k.VerificationAttestation != nil {
		v = append(v, k.VerificationAttestation.validate("keys.user_verification_attestation")...)
	}
	return v
}
