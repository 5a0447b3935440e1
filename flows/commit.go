package flows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/core/db"
)

type ending int

const (
	save ending = iota
	drop
)

// The three ways to write a plan. Each fails the whole transaction when it does not meet the row that was read.
const (
	insertPlan = `WITH w AS (
		INSERT INTO flow_plans (session_uuid, flow_uuid, version, plan, updated) VALUES ($1, $2, 1, $3, $4)
		ON CONFLICT DO NOTHING RETURNING 1)
		SELECT require_one(count(*)) FROM w`
	updatePlan = `WITH w AS (
		UPDATE flow_plans SET plan = $3, updated = $4, version = version + 1
		WHERE session_uuid = $1 AND flow_uuid = $2 AND version = $5 RETURNING 1)
		SELECT require_one(count(*)) FROM w`
	deletePlan = `WITH w AS (
		DELETE FROM flow_plans WHERE session_uuid = $1 AND flow_uuid = $2 AND version = $3 RETURNING 1)
		SELECT require_one(count(*)) FROM w`
)

// commit sends what the stage queued and the plan in one round trip and one transaction, then runs the hooks.
func (e *Engine) commit(ctx context.Context, run *Run, how ending) error {
	if !run.dirty && how == save && run.tx == nil {
		return nil
	}
	batch := &pgx.Batch{}
	for _, s := range run.queued {
		batch.Queue(s.sql, s.args...)
	}
	plan := run.plan
	switch {
	case run.sessionEnded:
		// The stage ended the session, and its plans went with it.
	case how == drop && plan.version > 0:
		batch.Queue(deletePlan, run.Session.UUID, run.Flow.PK, plan.version)
	case how == drop:
	default:
		raw, err := json.Marshal(plan)
		if err != nil {
			return fmt.Errorf("encode plan: %w", err)
		}
		if plan.version == 0 {
			batch.Queue(insertPlan, run.Session.UUID, run.Flow.PK, raw, e.now())
		} else {
			batch.Queue(updatePlan, run.Session.UUID, run.Flow.PK, raw, e.now(), plan.version)
		}
	}
	if err := run.send(ctx, batch); err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01" || slices.Contains(run.contended, pg.ConstraintName) ||
			pg.Code == "23503" && pg.TableName == "flow_plans") { // the session or the flow is gone, and the plan with it
			return ErrOvertaken
		}
		return fmt.Errorf("commit stage: %w", db.Fault(err))
	}
	plan.version++
	hooks := run.after
	run.queued, run.after, run.dirty = nil, nil, false
	for _, fn := range hooks {
		fn()
	}
	return nil
}

// send runs the batch: alone it is one implicit transaction, after Tx it is the end of that one.
func (r *Run) send(ctx context.Context, batch *pgx.Batch) error {
	if r.tx == nil {
		if batch.Len() == 0 {
			return nil
		}
		return r.engine.pool.SendBatch(ctx, batch).Close()
	}
	if batch.Len() > 0 {
		if err := r.tx.SendBatch(ctx, batch).Close(); err != nil {
			r.rollback(ctx)
			return err
		}
	}
	err := r.tx.Commit(ctx)
	r.tx = nil
	return err
}
