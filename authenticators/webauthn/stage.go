package webauthn

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/flows"
)

// Component is the name of the registration challenge.
const Component = "ak-stage-authenticator-webauthn"

// Attachment is where an authenticator sits.
type Attachment string

// Enum lists the values.
func (Attachment) Enum() []string { return []string{"platform", "cross-platform"} }

// SchemaName is the component's name.
func (Attachment) SchemaName() string { return "AuthenticatorAttachmentEnum" }

// ResidentKey is whether the authenticator keeps the credential itself, so that it can be found without a user name.
type ResidentKey string

// Enum lists the values.
func (ResidentKey) Enum() []string { return []string{"discouraged", "preferred", "required"} }

// SchemaName is the component's name.
func (ResidentKey) SchemaName() string { return "ResidentKeyRequirementEnum" }

// Settings are what an admin chooses (core.md §2.14).
type Settings struct {
	ConfigureFlow    *uuid.UUID                      `json:"configure_flow" api:"ref=flow" doc:"Flow used by an authenticated user to configure this stage. If empty, users cannot configure it."`
	FriendlyName     *string                         `json:"friendly_name"`
	UserVerification authenticators.UserVerification `json:"user_verification" doc:"Whether the authenticator must check that it is its owner: by a PIN, a fingerprint, a face. Enforced when it is required."`
	Attachment       *Attachment                     `json:"authenticator_attachment" doc:"Built into the computer or phone, or to be plugged in or held near. Null: any."`
	ResidentKey      ResidentKey                     `json:"resident_key_requirement" doc:"Whether the authenticator must keep the credential itself, which signing in without a name needs."`
	Restrictions     []uuid.UUID                     `json:"device_type_restrictions" doc:"Makes of authenticator that may be added; empty: all. The all-zero AAGUID stands for makes that are not known."`
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings        `db:"settings"`
	RestrictionsObj []authenticators.DeviceType `json:"device_type_restrictions_obj" api:"ro"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "AuthenticatorWebAuthnStage" }

// Challenge asks the browser to make a credential: registration is PublicKeyCredentialCreationOptionsJSON.
type Challenge struct {
	flows.WithUser
	Registration map[string]any `json:"registration" api:"required"`
}

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "AuthenticatorWebAuthnChallenge" }

// Response is the credential that the browser made, RegistrationResponseJSON.
type Response struct {
	Component string         `json:"component" api:"default=ak-stage-authenticator-webauthn"`
	Response  map[string]any `json:"response" api:"required"`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "AuthenticatorWebAuthnChallengeResponse" }

// StageKind makes the stage kind.
func (s *Service) StageKind() *flows.Kind {
	k := flows.NewKind(
		resource.KindInfo{
			Name: "authenticatorwebauthnstage", App: app, Label: "WebAuthn Authenticator Setup Stage",
			Plural: "WebAuthn Authenticator Setup Stages", Component: "ak-stage-authenticator-webauthn-form",
			Description: "Setup WebAuthn devices.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		resource.Def[Row]{
			Path: "/stages/authenticator/webauthn/", Doc: "AuthenticatorWebAuthnStage Viewset",
			Filter: []string{
				"name", "configure_flow", "friendly_name", "user_verification", "authenticator_attachment", "resident_key_requirement",
			},
			Filters: []resource.Filter{
				{Name: "stage_uuid", Type: resource.UUID, SQL: "t.stage_uuid = $1"},
				{
					Name: "device_type_restrictions", Type: resource.UUIDs,
					SQL: "EXISTS (SELECT FROM jsonb_array_elements_text(t.settings->'device_type_restrictions') r WHERE r::uuid = ANY($1))",
				},
			},
			New: func() Row {
				return Row{Settings: Settings{UserVerification: authenticators.VerificationPreferred, ResidentKey: "preferred"}}
			},
			Validate: func(ctx context.Context, tx pgx.Tx, c *resource.Change[Row]) error {
				fields := fault.Fields{}
				if err := authenticators.CheckDeviceTypes(ctx, tx, fields, "device_type_restrictions", c.Row.Restrictions); err != nil {
					return err
				}
				return fields.Err()
			},
			Load: loadRows,
		},
		func(_ uuid.UUID, _ string, settings Settings) (flows.Stage, error) {
			return &Stage{service: s, settings: settings}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
	k.UserSettings, k.AlwaysListed = "ak-user-settings-authenticator-webauthn", true
	return k
}

func loadRows(ctx context.Context, q db.Querier, _ *resource.View, rows []*Row) error {
	lists := make([][]uuid.UUID, 0, len(rows))
	for _, r := range rows {
		lists = append(lists, r.Restrictions)
	}
	types, err := authenticators.DeviceTypes(ctx, q, lists...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		r.RestrictionsObj = authenticators.DeviceTypesOf(r.Restrictions, types)
	}
	return nil
}
