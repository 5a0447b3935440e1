package resource

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/rbac"
)

// Registry holds every mounted resource, so that references between them can be resolved.
type Registry struct {
	api    *api.API
	pool   *pgxpool.Pool
	events *event.Log
	ids    func() (uuid.UUID, error)

	plans   []*plan
	targets map[string]*target
	inbound map[string][]*ref                                       // by the table that is referred to
	views   map[*plan]func(a *rbac.Actor) (seen db.Pred, some bool) // what an actor sees of a resource
}

// New makes an empty registry. Resources read and write through pool, and tell log of every change.
func New(a *api.API, pool *pgxpool.Pool, log *event.Log) *Registry {
	return &Registry{
		api: a, pool: pool, events: log, ids: uuid.NewV7,
		targets: map[string]*target{}, inbound: map[string][]*ref{}, views: map[*plan]func(*rbac.Actor) (db.Pred, bool){},
	}
}

// add takes a compiled resource in. A second resource of the same name is another door to the same rows: references
// go to and come from the first.
func (r *Registry) add(p *plan, view func(a *rbac.Actor) (db.Pred, bool)) {
	r.plans = append(r.plans, p)
	r.views[p] = view
	if r.targets[p.name] == nil {
		r.targets[p.name] = &target{plan: p}
	}
}

// Finish resolves the references between the resources. Call it after the last Mount and before serving.
// Errors: a ref= that names no resource, or whose keys are of another type.
func (r *Registry) Finish() error {
	seen := map[string]bool{}
	for _, p := range r.plans {
		for _, in := range p.refs {
			to := r.targets[in.field.Ref]
			if to == nil {
				return fmt.Errorf("resource %s, field %s: ref=%s names no resource", p.name, in.field.Name, in.field.Ref)
			}
			kind := in.field.Kind
			if in.field.Elem != nil {
				kind = in.field.Elem.Kind
			}
			if kind != to.plan.key.Kind {
				return fmt.Errorf("resource %s, field %s: its type is not that of the key of %s", p.name, in.field.Name, in.field.Ref)
			}
			in.to = to
			at := fmt.Sprintf("%s|%s|%s|%s", p.table, p.kind, in.field.Column, in.field.Name)
			if in.field.Column != "" {
				at = p.table + "|" + in.field.Column
			}
			if !seen[at] {
				seen[at] = true
				r.inbound[to.plan.table] = append(r.inbound[to.plan.table], in)
			}
		}
	}
	return nil
}

// emit writes the audit event of a change (core.md §7; ring.md §5.1).
func (r *Registry) emit(ctx context.Context, tx pgx.Tx, action event.Action, p *plan, key any, name string, owner int) error {
	return r.events.Emit(ctx, tx, event.Event{
		Action: action, App: strings.ReplaceAll(p.app, "_", "."), Context: map[string]any{"model": event.Model(key, p.app, p.name, name)},
		Owner: owner,
	})
}

// emitDeleted is emit for a row of which only the key's text is known.
func (r *Registry) emitDeleted(ctx context.Context, tx pgx.Tx, p *plan, key, name string) error {
	var pk any = key
	if id, err := uuid.Parse(key); err == nil {
		pk = id
	}
	return r.emit(ctx, tx, event.ModelDeleted, p, pk, name, 0)
}
