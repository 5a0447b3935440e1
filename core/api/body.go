package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/core/api/schema"
	"countersign/core/fault"
)

// maxDepth bounds how deep a body's objects and lists may nest.
const maxDepth = 64

// Decode reads the body into a pointer to a struct, as Handle does; what the struct holds is the default of absent keys.
// Errors: TooLarge, MediaType, Invalid.
func (a *API) Decode(r *Request, into any) error {
	mode := schema.Create
	if r.HTTP.Method == http.MethodPatch {
		mode = schema.Patch
	}
	return a.decode(r, into, mode)
}

func (a *API) decode(r *Request, into any, mode schema.Mode) error {
	sent, err := r.Object()
	if err != nil {
		return err
	}
	v := reflect.ValueOf(into).Elem()
	o, err := a.schemas.Object(v.Type())
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	o.Defaults(v)
	return o.Decode(sent, v, mode).Err()
}

// Bytes are the body as it was sent; nil for none. Errors: TooLarge, Invalid.
func (r *Request) Bytes() ([]byte, error) {
	if r.read {
		return r.raw, nil
	}
	raw, err := r.readBody()
	if err != nil {
		return nil, err
	}
	r.raw, r.read = raw, true
	return raw, nil
}

// Object reads the body as a JSON object, its values not yet looked at. No body at all is an empty object.
// Errors: TooLarge, MediaType, Invalid.
func (r *Request) Object() (map[string]json.RawMessage, error) {
	raw, err := r.Bytes()
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	if err := jsonOnly(r.HTTP); err != nil {
		return nil, err
	}
	return parseObject(raw)
}

// readBody reads within the limits of size and time.
func (r *Request) readBody() ([]byte, error) {
	if r.HTTP.Body == nil || r.HTTP.Body == http.NoBody {
		return nil, nil
	}
	limit := r.route.op.BodyLimit
	if limit == 0 {
		limit = r.api.o.BodyLimit
	}
	tooLarge := fault.New(fault.TooLarge, "too_large", fmt.Sprintf("The request body is larger than %d bytes.", limit))
	if r.HTTP.ContentLength > limit {
		return nil, tooLarge
	}
	// A slow sender must not hold us; but the deadline must be gone before the handler waits for a phone. The kernel
	// keeps it, so it is by the wall clock, whatever Options.Now says.
	control := http.NewResponseController(r.Writer)
	if control.SetReadDeadline(time.Now().Add(r.api.o.ReadTimeout)) == nil {
		defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	}
	body := http.MaxBytesReader(r.Writer, r.HTTP.Body, limit)
	var raw []byte
	var err error
	if n := r.HTTP.ContentLength; n > 0 { // a request that is held keeps its body: just as much as there is
		raw = make([]byte, n)
		_, err = io.ReadFull(body, raw)
	} else {
		raw, err = io.ReadAll(body)
	}
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fault.New(fault.Invalid, "timeout", "The request body did not arrive in time.").Wrap(err)
	case err != nil:
		return nil, fault.New(fault.Invalid, "parse_error", "The request body could not be read.").Wrap(err)
	}
	return raw, nil
}

func jsonOnly(r *http.Request) error {
	header := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(header)
	if charset := params["charset"]; err != nil || media != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		if len(header) > 100 {
			header = header[:100]
		}
		return fault.New(fault.MediaType, "unsupported_media_type", fmt.Sprintf("Unsupported media type \"%s\" in request.", header))
	}
	return nil
}

// parseObject splits a JSON object into its keys; of a repeated key the last counts.
func parseObject(raw []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(raw) {
		return nil, parseError("the body is not UTF-8")
	}
	if depth(raw) > maxDepth {
		return nil, parseError(fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	var sent map[string]json.RawMessage
	err := json.Unmarshal(raw, &sent)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		before := raw[:max(0, min(int(syntax.Offset)-1, len(raw)))]
		line := bytes.Count(before, []byte{'\n'}) + 1
		column := len(before) - bytes.LastIndexByte(before, '\n')
		return nil, parseError(fmt.Sprintf("unexpected input: line %d column %d (char %d)", line, column, len(before)))
	case err != nil || sent == nil:
		trimmed := bytes.TrimSpace(raw)
		if len(trimmed) == 0 {
			return nil, parseError("unexpected end")
		}
		return nil, fault.Field(fault.NonField, "invalid", "Invalid data. Expected a dictionary, but got "+schema.TypeName(trimmed)+".")
	}
	return sent, nil
}

func parseError(what string) error {
	return fault.New(fault.Invalid, "parse_error", "JSON parse error - "+what)
}

// depth is how deep brackets nest, strings left aside.
func depth(raw []byte) (deepest int) {
	open, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			open++
			deepest = max(deepest, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return deepest
}
