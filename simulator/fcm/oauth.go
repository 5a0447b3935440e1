package fcm

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"countersign/simulator/clock"
	"countersign/simulator/control"
)

const (
	jwtGrant     = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523 §2.1
	maxAssertion = 16 << 10
	maxTokens    = 10_000
	clockSkew    = 5 * time.Minute
	maxAssertAge = time.Hour
)

// scopes are those that allow sending.
var scopes = []string{
	"https://www.googleapis.com/auth/firebase.messaging",
	"https://www.googleapis.com/auth/cloud-platform",
}

// authority is the OAuth side: one service account and the bearer tokens given to it.
type authority struct {
	clock   clock.Clock
	project string
	life    time.Duration
	key     func() (*rsa.PrivateKey, error) // made when it is first needed
	keyID   string

	mu     sync.Mutex
	tokens map[string]time.Time // expiry by token
}

func newAuthority(o Options) (*authority, error) {
	a := &authority{clock: o.Clock, project: o.Project, life: o.TokenLife, tokens: make(map[string]time.Time)}
	if o.Credentials != nil {
		return a, a.restore(o.Credentials)
	}
	id := make([]byte, 20)
	rand.Read(id)
	a.keyID = hex.EncodeToString(id)
	a.key = sync.OnceValues(func() (*rsa.PrivateKey, error) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("generate service account key: %w", err)
		}
		return key, nil
	})
	return a, nil
}

// restore takes the account of a key file made earlier.
func (a *authority) restore(credentials []byte) error {
	var file struct {
		Project string `json:"project_id"`
		KeyID   string `json:"private_key_id"`
		Key     string `json:"private_key"`
	}
	if err := json.Unmarshal(credentials, &file); err != nil {
		return fmt.Errorf("read service account: %w", err)
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(file.Key))
	if err != nil {
		return fmt.Errorf("read service account key: %w", err)
	}
	if file.Project == "" || file.KeyID == "" {
		return errors.New("read service account: project_id or private_key_id is missing")
	}
	a.project, a.keyID = file.Project, file.KeyID
	a.key = func() (*rsa.PrivateKey, error) { return key, nil }
	return nil
}

func (a *authority) email() string {
	return "firebase-adminsdk@" + a.project + ".iam.gserviceaccount.com"
}

// credentials is the JSON key file of the service account.
func (a *authority) credentials(base string) ([]byte, error) {
	key, err := a.key()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode service account key: %w", err)
	}
	return json.MarshalIndent(map[string]string{
		"type":           "service_account",
		"project_id":     a.project,
		"private_key_id": a.keyID,
		"private_key":    string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email":   a.email(),
		"client_id":      "100000000000000000001",
		"auth_uri":       base + "/auth",
		"token_uri":      base + "/token",
	}, "", "  ")
}

type assertion struct {
	Scope string `json:"scope"`
	jwt.RegisteredClaims
}

// token answers POST /token (RFC 7523 §2.1 and §3, with the rules of Google's service accounts:
// RS256 by a known key, iss the account, aud this endpoint, at most one hour from iat to exp).
func (a *authority) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxAssertion)
	if err := r.ParseForm(); err != nil {
		tokenError(w, "invalid_request", "The body is not a form of at most 16 KiB.")
		return
	}
	if r.PostForm.Get("grant_type") != jwtGrant {
		tokenError(w, "unsupported_grant_type", "Invalid grant_type: "+r.PostForm.Get("grant_type"))
		return
	}
	if err := a.check(r.PostForm.Get("assertion"), r.Host); err != nil {
		if errors.Is(err, errScope) {
			tokenError(w, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
			return
		}
		tokenError(w, "invalid_grant", "Invalid JWT: "+err.Error())
		return
	}
	token, err := a.issue()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	control.Write(w, http.StatusOK, map[string]any{
		"access_token": token, "expires_in": int(a.life / time.Second), "token_type": "Bearer",
	})
}

func tokenError(w http.ResponseWriter, code, description string) {
	control.Write(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": description})
}

var errScope = errors.New("scope does not allow sending")

func (a *authority) check(text, host string) error {
	var claims assertion
	_, err := jwt.ParseWithClaims(text, &claims,
		func(t *jwt.Token) (any, error) {
			if kid, ok := t.Header["kid"]; ok && kid != a.keyID {
				return nil, errors.New("unknown kid")
			}
			key, err := a.key()
			if err != nil {
				return nil, err
			}
			return key.Public(), nil
		},
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(a.clock.Now), jwt.WithLeeway(clockSkew),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithIssuer(a.email()))
	if err != nil {
		return err
	}
	if claims.IssuedAt == nil || claims.ExpiresAt.Sub(claims.IssuedAt.Time) > maxAssertAge {
		return errors.New("must be a short-lived token (60 minutes)")
	}
	if !slices.Contains(claims.Audience, "http://"+host+"/token") && !slices.Contains(claims.Audience, "https://"+host+"/token") {
		return errors.New("aud is not this endpoint")
	}
	for _, s := range strings.Fields(claims.Scope) {
		if slices.Contains(scopes, s) {
			return nil
		}
	}
	return errScope
}

func (a *authority) issue() (string, error) {
	raw := make([]byte, 32)
	rand.Read(raw)
	token := "ya29." + base64.RawURLEncoding.EncodeToString(raw)
	now := a.clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tokens) >= maxTokens {
		for t, expires := range a.tokens {
			if !now.Before(expires) {
				delete(a.tokens, t)
			}
		}
		if len(a.tokens) >= maxTokens {
			return "", errors.New("too many access tokens alive")
		}
	}
	a.tokens[token] = now.Add(a.life)
	return token, nil
}

// admits reports whether the request carries a bearer token that was issued and lives.
func (a *authority) admits(r *http.Request) bool {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	expires, known := a.tokens[token]
	return known && a.clock.Now().Before(expires)
}

// revoke makes every token issued so far worthless.
func (a *authority) revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.tokens)
}
