package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/api/schema"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
)

// create answers POST.
func (res *Resource[T]) create(ctx context.Context, r *api.Request) error {
	if !res.mayVerb(r.Actor, Create, nil) {
		return fault.Forbidden()
	}
	sent, err := r.Object()
	if err != nil {
		return err
	}
	row := res.fresh()
	v := reflect.ValueOf(row).Elem()
	if err := res.object.Decode(sent, v, schema.Create).Err(); err != nil {
		return err
	}
	if err := res.fill(v, res.reg.ids); err != nil {
		return err
	}
	c := &Change[T]{Row: row, Actor: r.Actor, Request: r, sent: keySet(sent)}
	err = db.InTx(ctx, res.reg.pool, func(tx pgx.Tx) error { return res.save(ctx, tx, r, c) })
	if err != nil {
		return res.refused(err)
	}
	return r.JSON(http.StatusCreated, c.Row)
}

// change answers PUT and PATCH. The stored row is locked first, so that two changes of different fields both stay.
func (res *Resource[T]) change(ctx context.Context, r *api.Request, mode schema.Mode) error {
	verb := Update
	if mode == schema.Patch {
		verb = PartialUpdate
	}
	sent, bodyErr := r.Object() // a slow sender must not hold a lock; but 404 and 403 come before what is wrong with the body
	c := &Change[T]{Actor: r.Actor, Request: r, sent: keySet(sent)}
	err := db.InTx(ctx, res.reg.pool, func(tx pgx.Tx) error {
		old, err := res.find(ctx, tx, r, forChange)
		if err != nil {
			return err
		}
		if !res.mayVerb(r.Actor, verb, old) {
			return fault.Forbidden()
		}
		if bodyErr != nil {
			return bodyErr
		}
		row := *old // lists and maps are shared; Decode replaces them, it never writes into them
		v := reflect.ValueOf(&row).Elem()
		if mode == schema.Replace {
			res.reset(v, c.sent)
		}
		if err := res.object.Decode(sent, v, mode).Err(); err != nil {
			return err
		}
		c.Old, c.Row = old, &row
		return res.save(ctx, tx, r, c)
	})
	if err != nil {
		return res.refused(err)
	}
	return r.JSON(http.StatusOK, c.Row)
}

// reset gives the fields that are marked so, and were not sent, their defaults.
func (res *Resource[T]) reset(v reflect.Value, sent map[string]bool) {
	fresh := reflect.ValueOf(res.fresh()).Elem()
	for _, f := range res.object.Fields {
		if f.Reset && !sent[f.Name] {
			v.FieldByIndex(f.Index).Set(fresh.FieldByIndex(f.Index))
		}
	}
}

func keySet(sent map[string]json.RawMessage) map[string]bool {
	out := make(map[string]bool, len(sent))
	for k := range sent {
		out[k] = true
	}
	return out
}

// save validates and writes a new or changed row with its event, and loads it for the answer.
func (res *Resource[T]) save(ctx context.Context, tx pgx.Tx, r *api.Request, c *Change[T]) error {
	var old reflect.Value
	action := event.ModelCreated
	if c.Old != nil {
		old, action = reflect.ValueOf(c.Old).Elem(), event.ModelUpdated
	}
	row := reflect.ValueOf(c.Row).Elem()
	if err := res.checkRefs(ctx, tx, old, row, c.sent); err != nil {
		return err
	}
	for _, hook := range []func(context.Context, pgx.Tx, *Change[T]) error{res.def.Validate, res.def.BeforeSave} {
		if hook == nil {
			continue
		}
		if err := hook(ctx, tx, c); err != nil {
			return err
		}
	}
	var err error
	if c.Old == nil {
		err = res.insert(ctx, tx, row)
	} else {
		err = res.update(ctx, tx, old, row)
	}
	if err != nil {
		return err
	}
	if err := res.writeMany(ctx, tx, old, row); err != nil {
		return err
	}
	if res.def.AfterSave != nil {
		if err := res.def.AfterSave(ctx, tx, c); err != nil {
			return err
		}
	}
	if !res.def.Silent {
		if err := res.reg.emit(ctx, tx, action, res.plan, res.keyOf(row), res.nameOf(row), res.ownerOf(row)); err != nil {
			return err
		}
	}
	if res.def.AfterSave != nil || len(res.columns) > len(res.stored) { // computed columns may say something else now
		if c.Row, err = res.Get(ctx, tx, res.keyOf(row)); err != nil {
			return fmt.Errorf("read %s back: %w", res.name, err)
		}
	}
	return res.load(ctx, tx, r, []*T{c.Row})
}

// destroy answers DELETE.
func (res *Resource[T]) destroy(ctx context.Context, r *api.Request) error {
	err := db.InTx(ctx, res.reg.pool, func(tx pgx.Tx) error {
		row, err := res.find(ctx, tx, r, forDelete)
		if err != nil {
			return err
		}
		if !res.mayVerb(r.Actor, Destroy, row) {
			return fault.Forbidden()
		}
		return res.remove(ctx, tx, r, row)
	})
	if err != nil {
		return res.refused(err)
	}
	r.Writer.WriteHeader(http.StatusNoContent)
	return nil
}

// remove deletes a locked row and honours the references to it.
func (res *Resource[T]) remove(ctx context.Context, tx pgx.Tx, r *api.Request, row *T) error {
	v := reflect.ValueOf(row).Elem()
	key, p := res.keyOf(v), res.kindPlan(v)
	if err := res.reg.release(ctx, tx, res.table, []string{fmt.Sprint(key)}, map[string]bool{}); err != nil {
		return err
	}
	sql := fmt.Sprintf("DELETE FROM %s t WHERE t.%s = $1", quote(res.table), quote(res.key.Column))
	if _, err := tx.Exec(ctx, sql, key); err != nil {
		return res.fault(err)
	}
	if res.def.AfterDelete != nil {
		c := &Change[T]{Old: row, Row: row, Actor: r.Actor, Request: r}
		if err := res.def.AfterDelete(ctx, tx, c); err != nil {
			return err
		}
	}
	if res.def.Silent {
		return nil
	}
	return res.reg.emit(ctx, tx, event.ModelDeleted, p, key, res.nameOf(v), res.ownerOf(v))
}

// kindPlan is the plan of the kind that a row of a family is; of other rows it is the resource's own.
func (res *Resource[T]) kindPlan(v reflect.Value) *plan {
	if res.kindAt != nil && res.kind == "" {
		if t := res.reg.targets[v.FieldByIndex(res.kindAt.Index).String()]; t != nil {
			return t.plan
		}
	}
	return res.plan
}
