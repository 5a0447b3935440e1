package resource

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"countersign/core/api/schema"
	"countersign/core/fault"
)

// ref is a reference from one resource's field to another resource.
type ref struct {
	from   *plan
	field  *schema.Field
	to     *target
	action string // on delete of what is referred to: cascade, set_null, cascade_many
	jsonb  bool   // it lies in the settings, where no foreign key holds it
	link   *Many  // it lies in a link table
}

// target is what a ref= can name: a resource, a family, or a kind of one.
type target struct {
	plan *plan
}

// checkRefs makes sure that the keys which the write brings exist, and keeps them from being deleted before it commits.
// One round trip for all of them. A new row's key that was not sent and has no default is left to Validate.
func (p *plan) checkRefs(ctx context.Context, tx pgx.Tx, old, row reflect.Value, sent map[string]bool) error {
	type check struct {
		ref  *ref
		keys []string
	}
	var checks []check
	batch := &pgx.Batch{}
	for _, r := range p.refs {
		fv := row.FieldByIndex(r.field.Index)
		if r.to == nil || old.IsValid() && reflect.DeepEqual(old.FieldByIndex(r.field.Index).Interface(), fv.Interface()) {
			continue
		}
		if !old.IsValid() && fv.IsZero() && !sent[r.field.Name] {
			continue
		}
		elem, list := r.keys(fv)
		if list.Len() == 0 {
			continue
		}
		key := "t." + quote(r.to.plan.key.Column)
		sql := fmt.Sprintf("SELECT %s::text FROM %s t WHERE %s = ANY($1%s)", key, quote(r.to.plan.table), key, arrayCast(elem))
		args := []any{keyList(elem, list)}
		if r.to.plan.kind != "" {
			sql += fmt.Sprintf(" AND t.%s = $2", quote(r.to.plan.kindAt.Column))
			args = append(args, r.to.plan.kind)
		}
		batch.Queue(sql+" ORDER BY 1 FOR KEY SHARE", args...)
		checks = append(checks, check{r, texts(list)})
	}
	if len(checks) == 0 {
		return nil
	}
	results := tx.SendBatch(ctx, batch)
	defer func() { _ = results.Close() }()
	errs := fault.Fields{}
	for _, c := range checks {
		rows, err := results.Query()
		if err != nil {
			return fmt.Errorf("check %s: %w", c.ref.field.Name, err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("check %s: %w", c.ref.field.Name, err)
		}
		for _, k := range c.keys {
			if !slices.Contains(found, k) {
				errs.Add(c.ref.field.Name, "does_not_exist", schema.InvalidPK(k))
			}
		}
	}
	return errs.Err()
}

// keys are the keys that a reference's value holds, none for null.
func (r *ref) keys(v reflect.Value) (elem *schema.Field, list reflect.Value) {
	if r.field.Kind == schema.List {
		return r.field.Elem, v
	}
	list = reflect.MakeSlice(reflect.SliceOf(r.field.Type), 0, 1)
	if r.field.Pointer {
		if v.IsNil() {
			return r.field, list
		}
		v = v.Elem()
	}
	return r.field, reflect.Append(list, v)
}

func texts(list reflect.Value) []string {
	out := make([]string, list.Len())
	for i := range out {
		out[i] = fmt.Sprint(list.Index(i).Interface())
	}
	return out
}

// holds is the condition, over the table of the reference, that it names a key of $1, a text[].
func (r *ref) holds() string {
	column := "t." + quote(r.field.Column)
	switch {
	case r.link != nil:
		return fmt.Sprintf("EXISTS (SELECT FROM %s m WHERE m.%s = t.%s AND m.%s = ANY($1::text[]%s))", quote(r.link.Table), quote(r.link.Own), quote(r.from.key.Column), quote(r.link.Other), r.to.plan.keyArray())
	case !r.jsonb && r.field.Kind == schema.List:
		return column + " && $1::text[]" + r.to.plan.keyArray()
	case !r.jsonb:
		return column + " = ANY($1::text[]" + r.to.plan.keyArray() + ")"
	}
	name := strings.ReplaceAll(r.field.Name, "'", "''")
	is := fmt.Sprintf("t.%s->>'%s' = ANY($1::text[])", quote(r.from.settings), name)
	if r.field.Kind == schema.List {
		is = fmt.Sprintf("t.%s->'%s' ?| $1::text[]", quote(r.from.settings), name)
		if r.field.Elem.Kind == schema.Int {
			is = fmt.Sprintf("EXISTS (SELECT FROM jsonb_array_elements_text(t.%s->'%s') e WHERE e = ANY($1::text[]))", quote(r.from.settings), name)
		}
	}
	return fmt.Sprintf("t.%s = '%s' AND %s", quote(r.from.kindAt.Column), strings.ReplaceAll(r.from.kind, "'", "''"), is)
}

// keyArray casts a text[] to an array of the key's type.
func (p *plan) keyArray() string {
	switch p.key.Kind {
	case schema.Int:
		return "::int[]"
	case schema.UUID:
		return "::uuid[]"
	}
	return ""
}

// release does for references inside settings what foreign keys do for the others, before the rows of p with these keys
// are deleted: empties, shortens or deletes what refers to them. The rows are locked already, so that no new reference
// can come (checkRefs waits for us and then finds nothing).
// gone holds what is being deleted already, so that a circle ends.
func (r *Registry) release(ctx context.Context, tx pgx.Tx, table string, keys []string, gone map[string]bool) error {
	for _, k := range keys {
		gone[table+" "+k] = true
	}
	for _, in := range r.inbound[table] {
		if !in.jsonb {
			continue
		}
		var err error
		column, name := quote(in.from.settings), strings.ReplaceAll(in.field.Name, "'", "''")
		switch in.action {
		case "cascade":
			err = r.cascade(ctx, tx, in, keys, gone)
		case "set_null":
			_, err = tx.Exec(ctx, fmt.Sprintf("UPDATE %s t SET %s = jsonb_set(t.%s, '{%s}', 'null') WHERE %s", quote(in.from.table), column, column, name, in.holds()), keys)
		default:
			_, err = tx.Exec(ctx, fmt.Sprintf(`UPDATE %s t SET %s = jsonb_set(t.%s, '{%s}', COALESCE((SELECT jsonb_agg(e ORDER BY n) FROM jsonb_array_elements(t.%s->'%s') WITH ORDINALITY AS x(e, n) WHERE e #>> '{}' <> ALL($1::text[])), '[]')) WHERE %s`,
				quote(in.from.table), column, column, name, column, name, in.holds()), keys)
		}
		if err != nil {
			return fmt.Errorf("release %s.%s: %w", in.from.name, in.field.Name, err)
		}
	}
	return nil
}

// cascade deletes the rows that refer to the keys, and what refers to these.
func (r *Registry) cascade(ctx context.Context, tx pgx.Tx, in *ref, keys []string, gone map[string]bool) error {
	p := in.from
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT t.%s::text, t.%s::text FROM %s t WHERE %s ORDER BY t.%s FOR UPDATE",
		quote(p.key.Column), quote(p.display.Column), quote(p.table), in.holds(), quote(p.key.Column)), keys)
	if err != nil {
		return err
	}
	type victim struct{ Key, Name string }
	victims, err := pgx.CollectRows(rows, pgx.RowToStructByPos[victim])
	if err != nil {
		return err
	}
	victims = slices.DeleteFunc(victims, func(v victim) bool { return gone[p.table+" "+v.Key] })
	if len(victims) == 0 {
		return nil
	}
	next := make([]string, len(victims))
	for i, v := range victims {
		next[i] = v.Key
	}
	if err := r.release(ctx, tx, p.table, next, gone); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s t WHERE t.%s = ANY($1::text[]%s)", quote(p.table), quote(p.key.Column), p.keyArray()), next); err != nil {
		return p.fault(err)
	}
	for _, v := range victims {
		if err := r.emitDeleted(ctx, tx, p, v.Key, v.Name); err != nil {
			return err
		}
	}
	return nil
}
