package authenticators

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/flows"
)

// Kind is one kind of authenticator.
type Kind struct {
	Class  string // device_class: "mobile"
	Label  string // "Mobile Device"
	Plural string
	Model  string // meta_model_name: "authentik_stages_authenticator_mobile.mobiledevice"
	Type   string // "authentik_stages_authenticator_mobile.MobileDevice"

	// Query selects all devices of the kind as (pk integer, uid text, user_id integer, name text, confirmed boolean,
	// created timestamptz), without a final semicolon, ORDER BY or parameters.
	Query string

	// Facts is SQL for what Method.Offer has to know of a device, as JSON: an expression over a row d of Query. "" is nothing.
	// It is read along with the devices, so that offering any number of any kind takes one round trip.
	Facts string

	// Field is the key of an answer's JSON that is this kind's: "mobile", "code".
	Field string
	// NamesDevice says that the value of Field is the uid of the device which answers.
	NamesDevice bool
	Method      Method
}

// Device is one device of any kind.
type Device struct {
	Class     string
	PK        int
	UID       string
	UserID    int
	Name      string
	Confirmed bool
	Facts     json.RawMessage // by Kind.Facts; nil where devices are only listed
}

// Read decodes the facts; where there are none, into stays as it is.
func (d Device) Read(into any) error {
	if d.Facts == nil {
		return nil
	}
	if err := json.Unmarshal(d.Facts, into); err != nil {
		return fmt.Errorf("read facts of %s %s: %w", d.Class, d.UID, err)
	}
	return nil
}

// Offer is one device challenge of a running login, kept in the plan.
type Offer struct {
	Class string          `json:"class"`
	UID   string          `json:"uid"`
	Name  string          `json:"name"`
	State json.RawMessage `json:"state,omitempty"` // the kind's own

	// Shown is what the browser sent along as the challenge that it showed, when it chose the offer; nil in all other requests.
	Shown map[string]any `json:"-"`

	// Proof says more of an answer that proved the offer; nil: the device that it names did.
	Proof *Proof `json:"-"`

	kept    any  // what State is the JSON of, once it was read or written
	changed bool // Keep was called
	unsaved bool // and the plan does not have it yet
}

// Keep stores the kind's own part, as JSON.
func (o *Offer) Keep(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode offer of %s %s: %w", o.Class, o.UID, err)
	}
	o.State, o.kept, o.changed, o.unsaved = raw, v, true, true
	return nil
}

// Kept reads what Keep stored, into a pointer to the same type; false if there is nothing.
func (o *Offer) Kept(into any) (bool, error) {
	if len(o.State) == 0 {
		return false, nil
	}
	target := reflect.ValueOf(into).Elem()
	if v := reflect.ValueOf(o.kept); v.IsValid() && v.Type() == target.Type() {
		target.Set(v)
		return true, nil
	}
	if err := json.Unmarshal(o.State, into); err != nil {
		return false, fmt.Errorf("decode offer of %s %s: %w", o.Class, o.UID, err)
	}
	o.kept = target.Interface()
	return true, nil
}

// Changed tells whether Keep was called in this request.
func (o *Offer) Changed() bool { return o.changed }

// Unsaved tells whether Keep was called after the last Saved, so that the offer is to be saved.
func (o *Offer) Unsaved() bool { return o.unsaved }

// Saved says that the plan has the offer as it is.
func (o *Offer) Saved() { o.unsaved = false }

// Method is a kind's part in the validation stage. An Offer that a method changes is saved with the plan.
type Method interface {
	// Offer prepares what is asked for a user's devices of the kind: one offer each, or one for all.
	Offer(ctx context.Context, run *flows.Run, devices []Device) ([]*Offer, error)
	// Show is the part of an offer that the browser may see.
	Show(ctx context.Context, run *flows.Run, o *Offer) (map[string]any, error)
	// Select is called when the person chooses the offer. Fields that it returns are shown as errors.
	Select(ctx context.Context, run *flows.Run, o *Offer) (fault.Fields, error)
	// Answer takes the value of the kind's field: Next lets the login go on.
	Answer(ctx context.Context, run *flows.Run, o *Offer, value json.RawMessage) (flows.Outcome, error)
}

// Number reads the uid of a device of a kind whose keys are integers.
func Number(uid string) (id int32, ok bool) {
	n, err := strconv.ParseInt(uid, 10, 32)
	return int32(n), err == nil
}

// Store reads the devices of all kinds.
type Store struct {
	kinds map[string]*Kind
	order []string
	union string
}

// NewStore makes a store over the kinds, in their order. Two of one class are a mistake of the caller and panic.
func NewStore(kinds ...*Kind) *Store {
	s := &Store{kinds: map[string]*Kind{}}
	parts := make([]string, 0, len(kinds))
	for i, k := range kinds {
		if s.kinds[k.Class] != nil {
			panic("authenticators: two kinds of the class " + k.Class)
		}
		s.kinds[k.Class] = k
		s.order = append(s.order, k.Class)
		parts = append(parts, fmt.Sprintf("SELECT %d AS rank, '%s' AS class, d.*, to_json(%s) AS facts FROM (%s) d", i, k.Class, cmp.Or(k.Facts, "NULL::text"), k.Query))
	}
	s.union = strings.Join(parts, " UNION ALL ")
	return s
}

// Kind gives a kind by its class; nil if there is none.
func (s *Store) Kind(class string) *Kind { return s.kinds[class] }

// Kinds are all kinds in their order.
func (s *Store) Kinds() []*Kind {
	out := make([]*Kind, 0, len(s.order))
	for _, c := range s.order {
		out = append(out, s.kinds[c])
	}
	return out
}

// Devices reads a user's devices of all kinds with their facts in one query, the oldest first within a kind.
func (s *Store) Devices(ctx context.Context, q db.Querier, userID int, confirmedOnly bool) ([]Device, error) {
	return s.query(ctx, q, "facts", "WHERE user_id = $1 AND (confirmed OR NOT $2) ORDER BY rank, created, pk", userID, confirmedOnly)
}

// all reads everybody's devices, or those of one user if userID is not 0, at most limit, without facts.
func (s *Store) all(ctx context.Context, q db.Querier, userID, limit int) ([]Device, error) {
	return s.query(ctx, q, "NULL::json", "WHERE $1 = 0 OR user_id = $1 ORDER BY rank, created, pk LIMIT $2", userID, limit)
}

func (s *Store) query(ctx context.Context, q db.Querier, facts, which string, args ...any) ([]Device, error) {
	if s.union == "" {
		return nil, nil
	}
	rows, err := q.Query(ctx, `SELECT class, pk, uid, user_id, name, confirmed, `+facts+` FROM (`+s.union+`) a `+which, args...)
	if err != nil {
		return nil, fmt.Errorf("list authenticator devices: %w", db.Fault(err))
	}
	devices, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Device, error) {
		var d Device
		err := row.Scan(&d.Class, &d.PK, &d.UID, &d.UserID, &d.Name, &d.Confirmed, &d.Facts)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("list authenticator devices: %w", db.Fault(err))
	}
	return devices, nil
}
