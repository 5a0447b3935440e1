package validate

import (
	"cmp"
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/core/db"
	"countersign/core/duration"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/flows"
)

// NotConfigured is what happens to a user without a usable device.
type NotConfigured string

// The actions.
const (
	Skip      NotConfigured = "skip"
	Deny      NotConfigured = "deny"
	Configure NotConfigured = "configure"
)

// Enum lists the actions.
func (NotConfigured) Enum() []string { return []string{string(Skip), string(Deny), string(Configure)} }

// SchemaName is the component's name.
func (NotConfigured) SchemaName() string { return "NotConfiguredActionEnum" }

// DeviceClass is a class of authenticator.
type DeviceClass string

// Enum lists the classes of the contract, and mobile.
func (DeviceClass) Enum() []string {
	return []string{"static", "totp", "webauthn", "duo", "sms", "mobile"}
}

// AllClasses are all classes: the default.
func AllClasses() []DeviceClass {
	var out []DeviceClass
	for _, c := range DeviceClass("").Enum() {
		out = append(out, DeviceClass(c))
	}
	return out
}

// SchemaName is the component's name.
func (DeviceClass) SchemaName() string { return "DeviceClassesEnum" }

// Settings are what an admin chooses (core.md §3.1).
type Settings struct {
	NotConfigured       NotConfigured                   `json:"not_configured_action"`
	DeviceClasses       []DeviceClass                   `json:"device_classes" doc:"Device classes which can be used to authenticate."`
	ConfigurationStages []uuid.UUID                     `json:"configuration_stages" api:"ref=stage" doc:"Stages by which a user without a device sets one up. After one has passed, the user is not asked again."`
	LastAuthThreshold   string                          `json:"last_auth_threshold" doc:"A device that was used within this time lets the user pass. Format: hours=1;minutes=2;seconds=3."`
	UserVerification    authenticators.UserVerification `json:"webauthn_user_verification" doc:"Enforce user verification for WebAuthn devices."`
	NetworkMismatch     NetworkMismatch                 `json:"on_network_mismatch" doc:"What happens when a phone approves from another network (IPv4 /24, IPv6 /64) than the browser's, as phones on mobile data do: nothing, an event, or that a passkey is asked for as well, and whoever has none is denied."`
	AllowedDeviceTypes  []uuid.UUID                     `json:"webauthn_allowed_device_types" doc:"Makes of WebAuthn authenticator that may be used; empty: all. The all-zero AAGUID stands for makes that are not known."`
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings              `db:"settings"`
	AllowedDeviceTypesObj []authenticators.DeviceType `json:"webauthn_allowed_device_types_obj" api:"ro"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "AuthenticatorValidateStage" }

func definition() resource.Def[Row] {
	return resource.Def[Row]{
		Path:   "/stages/authenticator/validate/",
		Filter: []string{"name", "not_configured_action"},
		Filters: []resource.Filter{{
			Name: "configuration_stages", Type: resource.UUIDs,
			SQL: "EXISTS (SELECT FROM jsonb_array_elements_text(t.settings->'configuration_stages') s WHERE s::uuid = ANY($1))",
		}},
		New: func() Row {
			return Row{Settings: Settings{
				NotConfigured: Skip, DeviceClasses: AllClasses(), LastAuthThreshold: "seconds=0", UserVerification: authenticators.VerificationPreferred,
				NetworkMismatch: MismatchEvent,
			}}
		},
		Validate: validateRow, Load: loadRows,
	}
}

func validateRow(ctx context.Context, tx pgx.Tx, c *resource.Change[Row]) error {
	fields := fault.Fields{}
	if err := authenticators.CheckDeviceTypes(ctx, tx, fields, "webauthn_allowed_device_types", c.Row.AllowedDeviceTypes); err != nil {
		return err
	}
	if _, err := duration.Parse(c.Row.LastAuthThreshold); err != nil {
		fields.Add("last_auth_threshold", "invalid", err.Error())
	}
	// Only stages of the same body count (core.md §3.1), also in a PATCH.
	if c.Sent("not_configured_action") && c.Row.NotConfigured == Configure &&
		(!c.Sent("configuration_stages") || len(c.Row.ConfigurationStages) == 0) {
		fields.Add("not_configured_action", "invalid", `When Not configured action is set to "Configure", you must set a configuration stage.`)
	}
	return fields.Err()
}

func loadRows(ctx context.Context, q db.Querier, _ *resource.View, rows []*Row) error {
	lists := make([][]uuid.UUID, 0, len(rows))
	for _, r := range rows {
		lists = append(lists, r.AllowedDeviceTypes)
	}
	types, err := authenticators.DeviceTypes(ctx, q, lists...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		r.NetworkMismatch = cmp.Or(r.NetworkMismatch, MismatchEvent)
		r.AllowedDeviceTypesObj = authenticators.DeviceTypesOf(r.AllowedDeviceTypes, types)
	}
	return nil
}
