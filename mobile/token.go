package mobile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/secret"
)

// The purposes of a device's token.
const (
	purposeEnrollment  = "enrollment"  // to call in, once
	purposeUnconfirmed = "unconfirmed" // to ask whether the phone is confirmed
	purposeDevice      = "device"      // for all that a phone does
)

// tokenLength is the length of a token, in letters and digits: 238 bits.
const tokenLength = 40

func hashToken(token string) []byte { return secret.Hash(token) }

// errToken is the answer to a missing, unknown or expired device token (core.md §4.3).
var errToken error = fault.New(fault.Denied, "permission_denied", "Token invalid/expired")

// bearer reads the token of a device request.
func bearer(r *http.Request) (string, error) {
	token, ok, err := api.Bearer(r)
	if err != nil {
		return "", err
	}
	if !ok || token == "" {
		return "", fault.New(fault.Denied, "not_authenticated", "Authentication credentials were not provided.")
	}
	return token, nil
}

// issue writes a token of the device within tx: its hash.
func issue(ctx context.Context, tx pgx.Tx, device uuid.UUID, token, purpose string, expires *time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO mobile_tokens (token_hash, device, purpose, expires) VALUES ($1, $2, $3, $4)`,
		hashToken(token), device, purpose, expires)
	if err != nil {
		return fmt.Errorf("issue %s token: %w", purpose, db.Fault(err))
	}
	return nil
}

// Authenticator finds the owner of a device token, for GET /core/users/me/ and nothing else (core.md §4.3).
func (s *Service) Authenticator(ctx context.Context, r *http.Request) (*rbac.Actor, error) {
	if r.Method != http.MethodGet || r.URL.Path != api.Prefix+"/core/users/me/" {
		return nil, nil
	}
	token, ok, err := api.Bearer(r)
	if err != nil || !ok {
		return nil, nil //nolint:nilerr // the next authenticator says what is wrong with the header
	}
	var a rbac.Actor
	err = s.Pool.QueryRow(ctx, `SELECT u.id, u.uuid, u.username, u.name, u.email, u.type, u.attributes, user_is_superuser(u.id)
		FROM mobile_tokens t JOIN mobile_devices d ON d.uuid = t.device JOIN users u ON u.id = d.user_id
		WHERE t.token_hash = $1 AND t.purpose = 'device' AND (t.expires IS NULL OR t.expires > $2) AND d.confirmed AND NOT d.signs AND u.is_active`,
		hashToken(token), s.Now()).
		Scan(&a.ID, &a.UUID, &a.Username, &a.Name, &a.Email, &a.Type, &a.Attributes, &a.Superuser)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("check device token: %w", db.Fault(err))
	}
	a.Via = rbac.ViaToken
	return &a, nil
}
