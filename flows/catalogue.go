package flows

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/resource"
)

// Catalogue is all flows, bindings and stages at one epoch, immutable.
type Catalogue struct {
	epoch  int64
	bySlug map[string]*Flow
	byID   map[uuid.UUID]*Flow
	order  []*Flow // by slug
	steps  map[uuid.UUID][]planned
	stages map[uuid.UUID]*Entry
}

// Entry is one stage of the catalogue.
type Entry struct {
	ID    uuid.UUID
	Kind  *Kind
	Name  string
	Stage Stage

	friendly string
}

// Title is the stage's name for people: the setting friendly_name, where there is one (core.md §3.1).
func (e *Entry) Title() string { return cmp.Or(e.friendly, e.Name) }

type planned struct {
	binding, stage uuid.UUID
	onInvalid      string
}

// Flow gives a flow by its key; nil if there is none.
func (c *Catalogue) Flow(id uuid.UUID) *Flow { return c.byID[id] }

// Slug gives a flow by its slug; nil if there is none.
func (c *Catalogue) Slug(slug string) *Flow { return c.bySlug[slug] }

// First gives the first flow of a designation, by slug; nil if there is none.
func (c *Catalogue) First(d Designation) *Flow {
	for _, f := range c.order {
		if f.Designation == d {
			return f
		}
	}
	return nil
}

// Stage gives a stage by its key; nil if there is none.
func (c *Catalogue) Stage(id uuid.UUID) *Entry { return c.stages[id] }

// broken stands for a stage that cannot be built: its flow fails there, since to pass over it could let somebody in,
// and every other flow goes on.
type broken struct{ err error }

func (b broken) Begin(context.Context, *Run) (Outcome, error) { return Outcome{}, b.err }

func (b broken) Answer(context.Context, *Run, Answer) (Outcome, error) { return Outcome{}, b.err }

// build makes the stage of a row.
func build(kinds map[string]*Kind, id uuid.UUID, model, name string, settings []byte) *Entry {
	kind := kinds[model]
	if kind == nil {
		return &Entry{
			ID: id, Name: name, Kind: &Kind{KindInfo: resource.KindInfo{Name: model, Label: model}, Model: model},
			Stage: broken{fmt.Errorf("stage %q is of the unknown kind %q", name, model)},
		}
	}
	stage, err := kind.Build(id, name, settings)
	if err != nil {
		stage = broken{fmt.Errorf("build stage %q: %w", name, err)}
	}
	var named struct {
		Friendly string `json:"friendly_name"`
	}
	_ = json.Unmarshal(settings, &named) // a stage without the setting has its name
	return &Entry{ID: id, Kind: kind, Name: name, Stage: stage, friendly: named.Friendly}
}

// loadCatalogue reads everything in one snapshot, the epoch first.
func loadCatalogue(ctx context.Context, pool *pgxpool.Pool, kinds map[string]*Kind, log *slog.Logger) (*Catalogue, error) {
	c := &Catalogue{
		bySlug: map[string]*Flow{}, byID: map[uuid.UUID]*Flow{},
		steps: map[uuid.UUID][]planned{}, stages: map[uuid.UUID]*Entry{},
	}
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, db.Fault(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := tx.QueryRow(ctx, `SELECT epoch FROM flow_epoch`).Scan(&c.epoch); err != nil {
		return nil, fmt.Errorf("read flow epoch: %w", db.Fault(err))
	}
	rows, _ := tx.Query(ctx, `SELECT * FROM flows ORDER BY slug`)
	c.order, err = pgx.CollectRows(rows, pgx.RowToAddrOfStructByNameLax[Flow])
	if err != nil {
		return nil, fmt.Errorf("read flows: %w", db.Fault(err))
	}
	for _, f := range c.order {
		c.bySlug[f.Slug], c.byID[f.PK] = f, f
	}
	rows, _ = tx.Query(ctx, `SELECT stage_uuid, kind, name, settings FROM stages`)
	var stageID uuid.UUID
	var model, name string
	var settings []byte
	_, err = pgx.ForEachRow(rows, []any{&stageID, &model, &name, &settings}, func() error {
		entry := build(kinds, stageID, model, name, settings)
		if b, ok := entry.Stage.(broken); ok {
			log.ErrorContext(ctx, "stage cannot be used", "stage", name, "error", b.err)
		}
		c.stages[stageID] = entry
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read stages: %w", db.Fault(err))
	}
	rows, _ = tx.Query(ctx, `SELECT target, fsb_uuid, stage, invalid_response_action FROM flow_bindings ORDER BY target, "order", fsb_uuid`)
	var target uuid.UUID
	var p planned
	_, err = pgx.ForEachRow(rows, []any{&target, &p.binding, &p.stage, &p.onInvalid}, func() error {
		c.steps[target] = append(c.steps[target], p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read bindings: %w", db.Fault(err))
	}
	return c, nil
}
