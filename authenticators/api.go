package authenticators

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api"
	"countersign/core/fault"
)

// listLimit bounds the admin's list over all devices, which the contract does not page. With more, ask by user.
const listLimit = 10_000

// DeviceRow is a device in the two lists (core.md §5).
type DeviceRow struct {
	VerboseName       string `json:"verbose_name" api:"ro" doc:"The object's kind, for people."`
	VerboseNamePlural string `json:"verbose_name_plural" api:"ro" doc:"The object's kind in the plural."`
	MetaModelName     string `json:"meta_model_name" api:"ro" doc:"The object's model."`
	PK                int    `json:"pk" api:"required"`
	Name              string `json:"name" api:"required"`
	Type              string `json:"type" api:"ro" doc:"Type of the device."`
	Confirmed         bool   `json:"confirmed" api:"required"`
}

// SchemaName is the component's name.
func (DeviceRow) SchemaName() string { return "Device" }

// Mount adds /authenticators/all/ and /authenticators/admin/all/.
func (s *Store) Mount(a *api.API, pool *pgxpool.Pool) {
	api.Handle(a, api.Operation{
		Method: "GET", Path: "/authenticators/all/", ID: "authenticators_all_list", Tag: "authenticators",
		Description: "Get all devices for current user",
	}, func(ctx context.Context, r *api.Request, _ api.None) ([]DeviceRow, error) {
		devices, err := s.Devices(ctx, pool, r.Actor.ID, true)
		return s.rows(devices), err
	})
	api.Handle(a, api.Operation{
		Method: "GET", Path: "/authenticators/admin/all/", ID: "authenticators_admin_all_list", Tag: "authenticators",
		Description: "Get all devices, or those of one user",
		Query:       []api.Parameter{{Name: "user", Type: "integer"}},
	}, func(ctx context.Context, r *api.Request, _ api.None) ([]DeviceRow, error) {
		if !r.Actor.Superuser {
			return nil, fault.Forbidden()
		}
		userID := 0
		if raw := r.Query().Get("user"); raw != "" {
			id, err := strconv.ParseInt(raw, 10, 32)
			if err != nil || id <= 0 {
				return nil, fault.Field("user", "invalid", "A valid integer is required.")
			}
			userID = int(id)
		}
		devices, err := s.all(ctx, pool, userID, listLimit)
		return s.rows(devices), err
	})
}

func (s *Store) rows(devices []Device) []DeviceRow {
	out := make([]DeviceRow, 0, len(devices))
	for _, d := range devices {
		k := s.kinds[d.Class]
		out = append(out, DeviceRow{
			VerboseName: k.Label, VerboseNamePlural: k.Plural, MetaModelName: k.Model,
			PK: d.PK, Name: d.Name, Type: k.Type, Confirmed: d.Confirmed,
		})
	}
	return out
}
