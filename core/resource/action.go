package resource

import (
	"context"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
)

// Action is an operation of a resource beyond the seven; OnRow and OnList make them.
type Action[T any] struct {
	mount func(res *Resource[T])
}

// Call is what an action on a row gets.
type Call[T any] struct {
	Tx      pgx.Tx
	Row     *T // visible to the caller and, for unsafe methods, locked; what Load fills is empty
	Request *api.Request
}

// OnRow is an action on one row. op.Path is relative to the row ("set_password/"). op.Permission, where there is one,
// replaces the default, which is view_<name> for GET and change_<name> otherwise; Allow, where there is one, decides
// instead. The row is looked up as retrieve does, so that an invisible one is 404. fn runs in a transaction, which is
// committed when it returns no error.
func OnRow[T, I, O any](op api.Operation, fn func(ctx context.Context, c *Call[T], in I) (O, error)) Action[T] {
	return Action[T]{mount: func(res *Resource[T]) {
		verb, permission := res.action(&op, PartialUpdate)
		op.Path = res.path + "{" + res.param + "}/" + op.Path
		op.Params = append(op.Params, res.pathParameter())
		hold := forChange
		switch op.Method {
		case http.MethodGet:
			hold = unlocked
		case http.MethodDelete:
			hold = forDelete
		}
		api.Handle(res.reg.api, op, func(ctx context.Context, r *api.Request, in I) (out O, err error) {
			err = db.InTx(ctx, res.reg.pool, func(tx pgx.Tx) error {
				row, err := res.find(ctx, tx, r, hold)
				if err != nil {
					return err
				}
				if !res.may(r.Actor, verb, permission, row) {
					return fault.Forbidden()
				}
				out, err = fn(ctx, &Call[T]{Tx: tx, Row: row, Request: r}, in)
				return err
			})
			return out, res.refused(err)
		})
	}}
}

// Rows is what an action on the collection gets.
type Rows[T any] struct {
	DB      db.Querier
	Where   db.Pred // over t: what the caller may see, with the list's filters and search applied
	Request *api.Request
}

// OnList is an action on the collection. op.Path is relative to it ("paths/"); permission as for OnRow, but of POST
// add_<name>. It runs in no transaction; db.InTx begins one.
func OnList[T, I, O any](op api.Operation, fn func(ctx context.Context, c *Rows[T], in I) (O, error)) Action[T] {
	return Action[T]{mount: func(res *Resource[T]) {
		verb, permission := res.action(&op, Create)
		op.Path = res.path + op.Path
		api.Handle(res.reg.api, op, func(ctx context.Context, r *api.Request, in I) (out O, err error) {
			seen, some := res.seen(r.Actor)
			if op.Method == http.MethodGet && !some || !res.may(r.Actor, verb, permission, nil) {
				return out, fault.Forbidden()
			}
			filters, err := res.where(r.Query())
			if err != nil {
				return out, err
			}
			return fn(ctx, &Rows[T]{DB: res.reg.pool, Where: db.And(seen, filters), Request: r}, in)
		})
	}}
}

// action is the verb of an action and the permission that it needs. It takes the permission out of the operation,
// since the resource asks for it when the row is known.
func (p *plan) action(op *api.Operation, write Verb) (Verb, string) {
	verb, permission := Verb(strings.Trim(op.Path, "/")), op.Permission
	op.Permission = ""
	switch {
	case permission != "":
	case op.Method == http.MethodGet:
		verb, permission = Retrieve, Retrieve.Permission(p.app, p.name)
		if write == Create {
			verb = List
		}
	default:
		permission = write.Permission(p.app, p.name)
	}
	return verb, permission
}
