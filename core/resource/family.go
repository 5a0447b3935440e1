package resource

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/rbac"
)

// Family is one table for many kinds: common columns, a column with the kind's name, and settings jsonb that the kind's
// struct owns. B is the struct of the common fields; it has a field for the kind:
//
//	KindName string `json:"-" db:"kind"`
//
// The family's own path serves all kinds together: by default list, retrieve, destroy and used_by, and always types/.
// Each kind is mounted by MountKind with a path of its own.
type Family[B any] struct {
	Def      Def[B] // Name is what ref= says for a row of any kind: "stage"
	Kind     string // column with the kind's name; default "kind"
	Settings string // jsonb column; default "settings"
	// Describe fills the fields of B that the kind knows (component, verbose_name …). It runs for every row that is
	// answered with, before Load, in the family's own path as in the kinds'.
	Describe func(row *B, k KindInfo)
}

// KindInfo is what a kind says of itself.
type KindInfo struct {
	Name        string // in the kind column, in refs and permissions: "passwordstage"
	App         string // "authentik_stages_password"
	Label       string // for people: "Password Stage"
	Plural      string // default: Label + "s"
	Description string // in types/
	Component   string // the admin form's element: "ak-stage-password-form"
	Enterprise  bool
}

// MetaModelName is "<app>.<name>", as the contract's meta_model_name has it.
func (k KindInfo) MetaModelName() string { return k.App + "." + k.Name }

// TypeInfo is a kind in types/.
type TypeInfo struct {
	Name               string `json:"name" api:"required"`
	Description        string `json:"description" api:"required"`
	Component          string `json:"component" api:"required"`
	ModelName          string `json:"model_name" api:"required"`
	RequiresEnterprise bool   `json:"requires_enterprise" api:"default=false"`
}

// SchemaName is the component's name in the document.
func (TypeInfo) SchemaName() string { return "TypeCreate" }

// SchemaDoc is its description.
func (TypeInfo) SchemaDoc() string { return "Types of an object that can be created" }

// MountedFamily is a mounted family.
type MountedFamily[B any] struct {
	*Resource[B]
	family Family[B]
	kinds  map[string]KindInfo
}

// MountFamily adds a family. A wrong declaration panics with what to do about it.
func MountFamily[B any](r *Registry, f Family[B]) *MountedFamily[B] {
	f.Kind, f.Settings = cmp.Or(f.Kind, "kind"), cmp.Or(f.Settings, "settings")
	if f.Def.Verbs == nil {
		f.Def.Verbs = Verbs{List, Retrieve, Destroy, UsedBy}
	}
	m := &MountedFamily[B]{family: f, kinds: map[string]KindInfo{}}
	own := f.Def
	own.Load = func(ctx context.Context, q db.Querier, v *View, rows []*B) error {
		return m.load(ctx, q, v, rows, f.Def.Load)
	}
	facts := own.facts()
	facts.kindColumn = f.Kind
	m.Resource = mount(r, own, facts)
	api.Handle(r.api, api.Operation{Method: http.MethodGet, Path: own.Path + "types/", Description: "Get all creatable types"},
		func(context.Context, *api.Request, api.None) ([]TypeInfo, error) { return m.types(), nil })
	return m
}

// kindName is the kind of a row.
func (m *MountedFamily[B]) kindName(row *B) string {
	return reflect.ValueOf(row).Elem().FieldByIndex(m.kindAt.Index).String()
}

// load describes the rows and runs the family's Load.
func (m *MountedFamily[B]) load(ctx context.Context, q db.Querier, v *View, rows []*B, next func(context.Context, db.Querier, *View, []*B) error) error {
	if m.family.Describe != nil {
		for _, row := range rows {
			m.family.Describe(row, m.kinds[m.kindName(row)])
		}
	}
	if next == nil {
		return nil
	}
	return next(ctx, q, v, rows)
}

// Kinds are the mounted kinds, sorted by label.
func (m *MountedFamily[B]) Kinds() []KindInfo {
	out := make([]KindInfo, 0, len(m.kinds))
	for _, k := range m.kinds {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b KindInfo) int { return strings.Compare(a.Label, b.Label) })
	return out
}

func (m *MountedFamily[B]) types() []TypeInfo {
	out := []TypeInfo{}
	for _, k := range m.Kinds() {
		out = append(out, TypeInfo{k.Label, k.Description, k.Component, k.Name, k.Enterprise})
	}
	return out
}

// allowed is a family's rule over a kind's rows.
func allowed[B, T any](rule func(*rbac.Actor, Verb, *B) bool, base func(*T) *B) func(*rbac.Actor, Verb, *T) bool {
	return func(a *rbac.Actor, v Verb, row *T) bool {
		if row == nil {
			return rule(a, v, nil)
		}
		return rule(a, v, base(row))
	}
}

// MountKind adds a kind. T is a struct that embeds B and, tagged with the settings column, the kind's settings:
//
//	type Row struct {
//		flows.StageRow
//		Settings `db:"settings"`
//	}
//
// d needs a Path, and otherwise what the kind has beyond the family: name, application, labels, table, lookup, display
// and order are the KindInfo's and the family's unless d says other. base reaches the B within T, for Describe and the
// family's Load, which run before d.Load. Visible and Allow are the family's unless d has its own Visible.
func MountKind[B, T any](m *MountedFamily[B], k KindInfo, base func(*T) *B, d Def[T]) *Resource[T] {
	k.Plural = cmp.Or(k.Plural, k.Label+"s")
	if k.Name == "" || m.kinds[k.Name].Name != "" {
		panic(fmt.Sprintf("resource %s: kind %q: it needs a Name of its own", m.name, k.Name))
	}
	m.kinds[k.Name] = k
	family := m.family.Def
	d.Name, d.App, d.Table = k.Name, cmp.Or(d.App, k.App), m.table
	d.Label, d.Plural = cmp.Or(d.Label, k.Label), cmp.Or(d.Plural, k.Plural)
	d.Lookup, d.Param, d.Display = cmp.Or(d.Lookup, family.Lookup), cmp.Or(d.Param, family.Param), cmp.Or(d.Display, family.Display)
	d.Base = db.And(family.Base, d.Base)
	if d.Order == nil {
		d.Order = family.Order
	}
	if d.Search == nil {
		d.Search = family.Search
	}
	if d.Visible == nil {
		d.Visible = family.Visible
		if d.Allow == nil && family.Allow != nil {
			d.Allow = allowed(family.Allow, base)
		}
	}
	next := d.Load
	d.Load = func(ctx context.Context, q db.Querier, v *View, rows []*T) error {
		bases := make([]*B, len(rows))
		for i, row := range rows {
			bases[i] = base(row)
		}
		if err := m.load(ctx, q, v, bases, family.Load); err != nil || next == nil {
			return err
		}
		return next(ctx, q, v, rows)
	}
	facts := d.facts()
	facts.kind, facts.kindColumn, facts.settings = k.Name, m.family.Kind, m.family.Settings
	return mount(m.reg, d, facts)
}
