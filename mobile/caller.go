package mobile

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/mobile/wire"
)

// caller is a phone that makes a request: whose token it has, and by what it proved that it is that phone.
type caller struct {
	device uuid.UUID
	key    *wire.Key // possession; nil: the token is all that the phone has
	proof  []byte    // the hash by which the proof is remembered; nil without a key
}

// credentials reads Authorization: "Bearer <token>" of a stock phone, "DPoP <token>" of one that proves its key (RFC 9449 §7.1).
func credentials(r *http.Request) (token string, proves bool, err error) {
	kind, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if found && strings.EqualFold(kind, wire.ProofScheme) && token != "" {
		return token, true, nil
	}
	token, err = bearer(r)
	return token, false, err
}

// identify finds out which phone calls with a token of one of the purposes, and checks its proof if it has a key; the proof
// is not used up yet. Errors: Denied, Unauthorized.
func (s *Service) identify(ctx context.Context, r *api.Request, purposes ...string) (*caller, error) {
	token, proves, err := credentials(r.HTTP)
	if err != nil {
		return nil, err
	}
	c := &caller{}
	err = s.Pool.QueryRow(ctx, `SELECT t.device, k.jwk FROM mobile_tokens t JOIN mobile_devices d ON d.uuid = t.device JOIN users u ON u.id = d.user_id
		LEFT JOIN mobile_keys k ON k.device = d.uuid AND k.use = 'possession'
		WHERE t.token_hash = $1 AND t.purpose = ANY($2) AND (t.expires IS NULL OR t.expires > $3) AND u.is_active AND (d.confirmed OR t.purpose = 'enrollment')
			AND d.signs = (k.jwk IS NOT NULL)`,
		hashToken(token), purposes, s.Now()).Scan(&c.device, &c.key)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errToken
	}
	if err != nil {
		return nil, fmt.Errorf("check device token: %w", db.Fault(err))
	}
	switch {
	case c.key == nil && !proves:
		return c, nil
	case c.key == nil || !proves:
		return nil, errToken
	}
	c.proof, err = s.checkProof(r, *c.key, token)
	return c, err
}

// authenticate demands the device token of the device in the path, and uses its proof up. Errors: Denied, Unauthorized,
// NotFound with those of another device.
func (s *Service) authenticate(ctx context.Context, r *api.Request) (*caller, error) {
	return s.authenticateFor(ctx, r, purposeDevice)
}

// authenticateFor is authenticate with a token of one of the purposes.
func (s *Service) authenticateFor(ctx context.Context, r *api.Request, purposes ...string) (*caller, error) {
	c, err := s.identifyHere(ctx, r, purposes...)
	if err != nil {
		return nil, err
	}
	return c, s.spend(ctx, c.proof)
}

// identifyHere is identify for the device in the path.
func (s *Service) identifyHere(ctx context.Context, r *api.Request, purposes ...string) (*caller, error) {
	c, err := s.identify(ctx, r, purposes...)
	if err != nil {
		return nil, err
	}
	if path, err := uuid.Parse(r.Param("uuid")); err != nil || path != c.device {
		return nil, fault.Missing()
	}
	return c, nil
}

// The life of a nonce, and so of a proof, which must name one. The phone's own clock does not count: it may be wrong.
const (
	nonceSlot = time.Minute
	nonceLife = 5 // slots
)

// nonce is the one of a minute: every node makes the same, and nobody else can.
func (s *Service) nonce(slot int64) string {
	mac := hmac.New(sha256.New, s.nonceKey)
	raw := binary.BigEndian.AppendUint64(nil, uint64(slot))
	mac.Write(raw)
	return base64.RawURLEncoding.EncodeToString(append(raw, mac.Sum(nil)[:16]...))
}

func (s *Service) fresh(nonce string) bool {
	now := s.Now().Unix() / int64(nonceSlot.Seconds())
	for slot := now + 1; slot > now-nonceLife; slot-- {
		if hmac.Equal([]byte(nonce), []byte(s.nonce(slot))) {
			return true
		}
	}
	return false
}

// challengeFor asks for a proof, or for a better one, in the words of RFC 9449 §7.1 and §9.
func challengeFor(r *api.Request, code, text string, cause error) error {
	r.Writer.Header().Set("WWW-Authenticate", fmt.Sprintf("%s error=%q, algs=\"ES256 EdDSA\"", wire.ProofScheme, code))
	return fault.New(fault.Unauthorized, code, text).Wrap(cause)
}

// checkProof checks the request's proof by the key, and gives what it is remembered by.
func (s *Service) checkProof(r *api.Request, key wire.Key, token string) ([]byte, error) {
	r.Writer.Header().Set(wire.NonceHeader, s.nonce(s.Now().Unix()/int64(nonceSlot.Seconds())))
	sent := r.HTTP.Header.Values(wire.ProofHeader)
	if len(sent) != 1 {
		return nil, challengeFor(r, "invalid_dpop_proof", "This phone has to prove its key.", nil)
	}
	body, err := r.Bytes()
	if err != nil {
		return nil, err
	}
	p, err := key.CheckProof(sent[0], wire.Request{
		Method: r.HTTP.Method, URL: strings.TrimSuffix(r.BaseURL(), "/") + r.HTTP.URL.Path, Body: body, Token: token,
	})
	switch {
	case err != nil:
		return nil, challengeFor(r, "invalid_dpop_proof", "The proof of the key does not hold.", err)
	case !s.fresh(p.Nonce):
		return nil, challengeFor(r, "use_dpop_nonce", "The proof needs the server's latest nonce.", nil)
	}
	sum := sha256.Sum256([]byte(key.Thumbprint + "\x00" + p.ID))
	return sum[:], nil
}

// spendSQL remembers a proof; it gives no row when it has come before.
const spendSQL = `INSERT INTO mobile_proofs (proof_hash, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true`

// proofExpiry is when no nonce of now is taken any more.
func (s *Service) proofExpiry() time.Time { return s.Now().Add((nonceLife + 2) * nonceSlot) }

// errReplay is the answer to a proof that was used.
var errReplay error = fault.New(fault.Unauthorized, "invalid_dpop_proof", "This proof was used before.")

// spend uses a proof up; nil is none.
func (s *Service) spend(ctx context.Context, proof []byte) error {
	if proof == nil {
		return nil
	}
	var fresh bool
	err := s.Pool.QueryRow(ctx, spendSQL, proof, s.proofExpiry()).Scan(&fresh)
	if errors.Is(err, pgx.ErrNoRows) {
		return errReplay
	}
	if err != nil {
		return fmt.Errorf("remember proof: %w", db.Fault(err))
	}
	return nil
}
