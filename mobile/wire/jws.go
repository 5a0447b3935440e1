package wire

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// The two algorithms (RFC 7518 §3.4, RFC 8037 §3.1).
const (
	algES256 = "ES256"
	algEdDSA = "EdDSA"
)

const maxTokenBytes = 8 << 10

// Of JOSE only this much is needed: compact JWS (RFC 7515 §7.1), two algorithms that the key decides, a header that holds
// four members at the most. It is written here, not taken from a library, since a phone's every request waits for it, and
// since a reader that knows no more than this has nothing to be confused about. The tests hold it against go-jose.

// header is the protected one; any other member is refused (crit, jku, x5c …).
type header struct {
	Algorithm string          `json:"alg"`
	Key       json.RawMessage `json:"jwk,omitempty"`
	KeyID     string          `json:"kid,omitempty"`
	Type      string          `json:"typ"`
}

var base64url = base64.RawURLEncoding.Strict()

// sign makes a compact JWS of a type. With embed the header has the public key, else its thumbprint.
func (s *Signer) sign(kind string, payload []byte, embed bool) (string, error) {
	named := `"kid":"` + s.Thumbprint + `"`
	if embed {
		named = `"jwk":` + s.jwk
	}
	var b strings.Builder
	b.WriteString(encode([]byte(`{"alg":"` + s.Algorithm + `",` + named + `,"typ":"` + kind + `"}`)))
	b.WriteByte('.')
	b.WriteString(encode(payload))
	signature, err := s.signature([]byte(b.String()))
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", kind, err)
	}
	b.WriteByte('.')
	b.WriteString(encode(signature))
	return b.String(), nil
}

func (s *Signer) signature(input []byte) ([]byte, error) {
	if s.Algorithm == algEdDSA {
		return s.private.Sign(rand.Reader, input, crypto.Hash(0))
	}
	sum := sha256.Sum256(input)
	der, err := s.private.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var point struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &point); err != nil || len(rest) > 0 {
		return nil, errors.New("the key gave no ECDSA signature")
	}
	out := make([]byte, 64)
	point.R.FillBytes(out[:32])
	point.S.FillBytes(out[32:])
	return out, nil
}

// errSignature is all that is said of a signature that does not hold.
var errSignature = errors.New("the signature does not hold")

// token is a compact JWS taken apart; nothing of it is checked but its form.
type token struct {
	header
	input     string // what is signed
	payload   []byte
	signature []byte
}

// parse takes a compact JWS of a type apart.
func parse(kind, compact string) (*token, error) {
	if len(compact) > maxTokenBytes {
		return nil, fmt.Errorf("more than %d bytes", maxTokenBytes)
	}
	dot := strings.LastIndexByte(compact, '.')
	first, second, found := strings.Cut(compact[:max(dot, 0)], ".")
	if !found || strings.Contains(second, ".") {
		return nil, errors.New("not a compact JWS")
	}
	t := &token{input: compact[:dot]}
	var err error
	if t.payload, err = base64url.DecodeString(second); err != nil {
		return nil, errors.New("the payload is not base64url")
	}
	if t.signature, err = base64url.DecodeString(compact[dot+1:]); err != nil {
		return nil, errors.New("the signature is not base64url")
	}
	if err := t.readHeader(first); err != nil {
		return nil, err
	}
	if t.Type != kind {
		return nil, fmt.Errorf("typ must be %s", kind)
	}
	return t, nil
}

func (h *header) readHeader(encoded string) error {
	raw, err := base64url.DecodeString(encoded)
	if err != nil {
		return errors.New("the header is not base64url")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil || d.InputOffset() != int64(len(raw)) {
		return errors.New("the header is not JSON with alg, typ and one of jwk and kid")
	}
	return nil
}

// verify checks a compact JWS of a type by the key, and gives its payload. The header may say alg, typ and one of kid and
// jwk, which must be this key's.
func (k Key) verify(kind, compact string) ([]byte, error) {
	t, err := parse(kind, compact)
	if err != nil {
		return nil, err
	}
	return k.check(t)
}

// check checks a token by the key.
func (k Key) check(t *token) ([]byte, error) {
	switch {
	case t.Algorithm != k.Algorithm:
		return nil, errors.New("alg is not that of the key")
	case (t.Key == nil) == (t.KeyID == ""):
		return nil, errors.New("the header names no key, or two")
	case t.KeyID != "" && t.KeyID != k.Thumbprint:
		return nil, errors.New("kid names another key")
	case t.Key != nil && string(t.Key) != k.jwk:
		embedded, err := ParseKey(t.Key)
		if err != nil || embedded.Thumbprint != k.Thumbprint {
			return nil, errors.New("jwk is another key")
		}
	}
	if !k.holds(t) {
		return nil, errSignature
	}
	return t.payload, nil
}

func (k Key) holds(t *token) bool {
	switch p := k.public.(type) {
	case *ecdsa.PublicKey:
		if len(t.signature) != 64 { // RFC 7518 §3.4
			return false
		}
		sum := sha256.Sum256([]byte(t.input))
		return ecdsa.Verify(p, sum[:], new(big.Int).SetBytes(t.signature[:32]), new(big.Int).SetBytes(t.signature[32:]))
	case ed25519.PublicKey:
		return ed25519.Verify(p, []byte(t.input), t.signature)
	}
	return false
}

// KeyNamed is the thumbprint that the header of a compact JWS gives as kid; "" for none. Nothing is checked.
func KeyNamed(compact string) string {
	first, _, _ := strings.Cut(compact, ".")
	var h header
	if len(compact) > maxTokenBytes || h.readHeader(first) != nil {
		return ""
	}
	return h.KeyID
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
