package webauthn

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/core/db"
	"countersign/core/resource"
)

// maxName is the length of a device's name, in characters (core.md §5).
const maxName = 200

// Device is a passkey in the API. The last three fields are not in the contract.
type Device struct {
	PK         int                        `json:"pk" db:"id" api:"pk,ro,title=ID"`
	Name       string                     `json:"name" db:"name" api:"required,max=200"`
	CreatedOn  time.Time                  `json:"created_on" db:"created" api:"ro"`
	DeviceType *authenticators.DeviceType `json:"device_type" api:"ro,nullable"`
	AAGUID     string                     `json:"aaguid" api:"ro"`

	BackupEligible bool       `json:"backup_eligible" db:"backup_eligible" api:"ro" doc:"The passkey may be synchronised between devices."`
	BackupState    bool       `json:"backup_state" db:"backup_state" api:"ro" doc:"The passkey is synchronised, as it said when it was used last."`
	LastUsed       *time.Time `json:"last_used" db:"last_used" api:"ro"`

	UserID int       `json:"-" db:"user_id"`
	Make   uuid.UUID `json:"-" db:"aaguid"`
}

// SchemaName is the component's name.
func (Device) SchemaName() string { return "WebAuthnDevice" }

// Mount adds /authenticators/webauthn/, /authenticators/admin/webauthn/ and /stages/authenticator/webauthn_device_types/.
// Registration alone makes a device: the contract's admin POST, which cannot name a user, is there and always refused.
func (s *Service) Mount(r *resource.Registry) {
	resource.Mount(r, resource.Def[authenticators.DeviceType]{
		Name: "webauthndevicetype", App: app, Label: "WebAuthn Device type", Plural: "WebAuthn Device types",
		Path: "/stages/authenticator/webauthn_device_types/", Table: "webauthn_device_types", Doc: "WebAuthnDeviceType Viewset",
		Verbs: resource.Verbs{resource.List, resource.Retrieve}, Display: "description",
		Base:   db.Pred{SQL: "NOT t.revoked"},
		Filter: []string{"aaguid", "description"}, Filters: []resource.Filter{{Name: "icon", SQL: "t.icon = $1"}},
		Search: []string{"description", "t.aaguid::text"}, Order: []string{"description"},
	})
	authenticators.MountDevices(r, resource.Def[Device]{
		Name: "webauthndevice", App: app, Label: "WebAuthn Device", Plural: "WebAuthn Devices",
		Path: "/authenticators/webauthn/", Table: "webauthn_devices", Doc: "Viewset for WebAuthn authenticator devices", Load: load,
	}, func(d *Device) int { return d.UserID }, "A passkey is added by its owner, with the setup stage.")
}

func load(ctx context.Context, q db.Querier, _ *resource.View, rows []*Device) error {
	ids := make([]uuid.UUID, 0, len(rows))
	for _, d := range rows {
		d.AAGUID = d.Make.String()
		ids = append(ids, d.Make)
	}
	types, err := authenticators.DeviceTypes(ctx, q, ids)
	if err != nil {
		return err
	}
	for _, d := range rows {
		if t, ok := types[d.Make]; ok && d.Make != uuid.Nil {
			d.DeviceType = &t
		}
	}
	return nil
}

// Kind is the passkey among the authenticator kinds.
func (s *Service) Kind() *authenticators.Kind {
	return &authenticators.Kind{
		Class: Class, Label: "WebAuthn Device", Plural: "WebAuthn Devices", Model: app + ".webauthndevice", Type: app + ".WebAuthnDevice",
		Query: "SELECT id AS pk, id::text AS uid, user_id, name, confirmed, created FROM webauthn_devices",
		Facts: factsSQL,
		Field: Class, Method: method{s, authenticators.Rules{UserVerification: authenticators.VerificationPreferred}},
	}
}

// uid is the device_uid of a device.
func uid(id int) string { return strconv.Itoa(id) }

// ref names a device in events.
func ref(id any, name string) map[string]any {
	return map[string]any{"pk": id, "app": app, "name": name, "model_name": "webauthndevice"}
}

// typeRef names a make in events.
func typeRef(m model) any {
	if !m.known() {
		return nil
	}
	return map[string]any{"pk": m.AAGUID.String(), "app": app, "name": m.Description, "model_name": "webauthndevicetype"}
}

func clip(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit])
	}
	return s
}

func wrap(action string, err error) error { return fmt.Errorf("%s: %w", action, db.Fault(err)) }
