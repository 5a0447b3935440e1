package resourcetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// equal compares two values by their JSON.
func equal(a, b any) bool { return reflect.DeepEqual(normal(a), normal(b)) }

func normal(v any) any {
	raw, _ := json.Marshal(v)
	var out any
	_ = json.Unmarshal(raw, &out)
	return out
}

func escape(v any) string {
	if n, ok := v.(float64); ok {
		return fmt.Sprint(int64(n))
	}
	return url.QueryEscape(fmt.Sprint(v))
}

func (x *subject) required(t *testing.T) {
	for _, name := range x.schemaOf(x.Path, http.MethodPost).Required {
		x.next++
		body := x.Valid(x.next)
		delete(body, name)
		r := x.admin.Want(t, http.StatusBadRequest, http.MethodPost, x.Path, body)
		if !slices.Equal(r.Texts(name), []string{"This field is required."}) {
			t.Errorf("without %s: %s", name, r.Raw)
		}
		x.wantEvent(t, r, "")
	}
	r := x.admin.Do(t, http.MethodPost, x.Path, nil)
	if len(x.schemaOf(x.Path, http.MethodPost).Required) > 0 && r.Status != http.StatusBadRequest {
		t.Errorf("no body at all: %d %s", r.Status, r.Raw)
	}
}

// fields sends each writable field what it must refuse, on a stored row, which must stay as it is.
func (x *subject) fields(t *testing.T) {
	if !x.serves(http.MethodPatch) {
		t.Skip("PATCH is not served")
	}
	row := x.make(t)
	path := x.path(row)
	refused := func(name string, value any, want string) {
		t.Helper()
		r := x.admin.Do(t, http.MethodPatch, path, map[string]any{name: value})
		if r.Status != http.StatusBadRequest || r.Object(t)[name] == nil {
			t.Errorf("%s = %.40v: %d %s, want 400 about it", name, value, r.Status, r.Raw)
			return
		}
		if want != "" && !slices.Equal(r.Texts(name), []string{want}) {
			t.Errorf("%s = %.40v: %s, want %q", name, value, r.Raw, want)
		}
		x.wantEvent(t, r, "")
	}
	schema := x.schemaOf(x.row, http.MethodPatch)
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		if slices.Contains(x.Skip, name) {
			continue
		}
		p := inner(schema.Properties[name].Value)
		nullable := p.Nullable || schema.Properties[name].Value.Nullable
		if !nullable && p.Type != nil {
			refused(name, nil, "This field may not be null.")
		}
		switch {
		case p.Type.Is("string") && len(p.Enum) > 0:
			refused(name, "no such choice", `"no such choice" is not a valid choice.`)
			refused(name, []any{}, "")
		case p.Type.Is("string") && p.Format == "uuid", p.Type.Is("string") && p.Format == "date-time":
			refused(name, "nonsense", "")
			refused(name, map[string]any{}, "")
		case p.Type.Is("string"):
			refused(name, map[string]any{}, "Not a valid string.")
			refused(name, "a\x00b", "Null characters are not allowed.")
			if p.MinLength == 1 {
				refused(name, "", "This field may not be blank.")
				refused(name, " \t ", "This field may not be blank.")
			}
			if p.MaxLength != nil && p.Pattern == "" && p.Format == "" {
				refused(name, strings.Repeat("é", int(*p.MaxLength)+1), fmt.Sprintf("Ensure this field has no more than %d characters.", *p.MaxLength))
			}
		case p.Type.Is("integer"):
			refused(name, "nonsense", "")
			refused(name, 1.5, "")
			refused(name, 1e15, "")
			refused(name, true, "")
		case p.Type.Is("boolean"):
			refused(name, "perhaps", "Must be a valid boolean.")
			refused(name, []any{}, "Must be a valid boolean.")
		case p.Type.Is("array"):
			refused(name, "nonsense", `Expected a list of items but got type "str".`)
			refused(name, map[string]any{}, `Expected a list of items but got type "dict".`)
		case p.Type.Is("object"):
			refused(name, []any{}, "")
			refused(name, "nonsense", "")
		}
	}
	if after := x.admin.Want(t, http.StatusOK, http.MethodGet, path, nil); !equal(row, after.Body) {
		t.Errorf("the row changed though every change was refused:\n%v\n%v", row, after.Body)
	}
}

// inner looks through allOf with one part.
func inner(s *openapi3.Schema) *openapi3.Schema {
	for len(s.AllOf) == 1 {
		s = s.AllOf[0].Value
	}
	return s
}

func (x *subject) put(t *testing.T) {
	if !x.serves(http.MethodPut) {
		t.Skip("PUT is not served")
	}
	row := x.make(t)
	x.next++
	full := x.Valid(x.next)
	schema := x.schemaOf(x.row, http.MethodPut)
	for _, name := range schema.Required {
		body := maps.Clone(full)
		delete(body, name)
		r := x.admin.Want(t, http.StatusBadRequest, http.MethodPut, x.path(row), body)
		if !slices.Equal(r.Texts(name), []string{"This field is required."}) {
			t.Errorf("PUT without %s: %s", name, r.Raw)
		}
	}
	least := map[string]any{} // only what is required, and as it is stored
	for _, name := range schema.Required {
		least[name] = full[name]
		if v, ok := row[name]; ok {
			least[name] = v
		}
	}
	r := x.admin.Want(t, http.StatusOK, http.MethodPut, x.path(row), least)
	x.matches(t, x.row, http.MethodPut, r)
	x.wantEvent(t, r, "model_updated")
	for name := range schema.Properties {
		switch got := r.Object(t)[name]; {
		case slices.Contains(x.Skip, name):
		case slices.Contains(x.Reset, name):
			if !equal(got, []any{}) && got != nil {
				t.Errorf("PUT without %s: it is %v, want it cleared", name, got)
			}
		case !equal(got, row[name]):
			t.Errorf("PUT without the optional %s changed it from %v to %v", name, row[name], got)
		}
	}
}

func (x *subject) patch(t *testing.T) {
	if !x.serves(http.MethodPatch) {
		t.Skip("PATCH is not served")
	}
	row := x.make(t)
	r := x.admin.Want(t, http.StatusOK, http.MethodPatch, x.path(row), map[string]any{})
	x.matches(t, x.row, http.MethodPatch, r)
	for name := range x.schemaOf(x.row, http.MethodPatch).Properties {
		if !equal(r.Object(t)[name], row[name]) {
			t.Errorf("an empty PATCH changed %s from %v to %v", name, row[name], r.Object(t)[name])
		}
	}
	x.wantEvent(t, r, "model_updated")
	foreign := map[string]any{"no_such_field": 1}
	request := x.schemaOf(x.row, http.MethodPatch)
	for name := range row {
		if request.Properties[name] == nil {
			foreign[name] = []any{"read-only"}
		}
	}
	r = x.admin.Want(t, http.StatusOK, http.MethodPatch, x.path(row), foreign)
	if got := r.Object(t)[x.Lookup]; request.Properties[x.Lookup] == nil && !equal(got, row[x.Lookup]) {
		t.Errorf("PATCH changed the read-only %s to %v", x.Lookup, got)
	}
}

// body sends what is no JSON object.
func (x *subject) body(t *testing.T) {
	for body, want := range map[string]string{
		`{"name": `:               "JSON parse error - ",
		`{} x`:                    "JSON parse error - ",
		"{\"name\": \"\xff\"}":    "JSON parse error - ",
		`NaN`:                     "JSON parse error - ",
		strings.Repeat("[", 5000): "JSON parse error - ",
	} {
		r := x.admin.Want(t, http.StatusBadRequest, http.MethodPost, x.Path, body)
		if detail, _ := r.Object(t)["detail"].(string); !strings.HasPrefix(detail, want) || strings.Contains(r.Raw, ".go") {
			t.Errorf("%.20q: %s", body, r.Raw)
		}
	}
	for body, name := range map[string]string{`[]`: "list", `"x"`: "str", `1`: "int", `1.5`: "float", `null`: "NoneType", `true`: "bool"} {
		r := x.admin.Want(t, http.StatusBadRequest, http.MethodPost, x.Path, body)
		if want := []string{"Invalid data. Expected a dictionary, but got " + name + "."}; !slices.Equal(r.Texts("non_field_errors"), want) {
			t.Errorf("%s: %s", body, r.Raw)
		}
	}
	x.admin.Want(t, http.StatusRequestEntityTooLarge, http.MethodPost, x.Path, `{"name":"`+strings.Repeat("x", 1<<20)+`"}`)
	req := httptest.NewRequest(http.MethodPost, "/api/v3"+x.Path, strings.NewReader("name=x"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	x.Admin(req)
	r := x.admin.Send(t, req)
	if r.Status != http.StatusUnsupportedMediaType || r.Object(t)["detail"] != `Unsupported media type "application/x-www-form-urlencoded" in request.` {
		t.Errorf("a form: %d %s", r.Status, r.Raw)
	}
	r = x.admin.Want(t, http.StatusMethodNotAllowed, "TRACE", x.Path, nil)
	if r.Object(t)["detail"] != `Method "TRACE" not allowed.` {
		t.Errorf("TRACE: %s", r.Raw)
	}
}

// rowMethods are the methods served on a row.
func (x *subject) rowMethods() []string {
	var out []string
	for _, m := range []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if x.serves(m) {
			out = append(out, m)
		}
	}
	return out
}

func (x *subject) unknown(t *testing.T) {
	for _, key := range []string{"00000000-0000-4000-8000-000000000000", "2147483647", "99999999999999999999", "no-such-row", "%00", "%27"} {
		for _, m := range x.rowMethods() {
			r := x.admin.Want(t, http.StatusNotFound, m, x.Path+key+"/", nil)
			if m != http.MethodHead && r.Object(t)["detail"] != "Not found." {
				t.Errorf("%s %s: %s", m, key, r.Raw)
			}
		}
	}
}

func (x *subject) anonymous(t *testing.T) {
	row := x.make(t)
	nobody := Client{Handler: x.Handler}
	const want = "Authentication credentials were not provided."
	check := func(method, path string) {
		t.Helper()
		r := nobody.Want(t, http.StatusForbidden, method, path, nil)
		if r.Object(t)["detail"] != want {
			t.Errorf("%s %s: %s", method, path, r.Raw)
		}
		if r.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s %s: WWW-Authenticate is set", method, path)
		}
	}
	check(http.MethodGet, x.Path)
	check(http.MethodPost, x.Path)
	for _, m := range x.rowMethods() {
		check(m, x.path(row))
	}
	x.admin.Want(t, http.StatusOK, http.MethodGet, x.path(row), nil)
}

func (x *subject) other(t *testing.T) {
	if x.Other == nil {
		t.Skip("nobody else to ask as")
	}
	row := x.make(t)
	other := Client{x.Handler, x.Other}
	rowStatus := http.StatusForbidden
	if x.Owned {
		rowStatus = http.StatusNotFound
		r := other.Want(t, http.StatusOK, http.MethodGet, x.Path, nil)
		if n := len(r.Object(t)["results"].([]any)); n != 0 {
			t.Errorf("somebody who owns nothing sees %d rows", n)
		}
	} else {
		other.Want(t, http.StatusForbidden, http.MethodGet, x.Path, nil)
	}
	for _, m := range x.rowMethods() {
		r := other.Want(t, rowStatus, m, x.path(row), map[string]any{})
		x.wantEvent(t, r, "")
	}
	if x.operation(x.row+"used_by/", http.MethodGet) != nil {
		other.Want(t, rowStatus, http.MethodGet, x.path(row)+"used_by/", nil)
	}
	after := x.admin.Want(t, http.StatusOK, http.MethodGet, x.path(row), nil)
	if !equal(row, after.Body) {
		t.Errorf("the row changed")
	}
}

func (x *subject) usedBy(t *testing.T) {
	if x.operation(x.row+"used_by/", http.MethodGet) == nil {
		t.Skip("used_by is not served")
	}
	row := x.make(t)
	r := x.admin.Want(t, http.StatusOK, http.MethodGet, x.path(row)+"used_by/", nil)
	x.matches(t, x.row+"used_by/", http.MethodGet, r)
	if _, ok := r.Body.([]any); !ok {
		t.Errorf("used_by is no list: %s", r.Raw)
	}
}

func (x *subject) destroy(t *testing.T) {
	row := x.make(t)
	r := x.admin.Want(t, http.StatusNoContent, http.MethodDelete, x.path(row), nil)
	if r.Raw != "" {
		t.Errorf("204 with a body: %s", r.Raw)
	}
	x.wantEvent(t, r, "model_deleted")
	x.admin.Want(t, http.StatusNotFound, http.MethodGet, x.path(row), nil)
	x.admin.Want(t, http.StatusNotFound, http.MethodDelete, x.path(row), nil)
}
