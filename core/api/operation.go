package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"

	"countersign/core/api/schema"
)

// Access says who may call an operation at all; what they may then do is Permission's and the handler's affair.
type Access int

// The accesses. With Authenticated and Anonymous the platform's authenticators run, so bad credentials are refused
// by both (core.md §7.1). Open runs none: the operation knows its own credentials, as a phone's device token.
const (
	Authenticated Access = iota // an actor is needed; 403 without
	Anonymous                   // Request.Actor may be nil
	Open                        // the platform looks at no credentials; Request.Actor is nil
)

// None is the body of an operation that reads, or writes, none.
type None struct{}

// Parameter is one query parameter as the document shows it. It documents; the handler reads with Request.Query,
// Bool or Int.
type Parameter struct {
	Name        string
	Type        string // string (default), integer, number, boolean
	List        bool   // may be repeated: an array of Type, form style, exploded
	Format      string // uuid, date-time …
	Enum        []string
	Default     any
	Required    bool
	Description string
}

// Operation declares one route. The zero value of a field means the usual.
type Operation struct {
	Method string // GET, POST, PUT, PATCH, DELETE
	Path   string // below /api/v3, with a slash at both ends: "/core/users/{id}/"

	ID          string // default by path and method: core_users_set_password_create, …_list when O is a slice
	Tag         string // default: the first segment of the path
	Description string
	Query       []Parameter
	Params      []Parameter // how the path's parameters are documented; default: a string

	Access Access
	// Guard checks the credentials that an Open operation knows itself. It is asked when the body is at fault, so that
	// nobody is told of fields who may not call at all; the handler checks them in any case.
	Guard      func(ctx context.Context, r *Request) error
	Security   []string // scheme names in the document; default: the first of Options.Schemes
	Permission string   // asked of Actor.Can before the handler runs; 403 without
	Status     int      // of success; default 200, 204 when O is None
	BodyLimit  int64    // bytes; default Options.BodyLimit

	Request  any  // Raw only: an example value, or a Union, whose schema the document shows
	Response any  // Raw only, as Request
	NotFound bool // document 404 as one of the answers

	request, response reflect.Type // Handle's I and O
}

// Union is a body that is one of several objects, told apart by the value of one property: OpenAPI's oneOf with a
// discriminator. It is for documents (Operation.Request, Operation.Response).
type Union = schema.Union

// Handle adds an operation whose request body is I and whose response is O; None means no body. The body is read
// within its limit, must be JSON, is checked field by field (package schema) and every violation is reported at
// once. The error that fn returns is written by the one error writer: fault.As decides. A wrong declaration panics.
func Handle[I, O any](a *API, op Operation, fn func(ctx context.Context, r *Request, in I) (O, error)) {
	op.request, op.response = bodyType[I](), bodyType[O]()
	if op.request != nil && op.request.Kind() != reflect.Struct {
		panic(fmt.Sprintf("api: operation %s %s: the request body %s is no struct; use Raw with Request.Object", op.Method, op.Path, op.request))
	}
	status := op.status()
	var partial schema.Mode
	if op.Method == http.MethodPatch {
		partial = schema.Patch
	}
	a.add(op, func(ctx context.Context, r *Request) error {
		var in I
		if op.request != nil {
			if err := a.decode(r, &in, partial); err != nil {
				if op.Guard != nil {
					if refused := op.Guard(ctx, r); refused != nil {
						return refused
					}
				}
				return err
			}
		}
		out, err := fn(ctx, r, in)
		if err != nil {
			return err
		}
		if op.response == nil {
			r.Writer.WriteHeader(status)
			return nil
		}
		return r.JSON(status, out)
	})
}

// Raw adds an operation that writes its own response through r.Writer; an error that it returns before writing goes
// to the one error writer. Operation.Request and Response say what the document shows.
func (a *API) Raw(op Operation, fn func(ctx context.Context, r *Request) error) {
	if op.Request != nil {
		op.request = reflect.TypeOf(op.Request)
	}
	if op.Response != nil {
		op.response = reflect.TypeOf(op.Response)
	}
	a.add(op, fn)
}

// bodyType is the type of a body, nil for None.
func bodyType[T any]() reflect.Type {
	t := reflect.TypeFor[T]()
	if t == reflect.TypeFor[None]() {
		return nil
	}
	return t
}
