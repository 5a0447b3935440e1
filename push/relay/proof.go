package relay

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Scheme stands before a proof in Authorization.
const Scheme = "Countersign-Relay"

// proofType is the JWS header's typ.
const proofType = "countersign-relay+jwt"

// ProofLife is how far a proof's time may be from the relay's, in either direction.
const ProofLife = 2 * time.Minute

// Proof is what a request says of itself, signed by the instance.
type Proof struct {
	Audience string `json:"aud"` // host of the relay
	BodyHash string `json:"bh"`  // SHA-256, base64url
	IssuedAt int64  `json:"iat"` // seconds
	ID       string `json:"jti"` // new for each request
	Ticket   string `json:"ticket,omitempty"`
}

// Signer makes the proofs of an instance.
type Signer struct {
	signer   jose.Signer
	instance string
}

// NewSigner takes the instance's key, on P-256.
func NewSigner(key *ecdsa.PrivateKey) (*Signer, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return nil, errors.New("the instance's key is not one on P-256")
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType(proofType))
	if err != nil {
		return nil, fmt.Errorf("make signer: %w", err)
	}
	name, err := thumbprint(jose.JSONWebKey{Key: key.Public()})
	return &Signer{signer: s, instance: name}, err
}

// Instance is the name of the instance: the thumbprint of its key (RFC 7638, SHA-256), in hexadecimal digits.
func (s *Signer) Instance() string { return s.instance }

func thumbprint(key jose.JSONWebKey) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("name key: %w", err)
	}
	return hex.EncodeToString(sum), nil // hexadecimal, since people pass it to commands: base64url may begin with a dash
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Prove signs a request to the relay at host.
func (s *Signer) Prove(host string, body []byte, ticket string, now time.Time) (string, error) {
	text, err := json.Marshal(Proof{Audience: host, BodyHash: hash(body), IssuedAt: now.Unix(), ID: rand.Text(), Ticket: ticket})
	if err != nil {
		return "", err
	}
	signed, err := s.signer.Sign(text)
	if err != nil {
		return "", fmt.Errorf("sign request: %w", err)
	}
	return signed.CompactSerialize()
}

// Check checks a proof of a request to the relay at host, and says which instance made it. Whether it is new is the caller's
// to see.
func Check(compact, host string, body []byte, now time.Time) (instance string, p Proof, err error) {
	signed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(signed.Signatures) != 1 {
		return "", p, errors.New("proof: not a JWS by ES256")
	}
	head := signed.Signatures[0].Protected
	key := head.JSONWebKey
	if head.ExtraHeaders[jose.HeaderType] != proofType || key == nil || !key.IsPublic() || !key.Valid() {
		return "", p, errors.New("proof: the header is not that of a proof")
	}
	if public, ok := key.Key.(*ecdsa.PublicKey); !ok || public.Curve != elliptic.P256() {
		return "", p, errors.New("proof: the key is not one on P-256")
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return "", p, errors.New("proof: the signature does not hold")
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return "", p, errors.New("proof: the claims cannot be read")
	}
	age := now.Sub(time.Unix(p.IssuedAt, 0))
	switch {
	case p.Audience != host:
		return "", p, errors.New("proof: aud is another relay")
	case p.BodyHash != hash(body):
		return "", p, errors.New("proof: bh is of another body")
	case age > ProofLife || age < -ProofLife:
		return "", p, errors.New("proof: iat is too far from the relay's time")
	case len(p.ID) < 16 || len(p.ID) > 255:
		return "", p, errors.New("proof: jti is too short or too long")
	}
	instance, err = thumbprint(*key)
	return instance, p, err
}
