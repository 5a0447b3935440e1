package webpush

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	tokenLife  = 12 * time.Hour // RFC 8292 §2: at most 24 hours
	tokenEarly = time.Hour      // before its end a token is replaced
	maxTokens  = 1000           // kept; the origins come from phones
)

// vapid proves to push services who sends (RFC 8292). One token serves all messages to a service for some hours.
type vapid struct {
	signer  jose.Signer
	public  string // the key, base64url
	contact string
	now     func() time.Time

	mu     sync.Mutex
	tokens map[string]token // by origin
}

type token struct {
	header  string
	expires time.Time
}

func newVAPID(key *ecdsa.PrivateKey, contact string, now func() time.Time) (*vapid, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return nil, errors.New("the key is not one on P-256")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("make signer: %w", err)
	}
	public, err := PublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &vapid{signer: signer, public: public, contact: contact, now: now, tokens: map[string]token{}}, nil
}

// PublicKey is a key as browsers take it for applicationServerKey: the point on P-256, uncompressed, base64url.
func PublicKey(key *ecdsa.PublicKey) (string, error) {
	point, err := key.ECDH()
	if err != nil {
		return "", fmt.Errorf("the key is not one on P-256: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(point.Bytes()), nil
}

// authorization is the header that proves to the push service of that origin who sends.
func (v *vapid) authorization(origin string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if t, ok := v.tokens[origin]; ok && now.Before(t.expires.Add(-tokenEarly)) {
		return t.header, nil
	}
	t := token{expires: now.Add(tokenLife)}
	claims := map[string]any{"aud": origin, "exp": t.expires.Unix()}
	if v.contact != "" {
		claims["sub"] = v.contact
	}
	signed, err := jwt.Signed(v.signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	t.header = "vapid t=" + signed + ", k=" + v.public
	if len(v.tokens) >= maxTokens {
		clear(v.tokens)
	}
	v.tokens[origin] = t
	return t.header, nil
}
