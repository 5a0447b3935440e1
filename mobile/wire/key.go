package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// Use is what a phone's key proves.
type Use string

// The two keys of a phone. The possession key signs whenever the app runs; the verification key is one that the operating
// system releases after it has checked the person, by a fingerprint, a face or a code, each time anew.
const (
	UsePossession   Use = "possession"
	UseVerification Use = "user_verification"
)

const maxKeyBytes = 1 << 10

// Key is a public key of a phone or of the server. Its algorithm is the one of its curve and no other: ES256 for P-256,
// EdDSA for Ed25519 (RFC 7518 §3.4, RFC 8037). So a signature cannot choose how it is checked.
type Key struct {
	Algorithm  string // ES256 or EdDSA
	Thumbprint string // RFC 7638, SHA-256, base64url

	public crypto.PublicKey // *ecdsa.PublicKey on P-256, or ed25519.PublicKey
	jwk    string           // its required members alone, in the order of their names
}

// Public is the key itself: an *ecdsa.PublicKey on P-256 or an ed25519.PublicKey.
func (k Key) Public() crypto.PublicKey { return k.public }

// jwk are the members of a JWK that count here. The secret ones (RFC 7518 §6, RFC 8037 §2) are read to be refused.
type jwk struct {
	Type      string  `json:"kty"`
	Curve     string  `json:"crv"`
	X         string  `json:"x"`
	Y         *string `json:"y"`
	Algorithm string  `json:"alg"`
	Use       string  `json:"use"`

	D, P, Q, DP, DQ, QI, Oth, K json.RawMessage
}

func (j *jwk) private() bool {
	for _, m := range [...]json.RawMessage{j.D, j.P, j.Q, j.DP, j.DQ, j.QI, j.Oth, j.K} {
		if m != nil {
			return true
		}
	}
	return false
}

// ParseKey reads a public key as a JWK of at most 1 KiB. Errors: a private or symmetric key, another curve, a point that is
// not on it, coordinates of the wrong length, an alg or use that does not fit.
func ParseKey(text []byte) (Key, error) {
	if len(text) > maxKeyBytes {
		return Key{}, fmt.Errorf("key: more than %d bytes", maxKeyBytes)
	}
	var j *jwk
	if err := json.Unmarshal(text, &j); err != nil || j == nil {
		return Key{}, errors.New("key: not a JSON object with members of the right types")
	}
	if j.private() {
		return Key{}, errors.New("key: it is private, and only the public part may leave the phone")
	}
	public, err := j.public()
	if err != nil {
		return Key{}, err
	}
	k, err := keyOf(public)
	switch {
	case err != nil:
		return Key{}, err
	case j.Algorithm != "" && j.Algorithm != k.Algorithm:
		return Key{}, fmt.Errorf("key: alg must be %s", k.Algorithm)
	case j.Use != "" && j.Use != "sig":
		return Key{}, errors.New("key: use must be sig")
	}
	return k, nil
}

func (j *jwk) public() (crypto.PublicKey, error) {
	x, err := coordinate(j.X)
	if err != nil {
		return nil, fmt.Errorf("key: x: %w", err)
	}
	switch {
	case j.Type == "EC" && j.Curve == "P-256" && j.Y != nil:
		y, err := coordinate(*j.Y)
		if err != nil {
			return nil, fmt.Errorf("key: y: %w", err)
		}
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...)) // SEC 1 §2.3.4
		if err != nil {
			return nil, errors.New("key: the point is not on the curve")
		}
		return public, nil
	case j.Type == "OKP" && j.Curve == "Ed25519" && j.Y == nil:
		return ed25519.PublicKey(x), nil
	}
	return nil, errors.New("key: not a key on P-256 or Ed25519")
}

// coordinate reads 32 bytes (RFC 7518 §6.2.1.2, RFC 8037 §2).
func coordinate(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 32 {
		return nil, errors.New("not 32 bytes in base64url")
	}
	return b, nil
}

// keyOf takes the public half of either kind of key. The members of its JWK are as RFC 7638 §3 has them for the thumbprint.
func keyOf(public crypto.PublicKey) (Key, error) {
	k := Key{public: public}
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil || p.Curve != elliptic.P256() {
			return Key{}, errors.New("key: the curve must be P-256")
		}
		k.Algorithm = algES256
		k.jwk = `{"crv":"P-256","kty":"EC","x":"` + encode(point[1:33]) + `","y":"` + encode(point[33:]) + `"}`
	case ed25519.PublicKey:
		k.Algorithm = algEdDSA
		k.jwk = `{"crv":"Ed25519","kty":"OKP","x":"` + encode(p) + `"}`
	default:
		return Key{}, errors.New("key: not a key on P-256 or Ed25519")
	}
	sum := sha256.Sum256([]byte(k.jwk))
	k.Thumbprint = encode(sum[:])
	return k, nil
}

// MarshalJSON writes the JWK.
func (k Key) MarshalJSON() ([]byte, error) {
	if k.public == nil {
		return nil, errors.New("key: there is none")
	}
	return []byte(k.jwk), nil
}

// UnmarshalJSON reads one as ParseKey does.
func (k *Key) UnmarshalJSON(text []byte) (err error) {
	*k, err = ParseKey(text)
	return err
}

// Signer is a private key.
type Signer struct {
	Key
	private crypto.Signer
}

// NewSigner makes a signer of an *ecdsa.PrivateKey on P-256 or an ed25519.PrivateKey.
func NewSigner(private crypto.Signer) (*Signer, error) {
	k, err := keyOf(private.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{k, private}, nil
}
