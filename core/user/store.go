package user

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
)

// columns are what a User is read from.
const columns = `id, uuid, username, name, email, password, password_changed, is_active, type, path, attributes, last_login, date_joined`

// Store reads users and keeps their passwords.
type Store struct {
	Pool      *pgxpool.Pool
	Hasher    *Hasher
	Events    *event.Log
	InstallID uuid.UUID
	Now       func() time.Time
	Log       *slog.Logger
}

// UID is the name of a user that is stable, differs between installations and tells nothing:
// the SHA-256 of "<id>-<install id>" in hex (core.md §6.1).
func (s *Store) UID(id int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(id) + "-" + s.InstallID.String()))
	return hex.EncodeToString(sum[:])
}

// ByID reads one user. nil and no error: there is none.
func (s *Store) ByID(ctx context.Context, q db.Querier, id int) (*User, error) {
	return one(ctx, q, `SELECT `+columns+` FROM users u WHERE u.id = $1`, id)
}

// The fields by which Find looks.
const (
	ByUsername = "username"
	ByEmail    = "email"
	ByUPN      = "upn" // the attribute of that name
)

// Find reads the user whom a value names in any of the fields; fold ignores case. Where several match, one whose
// user name is exactly the value comes first, then one who has it as user name in another case, then the oldest.
// nil and no error: nobody, or no fields, or the value is empty.
func (s *Store) Find(ctx context.Context, q db.Querier, value string, fields []string, fold bool) (*User, error) {
	if value == "" || strings.ContainsRune(value, 0) {
		return nil, nil
	}
	exprs := map[string]string{ByUsername: "u.username", ByEmail: "u.email", ByUPN: "(u.attributes->>'upn')"}
	var terms []string
	for _, f := range fields {
		expr, ok := exprs[f]
		switch {
		case !ok:
			return nil, fmt.Errorf("find user: unknown field %q", f)
		case fold:
			terms = append(terms, "lower("+expr+") = lower($1)")
		default:
			terms = append(terms, expr+" = $1")
		}
	}
	if len(terms) == 0 {
		return nil, nil
	}
	return one(ctx, q, `SELECT `+columns+` FROM users u WHERE `+strings.Join(terms, " OR ")+
		` ORDER BY (u.username = $1) DESC, (lower(u.username) = lower($1)) DESC, u.id LIMIT 1`, value)
}

func one(ctx context.Context, q db.Querier, sql string, args ...any) (*User, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read user: %w", db.Fault(err))
	}
	u, err := pgx.CollectOneRow(rows, pgx.RowToAddrOfStructByNameLax[User])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read user: %w", db.Fault(err))
	}
	return u, nil
}

// CheckPassword tells whether password is u's. A nil u, one without a usable password, and one who is not active
// are refused after the same work, so that the time does not tell who exists. (A user brought from Django costs what
// their own hash costs, until their first login.) A right password whose hash is of an older kind or cost is hashed anew.
func (s *Store) CheckPassword(ctx context.Context, u *User, password string) (bool, error) {
	var encoded *string
	if u != nil && u.IsActive {
		encoded = u.Password
	}
	ok, stale, err := s.Hasher.Verify(ctx, encoded, password)
	if err != nil || !ok {
		return false, err
	}
	if stale {
		// The login is right whatever becomes of this; the next one tries again.
		if err := s.rehash(ctx, u, password); err != nil {
			s.Log.WarnContext(ctx, "password hash not upgraded", "user", u.ID, "error", err)
		}
	}
	return true, nil
}

func (s *Store) rehash(ctx context.Context, u *User, password string) error {
	encoded, err := s.Hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	tag, err := s.Pool.Exec(ctx, `UPDATE users SET password = $1 WHERE id = $2 AND password = $3`, encoded, u.ID, *u.Password)
	if err != nil {
		return db.Fault(err)
	}
	if tag.RowsAffected() == 1 {
		u.Password = &encoded
	}
	return nil
}

// SetPassword gives u a new password within tx, writes the event password_set, and ends all of u's sessions but
// the one that asks (core.md §2.5, §6.1). A password that may not be chosen is a 400 on the field "password".
func (s *Store) SetPassword(ctx context.Context, tx pgx.Tx, u *User, password string) error {
	if err := s.Hasher.Check(password); err != nil {
		return err
	}
	encoded, err := s.Hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	now := s.Now()
	tag, err := tx.Exec(ctx, `UPDATE users SET password = $1, password_changed = $2 WHERE id = $3`, encoded, now, u.ID)
	if err != nil {
		return fmt.Errorf("set password of user %d: %w", u.ID, db.Fault(err))
	}
	if tag.RowsAffected() == 0 {
		return fault.Missing()
	}
	var own uuid.UUID
	actor := event.From(ctx).Actor
	if actor != nil && actor.ID == u.ID {
		own = actor.Session
	}
	if err := EndSessions(ctx, tx, u.ID, own); err != nil {
		return err
	}
	e := event.Event{Action: event.PasswordSet, Owner: u.ID, Context: map[string]any{
		"user": map[string]any{"pk": u.ID, "username": u.Username, "email": u.Email},
	}}
	if actor == nil {
		e.User = &event.User{PK: u.ID, Username: u.Username, Email: u.Email}
	}
	if err := s.Events.Emit(ctx, tx, e); err != nil {
		return err
	}
	u.Password, u.PasswordChanged = &encoded, now
	return nil
}

// EndSessions deletes the sessions of a user, all but one; uuid.Nil spares none.
func EndSessions(ctx context.Context, q db.Querier, id int, except uuid.UUID) error {
	if _, err := q.Exec(ctx, `DELETE FROM sessions WHERE user_id = $1 AND session_uuid <> $2`, id, except); err != nil {
		return fmt.Errorf("end sessions of user %d: %w", id, db.Fault(err))
	}
	return nil
}
