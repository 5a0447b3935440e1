package resource

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/core/api/schema"
	"countersign/core/db"
	"countersign/core/fault"
)

// insert writes a new row and reads back what the table filled in.
func (p *plan) insert(ctx context.Context, tx pgx.Tx, v reflect.Value) error {
	var names, marks []string
	var args []any
	add := func(name string, arg any) {
		args = append(args, arg)
		names, marks = append(names, quote(name)), append(marks, fmt.Sprintf("$%d", len(args)))
	}
	for _, c := range p.stored {
		fv := v.FieldByIndex(c.field.Index)
		if fv.IsZero() && !c.field.Pointer && (c.field.ReadOnly || c.field.Name == "" || c.field.PK) {
			continue // the table's default
		}
		arg, err := argument(c.field, fv)
		if err != nil {
			return fmt.Errorf("write %s.%s: %w", p.table, c.name, err)
		}
		add(c.name, arg)
	}
	if p.kind != "" {
		settings, err := p.settingsOf(v)
		if err != nil {
			return err
		}
		add(p.settings, settings)
	}
	sql := fmt.Sprintf("INSERT INTO %s AS t (%s) VALUES (%s) RETURNING %s", quote(p.table), strings.Join(names, ", "), strings.Join(marks, ", "), p.returning())
	return p.back(ctx, tx, v, sql, args)
}

// update writes what differs between old and row. Nothing differs: nothing is written.
func (p *plan) update(ctx context.Context, tx pgx.Tx, old, row reflect.Value) error {
	var sets []string
	args := []any{p.keyOf(old)}
	for _, c := range p.stored {
		was, is := old.FieldByIndex(c.field.Index), row.FieldByIndex(c.field.Index)
		if c.field.PK || reflect.DeepEqual(was.Interface(), is.Interface()) {
			continue
		}
		arg, err := argument(c.field, is)
		if err != nil {
			return fmt.Errorf("write %s.%s: %w", p.table, c.name, err)
		}
		args = append(args, arg)
		sets = append(sets, fmt.Sprintf("%s = $%d", quote(c.name), len(args)))
	}
	if p.settingsDiffer(old, row) {
		settings, err := p.settingsOf(row)
		if err != nil {
			return err
		}
		args = append(args, settings)
		// Keys that this version does not know stay.
		sets = append(sets, fmt.Sprintf("%s = t.%s || $%d::jsonb", quote(p.settings), quote(p.settings), len(args)))
	}
	if len(sets) == 0 {
		return nil
	}
	sql := fmt.Sprintf("UPDATE %s AS t SET %s WHERE t.%s = $1 RETURNING %s", quote(p.table), strings.Join(sets, ", "), quote(p.key.Column), p.returning())
	return p.back(ctx, tx, row, sql, args)
}

func (p *plan) settingsDiffer(old, row reflect.Value) bool {
	return slices.ContainsFunc(p.within, func(f *schema.Field) bool {
		return !reflect.DeepEqual(old.FieldByIndex(f.Index).Interface(), row.FieldByIndex(f.Index).Interface())
	})
}

// returning are the stored columns.
func (p *plan) returning() string {
	out := make([]string, len(p.stored))
	for i, c := range p.stored {
		out[i] = c.expr
	}
	return strings.Join(out, ", ")
}

// back runs a writing statement that returns the stored columns, into v.
func (p *plan) back(ctx context.Context, tx pgx.Tx, v reflect.Value, sql string, args []any) error {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return p.fault(err)
	}
	defer rows.Close()
	if rows.Next() {
		stored := plan{columns: p.stored, table: p.table}
		if err := stored.scan(rows, v); err != nil {
			return err
		}
	}
	rows.Close()
	return p.fault(rows.Err())
}

// writeMany makes the link tables say what the row's lists say. old is the zero Value for a new row.
func (p *plan) writeMany(ctx context.Context, tx pgx.Tx, old, row reflect.Value) error {
	for _, m := range p.many {
		is := row.FieldByIndex(m.field.Index)
		if old.IsValid() && reflect.DeepEqual(old.FieldByIndex(m.field.Index).Interface(), is.Interface()) {
			continue
		}
		keys, key := keyList(m.field.Elem, is), p.keyOf(row)
		cast := arrayCast(m.field.Elem)
		own, other, table := quote(m.Own), quote(m.Other), quote(m.Table)
		if old.IsValid() {
			if _, err := tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s = $1 AND %s <> ALL($2%s)", table, own, other, cast), key, keys); err != nil {
				return fmt.Errorf("write %s: %w", m.Table, p.fault(err))
			}
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("INSERT INTO %s (%s, %s) SELECT $1, k FROM (SELECT DISTINCT unnest($2%s) AS k) s ORDER BY k ON CONFLICT DO NOTHING", table, own, other, cast), key, keys); err != nil {
			return fmt.Errorf("write %s: %w", m.Table, p.fault(err))
		}
	}
	return nil
}

// arrayCast types a list of keys.
func arrayCast(f *schema.Field) string {
	switch f.Kind {
	case schema.Int:
		return "::bigint[]"
	case schema.UUID:
		return "::uuid[]"
	}
	return "::text[]"
}

// keyList is a list of keys as pgx should send it, never nil.
func keyList(elem *schema.Field, list reflect.Value) any {
	if elem.Kind == schema.Int {
		out := make([]int64, list.Len())
		for i := range out {
			out[i] = list.Index(i).Int()
		}
		return out
	}
	if list.Len() == 0 {
		return reflect.MakeSlice(list.Type(), 0, 0).Interface()
	}
	return list.Interface()
}

// refused is fault for errors that come from anywhere in a transaction, the hooks and the commit included. Only what the
// database said is looked at: that a hook found no row does not make the request's own row missing.
func (p *plan) refused(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return p.fault(err)
	}
	return err
}

// fault is db.Fault with the columns' JSON names, and the declared sets of fields that are unique together.
func (p *plan) fault(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		for _, set := range p.unique {
			columns := make([]string, len(set))
			for i, name := range set {
				columns[i] = p.object.Field(name).Column
			}
			if pg.ConstraintName == p.table+"_"+strings.Join(columns, "_")+"_key" {
				return fault.Field(fault.NonField, "unique", "The fields "+strings.Join(set, ", ")+" must make a unique set.").Wrap(err)
			}
		}
	}
	err = db.Fault(err)
	var known *fault.Error
	if !errors.As(err, &known) || len(known.Fields) == 0 {
		return err
	}
	renamed := fault.Fields{}
	for column, violations := range known.Fields {
		name := column
		if f := p.column(column); f != nil && f.Name != "" {
			name = f.Name
		}
		renamed[name] = violations
	}
	out := *known
	out.Fields = renamed
	return &out
}
