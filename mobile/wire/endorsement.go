package wire

import (
	"errors"
	"fmt"
)

const typeEndorsement = "countersign-endorsement+jwt"

// Act is what a phone endorses.
type Act string

// The acts.
const (
	ActRotate   Act = "rotate"   // its own new keys
	ActTransfer Act = "transfer" // those of the phone that takes its place
)

// Endorsement is what a phone says of keys that are to count as its owner's: it is signed by the key that does so now.
type Endorsement struct {
	Act          Act
	Server       string // base URL
	Device       string // that signs
	For          string // the device that has the keys; with ActRotate the same
	Possession   string // thumbprints
	Verification string // "" for none
}

// endorsementClaims are in the order of their names.
type endorsementClaims struct {
	Act          Act    `json:"act"`
	Server       string `json:"aud"`
	For          string `json:"for"`
	Possession   string `json:"possession"`
	Device       string `json:"sub"`
	Use          string `json:"use"`
	Verification string `json:"user_verification"`
	Version      int    `json:"v"`
}

func (e Endorsement) claims(use Use) endorsementClaims {
	return endorsementClaims{
		Act: e.Act, Server: e.Server, For: e.For, Possession: e.Possession, Device: e.Device, Use: string(use), Verification: e.Verification, Version: 1,
	}
}

// SignEndorsement signs an endorsement with the key of a use. A phone whose user-verification key is a passkey signs with the
// possession key, and has the passkey assert the JWS as it does with answers.
func (s *Signer) SignEndorsement(e Endorsement, use Use) (string, error) {
	payload, err := canonical(e.claims(use))
	if err != nil {
		return "", fmt.Errorf("sign endorsement: %w", err)
	}
	return s.sign(typeEndorsement, payload, false)
}

// CheckEndorsement checks that the key of a use signed just this endorsement.
func (k Key) CheckEndorsement(compact string, e Endorsement, use Use) error {
	payload, err := k.verify(typeEndorsement, compact)
	if err != nil {
		return fmt.Errorf("endorsement: %w", err)
	}
	c, err := parseClaims[endorsementClaims](payload)
	if err != nil {
		return fmt.Errorf("endorsement: %w", err)
	}
	if c != e.claims(use) {
		return errors.New("endorsement: it is of something else")
	}
	return nil
}
