package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// ProofHeader carries the proof of a request (RFC 9449 §4.1), NonceHeader the nonce for the next one (§8.1), and
// ProofScheme stands before the token in Authorization.
const (
	ProofHeader = "DPoP"
	NonceHeader = "DPoP-Nonce"
	ProofScheme = "DPoP"
)

const typeProof = "dpop+jwt"

// Request is what a proof is about.
type Request struct {
	Method string
	URL    string // absolute; query and fragment do not count (RFC 9449 §4.2)
	Body   []byte
	Token  string // the bearer token that goes with it
}

// proofClaims are in the order of their names, as the canonical form has them.
type proofClaims struct {
	TokenHash string `json:"ath"`             // RFC 9449 §4.2
	BodyHash  string `json:"bh"`              // SHA-256 of the body, base64url: ours, as RFC 9449 leaves the body out
	Method    string `json:"htm"`             // RFC 9449 §4.2
	URL       string `json:"htu"`             // RFC 9449 §4.2
	IssuedAt  int64  `json:"iat"`             // by the phone's clock, in seconds
	ID        string `json:"jti"`             // 96 bits or more, new for each request
	Nonce     string `json:"nonce,omitempty"` // the server's last one
}

// Proof is what a good proof says beyond the request.
type Proof struct {
	ID       string
	Nonce    string // "" for none
	IssuedAt time.Time
}

// minID is the length of an id in characters: 96 bits in base64url.
const minID = 16

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return encode(sum[:])
}

// target is a URL without what a proof leaves out.
func target(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("proof: %q is not an absolute URL", raw)
	}
	u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment, u.User = "", false, "", "", nil
	return u.String(), nil
}

// Prove signs a request. nonce is the server's last one, "" before the first.
func (s *Signer) Prove(r Request, nonce string, now time.Time) (string, error) {
	htu, err := target(r.URL)
	if err != nil {
		return "", err
	}
	payload, err := canonical(proofClaims{
		TokenHash: hash([]byte(r.Token)), BodyHash: hash(r.Body), Method: r.Method, URL: htu, IssuedAt: now.Unix(),
		ID: rand.Text(), Nonce: nonce,
	})
	if err != nil {
		return "", err
	}
	return s.sign(typeProof, payload, true)
}

// CheckProof checks that the holder of a key made the proof for just this request, and gives the key, which the proof itself
// brings (RFC 9449 §4.2). Whose it is, is the caller's to know; and whether the proof is new: by the nonce, which only the
// server can make, and by the id, which must not have come before.
func CheckProof(compact string, r Request) (Key, Proof, error) {
	t, err := parse(typeProof, compact)
	if err != nil {
		return Key{}, Proof{}, fmt.Errorf("proof: %w", err)
	}
	key, err := ParseKey(t.Key)
	if err != nil {
		return Key{}, Proof{}, fmt.Errorf("proof: %w", err)
	}
	p, err := key.checkProof(t, r)
	return key, p, err
}

// CheckProof is as the function of that name, for a key that is known: the proof may name it instead of bringing it.
func (k Key) CheckProof(compact string, r Request) (Proof, error) {
	t, err := parse(typeProof, compact)
	if err != nil {
		return Proof{}, fmt.Errorf("proof: %w", err)
	}
	return k.checkProof(t, r)
}

func (k Key) checkProof(t *token, r Request) (Proof, error) {
	payload, err := k.check(t)
	if err != nil {
		return Proof{}, fmt.Errorf("proof: %w", err)
	}
	c, err := parseClaims[proofClaims](payload)
	if err != nil {
		return Proof{}, fmt.Errorf("proof: %w", err)
	}
	htu, err := target(r.URL)
	switch {
	case err != nil:
		return Proof{}, err
	case c.Method != r.Method:
		return Proof{}, errors.New("proof: htm is another method")
	case c.URL != htu:
		return Proof{}, errors.New("proof: htu is another URL")
	case c.BodyHash != hash(r.Body):
		return Proof{}, errors.New("proof: bh is of another body")
	case c.TokenHash != hash([]byte(r.Token)):
		return Proof{}, errors.New("proof: ath is of another token")
	case len(c.ID) < minID || len(c.ID) > MaxText:
		return Proof{}, errors.New("proof: jti is too short or too long")
	}
	return Proof{ID: c.ID, Nonce: c.Nonce, IssuedAt: time.Unix(c.IssuedAt, 0)}, nil
}
