package resourcetest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Suite says which resource to try and how.
type Suite struct {
	Handler http.Handler
	Pool    *pgxpool.Pool
	Path    string                     // "/core/users/"
	Lookup  string                     // JSON name of the field in the path; default "pk"
	Valid   func(n int) map[string]any // a body for POST with every field that is worth trying, different for each n
	Admin   func(*http.Request)        // credentials of somebody who may do everything
	Other   func(*http.Request)        // credentials of somebody who may do nothing here and owns nothing
	Owned   bool                       // Other sees an empty list and gets 404, rather than 403
	Silent  bool                       // writes no audit events
	Reset   []string                   // fields that PUT clears when they are absent
	Skip    []string                   // fields whose rules are the resource's own: not probed
}

// subject is a resource under test.
type subject struct {
	Suite
	admin Client
	doc   *openapi3.T
	row   string // path of one row in the document
	next  int
}

// Run tries the resource. It needs list, create, retrieve and destroy; PUT and PATCH are tried where they are served.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if s.Lookup == "" {
		s.Lookup = "pk"
	}
	x := &subject{Suite: s, admin: Client{s.Handler, s.Admin}, doc: Document(t, s.Handler)}
	for p := range x.doc.Paths.Map() {
		if rest, ok := strings.CutPrefix(p, s.Path); ok && strings.HasPrefix(rest, "{") && strings.Count(rest, "/") == 1 {
			x.row = p
		}
	}
	if x.doc.Paths.Value(s.Path) == nil || x.row == "" {
		t.Fatalf("the document has no resource at %s", s.Path)
	}
	for _, sub := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"create", x.create}, {"retrieve", x.retrieve}, {"paging", x.paging}, {"order", x.order}, {"filters", x.filters},
		{"required", x.required}, {"fields", x.fields}, {"put", x.put}, {"patch", x.patch}, {"body", x.body},
		{"unknown", x.unknown}, {"anonymous", x.anonymous}, {"other", x.other}, {"used by", x.usedBy}, {"destroy", x.destroy},
	} {
		t.Run(sub.name, sub.run)
	}
}

func (x *subject) operation(path, method string) *openapi3.Operation {
	if item := x.doc.Paths.Value(path); item != nil {
		return item.GetOperation(method)
	}
	return nil
}

func (x *subject) serves(method string) bool { return x.operation(x.row, method) != nil }

// schemaOf is the schema of a request body.
func (x *subject) schemaOf(path, method string) *openapi3.Schema {
	return x.operation(path, method).RequestBody.Value.Content["application/json"].Schema.Value
}

// matches fails unless an answer's body is as the document says.
func (x *subject) matches(t *testing.T, path, method string, r *Response) {
	t.Helper()
	ref := x.operation(path, method).Responses.Value(fmt.Sprint(r.Status))
	if ref == nil || ref.Value.Content["application/json"] == nil {
		t.Fatalf("%s %s: the document has no body for %d", method, path, r.Status)
	}
	if err := ref.Value.Content["application/json"].Schema.Value.VisitJSON(r.Body, openapi3.MultiErrors()); err != nil {
		t.Errorf("%s %s: the answer is not what the document says: %v\n%s", method, path, err, r.Raw)
	}
}

// make creates a row.
func (x *subject) make(t *testing.T) map[string]any {
	t.Helper()
	x.next++
	r := x.admin.Want(t, http.StatusCreated, http.MethodPost, x.Path, x.Valid(x.next))
	return r.Object(t)
}

// path is where a row is.
func (x *subject) path(row map[string]any) string {
	key := row[x.Lookup]
	if n, ok := key.(float64); ok {
		key = int64(n)
	}
	return fmt.Sprintf("%s%v/", x.Path, key)
}

// events are the audit events that a request wrote, as "action name".
func (x *subject) events(t *testing.T, r *Response) []string {
	t.Helper()
	rows, err := x.Pool.Query(context.Background(), `SELECT action FROM events WHERE context->'http_request'->>'request_id' = $1 ORDER BY created`, r.Header.Get("X-authentik-id"))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var action string
		if err := rows.Scan(&action); err != nil {
			t.Fatal(err)
		}
		out = append(out, action)
	}
	return out
}

func (x *subject) wantEvent(t *testing.T, r *Response, want string) {
	t.Helper()
	got := x.events(t, r)
	switch {
	case x.Silent || want == "":
		if slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "model_") }) {
			t.Errorf("events %v, want none", got)
		}
	case !slices.Contains(got, want):
		t.Errorf("events %v, want %s", got, want)
	}
}

func (x *subject) create(t *testing.T) {
	x.next++
	body := x.Valid(x.next)
	r := x.admin.Want(t, http.StatusCreated, http.MethodPost, x.Path, body)
	x.matches(t, x.Path, http.MethodPost, r)
	x.wantEvent(t, r, "model_created")
	row := r.Object(t)
	request := x.schemaOf(x.Path, http.MethodPost)
	for name, sent := range body {
		p := request.Properties[name]
		if p == nil || p.Value.WriteOnly {
			if _, shown := row[name]; shown && p != nil {
				t.Errorf("the write-only %s is answered", name)
			}
			continue
		}
		if got, ok := row[name]; ok && !equal(sent, got) && !slices.Contains(x.Skip, name) {
			t.Errorf("%s: sent %v, got %v", name, sent, got)
		}
	}
}

func (x *subject) retrieve(t *testing.T) {
	row := x.make(t)
	r := x.admin.Want(t, http.StatusOK, http.MethodGet, x.path(row), nil)
	x.matches(t, x.row, http.MethodGet, r)
	if !equal(row, r.Body) {
		t.Errorf("created %v, retrieved %v", row, r.Body)
	}
	head := x.admin.Want(t, http.StatusOK, http.MethodHead, x.path(row), nil)
	if head.Raw != "" {
		t.Errorf("HEAD has a body")
	}
	noSlash := strings.TrimSuffix(x.path(row), "/")
	x.admin.Want(t, http.StatusNotFound, http.MethodGet, noSlash, nil)
}

func (x *subject) list(t *testing.T, query string) (results []map[string]any, pagination map[string]any) {
	t.Helper()
	r := x.admin.Want(t, http.StatusOK, http.MethodGet, x.Path+"?"+query, nil)
	x.matches(t, x.Path, http.MethodGet, r)
	o := r.Object(t)
	for _, v := range o["results"].([]any) {
		results = append(results, v.(map[string]any))
	}
	return results, o["pagination"].(map[string]any)
}

func (x *subject) paging(t *testing.T) {
	for range 3 {
		x.make(t)
	}
	all, pg := x.list(t, "page_size=1000000")
	if n := len(all); pg["count"] != float64(n) || pg["current"] != 1.0 || pg["next"] != 0.0 || pg["previous"] != 0.0 || pg["total_pages"] != 1.0 || pg["start_index"] != 1.0 || pg["end_index"] != float64(n) {
		t.Fatalf("pagination %v for %d rows on one page", pg, n)
	}
	first, pg := x.list(t, "page_size=1")
	if len(first) != 1 || pg["next"] != 2.0 || pg["previous"] != 0.0 || pg["total_pages"] != float64(len(all)) {
		t.Errorf("first page of one: %v", pg)
	}
	second, pg := x.list(t, "page_size=1&page=2")
	if len(second) != 1 || pg["previous"] != 1.0 || pg["start_index"] != 2.0 || pg["end_index"] != 2.0 {
		t.Errorf("second page of one: %v", pg)
	}
	last, pg := x.list(t, "page_size=1&page=last")
	if len(last) != 1 || pg["current"] != float64(len(all)) || pg["next"] != 0.0 {
		t.Errorf("last page: %v", pg)
	}
	for _, page := range []string{fmt.Sprint(len(all) + 1), "0", "-1", "x", "99999999999999999999"} {
		r := x.admin.Want(t, http.StatusNotFound, http.MethodGet, x.Path+"?page_size=1&page="+page, nil)
		if r.Object(t)["detail"] != "Invalid page." {
			t.Errorf("page %s: %s", page, r.Raw)
		}
	}
	none, pg := x.list(t, "search=nothing+has+this+text+8f14e45f")
	if len(none) == 0 && (pg["count"] != 0.0 || pg["total_pages"] != 1.0 || pg["current"] != 1.0 || pg["start_index"] != 0.0 || pg["end_index"] != 0.0) {
		t.Errorf("empty list: %v", pg)
	}
}

// order pages through the list by every name that ordering takes, and must see each row once.
func (x *subject) order(t *testing.T) {
	all, _ := x.list(t, "page_size=1000")
	response := x.operation(x.row, http.MethodGet).Responses.Value("200").Value.Content["application/json"].Schema.Value
	names := append(slices.Sorted(maps.Keys(response.Properties)), "nonsense", "pk,-pk", "1;drop")
	for _, name := range names {
		for _, sign := range []string{"", "-"} {
			seen := map[string]bool{}
			for page := 1; page <= (len(all)+1)/2; page++ {
				rows, _ := x.list(t, fmt.Sprintf("page_size=2&page=%d&ordering=%s%s", page, sign, strings.ReplaceAll(name, ";", "%3B")))
				for _, row := range rows {
					seen[x.path(row)] = true
				}
			}
			if len(seen) != len(all) {
				t.Errorf("ordering=%s%s: %d of %d rows seen over the pages", sign, name, len(seen), len(all))
			}
		}
	}
}

// filters asks each parameter that is named like a field for a row's value, for nonsense and for nothing.
func (x *subject) filters(t *testing.T) {
	row := x.make(t)
	for _, ref := range x.operation(x.Path, http.MethodGet).Parameters {
		p := ref.Value
		if slices.Contains([]string{"page", "page_size", "ordering", "search"}, p.Name) {
			continue
		}
		x.list(t, p.Name+"=")
		if r := x.admin.Do(t, http.MethodGet, x.Path+"?"+p.Name+"=%00%27%22%7B", nil); r.Status != http.StatusOK && r.Status != http.StatusBadRequest {
			t.Errorf("filter %s with nonsense: %d %s", p.Name, r.Status, r.Raw)
		}
		value, ok := row[p.Name]
		if !ok || value == nil || value == "" || p.Schema.Value.Type.Is("array") {
			continue
		}
		if _, nested := value.(map[string]any); nested {
			continue
		}
		found, _ := x.list(t, "page_size=1000&"+p.Name+"="+escape(value))
		if !slices.ContainsFunc(found, func(o map[string]any) bool { return x.path(o) == x.path(row) }) {
			t.Errorf("filter %s=%v does not find the row that has it", p.Name, value)
		}
		for _, o := range found {
			if !equal(o[p.Name], value) {
				t.Errorf("filter %s=%v finds %v", p.Name, value, o[p.Name])
			}
		}
	}
}
