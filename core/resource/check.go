package resource

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"countersign/core/api/schema"
	"countersign/core/db"
)

// sqlTypes are the column types that hold a kind of field; the first is the usual one.
var sqlTypes = map[schema.Kind][]string{
	schema.String: {"text", "character varying", "USER-DEFINED"}, schema.Text: {"text", "character varying", "inet"},
	schema.Bool: {"boolean"}, schema.Int: {"integer", "bigint", "smallint"}, schema.Float: {"double precision", "real", "numeric"},
	schema.UUID: {"uuid"}, schema.Time: {"timestamp with time zone"}, schema.Bytes: {"bytea"}, schema.JSON: {"jsonb"},
	schema.Map: {"jsonb"}, schema.Struct: {"jsonb"}, schema.List: {"ARRAY", "jsonb"},
}

// CheckTables compares every mounted resource with the database: tables, columns, their types and whether they may be
// null, and that a foreign key deletes as the reference says. Errors: all differences, joined. It is for tests.
func (r *Registry) CheckTables(ctx context.Context, q db.Querier) error {
	var errs []error
	for _, p := range r.plans {
		if err := p.checkTable(ctx, q); err != nil {
			errs = append(errs, fmt.Errorf("resource %s (%s): %w", p.name, p.path, err))
		}
	}
	return errors.Join(errs...)
}

type sqlColumn struct {
	Name, Type string
	Nullable   bool
	OnDelete   string // of its foreign key: a n c d r, "" without one
}

func (p *plan) checkTable(ctx context.Context, q db.Querier) error {
	rows, err := q.Query(ctx, `SELECT c.column_name, c.data_type, c.is_nullable = 'YES',
		COALESCE((SELECT k.confdeltype::text FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
			WHERE k.contype = 'f' AND k.conrelid = format('%I.%I', c.table_schema, c.table_name)::regclass AND a.attname = c.column_name LIMIT 1), '')
		FROM information_schema.columns c WHERE c.table_schema = current_schema() AND c.table_name = $1`, p.table)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sqlColumn])
	if err != nil {
		return err
	}
	columns := map[string]sqlColumn{}
	for _, c := range found {
		columns[c.Name] = c
	}
	var errs []error
	for _, c := range p.stored {
		if err := c.check(columns[c.name]); err != nil {
			errs = append(errs, fmt.Errorf("column %s: %w", c.name, err))
		}
	}
	if p.settings != "" && columns[p.settings].Type != "jsonb" {
		errs = append(errs, fmt.Errorf("column %s: not a jsonb column", p.settings))
	}
	return errors.Join(errs...)
}

func (c column) check(is sqlColumn) error {
	f := c.field
	if is.Name == "" {
		return errors.New("the table has none of this name")
	}
	ok := false
	for _, t := range sqlTypes[f.Kind] {
		ok = ok || t == is.Type
	}
	switch {
	case !ok:
		return fmt.Errorf("it is %s, the field %s", is.Type, f.Type)
	case is.Nullable && !f.Pointer && f.Kind != schema.Bytes && !f.Nullable:
		return fmt.Errorf("it may be null, the field may not: use a pointer")
	case !is.Nullable && f.Pointer:
		return fmt.Errorf("it may not be null, the field may")
	}
	want := map[string]string{"cascade": "c", "set_null": "n", "set_default": "d"}[f.OnDelete]
	if f.Ref != "" && want != "" && is.OnDelete != want {
		return fmt.Errorf("its foreign key deletes by %q, the field says delete=%s", is.OnDelete, f.OnDelete)
	}
	return nil
}
