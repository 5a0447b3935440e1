package wire

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Use is what a phone's key proves.
type Use string

// The two keys of a phone. The possession key signs whenever the app runs; the verification key is one that the operating
// system releases after it has checked the person, by a fingerprint, a face or a code, each time anew.
const (
	UsePossession   Use = "possession"
	UseVerification Use = "user_verification"
)

const (
	maxKeyBytes   = 1 << 10
	maxTokenBytes = 8 << 10
)

// Key is a public key of a phone or of the server. Its algorithm is the one of its curve and no other: ES256 for P-256,
// EdDSA for Ed25519 (RFC 7518 §3.4, RFC 8037). So a signature cannot choose how it is checked.
type Key struct {
	Algorithm  string // ES256 or EdDSA
	Thumbprint string // RFC 7638, SHA-256, base64url

	jwk jose.JSONWebKey
}

// privateMembers are those of a JWK that hold a secret (RFC 7518 §6, RFC 8037 §2).
var privateMembers = [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParseKey reads a public key as a JWK of at most 1 KiB. Errors: a private or symmetric key, another curve, a point that is
// not on it, coordinates of the wrong length, an alg or use that does not fit.
func ParseKey(text []byte) (Key, error) {
	if len(text) > maxKeyBytes {
		return Key{}, fmt.Errorf("key: more than %d bytes", maxKeyBytes)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return Key{}, errors.New("key: not a JSON object")
	}
	for _, m := range privateMembers {
		if _, ok := members[m]; ok {
			return Key{}, errors.New("key: it is private, and only the public part may leave the phone")
		}
	}
	for _, m := range [...]string{"x", "y"} {
		if err := checkCoordinate(members[m]); err != nil {
			return Key{}, fmt.Errorf("key: %s: %w", m, err)
		}
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(text); err != nil {
		return Key{}, errors.New("key: not a key on P-256 or Ed25519")
	}
	k, err := keyOf(jwk.Key)
	switch {
	case err != nil:
		return Key{}, err
	case jwk.Algorithm != "" && jwk.Algorithm != k.Algorithm:
		return Key{}, fmt.Errorf("key: alg must be %s", k.Algorithm)
	case jwk.Use != "" && jwk.Use != "sig":
		return Key{}, errors.New("key: use must be sig")
	}
	return k, nil
}

// checkCoordinate demands 32 bytes (RFC 7518 §6.2.1.2, RFC 8037 §2), where there is one.
func checkCoordinate(raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return errors.New("not a text")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 32 {
		return errors.New("not 32 bytes in base64url")
	}
	return nil
}

// keyOf takes the public half of either kind of key.
func keyOf(public crypto.PublicKey) (Key, error) {
	k := Key{jwk: jose.JSONWebKey{Key: public}}
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return Key{}, errors.New("key: the curve must be P-256")
		}
		k.Algorithm = string(jose.ES256)
	case ed25519.PublicKey:
		k.Algorithm = string(jose.EdDSA)
	default:
		return Key{}, errors.New("key: not a key on P-256 or Ed25519")
	}
	sum, err := k.jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return Key{}, errors.New("key: the point is not on the curve")
	}
	k.Thumbprint = base64.RawURLEncoding.EncodeToString(sum)
	return k, nil
}

// MarshalJSON writes the JWK.
func (k Key) MarshalJSON() ([]byte, error) { return k.jwk.MarshalJSON() }

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

// sign makes a compact JWS (RFC 7515 §7.1) of a type. With embed the header has the public key, else its thumbprint.
func (s *Signer) sign(kind string, payload []byte, embed bool) (string, error) {
	o := (&jose.SignerOptions{EmbedJWK: embed}).WithType(jose.ContentType(kind))
	key := jose.JSONWebKey{Key: s.private}
	if !embed {
		key.KeyID = s.Thumbprint
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.Algorithm), Key: key}, o)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", kind, err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", kind, err)
	}
	return jws.CompactSerialize()
}

// errSignature is all that is said of a signature that does not hold.
var errSignature = errors.New("the signature does not hold")

// verify checks a compact JWS of a type by the key, and gives its payload. The header may say alg, typ and one of kid and
// jwk, which must be this key's; anything else in it (crit, jku, x5c …) is refused.
func (k Key) verify(kind, compact string) ([]byte, error) {
	if len(compact) > maxTokenBytes {
		return nil, fmt.Errorf("more than %d bytes", maxTokenBytes)
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.Algorithm)})
	if err != nil {
		return nil, errors.New("not a compact JWS with the algorithm of the key")
	}
	if err := k.checkHeader(kind, compact); err != nil {
		return nil, err
	}
	payload, err := jws.Verify(k.jwk.Key)
	if err != nil {
		return nil, errSignature
	}
	return payload, nil
}

func (k Key) checkHeader(kind, compact string) error {
	first, _, _ := bytes.Cut([]byte(compact), []byte{'.'})
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(first))
	if err != nil {
		return errors.New("the header is not base64url")
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(raw, &header); err != nil {
		return errors.New("the header is not JSON")
	}
	var typ string
	if json.Unmarshal(header["typ"], &typ) != nil || typ != kind {
		return fmt.Errorf("typ must be %s", kind)
	}
	named := false
	for name, value := range header {
		switch name {
		case "alg", "typ":
		case "kid":
			var kid string
			if json.Unmarshal(value, &kid) != nil || kid != k.Thumbprint {
				return errors.New("kid names another key")
			}
			named = true
		case "jwk":
			embedded, err := ParseKey(value)
			if err != nil || embedded.Thumbprint != k.Thumbprint {
				return errors.New("jwk is another key")
			}
			named = true
		default:
			return fmt.Errorf("the header may not have %q", name)
		}
	}
	if !named {
		return errors.New("the header names no key")
	}
	return nil
}

// KeyNamed is the thumbprint that the header of a compact JWS gives as kid; "" for none. Nothing is checked.
func KeyNamed(compact string) string {
	first, _, _ := bytes.Cut([]byte(compact), []byte{'.'})
	var header struct {
		KeyID string `json:"kid"`
	}
	raw, err := base64.RawURLEncoding.DecodeString(string(first))
	if err != nil || json.Unmarshal(raw, &header) != nil {
		return ""
	}
	return header.KeyID
}

// canonical writes claims as RFC 8785 does for what they may hold: whole numbers, and text of visible ASCII.
func canonical(claims any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(claims); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
}

// parseClaims reads a payload, which must be the canonical form of what it says: one meaning has one text, so that no
// second key, odd number or unknown member can mean something to one reader and nothing to another.
func parseClaims[T any](payload []byte) (T, error) {
	var claims T
	for _, c := range payload {
		if c < 0x20 || c > 0x7e {
			return claims, errors.New("the claims are not visible ASCII")
		}
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return claims, errors.New("the claims are not JSON of the right types")
	}
	again, err := canonical(claims)
	if err != nil || !bytes.Equal(again, payload) {
		return claims, errors.New("the claims are not in canonical form")
	}
	return claims, nil
}

// encode is base64url without padding.
func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
