package resource

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"countersign/core/api"
	"countersign/core/api/schema"
	"countersign/core/db"
	"countersign/core/fault"
)

// filterPlan is a declared or derived filter.
type filterPlan struct {
	Filter
}

// maxTerms and maxValues bound what a query may ask for.
const (
	maxTerms  = 16
	maxValues = 500
)

// fieldFilter derives the equality filter of a field.
func fieldFilter(f *schema.Field, expr string) (filterPlan, error) {
	out := filterPlan{Filter{Name: f.Name, Enum: f.Enum, SQL: expr + " = $1", Doc: f.Doc}}
	switch f.Kind {
	case schema.String, schema.Text:
		out.Type = Text
	case schema.Bool:
		out.Type = Boolean
	case schema.Int:
		out.Type = Integer
	case schema.UUID:
		out.Type = UUID
	case schema.Time:
		out.Type = Time
	default:
		return out, fmt.Errorf("Filter %q: only text, boolean, integer, uuid and time have equality; use Filters", f.Name)
	}
	return out, nil
}

// where is the condition of the request's filters and search.
func (p *plan) where(q url.Values) (db.Pred, error) {
	errs := fault.Fields{}
	preds := []db.Pred{}
	for _, f := range p.filters {
		values := slices.DeleteFunc(slices.Clone(q[f.Name]), func(s string) bool { return s == "" })
		if len(values) == 0 {
			continue
		}
		arg, text := f.parse(values)
		switch {
		case text != "":
			errs.Add(f.Name, "invalid", text)
		case arg != nil:
			preds = append(preds, db.Pred{SQL: f.SQL, Args: []any{arg}})
		}
	}
	if err := errs.Err(); err != nil {
		return db.Pred{}, err
	}
	return db.And(append(preds, p.searched(q.Get("search")))...), nil
}

// parse reads the parameter's values; of a single one the last counts. nil without a text means: filter nothing.
func (f *filterPlan) parse(values []string) (arg any, text string) {
	for _, v := range values {
		if strings.ContainsRune(v, 0) {
			return nil, "Null characters are not allowed."
		}
		if !utf8.ValidString(v) {
			return nil, "This is not valid text."
		}
		if len(f.Enum) > 0 && !slices.Contains(f.Enum, v) {
			return nil, fmt.Sprintf("Select a valid choice. %s is not one of the available choices.", v)
		}
	}
	if len(values) > maxValues {
		return nil, fmt.Sprintf("No more than %d values.", maxValues)
	}
	last := values[len(values)-1]
	switch f.Type {
	case Integer:
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil {
			return nil, "Enter a number."
		}
		return n, ""
	case Boolean:
		if b, ok := schema.ParseBool(last); ok {
			return b, ""
		}
		return nil, ""
	case UUID:
		u, err := uuid.Parse(last)
		if err != nil {
			return nil, "Enter a valid UUID."
		}
		return u, ""
	case Time:
		f := schema.Field{Kind: schema.Time}
		var t time.Time
		raw, _ := json.Marshal(last)
		if f.Parse(raw, reflect.ValueOf(&t).Elem()) != "" {
			return nil, "Enter a valid date/time."
		}
		return t, ""
	case Object:
		var o map[string]any
		if json.Unmarshal([]byte(last), &o) != nil || o == nil || strings.Contains(last, `\u0000`) {
			return nil, "Enter a valid JSON object."
		}
		return json.RawMessage(last), ""
	case Texts:
		return values, ""
	case Integers:
		out := make([]int64, len(values))
		for i, v := range values {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return nil, "Enter a number."
			}
			out[i] = n
		}
		return out, ""
	case UUIDs:
		out := make([]uuid.UUID, len(values))
		for i, v := range values {
			u, err := uuid.Parse(v)
			if err != nil {
				return nil, "Enter a valid UUID."
			}
			out[i] = u
		}
		return out, ""
	}
	return last, ""
}

// searched is the condition that every term of the search, split at white space and commas, is in one of the fields.
func (p *plan) searched(s string) db.Pred {
	if s == "" || len(p.search) == 0 {
		return db.Pred{}
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
	terms := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	if len(terms) > maxTerms {
		terms = terms[:maxTerms]
	}
	preds := make([]db.Pred, 0, len(terms))
	escape := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`)
	for _, term := range terms {
		parts := make([]string, len(p.search))
		for i, expr := range p.search {
			parts[i] = expr + " ILIKE $1"
		}
		preds = append(preds, db.Pred{SQL: strings.Join(parts, " OR "), Args: []any{"%" + escape.Replace(term) + "%"}})
	}
	return db.And(preds...)
}

// ordered is the ORDER BY of a request: the known names of ordering=, else the declared order; the key comes last, so
// that pages do not overlap.
func (p *plan) ordered(ordering string) string {
	var terms []string
	for name := range strings.SplitSeq(ordering, ",") {
		if len(terms) == maxTerms {
			break
		}
		if term, ok := p.term(strings.TrimSpace(name)); ok {
			terms = append(terms, term)
		}
	}
	if len(terms) == 0 {
		terms = slices.Clone(p.order)
	}
	return strings.Join(append(terms, "t."+quote(p.key.Column)), ", ")
}

// parameters documents the query of the list.
func (p *plan) parameters() []api.Parameter {
	out := []api.Parameter{
		{Name: "ordering", Description: "Which field to use when ordering the results."},
		{Name: "page", Type: "integer", Description: "A page number within the paginated result set."},
		{Name: "page_size", Type: "integer", Description: fmt.Sprintf("Number of results to return per page, %d at most.", api.MaxPageSize)},
		{Name: "search", Description: "A search term."},
	}
	for _, f := range p.filters {
		q := api.Parameter{Name: f.Name, Enum: f.Enum, Description: f.Doc}
		switch f.Type {
		case Integer:
			q.Type = "integer"
		case Boolean:
			q.Type = "boolean"
		case UUID:
			q.Format = "uuid"
		case Time:
			q.Format = "date-time"
		case Texts:
			q.List = true
		case Integers:
			q.List, q.Type = true, "integer"
		case UUIDs:
			q.List, q.Format = true, "uuid"
		}
		out = append(out, q)
	}
	return append(out, p.flagParameters()...)
}

func (p *plan) flagParameters() []api.Parameter {
	var out []api.Parameter
	for _, f := range p.flags {
		out = append(out, api.Parameter{Name: f.Name, Type: "boolean", Default: f.Default})
	}
	return out
}
