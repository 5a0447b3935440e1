package resource

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/api/schema"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/rbac"
)

// facts are the parts of a declaration that do not depend on T.
type facts struct {
	Name, App, Label, Plural, Path, Table, Doc string
	Verbs                                      Verbs
	Lookup, Param, Display                     string
	Computed                                   map[string]string
	Many                                       []Many
	Unique                                     [][]string
	Filter, Search, Order                      []string
	Filters                                    []Filter
	Flags                                      []Flag
	OrderBy                                    map[string]string
	Count                                      int
	Base                                       db.Pred

	kind, kindColumn, settings string
}

func (d *Def[T]) facts() facts {
	return facts{
		Name: d.Name, App: d.App, Label: d.Label, Plural: d.Plural, Path: d.Path, Table: d.Table, Doc: d.Doc, Verbs: d.Verbs,
		Lookup: d.Lookup, Param: d.Param, Display: d.Display, Computed: d.Computed, Many: d.Many, Unique: d.Unique,
		Filter: d.Filter, Search: d.Search, Order: d.Order, Filters: d.Filters, Flags: d.Flags, OrderBy: d.OrderBy,
		Count: d.Count, Base: d.Base,
	}
}

// Resource is a mounted resource; it is also how other code reads its rows outside HTTP.
type Resource[T any] struct {
	reg *Registry
	def Def[T]
	*plan
}

// Mount adds a resource: its routes, its document, its place among the references. A wrong declaration panics with
// what to do about it.
func Mount[T any](r *Registry, d Def[T]) *Resource[T] {
	return mount(r, d, d.facts())
}

func mount[T any](r *Registry, d Def[T], f facts) *Resource[T] {
	p, err := compile(r.api.Schemas(), reflect.TypeFor[T](), f)
	if err != nil {
		panic(fmt.Sprintf("resource %s (%s): %v", d.Name, d.Path, err))
	}
	res := &Resource[T]{reg: r, def: d, plan: p}
	r.add(p, res.seen)
	res.routes()
	return res
}

// routes adds the operations that the declaration asks for.
func (res *Resource[T]) routes() {
	a, p := res.reg.api, res.plan
	row := p.path + "{" + p.param + "}/"
	var one T
	op := func(verb Verb, method, path string) api.Operation {
		o := api.Operation{Method: method, Path: path, Description: p.doc}
		if path != p.path {
			o.Params = []api.Parameter{p.pathParameter()}
		}
		switch verb {
		case Create, Update, PartialUpdate:
			o.Request, o.Response = one, one
		case Retrieve:
			o.Response = one
		}
		return o
	}
	if p.serves(List) {
		o := op(List, http.MethodGet, p.path)
		o.ID, o.Query, o.Response = api.OperationID(p.path, "list"), p.parameters(), api.Page[T]{}
		a.Raw(o, res.list)
	}
	if p.serves(Create) {
		o := op(Create, http.MethodPost, p.path)
		o.Status = http.StatusCreated
		a.Raw(o, res.create)
	}
	if p.serves(Retrieve) {
		a.Raw(op(Retrieve, http.MethodGet, row), res.retrieve)
	}
	if p.serves(Update) {
		a.Raw(op(Update, http.MethodPut, row), func(ctx context.Context, r *api.Request) error { return res.change(ctx, r, schema.Replace) })
	}
	if p.serves(PartialUpdate) {
		a.Raw(op(PartialUpdate, http.MethodPatch, row), func(ctx context.Context, r *api.Request) error { return res.change(ctx, r, schema.Patch) })
	}
	if p.serves(Destroy) {
		a.Raw(op(Destroy, http.MethodDelete, row), res.destroy)
	}
	if p.serves(UsedBy) {
		o := op(UsedBy, http.MethodGet, row+"used_by/")
		o.Description = "Get a list of all objects that use this object"
		api.Handle(a, o, res.used)
	}
	for _, action := range res.def.Actions {
		action.mount(res)
	}
}

// seen is the condition of the rows that the actor may see; some is false when that is none, whatever the rows.
func (res *Resource[T]) seen(a *rbac.Actor) (seen db.Pred, some bool) {
	base := res.base
	if res.kind != "" {
		base = db.And(base, db.Pred{SQL: "t." + quote(res.kindAt.Column) + " = $1", Args: []any{res.kind}})
	}
	switch {
	case a.Can(List.Permission(res.app, res.name)):
		return base, true
	case a == nil || res.def.Visible == nil:
		return base, false
	}
	return db.And(base, res.def.Visible(a)), true
}

// may tells whether the actor may do a verb; permission is the one that it needs without Allow. row is nil for the
// verbs that are about none.
func (res *Resource[T]) may(a *rbac.Actor, verb Verb, permission string, row *T) bool {
	switch {
	case res.def.Allow != nil:
		return a != nil && res.def.Allow(a, verb, row)
	case verb == List || verb == Retrieve || verb == UsedBy:
		return true // seen has decided
	}
	return a.Can(permission)
}

func (res *Resource[T]) mayVerb(a *rbac.Actor, verb Verb, row *T) bool {
	return res.may(a, verb, verb.Permission(res.app, res.name), row)
}

// fresh is a row with its defaults.
func (res *Resource[T]) fresh() *T {
	if res.def.New != nil {
		row := res.def.New()
		return &row
	}
	return new(T)
}

// lock is how a row is held until the transaction ends.
type lock string

const (
	unlocked  lock = ""
	forChange lock = " FOR NO KEY UPDATE OF t" // others may go on referring to the row
	forDelete lock = " FOR UPDATE OF t"
)

// find reads the row that the path names, as far as the actor may see it, locked for a write.
// Errors: NotFound; Denied when the actor sees no row of the kind at all.
func (res *Resource[T]) find(ctx context.Context, q db.Querier, r *api.Request, lock lock) (*T, error) {
	seen, some := res.seen(r.Actor)
	if !some {
		return nil, fault.Forbidden()
	}
	key, ok := res.parseKey(res.lookup, r.Param(res.param))
	if !ok {
		return nil, fault.Missing()
	}
	return res.one(ctx, q, db.And(db.Pred{SQL: "t." + quote(res.lookup.Column) + " = $1", Args: []any{key}}, seen), lock)
}

func (res *Resource[T]) one(ctx context.Context, q db.Querier, where db.Pred, lock lock) (*T, error) {
	sql := res.selectSQL + " WHERE " + where.At(1) + string(lock)
	rows, err := q.Query(ctx, sql, where.Args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", res.name, err)
	}
	found, err := res.collect(rows)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fault.Missing()
	}
	return found[0], nil
}

// collect reads all rows of a result.
func (res *Resource[T]) collect(rows pgx.Rows) ([]*T, error) {
	defer rows.Close()
	var out []*T
	for rows.Next() {
		row := new(T)
		if res.kind != "" {
			row = res.fresh() // settings that an older version did not know have their default
		}
		if err := res.scan(rows, reflect.ValueOf(row).Elem()); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", res.name, err)
	}
	return out, nil
}

// load runs the Load hook for rows that will be answered with.
func (res *Resource[T]) load(ctx context.Context, q db.Querier, r *api.Request, rows []*T) error {
	if res.def.Load == nil || len(rows) == 0 {
		return nil
	}
	v := &View{Actor: r.Actor, Request: r, flags: make(map[string]bool, len(res.flags))}
	for _, f := range res.flags {
		v.flags[f.Name] = r.Bool(f.Name, f.Default)
	}
	if err := res.def.Load(ctx, q, v, rows); err != nil {
		return fmt.Errorf("load %s: %w", res.name, err)
	}
	return nil
}

// list answers with one page. The count and the page are one round trip, except for page=last.
func (res *Resource[T]) list(ctx context.Context, r *api.Request) error {
	seen, some := res.seen(r.Actor)
	if !some && r.Actor.Type == "internal_service_account" { // an outpost sees an empty list (core.md §7.1)
		return r.JSON(http.StatusOK, &api.Page[*T]{Pagination: api.Pagination{Current: 1, TotalPages: 1}})
	}
	if !some || !res.mayVerb(r.Actor, List, nil) {
		return fault.Forbidden()
	}
	filters, err := res.where(r.Query())
	if err != nil {
		return err
	}
	paging, err := r.Paging()
	if err != nil {
		return err
	}
	where := db.And(seen, filters)
	countSQL := fmt.Sprintf("SELECT count(*) FROM %s t WHERE %s", quote(res.table), where.At(1))
	if res.count > 0 {
		countSQL = fmt.Sprintf("SELECT count(*) FROM (SELECT FROM %s t WHERE %s LIMIT %d) c", quote(res.table), where.At(1), res.count)
	}
	pageSQL := fmt.Sprintf("%s WHERE %s ORDER BY %s LIMIT $%d OFFSET $%d", res.selectSQL, where.At(1), res.ordered(r.Query().Get("ordering")), len(where.Args)+1, len(where.Args)+2)
	var count int
	if paging.Page == 0 {
		if err := res.reg.pool.QueryRow(ctx, countSQL, where.Args...).Scan(&count); err != nil {
			return fmt.Errorf("count %s: %w", res.name, err)
		}
		paging.Page = max(1, (count+paging.Size-1)/paging.Size)
	}
	batch := &pgx.Batch{}
	batch.Queue(countSQL, where.Args...)
	batch.Queue(pageSQL, append(slices.Clone(where.Args), paging.Size, int64(paging.Page-1)*int64(paging.Size))...)
	rows, err := res.page(ctx, batch, &count)
	if err != nil {
		return err
	}
	pagination, _, err := paging.Pagination(count)
	if err != nil {
		return err
	}
	if err := res.load(ctx, res.reg.pool, r, rows); err != nil {
		return err
	}
	return r.JSON(http.StatusOK, &api.Page[*T]{Pagination: pagination, Results: rows})
}

func (res *Resource[T]) page(ctx context.Context, batch *pgx.Batch, count *int) ([]*T, error) {
	results := res.reg.pool.SendBatch(ctx, batch)
	defer func() { _ = results.Close() }()
	if err := results.QueryRow().Scan(count); err != nil {
		return nil, fmt.Errorf("count %s: %w", res.name, err)
	}
	rows, err := results.Query()
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", res.name, err)
	}
	return res.collect(rows)
}

func (res *Resource[T]) retrieve(ctx context.Context, r *api.Request) error {
	row, err := res.find(ctx, res.reg.pool, r, unlocked)
	if err != nil {
		return err
	}
	if !res.mayVerb(r.Actor, Retrieve, row) {
		return fault.Forbidden()
	}
	if err := res.load(ctx, res.reg.pool, r, []*T{row}); err != nil {
		return err
	}
	return r.JSON(http.StatusOK, row)
}

func (res *Resource[T]) used(ctx context.Context, r *api.Request, _ api.None) ([]Use, error) {
	row, err := res.find(ctx, res.reg.pool, r, unlocked)
	if err != nil {
		return nil, err
	}
	if !res.mayVerb(r.Actor, UsedBy, row) {
		return nil, fault.Forbidden()
	}
	return res.Uses(ctx, res.reg.pool, row, r.Actor)
}

// Uses lists what refers to a row, as far as the actor may see it, for a used_by/ of one's own.
func (res *Resource[T]) Uses(ctx context.Context, q db.Querier, row *T, a *rbac.Actor) ([]Use, error) {
	return res.reg.usedBy(ctx, q, res.plan, fmt.Sprint(res.keyOf(reflect.ValueOf(row).Elem())), a)
}

// Get reads one row by its key, computed columns included, without Load and without looking at who asks.
// Errors: NotFound.
func (res *Resource[T]) Get(ctx context.Context, q db.Querier, key any) (*T, error) {
	return res.one(ctx, q, db.Pred{SQL: "t." + quote(res.key.Column) + " = $1", Args: []any{key}}, unlocked)
}
