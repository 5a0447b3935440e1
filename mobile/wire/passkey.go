package wire

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// A browser lends out no key that signs after a fingerprint, but it has passkeys. So a phone that is a web page brings one as
// its user-verification key: its answers are signed by the possession key, and a passkey then asserts just that answer.

// PasskeyRegistration is what navigator.credentials.create gave for [PasskeyChallenge] (WebAuthn §5.2.1), each in base64url.
// The key must be on P-256 or Ed25519 (pubKeyCredParams -7 and -8), the user verified, the relying party the server's host.
type PasskeyRegistration struct {
	ClientData  string `json:"client_data_json" api:"required"`
	Attestation string `json:"attestation_object" api:"required"` // what it says of the make does not count
}

// SchemaName is the component's name in the API document.
func (PasskeyRegistration) SchemaName() string { return "MobileDevicePasskeyRegistration" }

// PasskeyAssertion is what navigator.credentials.get gave for [AnswerChallenge] (WebAuthn §5.2.2), each in base64url.
type PasskeyAssertion struct {
	AuthenticatorData string `json:"authenticator_data" api:"required"`
	ClientData        string `json:"client_data_json" api:"required"`
	Signature         string `json:"signature" api:"required"`
}

// SchemaName is the component's name in the API document.
func (PasskeyAssertion) SchemaName() string { return "MobileDevicePasskeyAssertion" }

// PasskeyChallenge is the challenge of a registration: the SHA-256 of the token that goes with the request, a dot, and the
// thumbprint of the possession key, so that the passkey is of this request and of this phone.
func PasskeyChallenge(token, possession string) []byte {
	sum := sha256.Sum256([]byte(token + "." + possession))
	return sum[:]
}

// AnswerChallenge is the challenge of an assertion: the SHA-256 of the answer's JWS, so that it is for this answer alone.
func AnswerChallenge(signed string) []byte {
	sum := sha256.Sum256([]byte(signed))
	return sum[:]
}

// Site is a server as browsers name it.
type Site struct {
	Origin string // scheme://host[:port]
	RP     string // the relying party: its host
}

// SiteOf reads a base URL, scheme://host[:port]/.
func SiteOf(base string) Site {
	u, err := url.Parse(base)
	if err != nil {
		return Site{}
	}
	host := strings.ToLower(u.Hostname())
	s := Site{RP: host, Origin: u.Scheme + "://" + host}
	if strings.Contains(host, ":") {
		s.Origin = u.Scheme + "://[" + host + "]"
	}
	if port := u.Port(); port != "" && !(u.Scheme == "http" && port == "80") && !(u.Scheme == "https" && port == "443") {
		s.Origin += ":" + port
	}
	return s
}

// Passkey is the public half of one, as the server knows it.
type Passkey struct {
	Key
	RP      string // the relying party that it was made for
	Counter uint32 // of its last signature (WebAuthn §6.1.1); 0 for one that does not count
}

const (
	typeCreate    = "webauthn.create"
	typeGet       = "webauthn.get"
	maxClientData = 2 << 10
	minAuthData   = 37 // rpIdHash, flags and counter (WebAuthn §6.1)
	maxAuthData   = 2 << 10
	flagPresent   = 1 << 0
	flagVerified  = 1 << 2
)

// ErrCopied says that a passkey's counter did not go on, so that there may be a copy of it (WebAuthn §6.1.1).
var ErrCopied = errors.New("passkey: its counter went back")

// CheckAssertion checks that the passkey signed the challenge at the site, after it had checked its user (WebAuthn §7.2), and
// gives the counter. ErrCopied: all but the counter is right.
func (p Passkey) CheckAssertion(a PasskeyAssertion, challenge []byte, at Site) (counter uint32, err error) {
	client, err := decode(a.ClientData, maxClientData)
	if err != nil {
		return 0, fmt.Errorf("passkey: client data: %w", err)
	}
	data, err := decode(a.AuthenticatorData, maxAuthData)
	if err != nil {
		return 0, fmt.Errorf("passkey: authenticator data: %w", err)
	}
	signature, err := decode(a.Signature, maxAuthData)
	if err != nil {
		return 0, fmt.Errorf("passkey: signature: %w", err)
	}
	if err := checkClientData(client, typeGet, challenge, at.Origin); err != nil {
		return 0, err
	}
	if p.RP != at.RP {
		return 0, errors.New("passkey: it is for another relying party")
	}
	if err := CheckAuthenticatorData(data, p.RP); err != nil {
		return 0, err
	}
	sum := sha256.Sum256(client)
	if !p.verifyRaw(append(bytes.Clone(data), sum[:]...), signature) {
		return 0, errSignature
	}
	counter = binary.BigEndian.Uint32(data[33:minAuthData])
	if (counter != 0 || p.Counter != 0) && counter <= p.Counter {
		return 0, ErrCopied
	}
	return counter, nil
}

// CheckRegistration checks the client data of a registration (WebAuthn §7.1, steps 7 to 11).
func CheckRegistration(client, challenge []byte, at Site) error {
	return checkClientData(client, typeCreate, challenge, at.Origin)
}

// CheckAuthenticatorData demands that the data of an authenticator are of the relying party and that its user was present and
// verified.
func CheckAuthenticatorData(data []byte, rp string) error {
	if len(data) < minAuthData || len(data) > maxAuthData {
		return errors.New("passkey: authenticator data are too short or too long")
	}
	sum := sha256.Sum256([]byte(rp))
	switch flags := data[32]; {
	case !bytes.Equal(data[:32], sum[:]):
		return errors.New("passkey: rpIdHash is of another relying party")
	case flags&flagPresent == 0:
		return errors.New("passkey: the user was not present")
	case flags&flagVerified == 0:
		return errors.New("passkey: the user was not verified")
	}
	return nil
}

func checkClientData(text []byte, kind string, challenge []byte, origin string) error {
	var c struct {
		Type        string  `json:"type"`
		Challenge   string  `json:"challenge"`
		Origin      string  `json:"origin"`
		CrossOrigin bool    `json:"crossOrigin"`
		TopOrigin   *string `json:"topOrigin"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return errors.New("passkey: client data are not JSON")
	}
	switch {
	case c.Type != kind:
		return fmt.Errorf("passkey: type is not %s", kind)
	case subtle.ConstantTimeCompare([]byte(c.Challenge), []byte(encode(challenge))) == 0:
		return errors.New("passkey: challenge is another one")
	case c.Origin != origin:
		return errors.New("passkey: origin is another one")
	case c.CrossOrigin || c.TopOrigin != nil:
		return errors.New("passkey: it was used within the page of another site")
	}
	return nil
}

// verifyRaw checks a signature as authenticators make it (WebAuthn §6.5.5): DER for ES256, RFC 8032 for EdDSA.
func (k Key) verifyRaw(message, signature []byte) bool {
	switch p := k.public.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(p, sum[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(p, message, signature)
	}
	return false
}

// NewKey makes a key of an *ecdsa.PublicKey on P-256 or an ed25519.PublicKey.
func NewKey(public crypto.PublicKey) (Key, error) { return keyOf(public) }

func decode(text string, limit int) ([]byte, error) {
	if base64.RawURLEncoding.DecodedLen(len(text)) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	return b, nil
}
