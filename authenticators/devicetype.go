package authenticators

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
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
	rows, err := q.Query(ctx, `SELECT aaguid, description FROM webauthn_device_types WHERE aaguid = ANY($1)`, all)
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
