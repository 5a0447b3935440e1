package bootstrap

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/secret"
)

// guarded is the condition under which an installation may still be set up: no active superuser has a password.
const guarded = `NOT EXISTS (SELECT FROM users u WHERE u.is_active AND u.password IS NOT NULL AND u.password NOT LIKE '!%'
	AND u.password <> '' AND user_is_superuser(u.id))`

// link makes a setup link if the installation may still be set up, and none was made a moment ago.
func (s *Service) link(ctx context.Context, tx pgx.Tx, r *Result) error {
	var open bool
	var expires *time.Time
	if err := tx.QueryRow(ctx, `SELECT `+guarded+`, setup_expires FROM installation`).Scan(&open, &expires); err != nil {
		return fmt.Errorf("look whether a setup link is needed: %w", db.Fault(err))
	}
	now := s.Now()
	switch {
	case !open:
		return nil
	case expires != nil && expires.After(now.Add(LinkLifetime-siblings)):
		r.LinkElsewhere = true
		return nil
	}
	var err error
	r.SetupToken, err = s.newLink(ctx, tx)
	return err
}

func (s *Service) newLink(ctx context.Context, q db.Querier) (string, error) {
	secretPart := secret.Token(40)
	_, err := q.Exec(ctx, `UPDATE installation SET setup_hash = $1, setup_expires = $2`, secret.Hash(secretPart), s.Now().Add(LinkLifetime))
	if err != nil {
		return "", fmt.Errorf("make a setup link: %w", db.Fault(err))
	}
	return secretPart, nil
}

// NewLink makes a setup link at an operator's word and voids the one before. It is for who has the server's console: the
// link is refused as long as a superuser has a password. Errors: Conflict then.
func (s *Service) NewLink(ctx context.Context) (string, error) {
	var secretPart string
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var open bool
		if err := tx.QueryRow(ctx, `SELECT `+guarded+` FROM installation FOR UPDATE`).Scan(&open); err != nil {
			return fmt.Errorf("look whether a setup link is needed: %w", db.Fault(err))
		}
		if !open {
			return fault.New(fault.Conflict, "set_up", "An administrator has a password already.")
		}
		var err error
		secretPart, err = s.newLink(ctx, tx)
		return err
	})
	return secretPart, err
}

// Check tells whether a setup link may still be used. Errors: NotFound when not.
func (s *Service) Check(ctx context.Context, setupToken string) error {
	var ok bool
	err := s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM installation WHERE setup_hash = $1 AND setup_expires > $2) AND `+guarded,
		secret.Hash(setupToken), s.Now()).Scan(&ok)
	switch {
	case err != nil:
		return fmt.Errorf("check a setup link: %w", db.Fault(err))
	case !ok:
		return fault.Missing()
	}
	return nil
}

// Setup uses a setup link up: akadmin gets the e-mail address and the password. Of two that come at once one succeeds.
// Errors: NotFound for a link that is used, expired or void, Invalid on "email" or "password"; the link stays good then.
func (s *Service) Setup(ctx context.Context, setupToken, email, password string) error {
	if err := checkEmail(email); err != nil {
		return err
	}
	if err := s.Hasher.Check(password); err != nil {
		return err
	}
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE installation SET setup_hash = NULL, setup_expires = NULL
			WHERE setup_hash = $1 AND setup_expires > $2 AND `+guarded, secret.Hash(setupToken), s.Now())
		if err != nil {
			return fmt.Errorf("use a setup link: %w", db.Fault(err))
		}
		if tag.RowsAffected() == 0 {
			return fault.Missing()
		}
		u, err := s.admin(ctx, tx, email)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE users SET is_active = true WHERE id = $1`, u.ID); err != nil {
			return fmt.Errorf("activate the first administrator: %w", db.Fault(err))
		}
		if err := setEmail(ctx, tx, u.ID, email); err != nil {
			return err
		}
		return s.users().SetPassword(ctx, tx, u, password)
	})
}
