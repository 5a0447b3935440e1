package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/resource"
)

// App is the application label of events in permissions.
const App = "authentik_events"

// ViewEvent is the permission to read the log.
const ViewEvent = App + ".view_event"

// CountLimit is how far a list counts its events.
const CountLimit = 100_000

// Event is one row of the log as /events/events/ shows it. User, context and brand are any JSON.
type Event struct {
	PK       uuid.UUID       `json:"pk" db:"event_uuid" api:"pk,ro,title=Event uuid"`
	User     json.RawMessage `json:"user" db:"user"`
	Action   event.Action    `json:"action" db:"action" api:"required"`
	App      string          `json:"app" db:"app" api:"required"`
	Context  json.RawMessage `json:"context" db:"context"`
	ClientIP *string         `json:"client_ip" db:"client_ip"`
	Created  time.Time       `json:"created" db:"created" api:"ro"`
	Expires  time.Time       `json:"expires" db:"expires"`
	Brand    json.RawMessage `json:"brand" db:"brand"`
}

// Log serves and cleans the audit log.
type Log struct {
	Pool      *pgxpool.Pool
	Retention time.Duration // of events made by POST; 0 is event.DefaultRetention
	Now       func() time.Time
}

// filters are those of the list and of volume/. A model's key is stored without dashes.
var filters = []resource.Filter{
	{Name: "action", SQL: `strpos(lower(t.action), lower($1)) > 0`},
	{Name: "brand_name", SQL: `t.brand->>'name' = $1`, Doc: "Brand name"},
	{Name: "client_ip", SQL: `t.client_ip = $1`},
	{Name: "context_authorized_app", SQL: `t.context->'authorized_application'->>'pk' = replace($1, '-', '')`, Doc: "Context Authorized application"},
	{Name: "context_model_app", SQL: `t.context->'model'->>'app' = $1`, Doc: "Context Model App"},
	{Name: "context_model_name", SQL: `t.context->'model'->>'model_name' = $1`, Doc: "Context Model Name"},
	{Name: "context_model_pk", SQL: `t.context->'model'->>'pk' = replace($1, '-', '')`, Doc: "Context Model Primary Key"},
	{Name: "username", SQL: `t."user"->>'username' = $1`, Doc: "Username"},
}

// volumeQuery documents the parameters that volume/ takes from the list.
func volumeQuery() []api.Parameter {
	out := []api.Parameter{{Name: "ordering", Description: "Which field to use when ordering the results."}, {Name: "search", Description: "A search term."}}
	for _, f := range filters {
		out = append(out, api.Parameter{Name: f.Name, Description: f.Doc})
	}
	return out
}

// Mount adds /events/events/ and all below it.
func (l *Log) Mount(a *api.API, reg *resource.Registry) {
	resource.Mount(reg, resource.Def[Event]{
		Name: "event", App: App, Label: "Event", Path: "/events/events/", Table: "events", Doc: "Event Read-Only Viewset",
		Display: "action", Silent: true, Count: CountLimit,
		Verbs:   resource.Verbs{resource.List, resource.Create, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy},
		Filters: filters, Order: []string{"-created"},
		Search: []string{"t.event_uuid::text", `t."user"::text`, "action", "app", "t.context::text", "client_ip"},
		Allow: func(a *rbac.Actor, v resource.Verb, _ *Event) bool {
			switch v {
			case resource.Update, resource.PartialUpdate, resource.Destroy:
				return false
			}
			return a.Can(v.Permission(App, "event"))
		},
		New: func() Event {
			now := l.Now()
			retention := l.Retention
			if retention == 0 {
				retention = event.DefaultRetention
			}
			empty := json.RawMessage("{}")
			return Event{User: empty, Context: empty, Brand: empty, Created: now, Expires: now.Add(retention)}
		},
		Validate: l.validate,
		Actions: []resource.Action[Event]{
			resource.OnList(api.Operation{Method: "GET", Path: "volume/", Query: volumeQuery(),
				Description: "Get event volume for specified filters and timeframe"}, l.volume),
		},
	})
	api.Handle(a, api.Operation{Method: "GET", Path: "/events/events/actions/", Description: "Get all actions"}, l.actions)
	api.Handle(a, api.Operation{Method: "GET", Path: "/events/events/per_month/", Description: "Get the count of events per month",
		Permission: ViewEvent, Query: []api.Parameter{{Name: "action"}, {Name: "query"}}}, l.perMonth)
	api.Handle(a, api.Operation{Method: "GET", Path: "/events/events/top_per_user/", Description: "Get the top_n events grouped by user count",
		Permission: ViewEvent, Query: []api.Parameter{{Name: "action"}, {Name: "top_n", Type: "integer"}}}, l.topPerUser)
}

// validate completes an event that was reported by POST. Who reported it is put into its context, so that an event
// that names another user as its own cannot be taken for one that the server saw.
func (l *Log) validate(_ context.Context, _ pgx.Tx, c *resource.Change[Event]) error {
	errs := fault.Fields{}
	if ip := c.Row.ClientIP; ip != nil {
		addr, err := netip.ParseAddr(*ip)
		if err != nil {
			errs.Add("client_ip", "invalid", "Enter a valid IPv4 or IPv6 address.")
		} else {
			*ip = addr.Unmap().WithZone("").String()
		}
	}
	var values map[string]any
	if json.Unmarshal(c.Row.Context, &values) != nil || values == nil {
		errs.Add("context", "invalid", "Expected a JSON object.")
	}
	if err := errs.Err(); err != nil {
		return err
	}
	values["reported_by"] = event.ActorUser(c.Actor)
	raw, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("encode context of a reported event: %w", err)
	}
	c.Row.Context = raw
	return nil
}

func (l *Log) actions(context.Context, *api.Request, api.None) ([]resource.TypeInfo, error) {
	var out []resource.TypeInfo
	for _, a := range event.Actions() {
		out = append(out, resource.TypeInfo{Name: a.Label(), Component: string(a)})
	}
	return out, nil
}

func (l *Log) volume(ctx context.Context, c *resource.Rows[Event], _ api.None) ([]Coordinate, error) {
	return Series(ctx, c.DB, c.Where, l.Now(), Week, WeekSteps)
}

// monthKeys are what per_month's query may look at. It is never more than an equality.
var monthKeys = map[string]string{
	"app": `t.app`, "client_ip": `t.client_ip`, "brand__name": `t.brand->>'name'`,
	"user__pk": `t."user"->>'pk'`, "user__username": `t."user"->>'username'`,
	"context__authorized_application__pk": `t.context->'authorized_application'->>'pk'`,
	"context__model__pk":                  `t.context->'model'->>'pk'`,
	"context__model__app":                 `t.context->'model'->>'app'`,
	"context__model__model_name":          `t.context->'model'->>'model_name'`,
}

func (l *Log) perMonth(ctx context.Context, r *api.Request, _ api.None) ([]Coordinate, error) {
	where := db.Pred{SQL: `t.action = $1`, Args: []any{parameter(r, "action", string(event.Login))}}
	if text := r.Query().Get("query"); text != "" {
		var query map[string]any
		if err := json.Unmarshal([]byte(text), &query); err != nil {
			return nil, fault.Field("query", "invalid", "Value must be valid JSON.")
		}
		for key, value := range query {
			expr, ok := monthKeys[key]
			if !ok {
				return nil, fault.Field("query", "invalid", "Unknown key: "+key)
			}
			text := fmt.Sprint(value)
			if strings.HasSuffix(key, "__pk") {
				text = strings.ReplaceAll(text, "-", "")
			}
			where = db.And(where, db.Pred{SQL: expr + ` = $1`, Args: []any{text}})
		}
	}
	return Series(ctx, l.Pool, where, l.Now(), 28*24*time.Hour, 30)
}

// EventTopPerUser is an application and how it is used.
type EventTopPerUser struct {
	Application   map[string]any `json:"application" api:"required"`
	CountedEvents int            `json:"counted_events" api:"required"`
	UniqueUsers   int            `json:"unique_users" api:"required"`
}

func (l *Log) topPerUser(ctx context.Context, r *api.Request, _ api.None) ([]EventTopPerUser, error) {
	top, ok, err := r.Int("top_n")
	switch {
	case err != nil:
		return nil, err
	case !ok:
		top = 15
	}
	rows, err := l.Pool.Query(ctx, `SELECT context->'authorized_application', count(*), count(DISTINCT "user"->>'pk')
		FROM events WHERE action = $1 AND jsonb_typeof(context->'authorized_application') = 'object'
		GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $2`, parameter(r, "action", string(event.Login)), max(0, min(top, 100)))
	if err != nil {
		return nil, fmt.Errorf("count events by application: %w", db.Fault(err))
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[EventTopPerUser])
	if err != nil {
		return nil, fmt.Errorf("count events by application: %w", db.Fault(err))
	}
	return out, nil
}

func parameter(r *api.Request, name, fallback string) string {
	if v := r.Query().Get(name); v != "" {
		return v
	}
	return fallback
}

// cleanBatch bounds one statement of the clean-up, so that it holds no lock for long.
const cleanBatch = 5000

// Clean deletes the events that have expired and tells how many.
func (l *Log) Clean(ctx context.Context) (int, error) {
	total := 0
	for {
		tag, err := l.Pool.Exec(ctx, `DELETE FROM events WHERE event_uuid IN
			(SELECT event_uuid FROM events WHERE expires < $1 ORDER BY expires LIMIT $2)`, l.Now(), cleanBatch)
		if err != nil {
			return total, fmt.Errorf("clean up events: %w", db.Fault(err))
		}
		n := int(tag.RowsAffected())
		total += n
		if n < cleanBatch {
			return total, nil
		}
	}
}
