package resource

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/api/schema"
	"countersign/core/db"
)

// plan is what a declaration compiles to: the part that does not depend on T.
type plan struct {
	name, app, label, plural, path, table, doc string

	object  *schema.Object
	key     *schema.Field
	lookup  *schema.Field
	display *schema.Field
	param   string
	verbs   Verbs
	base    db.Pred

	columns  []column // everything that is read
	stored   []column // what is written, settings aside
	settings string   // jsonb column of a family's kind; "" otherwise
	within   []*schema.Field
	kind     string // this kind's name
	kindAt   *schema.Field
	many     []manyPlan
	refs     []*ref
	unique   [][]string

	exprs   map[string]string // JSON name or ordering name → SQL over t
	filters []filterPlan
	flags   []Flag
	search  []string
	order   []string // SQL terms, ending in the key
	count   int

	selectSQL string // SELECT … FROM table t
}

// column is one thing that a query reads into a field.
type column struct {
	field *schema.Field
	name  string // as stored; "" for a computed one
	expr  string
}

type manyPlan struct {
	Many
	field *schema.Field
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// compile reads a declaration. Errors say what to change.
func compile(s *schema.Set, t reflect.Type, d facts) (*plan, error) {
	o, err := s.Object(t)
	if err != nil {
		return nil, err
	}
	p := &plan{
		name: d.Name, app: d.App, path: d.Path, table: d.Table, doc: d.Doc, object: o, verbs: d.Verbs, base: d.Base,
		flags: d.Flags, count: d.Count, unique: d.Unique, kind: d.kind, settings: d.settings, exprs: map[string]string{},
	}
	p.label = cmp.Or(d.Label, o.Name)
	p.plural = cmp.Or(d.Plural, p.label+"s")
	if p.verbs == nil {
		p.verbs = All()
	}
	switch {
	case d.Name == "" || d.App == "" || d.Table == "":
		return nil, fmt.Errorf("set Name, App and Table")
	case !strings.HasPrefix(d.Path, "/") || !strings.HasSuffix(d.Path, "/"):
		return nil, fmt.Errorf("Path %q: it needs a slash at both ends", d.Path)
	}
	if err := p.fields(d); err != nil {
		return nil, err
	}
	if err := p.names(d); err != nil {
		return nil, err
	}
	if err := p.queries(d); err != nil {
		return nil, err
	}
	return p, nil
}

// fields sorts the fields by where their values come from.
func (p *plan) fields(d facts) error {
	computed := maps.Clone(d.Computed)
	many := map[string]Many{}
	for _, m := range d.Many {
		many[m.Field] = m
	}
	var list []string
	for _, f := range p.object.Fields {
		c := column{field: f, name: f.Column}
		m, isMany := many[f.Name]
		switch {
		case f.Within != "" && f.Within != p.settings:
			return fmt.Errorf("field %s lives in the column %s, which is not the family's settings column", f.Name, f.Within)
		case f.Within != "":
			p.within = append(p.within, f)
			p.exprs[f.Name] = settingExpr(p.settings, f)
			if f.Ref != "" {
				p.refs = append(p.refs, &ref{from: p, field: f, action: f.OnDelete, jsonb: true})
			}
			continue
		case f.Column != "":
			c.expr = "t." + quote(f.Column)
			p.stored = append(p.stored, c)
		case f.Name != "" && computed[f.Name] != "":
			if !f.ReadOnly {
				return fmt.Errorf("Computed %s: the field must be ro", f.Name)
			}
			c.expr = computed[f.Name]
			delete(computed, f.Name)
		case isMany:
			if f.Kind != schema.List || f.Ref == "" {
				return fmt.Errorf("Many %s: the field must be a slice of keys tagged ref=…", f.Name)
			}
			p.many = append(p.many, manyPlan{Many: m, field: f})
			delete(many, f.Name)
		default:
			continue // Load fills it, or a hook reads it
		}
		if f.Ref != "" {
			r := &ref{from: p, field: f, action: f.OnDelete}
			if isMany {
				r.link = &m
			}
			p.refs = append(p.refs, r)
		}
		if f.PK {
			if p.key != nil {
				return fmt.Errorf("field %s: there is a pk already", f.Name)
			}
			p.key = f
		}
		if c.expr != "" {
			p.columns = append(p.columns, c)
		}
		if f.Name != "" && c.expr != "" {
			p.exprs[f.Name] = c.expr
		}
	}
	for name := range computed {
		return fmt.Errorf("Computed %s: no field without a column has this JSON name", name)
	}
	for name := range many {
		return fmt.Errorf("Many %s: no field without a column has this JSON name", name)
	}
	if p.key == nil || p.key.Column == "" {
		return fmt.Errorf(`tag the key's field with db:"…" and api:"pk,ro"`)
	}
	for _, m := range p.many {
		expr := fmt.Sprintf("ARRAY(SELECT m.%s FROM %s m WHERE m.%s = t.%s ORDER BY 1)", quote(m.Other), quote(m.Table), quote(m.Own), quote(p.key.Column))
		p.columns = append(p.columns, column{field: m.field, expr: expr})
	}
	for _, c := range p.columns {
		list = append(list, c.expr)
	}
	if p.settings != "" && p.kind != "" {
		list = append(list, "t."+quote(p.settings))
	}
	p.selectSQL = "SELECT " + strings.Join(list, ", ") + " FROM " + quote(p.table) + " t"
	return nil
}

// settingExpr is the SQL of a setting, typed.
func settingExpr(column string, f *schema.Field) string {
	text := fmt.Sprintf("(t.%s->>'%s')", quote(column), strings.ReplaceAll(f.Name, "'", "''"))
	switch f.Kind {
	case schema.Bool:
		return text + "::boolean"
	case schema.Int:
		return text + "::bigint"
	case schema.Float:
		return text + "::float8"
	case schema.UUID:
		return text + "::uuid"
	case schema.Time:
		return text + "::timestamptz"
	case schema.List, schema.Map, schema.Struct, schema.JSON:
		return fmt.Sprintf("(t.%s->'%s')", quote(column), strings.ReplaceAll(f.Name, "'", "''"))
	}
	return text
}

// names resolves the fields that the declaration names.
func (p *plan) names(d facts) error {
	p.lookup, p.display = p.key, p.key
	if f := p.object.Field("name"); f != nil && f.Column != "" {
		p.display = f
	}
	for _, n := range []struct {
		word, name string
		into       **schema.Field
	}{{"Lookup", d.Lookup, &p.lookup}, {"Display", d.Display, &p.display}} {
		if n.name == "" {
			continue
		}
		f := p.object.Field(n.name)
		if f == nil || f.Column == "" {
			return fmt.Errorf("%s %q: no stored field has this JSON name", n.word, n.name)
		}
		*n.into = f
	}
	p.param = cmp.Or(d.Param, p.lookup.Column)
	for _, set := range d.Unique {
		for _, name := range set {
			if f := p.object.Field(name); f == nil || f.Column == "" {
				return fmt.Errorf("Unique %q: no stored field has this JSON name", name)
			}
		}
	}
	if d.kindColumn != "" {
		for _, c := range p.stored {
			if c.name == d.kindColumn {
				p.kindAt = c.field
			}
		}
		if p.kindAt == nil || p.kindAt.Kind != schema.String {
			return fmt.Errorf("the family's struct needs a field for the kind: KindName string `json:\"-\" db:%q`", d.kindColumn)
		}
	}
	return nil
}

// queries compiles filters, search and order.
func (p *plan) queries(d facts) error {
	for name, expr := range d.OrderBy {
		p.exprs[name] = expr
	}
	for _, name := range d.Filter {
		f := p.object.Field(name)
		if f == nil || p.exprs[name] == "" {
			return fmt.Errorf("Filter %q: no stored or computed field has this JSON name", name)
		}
		fp, err := fieldFilter(f, p.exprs[name])
		if err != nil {
			return err
		}
		p.filters = append(p.filters, fp)
	}
	for _, f := range d.Filters {
		if f.Name == "" || !strings.Contains(f.SQL, "$1") {
			return fmt.Errorf("Filters %q: set Name, and SQL with $1", f.Name)
		}
		p.filters = append(p.filters, filterPlan{Filter: f})
	}
	seen := map[string]bool{"page": true, "page_size": true, "ordering": true, "search": true}
	for _, f := range p.filters {
		if seen[f.Name] {
			return fmt.Errorf("the parameter %q is declared twice", f.Name)
		}
		seen[f.Name] = true
	}
	for _, f := range p.flags {
		if seen[f.Name] {
			return fmt.Errorf("the parameter %q is declared twice", f.Name)
		}
		seen[f.Name] = true
	}
	for _, s := range d.Search {
		expr := p.exprs[s]
		if expr == "" && strings.Contains(s, "t.") {
			expr = s
		}
		if expr == "" {
			return fmt.Errorf("Search %q: neither a JSON name of a stored field nor SQL over t", s)
		}
		p.search = append(p.search, "("+expr+")::text")
	}
	for _, name := range d.Order {
		term, ok := p.term(name)
		if !ok {
			return fmt.Errorf("Order %q: no such name", name)
		}
		p.order = append(p.order, term)
	}
	return nil
}

// term is the ORDER BY term of "name" or "-name".
func (p *plan) term(name string) (string, bool) {
	name, down := strings.CutPrefix(name, "-")
	expr := p.exprs[name]
	if name == "pk" {
		expr = "t." + quote(p.key.Column)
	}
	if expr == "" {
		return "", false
	}
	if down {
		return expr + " DESC", true
	}
	return expr + " ASC", true
}

func (p *plan) serves(v Verb) bool { return slices.Contains(p.verbs, v) }

// column finds the field stored in a column.
func (p *plan) column(name string) *schema.Field {
	for _, c := range p.stored {
		if c.name == name {
			return c.field
		}
	}
	return nil
}

// parseKey reads a path segment as the lookup's value; false when it cannot name a row.
func (p *plan) parseKey(f *schema.Field, s string) (any, bool) {
	v := reflect.New(f.Type).Elem()
	switch f.Kind {
	case schema.String:
		return s, s != "" && !strings.ContainsRune(s, 0) && utf8.ValidString(s)
	case schema.UUID, schema.Int:
		raw := []byte(s)
		if f.Kind == schema.UUID {
			raw = []byte(`"` + strings.NewReplacer(`"`, "", `\`, "").Replace(s) + `"`)
		}
		if len(raw) == 0 || f.Parse(raw, v) != "" {
			return nil, false
		}
		return v.Interface(), true
	}
	return nil, false
}

// pathParameter documents the lookup.
func (p *plan) pathParameter() api.Parameter {
	out := api.Parameter{Name: p.param, Type: "string"}
	switch p.lookup.Kind {
	case schema.Int:
		out.Type, out.Description = "integer", fmt.Sprintf("A unique integer value identifying this %s.", p.label)
	case schema.UUID:
		out.Format, out.Description = "uuid", fmt.Sprintf("A UUID string identifying this %s.", p.label)
	}
	return out
}
