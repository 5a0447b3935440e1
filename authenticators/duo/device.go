package duo

import (
	"countersign/authenticators"
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

// MountDevices adds /authenticators/duo/ for owners and /authenticators/admin/duo/.
func (s *Service) MountDevices(r *resource.Registry) {
	authenticators.MountDevices(r, resource.Def[Device]{
		Name: model, App: app, Label: "Duo Device", Plural: "Duo Devices", Path: "/authenticators/duo/", Table: "duo_devices",
		Doc: "Viewset for Duo authenticator devices",
	}, func(d *Device) int { return d.UserID }, "A device is made by the set-up stage, or by an import.")
}
