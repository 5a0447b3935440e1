package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// Authenticator is the phone's side of a passkey: a browser and its authenticator in software, as a simulated phone has them.
type Authenticator struct {
	*Signer
	Site     Site
	Counter  uint32 // of the next assertion; 0 for one that does not count
	Absent   bool   // nobody touches it
	Unproven bool   // it does not check who touches it
}

// Create answers navigator.credentials.create (WebAuthn §5.1.3), with the attestation "none".
func (a *Authenticator) Create(challenge []byte) (PasskeyRegistration, error) {
	client, err := a.clientData(typeCreate, challenge)
	if err != nil {
		return PasskeyRegistration{}, err
	}
	cose, err := a.cose()
	if err != nil {
		return PasskeyRegistration{}, err
	}
	const attested = 1 << 6
	data := a.data(attested)
	data = append(data, make([]byte, 16)...) // AAGUID
	id := sha256.Sum256(cose)
	data = binary.BigEndian.AppendUint16(data, uint16(len(id)))
	data = append(append(data, id[:]...), cose...)
	object := []byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59") // CBOR: a map of three; bytes of a length in two bytes
	object = append(binary.BigEndian.AppendUint16(object, uint16(len(data))), data...)
	return PasskeyRegistration{ClientData: encode(client), Attestation: encode(object)}, nil
}

// Get answers navigator.credentials.get (WebAuthn §5.1.4), and counts.
func (a *Authenticator) Get(challenge []byte) (PasskeyAssertion, error) {
	client, err := a.clientData(typeGet, challenge)
	if err != nil {
		return PasskeyAssertion{}, err
	}
	data := a.data(0)
	sum := sha256.Sum256(client)
	message := append(data[:len(data):len(data)], sum[:]...)
	var signature []byte
	if a.Algorithm == algEdDSA {
		signature, err = a.private.Sign(rand.Reader, message, crypto.Hash(0))
	} else {
		sum := sha256.Sum256(message)
		signature, err = a.private.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
	if err != nil {
		return PasskeyAssertion{}, fmt.Errorf("sign assertion: %w", err)
	}
	if a.Counter > 0 {
		a.Counter++
	}
	return PasskeyAssertion{AuthenticatorData: encode(data), ClientData: encode(client), Signature: encode(signature)}, nil
}

func (a *Authenticator) clientData(kind string, challenge []byte) ([]byte, error) {
	return json.Marshal(map[string]any{"type": kind, "challenge": encode(challenge), "origin": a.Site.Origin, "crossOrigin": false})
}

func (a *Authenticator) data(flags byte) []byte {
	if !a.Absent {
		flags |= flagPresent
	}
	if !a.Unproven {
		flags |= flagVerified
	}
	rp := sha256.Sum256([]byte(a.Site.RP))
	return binary.BigEndian.AppendUint32(append(rp[:], flags), a.Counter)
}

// cose is the public key as RFC 9052 §7 has it, for ES256 or EdDSA.
func (a *Authenticator) cose() ([]byte, error) {
	switch k := a.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return nil, fmt.Errorf("write key: %w", err)
		}
		out := append([]byte("\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20"), point[1:33]...)
		return append(append(out, "\x22\x58\x20"...), point[33:]...), nil
	case ed25519.PublicKey:
		return append([]byte("\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20"), k...), nil
	}
	return nil, errors.New("write key: not on P-256 or Ed25519")
}
