package event

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"countersign/core/db"
	"countersign/core/rbac"
)

// Event is one thing that happened. Context is sanitised when it is written; the caller's map is not changed.
type Event struct {
	Action  Action
	App     string         // the package that speaks, in the wire's words: "authentik.core"
	Context map[string]any // what the reader needs to understand it; values may be structs, they pass through JSON
	User    *User          // who did it, where that is not the request's actor: a failed login's claimed user
	Owner   int            // the user whose thing it is, for Log.Beside; it is not written. 0: not known, or nobody's
}

// User is a person inside an event.
type User struct {
	PK          int    `json:"pk"`
	Username    string `json:"username"`
	Email       string `json:"email"`
	IsAnonymous bool   `json:"is_anonymous,omitempty"`
	OnBehalfOf  *User  `json:"on_behalf_of,omitempty"` // the impersonated user; the outer one is who really acted
}

// ActorUser is the actor as an event shows them; nil for nobody.
func ActorUser(a *rbac.Actor) *User {
	if a == nil {
		return nil
	}
	return &User{PK: a.ID, Username: a.Username, Email: a.Email}
}

// Ref is a stored object inside an event, as context.model and brand show it.
type Ref struct {
	PK        any    `json:"pk"`         // an integer, or a UUID as 32 hexadecimal digits
	App       string `json:"app"`        // "authentik_core"
	Name      string `json:"name"`       // for people
	ModelName string `json:"model_name"` // "user"
}

// Changed is a text field in context.diff, under the field's name.
type Changed struct {
	From string `json:"previous_value"`
	To   string `json:"new_value"`
}

// The context of an event by which a phone's pushes go to another address than before has PushAddress: Replaced. The
// addresses themselves are in no event: who has one can send to it.
const (
	PushAddress = "push_address"
	Replaced    = "replaced"
)

// The context of a suspicious_request of which the user is to be told has Suspicion: why.
const (
	Suspicion    = "suspicion"
	PhoneFlooded = "phone_flooded" // a phone rang in vain as often as it may
	PhoneReport  = "phone_report"  // somebody said on a phone that a login, or what else was asked, was not theirs
	NoLogin      = "no_login"      // of that, true: what was asked was an application's request
	Effects      = "effects"       // of that, a []string
	AskedFrom    = "asked_from"    // the address of the browser that asked, as the event's own is the phone's
)

// PhoneKeys in the context of an event, as Replaced, says that a phone signs with other keys than before.
const PhoneKeys = "signing_with"

// Model makes a Ref. A uuid.UUID as pk is written as 32 hexadecimal digits, as the wire has it.
func Model(pk any, app, modelName, name string) Ref {
	if id, ok := pk.(uuid.UUID); ok {
		pk = hexID(id)
	}
	return Ref{PK: pk, App: app, Name: name, ModelName: modelName}
}

func hexID(id uuid.UUID) string { return strings.ReplaceAll(id.String(), "-", "") }

// Origin is where a deed comes from: the request, its caller and the brand it came to. It is made once a request, and
// Actor is filled in when authentication is done.
type Origin struct {
	RequestID string
	ClientIP  netip.Addr
	UserAgent string
	Method    string
	Path      string
	Query     url.Values // the flow executor puts the wrapped query here
	Host      string
	Scheme    string
	Actor     *rbac.Actor
	Brand     *Ref
}

type originKey struct{}

// WithOrigin puts the origin into the context. The pointer is kept, so that its owner can fill it in later.
func WithOrigin(ctx context.Context, o *Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// From is the context's origin, or an empty one. It is never nil.
func From(ctx context.Context) *Origin {
	if o, ok := ctx.Value(originKey{}).(*Origin); ok && o != nil {
		return o
	}
	return &Origin{}
}

// DefaultRetention is how long events are kept where Log.Retention is zero.
const DefaultRetention = 365 * 24 * time.Hour

// noIP stands for "not known" in client_ip (ring.md §5.1).
const noIP = "255.255.255.255"

// InsertSQL writes one event; Log.Args gives its nine arguments. In a statement that has arguments already, use
// db.Renumber(InsertSQL, n).
const InsertSQL = `INSERT INTO events (event_uuid, action, app, context, "user", brand, client_ip, created, expires)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// Log writes events. The zero value keeps them for DefaultRetention and uses the wall clock.
type Log struct {
	Retention time.Duration
	Now       func() time.Time

	// Beside, where there is one, gives a statement that happens together with the event, in the same round trip; "" for
	// most events. The statement must not begin with WITH. It is set before the first event, must be quick, and is not
	// asked by those who use Args and InsertSQL.
	Beside func(ctx context.Context, e Event) (sql string, args []any, err error)
}

// Emit writes the event with q, the transaction of the deed. Its error must undo the deed.
func (l *Log) Emit(ctx context.Context, q db.Querier, e Event) error {
	sql, args, err := l.Statement(ctx, e)
	if err != nil {
		return err
	}
	if _, err := q.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("write event %s: %w", e.Action, err)
	}
	return nil
}

// Statement is what writes the event, and what is to happen beside it, for a batch of the caller's. Errors: those of
// Args, and of Beside.
func (l *Log) Statement(ctx context.Context, e Event) (sql string, args []any, err error) {
	if args, err = l.Args(ctx, e); err != nil || l.Beside == nil {
		return InsertSQL, args, err
	}
	beside, more, err := l.Beside(ctx, e)
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("write event %s: %w", e.Action, err)
	case beside == "":
		return InsertSQL, args, nil
	}
	return "WITH event AS (" + InsertSQL + ") " + db.Renumber(beside, len(args)+1), append(args, more...), nil
}

// Args are the arguments of InsertSQL for the event, with what ctx's Origin adds, so that a hot path can send it in a
// batch of its own. It fails only for an event without an action, or a context that cannot become JSON.
func (l *Log) Args(ctx context.Context, e Event) ([]any, error) {
	if e.Action == "" {
		return nil, fmt.Errorf("write event: no action")
	}
	o := From(ctx)
	values := maps.Clone(e.Context)
	if o.Method != "" || o.Path != "" {
		if values == nil {
			values = map[string]any{}
		}
		values["http_request"] = httpRequest(o)
	}
	payload, err := encodeContext(values)
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", e.Action, err)
	}
	user := e.User
	if user == nil {
		user = ActorUser(o.Actor)
	}
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	at := now()
	ip := noIP
	if o.ClientIP.IsValid() {
		ip = o.ClientIP.Unmap().WithZone("").String()
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", e.Action, err)
	}
	return []any{id, string(e.Action), cmp.Or(e.App, "authentik.core"), payload, object(user), object(o.Brand),
		ip, at, at.Add(cmp.Or(l.Retention, DefaultRetention))}, nil
}

func httpRequest(o *Origin) map[string]any {
	args := make(map[string]any, len(o.Query))
	for name, values := range o.Query {
		if len(values) > 0 {
			args[name] = values[len(values)-1]
		}
	}
	return map[string]any{"path": o.Path, "method": o.Method, "args": args, "user_agent": o.UserAgent, "request_id": o.RequestID}
}

// object is v as a jsonb argument; {} for nil. pgx takes json.RawMessage as it is.
func object[T any](v *T) json.RawMessage {
	if v == nil {
		return json.RawMessage("{}")
	}
	data, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("{}") // neither User nor Ref with an int or string pk can fail
	}
	return dropNUL(data)
}
