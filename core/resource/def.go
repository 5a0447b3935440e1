package resource

import (
	"context"

	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/rbac"
)

// Def is what a package hands to Mount; the zero value of every hook means "the usual". T is a struct: one row, one
// JSON object and three schemas. Its tags say the facts of each field (package core/api/schema).
type Def[T any] struct {
	Name   string // model name in permissions, events, refs and used_by: "user"
	App    string // application label in events and used_by: "authentik_core"
	Label  string // for people; default: the schema name of T
	Plural string // for people; default: Label + "s"
	Path   string // "/core/users/"
	Table  string // queries call it t: "SELECT … FROM users t"
	Doc    string // description of the operations

	Verbs   Verbs  // which of the seven are served; default All
	Lookup  string // JSON name of the field in the path; default: the key
	Param   string // name of the path parameter; default: Lookup's column (contract: {id}, {group_uuid}, {slug})
	Display string // JSON name of the field that names a row to people; default "name", else the key

	Computed map[string]string // JSON name of a read-only field → SQL over t: "user_is_superuser(t.id)"
	Many     []Many            // lists of keys kept in a link table
	Unique   [][]string        // JSON names that are unique together, as the table's constraint has them

	Filter  []string          // JSON names; equality on a field
	Filters []Filter          // parameters with SQL of their own
	Flags   []Flag            // boolean parameters that Load reads: include_groups
	Search  []string          // JSON names, or SQL over t
	Order   []string          // default order: JSON names, "-" for descending; the key always comes last
	OrderBy map[string]string // further names of ordering=: name → SQL over t; every stored or computed field is one already
	Count   int               // counts no further than this; 0: all

	// Base is ANDed into every query on the table, for everybody: rows that the resource does not have.
	Base db.Pred
	// Visible narrows what a caller without view_<name> sees, in list, retrieve, count, used_by and every other verb;
	// what is not visible is 404. nil: such a caller gets 403.
	Visible func(a *rbac.Actor) db.Pred
	// Allow replaces the rule "a may do verb when a.Can(<permission>)", for superusers too. row is nil for Create, List
	// and actions on the collection; else it is visible to a. An action's verb is its path without slashes ("view_key").
	// false is 403. Deny by default: a Visible without an Allow lets owners read only.
	Allow func(a *rbac.Actor, verb Verb, row *T) bool

	// New gives the defaults of a new row; nil is the zero T. A key, or another read-only uuid that refers to nothing,
	// that is zero is then filled with a UUID v7; other read-only or hidden columns that are zero get the table's default.
	New func() T
	// Validate checks across fields, after each field was found right. c.Row may be corrected.
	// Errors: fault.Fields.Err(), or any fault.
	Validate func(ctx context.Context, tx pgx.Tx, c *Change[T]) error
	// BeforeSave runs before the INSERT or UPDATE, AfterSave after it (the row has its key), AfterDelete after the
	// DELETE, all in the transaction. Calls to the outside do not belong here: they wait for the commit.
	BeforeSave  func(ctx context.Context, tx pgx.Tx, c *Change[T]) error
	AfterSave   func(ctx context.Context, tx pgx.Tx, c *Change[T]) error
	AfterDelete func(ctx context.Context, tx pgx.Tx, c *Change[T]) error
	// Load fills the fields that no column holds, for a whole page in a bounded number of queries. It runs for every
	// row that is answered with, also after a write (then q is the transaction).
	Load func(ctx context.Context, q db.Querier, v *View, rows []*T) error
	// Silent writes no audit events (core.md §7; ring.md lists the models that have none).
	Silent bool

	Actions []Action[T] // operations beyond the seven
}

// Verb is one of the seven operations of a resource, or an action.
type Verb string

// The verbs.
const (
	List          Verb = "list"
	Create        Verb = "create"
	Retrieve      Verb = "retrieve"
	Update        Verb = "update"
	PartialUpdate Verb = "partial_update"
	Destroy       Verb = "destroy"
	UsedBy        Verb = "used_by"
)

// Verbs is a set of verbs.
type Verbs []Verb

// All are the seven, which is the default.
func All() Verbs { return Verbs{List, Create, Retrieve, Update, PartialUpdate, Destroy, UsedBy} }

// Change is one row being written.
type Change[T any] struct {
	Old     *T // as stored, locked; nil on create
	Row     *T // as it will be, or on delete as it was
	Actor   *rbac.Actor
	Request *api.Request
	sent    map[string]bool
}

// Sent tells whether the body had the JSON name.
func (c *Change[T]) Sent(name string) bool { return c.sent[name] }

// View is what Load may look at.
type View struct {
	Actor   *rbac.Actor
	Request *api.Request
	flags   map[string]bool
}

// Flag is the value of a declared flag: the parameter's, else the flag's default. Outside of list and retrieve too.
func (v *View) Flag(name string) bool { return v.flags[name] }

// Flag is a boolean query parameter of list and retrieve that Load reads.
type Flag struct {
	Name    string
	Default bool
}

// Many is a list of keys that a link table holds, many to many. The field is a slice of keys tagged ref=<resource> and
// has no db column. It is read with the page, checked, written as a difference, and seen by used_by on the other side.
type Many struct {
	Field string // JSON name
	Table string // link table
	Own   string // its column with this resource's key
	Other string // its column with the other's key
}

// FilterType says how a parameter is read and documented.
type FilterType int

// The filter types, by what $1 is in the SQL.
const (
	Text     FilterType = iota // text
	Integer                    // bigint
	Boolean                    // boolean
	UUID                       // uuid
	Time                       // timestamptz
	Object                     // jsonb, a JSON object; documented as a string
	Texts                      // text[]; the parameter may be repeated
	Integers                   // bigint[]
	UUIDs                      // uuid[]
)

// Filter is a query parameter of the list with SQL of its own. An absent or empty parameter filters nothing; one that
// does not parse is a 400 about it, but a bad Boolean is ignored as Django does.
type Filter struct {
	Name string
	Type FilterType
	Enum []string // the values that are taken, for Text and Texts
	SQL  string   // over t, $1 is the value: "t.path LIKE $1 || '%'"
	Doc  string
}

// Permission is the permission that a verb on a model needs: "authentik_core.change_user". An action's verb is its path.
func (v Verb) Permission(app, model string) string {
	word := string(v)
	switch v {
	case List, Retrieve, UsedBy:
		word = "view"
	case Create:
		word = "add"
	case Update, PartialUpdate:
		word = "change"
	case Destroy:
		word = "delete"
	}
	return app + "." + word + "_" + model
}
