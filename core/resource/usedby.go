package resource

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/rbac"
)

// Use is one object that refers to another (core.md §7.5).
type Use struct {
	App       string    `json:"app" api:"required"`
	ModelName string    `json:"model_name" api:"required"`
	PK        string    `json:"pk" api:"required"`
	Name      string    `json:"name" api:"required"`
	Action    UseAction `json:"action" api:"required"`
}

// SchemaName is the component's name in the document.
func (Use) SchemaName() string { return "UsedBy" }

// SchemaDoc is its description.
func (Use) SchemaDoc() string { return "A list of all objects referencing the queried object" }

// UseAction is what happens to the referring object when the other is deleted.
type UseAction string

// Enum are its values.
func (UseAction) Enum() []string {
	return []string{"cascade", "cascade_many", "set_null", "set_default"}
}

// SchemaName is the component's name in the document.
func (UseAction) SchemaName() string { return "UsedByActionEnum" }

// maxUses bounds the answer of used_by.
const maxUses = 1000

// usedBy lists what refers to a row, as far as the actor may see it: one query over all references to the table.
func (r *Registry) usedBy(ctx context.Context, q db.Querier, p *plan, key string, a *rbac.Actor) ([]Use, error) {
	args := []any{[]string{key}}
	var parts []string
	for _, in := range r.inbound[p.table] {
		seen, ok := r.views[in.from](a)
		if !ok {
			continue
		}
		part := fmt.Sprintf("(SELECT '%s', '%s', t.%s::text, COALESCE(t.%s::text, ''), '%s' FROM %s t WHERE %s AND %s ORDER BY 4, 3 LIMIT %d)",
			in.from.app, in.from.name, quote(in.from.key.Column), quote(in.from.display.Column), in.action, quote(in.from.table), in.holds(), seen.At(len(args)+1), maxUses)
		parts = append(parts, part)
		args = append(args, seen.Args...)
	}
	if len(parts) == 0 {
		return []Use{}, nil
	}
	rows, err := q.Query(ctx, fmt.Sprintf("SELECT * FROM (%s) u LIMIT %d", strings.Join(parts, " UNION ALL "), maxUses), args...)
	if err != nil {
		return nil, fmt.Errorf("find what uses %s %s: %w", p.name, key, err)
	}
	uses, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Use])
	if err != nil {
		return nil, fmt.Errorf("find what uses %s %s: %w", p.name, key, err)
	}
	return uses, nil
}
