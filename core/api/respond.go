package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"countersign/core/db"
	"countersign/core/fault"
)

const internalText = "Internal server error."

// JSON writes a response body. Structs are written by their declaration: write-only fields never, nil lists as [].
func (r *Request) JSON(status int, body any) error {
	out, err := r.api.schemas.Append(make([]byte, 0, 1024), body)
	if err != nil {
		return fmt.Errorf("write %s: %w", r.route.id, err)
	}
	r.bytes(status, "application/json", out)
	return nil
}

func (r *Request) bytes(status int, contentType string, body []byte) {
	h := r.Writer.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	r.Writer.WriteHeader(status)
	if r.HTTP.Method != http.MethodHead {
		_, _ = r.Writer.Write(body) // the client is gone; the log line says so
	}
}

// fail is the one error writer: what the fault says goes to the client, what caused it to the log.
func (a *API) fail(r *Request, err error) int {
	if db.Away(err) {
		err = db.Fault(err)
	}
	f := fault.As(err)
	status := f.Status()
	if status >= http.StatusInternalServerError {
		a.o.Log.Error("request failed", "id", r.id, "operation", r.route.id, "error", err)
	}
	if f.RetryAfter > 0 {
		r.Writer.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	switch {
	case f.Kind == fault.Invalid && len(f.Fields) > 0:
		members := nest(f.Fields)
		maps.Copy(members, f.Facts)
		body, _ := json.Marshal(members)
		r.bytes(status, "application/json", body)
	case f.Kind == fault.Invalid && f.Detail == "":
		r.Writer.WriteHeader(status) // some actions answer 400 without a body (core.md §7.4)
	default:
		detail := f.Detail
		if f.Kind == fault.Internal || detail == "" {
			detail = map[bool]string{true: internalText, false: http.StatusText(status)}[f.Kind == fault.Internal]
		}
		body, _ := json.Marshal(struct {
			Detail string `json:"detail"`
			Code   string `json:"code,omitempty"`
		}{detail, f.Code})
		r.bytes(status, "application/json", body)
	}
	return status
}

// nest turns {"a.b": …} into {"a": {"b": ["text"]}}. Where both "a" and "a.b" have violations, a's own go under
// non_field_errors.
func nest(fields fault.Fields) map[string]any {
	out := map[string]any{}
	names := make([]string, 0, len(fields))
	for n := range fields {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, name := range names {
		texts := make([]string, len(fields[name]))
		for i, v := range fields[name] {
			texts[i] = v.Text
		}
		at, path := out, strings.Split(name, ".")
		for _, p := range path[:len(path)-1] {
			inner, ok := at[p].(map[string]any)
			if !ok {
				inner = map[string]any{}
				if own, ok := at[p].([]string); ok {
					inner[fault.NonField] = own
				}
				at[p] = inner
			}
			at = inner
		}
		at[path[len(path)-1]] = texts
	}
	return out
}

func notFound(context.Context, *Request) error { return fault.Missing() }

func methodNotAllowed(_ context.Context, r *Request) error {
	return fault.New(fault.Method, "method_not_allowed", fmt.Sprintf("Method \"%s\" not allowed.", r.HTTP.Method))
}
