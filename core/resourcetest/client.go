package resourcetest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Response is one answer, read.
type Response struct {
	Status int
	Header http.Header
	Raw    string
	Body   any // decoded JSON; nil when there is none
}

// Object is the body as an object.
func (r *Response) Object(t testing.TB) map[string]any {
	t.Helper()
	o, ok := r.Body.(map[string]any)
	if !ok {
		t.Fatalf("the body is no object: %d %s", r.Status, r.Raw)
	}
	return o
}

// Texts are the messages about a field; a dot steps into a nested object.
func (r *Response) Texts(field string) []string {
	at := r.Body
	for name := range strings.SplitSeq(field, ".") {
		o, _ := at.(map[string]any)
		at = o[name]
	}
	list, _ := at.([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Client calls a handler below /api/v3.
type Client struct {
	Handler http.Handler
	As      func(*http.Request) // adds credentials; nil: anonymous
}

// Do sends a request. body is nil for none, a string or []byte as it is, or a value to send as JSON.
func (c Client) Do(t testing.TB, method, path string, body any) *Response {
	t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(raw)
	}
	req := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), method, "/api/v3"+path, reader)
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.As != nil {
		c.As(req)
	}
	return c.Send(t, req)
}

// Send sends a request that is made already.
func (c Client) Send(t testing.TB, req *http.Request) *Response {
	t.Helper()
	rec := httptest.NewRecorder()
	c.Handler.ServeHTTP(rec, req)
	out := &Response{Status: rec.Code, Header: rec.Header(), Raw: rec.Body.String()}
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") && rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &out.Body); err != nil {
			t.Fatalf("%s %s: not JSON: %v: %s", req.Method, req.URL.Path, err, out.Raw)
		}
	}
	return out
}

// Want sends a request and fails unless the status is the wanted one.
func (c Client) Want(t testing.TB, status int, method, path string, body any) *Response {
	t.Helper()
	r := c.Do(t, method, path, body)
	if r.Status != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.Status, status, r.Raw)
	}
	return r
}

// Document fetches and loads the served OpenAPI document.
func Document(t testing.TB, h http.Handler) *openapi3.T {
	t.Helper()
	r := Client{Handler: h}.Want(t, http.StatusOK, http.MethodGet, "/schema/?format=json", nil)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(r.Raw))
	if err != nil {
		t.Fatalf("load the document: %v", err)
	}
	return doc
}
