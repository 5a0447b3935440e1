package authenticators

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api/schema"
	"countersign/core/db"
	"countersign/core/fault"
)

// DeviceType is a make of WebAuthn authenticator. The all-zero AAGUID stands for those that are not known.
type DeviceType struct {
	AAGUID      uuid.UUID `json:"aaguid" db:"aaguid" api:"pk,required"`
	Description string    `json:"description" db:"description" api:"required"`
}

// SchemaName is the component's name.
func (DeviceType) SchemaName() string { return "WebAuthnDeviceType" }

// DeviceTypes reads makes by their AAGUIDs; the ones that are not known are missing in the result.
func DeviceTypes(ctx context.Context, q db.Querier, ids ...[]uuid.UUID) (map[uuid.UUID]DeviceType, error) {
	all := slices.Concat(ids...)
	out := make(map[uuid.UUID]DeviceType, len(all))
	if len(all) == 0 {
		return out, nil
	}
	rows, err := q.Query(ctx, `SELECT aaguid, description FROM webauthn_device_types WHERE aaguid = ANY($1) AND NOT revoked`, all)
	if err != nil {
		return nil, fmt.Errorf("read device types: %w", db.Fault(err))
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DeviceType])
	if err != nil {
		return nil, fmt.Errorf("read device types: %w", db.Fault(err))
	}
	for _, t := range found {
		out[t.AAGUID] = t
	}
	return out, nil
}

// CheckDeviceTypes adds to fields what a list of makes names that is not there.
func CheckDeviceTypes(ctx context.Context, q db.Querier, fields fault.Fields, field string, list []uuid.UUID) error {
	found, err := DeviceTypes(ctx, q, list)
	if err != nil {
		return err
	}
	for _, id := range list {
		if _, ok := found[id]; !ok {
			fields.Add(field, "does_not_exist", schema.InvalidPK(id.String()))
		}
	}
	return nil
}

// DeviceTypesOf are the makes of a list, in its order, as an answer of the API shows them.
func DeviceTypesOf(list []uuid.UUID, types map[uuid.UUID]DeviceType) []DeviceType {
	out := make([]DeviceType, 0, len(list))
	for _, id := range list {
		if t, ok := types[id]; ok {
			out = append(out, t)
		}
	}
	return out
}
