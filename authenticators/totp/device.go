package totp

import (
	"countersign/authenticators"
	"countersign/core/db"
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
	authenticators.MountDevices(r, resource.Def[Device]{
		Name: model, App: app, Label: label, Plural: label + "s", Path: "/authenticators/totp/", Table: "totp_devices",
		Doc: "Viewset for totp authenticator devices", Base: db.Pred{SQL: "t.confirmed"},
	}, func(d *Device) int { return d.UserID }, "An authenticator app is added by its owner, who has it at hand.")
}
