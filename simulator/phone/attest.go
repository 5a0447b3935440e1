package phone

import (
	"crypto/sha256"
	"encoding/base64"

	"countersign/mobile/wire"
	"countersign/simulator/maker"
)

// attest adds what the maker says of keys for an account: an iPhone's app vouches for both, an Android keystore attests each.
func (p *Phone) attest(k *keys, a Account, brought *wire.EnrollmentKeys) error {
	m, fault := p.o.Maker, p.o.Attests
	if m == nil {
		return nil
	}
	challenge := wire.AttestationChallenge(a.Device, a.token)
	both := []*signer{k.possession}
	if k.verification != nil {
		both = append(both, k.verification)
	}
	if p.Info().Platform == wire.IOS {
		thumbprints := make([]string, len(both))
		for i, s := range both {
			thumbprints[i] = s.Thumbprint
		}
		object, err := m.AppleObject(fault, sha256.Sum256(wire.AttestationClientData(challenge, thumbprints...)))
		brought.Attestation = &wire.Attestation{Format: wire.AppAttest, Object: base64.StdEncoding.EncodeToString(object)}
		return err
	}
	for i, s := range both {
		chain, err := m.AndroidChain(maker.Order{Fault: fault, Key: s.Public(), Challenge: challenge, UserAuth: s == k.verification})
		if err != nil {
			return err
		}
		attested := &wire.Attestation{Format: wire.AndroidKey}
		for _, der := range chain {
			attested.Chain = append(attested.Chain, base64.StdEncoding.EncodeToString(der))
		}
		*[]**wire.Attestation{&brought.Attestation, &brought.VerificationAttestation}[i] = attested
	}
	return nil
}
