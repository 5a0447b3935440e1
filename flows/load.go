package flows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/session"
)

// errStale says that the session ended, or somebody logged in with it, since the request loaded it: by another tab, which
// got the new key. The browser comes back with what it has by then.
var errStale = errors.New("the session changed under the request")

// Early is a plan, and what a stage foresaw, that were read along with the session, before the request had its turn.
type Early struct {
	flow  uuid.UUID
	ahead Ahead
	stored
}

// stored is what the database has about a plan. version is nil where there is none.
type stored struct {
	epoch   int64
	version *int64
	raw     []byte
	updated *time.Time
}

func (s *stored) targets() []any { return []any{&s.epoch, &s.version, &s.raw, &s.updated} }

// Early prepares to read the plan of a flow along with the session, and what the stage that an answer is for will need.
func (e *Engine) Early(slug string, answer Answer, origin *event.Origin) (*Early, *session.Along) {
	p := &Early{}
	if f := e.catalogue.Load().Slug(slug); f != nil {
		p.flow = f.PK
	}
	along := &session.Along{
		Columns: `, e.epoch, p.version, p.plan, p.updated`,
		Join:    ` CROSS JOIN flow_epoch e LEFT JOIN flow_plans p ON p.session_uuid = s.session_uuid AND p.flow_uuid = $3`,
		Args:    []any{p.flow}, Into: p.targets(),
	}
	for _, foresee := range e.ahead {
		if p.ahead = foresee(answer, origin); p.ahead != nil {
			along.Then = p.ahead.Queue
			break
		}
	}
	return p, along
}

// load reads the plan, and the catalogue if it grew old, in one round trip when nothing changed.
//
// early, if not nil, is taken for the first look. It may be behind the turn: then the commit's compare-and-set finds out.
func (e *Engine) load(ctx context.Context, req Request, early *Early) (*Catalogue, *Flow, *Plan, error) {
	cat := e.catalogue.Load()
	for {
		var flowID uuid.UUID
		flow := cat.Slug(req.Slug)
		if flow != nil {
			flowID = flow.PK
		}
		var st stored
		alive, holder := true, (*int)(nil)
		if early != nil && early.epoch != 0 && early.flow == flowID {
			st, early.stored = early.stored, stored{} // what it holds is not to wait with the request
		} else {
			err := e.pool.QueryRow(ctx, `SELECT e.epoch, p.version, p.plan, p.updated, s.session_uuid IS NOT NULL, s.user_id FROM flow_epoch e
				LEFT JOIN sessions s ON s.session_uuid = $1
				LEFT JOIN flow_plans p ON p.session_uuid = $1 AND p.flow_uuid = $2`, req.Session.UUID, flowID).
				Scan(append(st.targets(), &alive, &holder)...)
			if err != nil {
				return nil, nil, nil, fmt.Errorf("load plan: %w", db.Fault(err))
			}
		}
		early = nil
		if st.epoch != cat.epoch {
			var err error
			if cat, err = e.refresh(ctx, cat); err != nil {
				return nil, nil, nil, err
			}
			continue
		}
		if flow == nil {
			return nil, nil, nil, fault.Missing()
		}
		if who := req.Session.Who(); !alive || holder != nil && (who == nil || who.ID != *holder) {
			return nil, nil, nil, errStale
		}
		if st.version == nil {
			return cat, flow, nil, nil
		}
		plan, err := decodePlan(st.raw, *st.version)
		if err != nil || plan.Format != planFormat { // of another release: plan anew over it
			plan = &Plan{version: *st.version, DoneAt: time.Unix(1, 0)}
		}
		plan.touched = *st.updated
		return cat, flow, plan, nil
	}
}

// refresh loads the catalogue once for all requests that found the same one old.
func (e *Engine) refresh(ctx context.Context, old *Catalogue) (*Catalogue, error) {
	e.loading.Lock()
	defer e.loading.Unlock()
	if cat := e.catalogue.Load(); cat != old {
		return cat, nil
	}
	cat, err := loadCatalogue(ctx, e.pool, e.kinds, e.log)
	if err != nil {
		return nil, fmt.Errorf("load flow catalogue: %w", err)
	}
	e.catalogue.Store(cat)
	return cat, nil
}

// Fresh gives the catalogue as the database has it now, for pages outside a run.
func (e *Engine) Fresh(ctx context.Context) (*Catalogue, error) {
	var epoch int64
	if err := e.pool.QueryRow(ctx, `SELECT epoch FROM flow_epoch`).Scan(&epoch); err != nil {
		return nil, fmt.Errorf("read flow epoch: %w", db.Fault(err))
	}
	cat := e.catalogue.Load()
	if cat.epoch == epoch {
		return cat, nil
	}
	return e.refresh(ctx, cat)
}

// Knows tells whether there is a flow of the slug. It asks the database only about one that it never heard of.
func (e *Engine) Knows(ctx context.Context, slug string) (bool, error) {
	if e.catalogue.Load().Slug(slug) != nil {
		return true, nil
	}
	cat, err := e.Fresh(ctx)
	if err != nil {
		return false, err
	}
	return cat.Slug(slug) != nil, nil
}

// Cancel drops all plans of a session.
func (e *Engine) Cancel(ctx context.Context, q db.Querier, sessionID uuid.UUID) error {
	if _, err := q.Exec(ctx, `DELETE FROM flow_plans WHERE session_uuid = $1`, sessionID); err != nil {
		return fmt.Errorf("cancel plans: %w", db.Fault(err))
	}
	return nil
}

// CleanUp drops plans that nobody touched for a day.
func (e *Engine) CleanUp(ctx context.Context) error {
	_, err := e.pool.Exec(ctx, `DELETE FROM flow_plans WHERE updated < $1`, e.now().Add(-24*time.Hour))
	if err != nil {
		return fmt.Errorf("clean up plans: %w", db.Fault(err))
	}
	return nil
}

// Start makes a new plan of a flow in a session within tx, over whatever plan was there.
func (e *Engine) Start(ctx context.Context, tx pgx.Tx, cat *Catalogue, flow *Flow, sess *session.Session, given Context) error {
	plan, err := e.Plan(cat, flow, sess.Who(), given)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO flow_plans AS p (session_uuid, flow_uuid, version, plan, updated) VALUES ($1, $2, 1, $3, $4)
		ON CONFLICT (session_uuid, flow_uuid) DO UPDATE SET version = p.version + 1, plan = EXCLUDED.plan, updated = EXCLUDED.updated`,
		sess.UUID, flow.PK, raw, e.now())
	if err != nil {
		return fmt.Errorf("store plan: %w", db.Fault(err))
	}
	return nil
}

// storable is text without what PostgreSQL's JSON cannot keep.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}
