package apns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	tokenLife = 50 * time.Minute // Apple takes one for an hour
	tokenRest = 20 * time.Minute // and no new one sooner
)

// tokens makes the provider tokens.
type tokens struct {
	signer jose.Signer
	team   string
	now    func() time.Time

	mu      sync.Mutex
	current string
	made    time.Time
}

// parseKey reads the .p8 file of an APNs key. Its errors show nothing of it.
func parseKey(text string) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the key is not in PEM form")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the key is not a private key on P-256 in PKCS #8")
	}
	return key, nil
}

func newTokens(key *ecdsa.PrivateKey, keyID, team string, now func() time.Time) (*tokens, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, new(jose.SignerOptions).WithHeader("kid", keyID))
	if err != nil {
		return nil, fmt.Errorf("make signer: %w", err)
	}
	return &tokens{signer: signer, team: team, now: now}, nil
}

// get is the token to send with. One that was refused is replaced if Apple lets us; fresh is false when it is the same.
func (t *tokens) get(refused string) (token string, fresh bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	age := t.now().Sub(t.made)
	if t.current != "" && age < tokenLife && (t.current != refused || age < tokenRest) {
		return t.current, t.current != refused, nil
	}
	made := t.now()
	signed, err := jwt.Signed(t.signer).Claims(map[string]any{"iss": t.team, "iat": made.Unix()}).Serialize()
	if err != nil {
		return "", false, fmt.Errorf("sign token: %w", err)
	}
	t.current, t.made = signed, made
	return signed, true, nil
}
