package totp

import (
	"context"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/resource"
)

// Device is an app in the API (core.md §5).
type Device struct {
	PK   int    `json:"pk" db:"id" api:"pk,ro,title=ID"`
	Name string `json:"name" db:"name" api:"required,max=64" doc:"The human-readable name of this device."`

	UserID int `json:"-" db:"user_id"`
}

// SchemaName is the component's name.
func (Device) SchemaName() string { return "TOTPDevice" }

// SchemaDoc is its description.
func (Device) SchemaDoc() string { return "Serializer for totp authenticator devices" }

// MountDevices adds /authenticators/totp/ for owners and /authenticators/admin/totp/.
func (s *Service) MountDevices(r *resource.Registry) {
	def := resource.Def[Device]{
		Name: model, App: app, Label: label, Plural: label + "s",
		Path: "/authenticators/totp/", Table: "totp_devices", Doc: "Viewset for totp authenticator devices",
		Verbs:  resource.Verbs{resource.List, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy, resource.UsedBy},
		Base:   db.Pred{SQL: "t.confirmed"},
		Filter: []string{"name"}, Search: []string{"name"}, Order: []string{"name"},
		Visible: func(a *rbac.Actor) db.Pred { return db.Pred{SQL: "t.user_id = $1", Args: []any{a.ID}} },
		Allow: func(a *rbac.Actor, verb resource.Verb, row *Device) bool {
			// Administrators list everybody's here and open their own (core.md §5).
			return verb == resource.List || row != nil && row.UserID == a.ID
		},
	}
	resource.Mount(r, def)
	def.Path, def.Doc = "/authenticators/admin/totp/", "Viewset for totp authenticator devices (for admins)"
	def.Verbs = resource.Verbs{resource.List, resource.Create, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy}
	def.Base, def.Visible, def.Allow, def.Validate = db.Pred{}, nil, nil, notMade
	resource.Mount(r, def)
}

// notMade refuses the contract's POST, which can name neither a user nor a seed.
func notMade(_ context.Context, _ pgx.Tx, c *resource.Change[Device]) error {
	if c.Old != nil {
		return nil
	}
	return fault.Field(fault.NonField, "invalid", "An authenticator app is added by its owner, who has it at hand.")
}
