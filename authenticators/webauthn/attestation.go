package webauthn

import (
	"slices"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/go-webauthn/webauthn/protocol"
	library "github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
)

// attestation is what an authenticator said of itself at its registration, kept so that it can be proved later.
type attestation struct {
	Format string `json:"format"`
	Type   string `json:"type"`
	Object []byte `json:"object"`
	Hash   []byte `json:"hash"` // SHA-256 of the client data that it signs
}

func attestationOf(c *library.Credential) attestation {
	return attestation{Format: c.AttestationFormat, Type: c.AttestationType, Object: c.Attestation.Object, Hash: c.Attestation.ClientDataHash}
}

// proves verifies the attestation anew and tells whether it shows the make.
func (a attestation) proves(set *metadataSet) bool {
	raw := protocol.AuthenticatorAttestationResponse{AttestationObject: a.Object}
	raw.ClientDataJSON = []byte("{}") // only its hash is signed
	parsed, err := raw.Parse()
	if err != nil {
		return false
	}
	o := &parsed.AttestationObject
	if o.VerifyAttestation(a.Hash, set.provider, protocol.AttestationPolicy{}, protocol.SignaturePolicy{}) != nil {
		return false
	}
	id, err := uuid.FromBytes(o.AuthData.AttData.AAGUID)
	return err == nil && set.shows(id, o.Format, o.Type)
}

// shows tells whether an attestation that was verified with the set shows the make: only one with certificates does, and
// only where the metadata has the roots of the make, which the library then demands.
func (s *metadataSet) shows(aaguid uuid.UUID, format, kind string) bool {
	if s == nil || format == string(protocol.AttestationFormatNone) || s.entries[aaguid] == nil {
		return false
	}
	chained := metadata.AuthenticatorAttestationTypes{metadata.BasicFull, metadata.AttCA, metadata.AnonCA}
	return slices.Contains(chained, metadata.AuthenticatorAttestationType(kind))
}
