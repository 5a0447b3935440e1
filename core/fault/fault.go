package fault

import (
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"
)

// Kind says what sort of failure an Error is. Each has one HTTP status.
type Kind int

// The kinds. Missing or bad credentials are Denied (403, never 401): the wire contract names no challenge
// scheme (core.md §7.1).
const (
	Internal     Kind = iota // 500: a fault of ours; the text is fixed
	Invalid                  // 400: the request is wrong, Fields say where
	Denied                   // 403: not authenticated, or not permitted
	NotFound                 // 404: no such thing, or none that the caller may see
	Method                   // 405: the path exists, the method does not
	Conflict                 // 409: the state does not allow it
	TooLarge                 // 413: the body is over the limit
	MediaType                // 415: the body is not of a type that is read
	Throttled                // 429: too often; RetryAfter says when again
	Unavailable              // 503: something that we need is away; trying again helps
	Unauthorized             // 401: a phone with a key has to prove that it has it (RFC 9449); nobody else gets it
	Misdirected              // 421: the server does not answer under the name that was asked for (RFC 9110 §15.5.20)
)

var statuses = map[Kind]int{
	Internal: http.StatusInternalServerError, Invalid: http.StatusBadRequest, Denied: http.StatusForbidden,
	NotFound: http.StatusNotFound, Method: http.StatusMethodNotAllowed, Conflict: http.StatusConflict,
	TooLarge: http.StatusRequestEntityTooLarge, MediaType: http.StatusUnsupportedMediaType,
	Throttled: http.StatusTooManyRequests, Unavailable: http.StatusServiceUnavailable, Unauthorized: http.StatusUnauthorized,
	Misdirected: http.StatusMisdirectedRequest,
}

// Status is the HTTP status of the kind.
func (k Kind) Status() int { return statuses[k] }

// NonField is the key for violations that belong to the whole body (core.md §7.4).
const NonField = "non_field_errors"

// Violation is one thing wrong with one field: a text for people and a code for programs, the latter in Django
// REST framework's words: required, invalid, blank, null, invalid_choice, unique, max_length, does_not_exist …
type Violation struct {
	Text string
	Code string
}

// Fields are the violations by JSON key; a nested key is joined by dots ("info.platform").
type Fields map[string][]Violation

// Add appends one violation to a field.
func (f Fields) Add(field, code, text string) {
	f[field] = append(f[field], Violation{Text: text, Code: code})
}

// Err is nil when no violation was added, else an Invalid error that holds them.
func (f Fields) Err() error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Code: "invalid", Fields: f}
}

// Error is a failure that a client may be told of. Detail is safe to show; Cause is for the log alone.
type Error struct {
	Kind       Kind
	Code       string         // for programs, for example "not_found"; may be empty
	Detail     string         // for people; the body's "detail" when there are no Fields
	Fields     Fields         // for Invalid
	Facts      map[string]any // further members of the body beside Fields, for programs
	RetryAfter time.Duration  // for Throttled and Unavailable; 0 is unknown
	Cause      error          // private
}

// New makes an error of a kind with a safe text.
func New(kind Kind, code, detail string) *Error {
	return &Error{Kind: kind, Code: code, Detail: detail}
}

// Field makes an Invalid error about one field.
func Field(field, code, text string) *Error {
	return &Error{Kind: Invalid, Code: "invalid", Fields: Fields{field: {{Text: text, Code: code}}}}
}

// Missing is the answer for a thing that is not there or not visible: 404 "Not found.".
func Missing() *Error { return New(NotFound, "not_found", "Not found.") }

// Forbidden is the answer for a caller without the permission.
func Forbidden() *Error {
	return New(Denied, "permission_denied", "You do not have permission to perform this action.")
}

// Wrap gives the error a private cause and returns a copy, so that shared values stay as they are.
func (e *Error) Wrap(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// Status is the HTTP status of the error.
func (e *Error) Status() int { return e.Kind.Status() }

// Error is for logs: it holds the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Detail)
	names := make([]string, 0, len(e.Fields))
	for n := range e.Fields {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		for _, v := range e.Fields[n] {
			if b.Len() > 0 {
				b.WriteString("; ")
			}
			fmt.Fprintf(&b, "%s: %s", n, v.Text)
		}
	}
	if b.Len() == 0 {
		b.WriteString(http.StatusText(e.Status()))
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, " (%v)", e.Cause)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// As finds the fault in err's chain. What is none becomes Internal with err as its cause; nil stays nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Code: "internal", Detail: "Internal server error.", Cause: err}
}

// Is tells whether err's chain holds a fault of the kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}
