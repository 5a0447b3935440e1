package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Binding is what an enrolment bound together. The phone and the server each put it together from what they themselves have,
// and show its fingerprint: the same on both screens means that it is this phone, with these keys, that enrolled.
type Binding struct {
	Device       string // the UUID, in lower case
	Token        string // of the enrolment: t of the payload
	Possession   string // thumbprint of the phone's first key
	Verification string // that of its second, or of its passkey's key; "" without one
	Server       string // thumbprint of the server's key
	Salt         string // the server's, which it drew once it had the keys, as it stands in the reply
}

// bindingClaims are in the order of their names.
type bindingClaims struct {
	Device       string `json:"device"`
	Possession   string `json:"possession"`
	Salt         string `json:"salt"`
	Server       string `json:"server"`
	Token        string `json:"token"`
	Type         string `json:"typ"`
	Verification string `json:"user_verification"`
	Version      int    `json:"v"`
}

const typeBinding = "countersign-enrolment"

// Fingerprint is nine digits in three groups, 30 bits: the first eight bytes of the SHA-256 of the canonical form, as a
// number, modulo 10⁹.
func (b Binding) Fingerprint() (string, error) {
	text, err := canonical(bindingClaims{
		Device: b.Device, Possession: b.Possession, Salt: b.Salt, Server: b.Server, Token: hash([]byte(b.Token)), Type: typeBinding,
		Verification: b.Verification, Version: 1,
	})
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	sum := sha256.Sum256(text)
	n := binary.BigEndian.Uint64(sum[:8]) % 1e9
	return fmt.Sprintf("%03d %03d %03d", n/1e6, n/1e3%1e3, n%1e3), nil
}
