package static

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/core/db"
	"countersign/core/resource"
)

// Device is a list of codes in the API (core.md §5).
type Device struct {
	PK       int     `json:"pk" db:"id" api:"pk,ro,title=ID"`
	Name     string  `json:"name" db:"name" api:"required,max=64" doc:"The human-readable name of this device."`
	TokenSet []Token `json:"token_set" api:"ro"`

	UserID int `json:"-" db:"user_id"`
}

// SchemaName is the component's name.
func (Device) SchemaName() string { return "StaticDevice" }

// SchemaDoc is its description.
func (Device) SchemaDoc() string { return "Serializer for static authenticator devices" }

// Token is a code that is left, masked.
type Token struct {
	Token string `json:"token" api:"required,max=16"`
}

// SchemaName is the component's name.
func (Token) SchemaName() string { return "StaticDeviceToken" }

// SchemaDoc is its description.
func (Token) SchemaDoc() string { return "A code that is left; nobody can read it any more." }

// masked stands for a code. Clients of the contract take text of at most 16 characters.
const masked = "************"

// MountDevices adds /authenticators/static/ for owners and /authenticators/admin/static/.
func (s *Service) MountDevices(r *resource.Registry) {
	authenticators.MountDevices(r, resource.Def[Device]{
		Name: model, App: app, Label: label, Plural: label + "s", Path: "/authenticators/static/", Table: "static_devices",
		Doc: "Viewset for static authenticator devices", Base: db.Pred{SQL: "t.confirmed"}, Load: load,
	}, func(d *Device) int { return d.UserID }, "Recovery codes are made by their owner, who alone may see them.")
}

// load masks a code for each one that is left.
func load(ctx context.Context, q db.Querier, _ *resource.View, rows []*Device) error {
	ids := make([]int, 0, len(rows))
	for _, d := range rows {
		ids = append(ids, d.PK)
	}
	left, err := countCodes(ctx, q, ids)
	if err != nil {
		return err
	}
	for _, d := range rows {
		d.TokenSet = make([]Token, left[d.PK])
		for i := range d.TokenSet {
			d.TokenSet[i].Token = masked
		}
	}
	return nil
}

// countCodes tells how many codes devices have left; one without any is not in the map.
func countCodes(ctx context.Context, q db.Querier, devices []int) (map[int]int, error) {
	rows, err := q.Query(ctx, `SELECT device, count(*) FROM static_codes WHERE device = ANY($1) GROUP BY device`, devices)
	if err != nil {
		return nil, fmt.Errorf("count codes: %w", db.Fault(err))
	}
	left := make(map[int]int, len(devices))
	var id, n int
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		left[id] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count codes: %w", db.Fault(err))
	}
	return left, nil
}
