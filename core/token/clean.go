package token

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/event"
)

// cleanBatch bounds one transaction of the clean-up, so that it holds no lock for long.
const cleanBatch = 200

// Clean deletes expired tokens, but gives expired api tokens a new key and a new end, each with the event
// secret_rotate (core.md §6.3). Several nodes may run it at once. It tells how many were rotated and deleted.
func (s *Store) Clean(ctx context.Context) (rotated, deleted int, err error) {
	for {
		n := 0
		err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) (err error) {
			n, err = s.rotateSome(ctx, tx)
			return err
		})
		if err != nil {
			return rotated, deleted, fmt.Errorf("rotate tokens: %w", err)
		}
		rotated += n
		if n < cleanBatch {
			break
		}
	}
	for {
		tag, err := s.Pool.Exec(ctx, `DELETE FROM tokens WHERE token_uuid IN (SELECT token_uuid FROM tokens
			WHERE expiring AND expires <= $1 AND intent <> 'api' ORDER BY expires LIMIT $2)`, s.Now(), cleanBatch)
		if err != nil {
			return rotated, deleted, fmt.Errorf("clean up tokens: %w", db.Fault(err))
		}
		n := int(tag.RowsAffected())
		deleted += n
		if n < cleanBatch {
			return rotated, deleted, nil
		}
	}
}

func (s *Store) rotateSome(ctx context.Context, tx pgx.Tx) (int, error) {
	rows, err := tx.Query(ctx, `SELECT * FROM tokens WHERE expiring AND expires <= $1 AND intent = 'api'
		ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED`, s.Now(), cleanBatch)
	if err != nil {
		return 0, db.Fault(err)
	}
	tokens, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByNameLax[Token])
	if err != nil {
		return 0, db.Fault(err)
	}
	for _, t := range tokens {
		s.setKey(t, s.draw())
		_, err := tx.Exec(ctx, `UPDATE tokens SET key_hash = $2, key_sealed = $3, expires = $4 WHERE token_uuid = $1`,
			t.PK, t.KeyHash, t.KeySealed, s.Now().Add(s.duration()))
		if err != nil {
			return 0, db.Fault(err)
		}
		if err := s.Events.Emit(ctx, tx, event.Event{Action: event.SecretRotate, Context: map[string]any{
			"message": fmt.Sprintf("Token %s's secret was rotated.", t.Identifier),
			"token":   event.Model(t.PK, App, "token", t.Identifier),
		}}); err != nil {
			return 0, err
		}
	}
	return len(tokens), nil
}
