package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Binding is what an enrolment bound together. The two sides each put it together from what they themselves have, and show its
// fingerprint: the same on both screens means that it is this phone, with these keys, that enrolled.
//
// One side is the phone that enrols. The other one is the server, by the page where the enrolment began; or, where the phone takes
// another one's place, that old phone, before it vouches for the new one's keys.
//
// The two phones of a move share no secret that would do alone. The server's key both have from it, each by its own TLS, and the old
// one since its own enrolment. Of the one-time token the old phone knows at most the one that it showed, not the one that its code was
// exchanged for; so the server tells it the token's hash once the token is used up, which gives nothing away of 238 bits. Keys and
// salt come from the server as well. So the comparison holds against whoever is faster with the code, not against the server, which
// needs no phone's consent to let somebody in.
//
// Whoever was faster has to have the owner's new phone show what the old one shows of his keys. That phone shows another error or
// nothing, unless he had it enrol elsewhere, where all of its binding is known to him; then he would search for keys that give its
// nine digits. But the server draws the salt after the keys have come, so that no search can begin before they are fixed: each
// guess is one enrolment, which takes an offer of the old phone, and hits with 2^-30. Digits without the salt, of any length that a person
// compares, could be searched for in the ten minutes of the offer.
type Binding struct {
	Device       string // the UUID, in lower case
	TokenHash    string // of the enrolment's one-time token: HashToken of t of the payload
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

// HashToken is how a token is named to whoever need not know it: its SHA-256, base64url.
func HashToken(token string) string { return hash([]byte(token)) }

// Fingerprint is nine digits in three groups, 30 bits: the first eight bytes of the SHA-256 of the canonical form, as a
// number, modulo 10⁹.
func (b Binding) Fingerprint() (string, error) {
	text, err := canonical(bindingClaims{
		Device: b.Device, Possession: b.Possession, Salt: b.Salt, Server: b.Server, Token: b.TokenHash, Type: typeBinding,
		Verification: b.Verification, Version: 1,
	})
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	sum := sha256.Sum256(text)
	n := binary.BigEndian.Uint64(sum[:8]) % 1e9
	return fmt.Sprintf("%03d %03d %03d", n/1e6, n/1e3%1e3, n%1e3), nil
}
