package duo

import (
	"context"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/resource"
)

// Device is a Duo user of a person in the API (core.md §5).
type Device struct {
	PK   int    `json:"pk" db:"id" api:"pk,ro,title=ID"`
	Name string `json:"name" db:"name" api:"required,max=64" doc:"The human-readable name of this device."`

	UserID int `json:"-" db:"user_id"`
}

// SchemaName is the component's name.
func (Device) SchemaName() string { return "DuoDevice" }

// MountDevices adds /authenticators/duo/ and /authenticators/admin/duo/. The latter has a POST by contract, which has no
// meaning: it cannot name a user (core.md §5).
func (s *Service) MountDevices(r *resource.Registry) {
	def := resource.Def[Device]{
		Name: model, App: app, Label: "Duo Device", Plural: "Duo Devices",
		Path: "/authenticators/duo/", Table: "duo_devices", Doc: "Viewset for Duo authenticator devices",
		Verbs:  resource.Verbs{resource.List, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy, resource.UsedBy},
		Filter: []string{"name"}, Search: []string{"name"}, Order: []string{"name"},
		Visible: func(a *rbac.Actor) db.Pred { return db.Pred{SQL: "t.user_id = $1", Args: []any{a.ID}} },
		Allow: func(a *rbac.Actor, verb resource.Verb, row *Device) bool {
			// Administrators list everybody's here and open their own (core.md §5).
			return verb == resource.List || row != nil && row.UserID == a.ID
		},
	}
	resource.Mount(r, def)
	def.Path, def.Doc, def.Visible, def.Allow = "/authenticators/admin/duo/", "Viewset for Duo authenticator devices (for admins)", nil, nil
	def.Verbs = resource.Verbs{resource.List, resource.Create, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy}
	def.Validate = func(_ context.Context, _ pgx.Tx, c *resource.Change[Device]) error {
		if c.Old == nil {
			return fault.Field(fault.NonField, "invalid", "A device is made by the set-up stage, or by an import.")
		}
		return nil
	}
	resource.Mount(r, def)
}
