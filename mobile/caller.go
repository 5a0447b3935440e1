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
	proved
}

// proved is what the proof of a request gave; the zero value is that of a phone that has only its token.
type proved struct {
	key   wire.Key // that made the proof
	proof []byte   // the hash by which the proof is remembered; nil: there was none
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

// callerSQL finds who holds a token of one of the purposes ($2), by the proof of which key ($4, "" for none), and with $5
// uses the proof up. It gives no row for a token that is none, or not enough by itself; own is false where the key is
// another's, and fresh where the proof was used before, or was not to be used. coming says that the key is not in force yet.
const callerSQL = `WITH d AS (
	SELECT t.device, NOT d.signs OR k.thumbprint IS NOT NULL AS own, k.pending_until IS NOT NULL AS coming
	FROM mobile_tokens t JOIN mobile_devices d ON d.uuid = t.device JOIN users u ON u.id = d.user_id
		LEFT JOIN mobile_keys k ON k.thumbprint = $4 AND k.device = d.uuid AND k.use = 'possession' AND (k.pending_until IS NULL OR k.pending_until > $3)
	WHERE t.token_hash = $1 AND t.purpose = ANY($2) AND (t.expires IS NULL OR t.expires > $3) AND u.is_active
		AND (d.confirmed OR t.purpose <> 'device') AND d.signs = ($4 <> '')
), p AS (
	INSERT INTO mobile_proofs (proof_hash, expires) SELECT $5, $6 FROM d WHERE d.own AND $5::bytea IS NOT NULL
	ON CONFLICT DO NOTHING RETURNING 1
)
SELECT d.device, d.own, EXISTS (SELECT FROM p), d.coming FROM d`

// calling is a request that is being identified.
type calling struct {
	caller
	token string

	own, fresh, coming bool
}

// calling reads who a request says it is from. Its proof is checked by the key that it brings, before anything is read: whose
// key that is, the same statement tells that tells whose the token is.
func (s *Service) calling(r *api.Request) (*calling, error) {
	token, proves, err := credentials(r.HTTP)
	if err != nil {
		return nil, err
	}
	c := &calling{token: token}
	if proves {
		c.proved, err = s.checkProof(r, token)
	}
	return c, err
}

// args are those of callerSQL.
func (c *calling) args(s *Service, spend bool, purposes []string) []any {
	var proof []byte
	if spend {
		proof = c.proof
	}
	return []any{hashToken(c.token), purposes, s.Now(), c.key.Thumbprint, proof, s.proofExpiry()}
}

func (c *calling) scan(row pgx.Row) error {
	err := row.Scan(&c.device, &c.own, &c.fresh, &c.coming)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // judge sees that there is no device
	}
	return err
}

// judge says what is wrong with the caller once it was read. Errors: Denied, Unauthorized.
func (c *calling) judge(r *api.Request, spent bool) error {
	switch {
	case c.device == uuid.Nil:
		return errToken
	case !c.own:
		return challengeFor(r, "invalid_dpop_proof", "The proof is by another key than this phone's.", nil)
	case spent && c.proof != nil && !c.fresh:
		return errReplay
	}
	return nil
}

// identify finds out which phone calls with a token of one of the purposes, and checks its proof if it has a key; with spend
// the proof is used up. Errors: Denied, Unauthorized.
func (s *Service) identify(ctx context.Context, r *api.Request, spend bool, purposes ...string) (*caller, error) {
	c, err := s.calling(r)
	if err != nil {
		return nil, err
	}
	if err := c.scan(s.Pool.QueryRow(ctx, callerSQL, c.args(s, spend, purposes)...)); err != nil {
		return nil, fmt.Errorf("check device token: %w", db.Fault(err))
	}
	return &c.caller, s.recognise(ctx, r, c, spend)
}

// recognise judges a caller that was read, and puts a key in force that it uses for the first time. Errors: Denied, Unauthorized.
func (s *Service) recognise(ctx context.Context, r *api.Request, c *calling, spent bool) error {
	if err := c.judge(r, spent); err != nil || !c.coming {
		return err
	}
	_, err := s.adopt(ctx, c.device, c.key.Thumbprint)
	return err
}

// authenticate demands the device token of the device in the path, and uses its proof up. Errors: Denied, Unauthorized,
// NotFound with those of another device (whose proof is used up too: it named this path).
func (s *Service) authenticate(ctx context.Context, r *api.Request) (*caller, error) {
	return s.authenticateFor(ctx, r, purposeDevice)
}

// authenticateFor is authenticate with a token of one of the purposes.
func (s *Service) authenticateFor(ctx context.Context, r *api.Request, purposes ...string) (*caller, error) {
	c, err := s.identify(ctx, r, true, purposes...)
	if err != nil {
		return nil, err
	}
	return c, c.here(r)
}

// here demands that the caller is the device in the path.
func (c *caller) here(r *api.Request) error {
	if path, err := uuid.Parse(r.Param("uuid")); err != nil || path != c.device {
		return fault.Missing()
	}
	return nil
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

// checkProof checks the request's proof by the key that it brings.
func (s *Service) checkProof(r *api.Request, token string) (proved, error) {
	r.Writer.Header().Set(wire.NonceHeader, s.nonce(s.Now().Unix()/int64(nonceSlot.Seconds())))
	sent := r.HTTP.Header.Values(wire.ProofHeader)
	if len(sent) != 1 {
		return proved{}, challengeFor(r, "invalid_dpop_proof", "This phone has to prove its key.", nil)
	}
	body, err := r.Bytes()
	if err != nil {
		return proved{}, err
	}
	key, p, err := wire.CheckProof(sent[0], wire.Request{
		Method: r.HTTP.Method, URL: strings.TrimSuffix(r.BaseURL(), "/") + r.HTTP.URL.Path, Body: body, Token: token,
	})
	switch {
	case err != nil:
		return proved{}, challengeFor(r, "invalid_dpop_proof", "The proof of the key does not hold.", err)
	case !s.fresh(p.Nonce):
		return proved{}, challengeFor(r, "use_dpop_nonce", "The proof needs the server's latest nonce.", nil)
	}
	sum := sha256.Sum256([]byte(key.Thumbprint + "\x00" + p.ID))
	return proved{key, sum[:]}, nil
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
