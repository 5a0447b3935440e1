package mobile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
)

// Block is what is in force about a user after a report.
type Block struct {
	User         int        `json:"user" api:"required"`
	Username     string     `json:"username" api:"required"`
	BlockedUntil *time.Time `json:"blocked_until" api:"required,nullable" doc:"No phone of the user is asked before; null: they are."`
	Everywhere   bool       `json:"everywhere" api:"required" doc:"Not even for a browser that is known, as it was one that asked."`
	Locked       bool       `json:"locked" api:"required" doc:"The user was made inactive by a report."`
	Device       uuid.UUID  `json:"device" api:"required" doc:"The phone that reported last."`
	DeviceName   string     `json:"device_name" api:"required"`
	Transaction  uuid.UUID  `json:"transaction" api:"required" doc:"What it reported."`
	Reported     time.Time  `json:"reported" api:"required"`
}

// SchemaName is the component's name.
func (Block) SchemaName() string { return "MobileBlock" }

// Unblock names whose blocks are to be lifted.
type Unblock struct {
	User int `json:"user" api:"required"`
}

// SchemaName is the component's name.
func (Unblock) SchemaName() string { return "MobileUnblock" }

// maxBlocks bounds the list, the latest first; with more, ask by user.
const maxBlocks = 1000

// MountBlocks adds the operations by which administrators see and lift what reports and pauses hold back.
func (s *Service) MountBlocks(a *api.API) {
	api.Handle(a, api.Operation{
		Method: "GET", Path: "/authenticators/admin/mobile/blocks/", ID: "authenticators_admin_mobile_blocks_list", Tag: "authenticators",
		Description: "What is in force after reports of users that a login was not theirs, the latest first",
		Query:       []api.Parameter{{Name: "user", Type: "integer"}},
	}, func(ctx context.Context, r *api.Request, _ api.None) ([]Block, error) {
		if !r.Actor.Superuser {
			return nil, fault.Forbidden()
		}
		user := 0
		if raw := r.Query().Get("user"); raw != "" {
			id, err := strconv.ParseInt(raw, 10, 32)
			if err != nil || id <= 0 {
				return nil, fault.Field("user", "invalid", "A valid integer is required.")
			}
			user = int(id)
		}
		return s.blocks(ctx, user)
	})
	api.Handle(a, api.Operation{
		Method: "POST", Path: "/authenticators/admin/mobile/unblock/", ID: "authenticators_admin_mobile_unblock_create", Tag: "authenticators",
		Description: "Lift what a report set off for a user, a lock included, and have their phones ring again as if nobody had asked them in vain",
	}, func(ctx context.Context, r *api.Request, in Unblock) (api.None, error) {
		if !r.Actor.Superuser {
			return api.None{}, fault.Forbidden()
		}
		return api.None{}, db.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.unblock(ctx, tx, in.User) })
	})
}

func (s *Service) blocks(ctx context.Context, user int) ([]Block, error) {
	rows, err := s.Pool.Query(ctx, `SELECT b.user_id, u.username, CASE WHEN b.until > $2 THEN b.until END, b.everywhere, b.locked, b.device, b.name, b.tx_id, b.created
		FROM mobile_blocks b JOIN users u ON u.id = b.user_id WHERE (b.until > $2 OR b.locked) AND ($1 = 0 OR b.user_id = $1)
		ORDER BY b.created DESC LIMIT $3`, user, s.Now(), maxBlocks)
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", db.Fault(err))
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Block])
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", db.Fault(err))
	}
	return append([]Block{}, found...), nil
}

// unblock lifts what is in force about a user. An account that somebody else made inactive stays so.
func (s *Service) unblock(ctx context.Context, tx pgx.Tx, id int) error {
	u := event.User{PK: id}
	err := tx.QueryRow(ctx, `SELECT username, email FROM users WHERE id = $1 FOR NO KEY UPDATE`, id).Scan(&u.Username, &u.Email)
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.Field("user", "does_not_exist", fmt.Sprintf("Invalid pk %q - object does not exist.", strconv.Itoa(id)))
	}
	if err != nil {
		return fmt.Errorf("read user: %w", db.Fault(err))
	}
	var locked bool
	var until *time.Time
	blocked := true
	err = tx.QueryRow(ctx, `DELETE FROM mobile_blocks WHERE user_id = $1 RETURNING locked, until`, id).Scan(&locked, &until)
	if errors.Is(err, pgx.ErrNoRows) {
		blocked, err = false, nil
	}
	if err != nil {
		return fmt.Errorf("lift block: %w", db.Fault(err))
	}
	if locked {
		if _, err := s.setActive(ctx, tx, u, true); err != nil {
			return err
		}
	}
	tag, err := tx.Exec(ctx, `UPDATE mobile_transactions SET ring = NULL WHERE user_id = $1 AND ring IS NOT NULL AND status <> 'accept' AND created > $2`,
		id, s.Now().Add(-2*memory))
	if err != nil {
		return fmt.Errorf("forget rings: %w", db.Fault(err))
	}
	if !blocked && tag.RowsAffected() == 0 {
		return nil
	}
	return s.Events.Emit(ctx, tx, event.Event{Action: actionUnblocked, App: app, Owner: id, Context: map[string]any{
		"message": "Requests to the user's phones were allowed again.", "model": event.Model(id, "authentik_core", "user", u.Username),
		"locked": locked, "blocked_until": until,
	}})
}

// actionUnblocked is the event of an administrator's undo.
const actionUnblocked event.Action = "custom_mobile_unblocked"
