package sms

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/resource"
)

// Device is a number in the API (core.md §5).
type Device struct {
	PK          int    `json:"pk" db:"id" api:"pk,ro,title=ID"`
	Name        string `json:"name" db:"name" api:"required,max=64" doc:"The human-readable name of this device."`
	PhoneNumber string `json:"phone_number" api:"ro"` // "hash:" and hexadecimal digits for one that was only verified

	UserID int       `json:"-" db:"user_id"`
	Stage  uuid.UUID `json:"-" db:"stage"`
	Hash   []byte    `json:"-" db:"phone_hash"`
	Sealed []byte    `json:"-" db:"phone_sealed"`
}

// SchemaName is the component's name.
func (Device) SchemaName() string { return "SMSDevice" }

// MountDevices adds /authenticators/sms/ and /authenticators/admin/sms/. The latter has a POST by contract, which has no
// meaning: it cannot name a user (core.md §5).
func (s *Service) MountDevices(r *resource.Registry) {
	def := resource.Def[Device]{
		Name: model, App: app, Label: "SMS Device", Plural: "SMS Devices",
		Path: "/authenticators/sms/", Table: "sms_devices", Doc: "Viewset for sms authenticator devices",
		Verbs:  resource.Verbs{resource.List, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy, resource.UsedBy},
		Filter: []string{"name"}, Search: []string{"name"}, Order: []string{"name"},
		Visible: func(a *rbac.Actor) db.Pred { return db.Pred{SQL: "t.user_id = $1", Args: []any{a.ID}} },
		Allow: func(a *rbac.Actor, verb resource.Verb, row *Device) bool {
			// Administrators list everybody's here and open their own (core.md §5).
			return verb == resource.List || row != nil && row.UserID == a.ID
		},
		Load: s.showNumbers,
	}
	resource.Mount(r, def)
	def.Path, def.Doc, def.Visible, def.Allow = "/authenticators/admin/sms/", "Viewset for sms authenticator devices (for admins)", nil, nil
	def.Verbs = resource.Verbs{resource.List, resource.Create, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy}
	def.Validate = func(_ context.Context, _ pgx.Tx, c *resource.Change[Device]) error {
		if c.Old == nil {
			return fault.Field(fault.NonField, "invalid", "A device is made by the person who has it, in the set-up stage.")
		}
		return nil
	}
	resource.Mount(r, def)
}

func (s *Service) showNumbers(_ context.Context, _ db.Querier, _ *resource.View, rows []*Device) error {
	for _, d := range rows {
		if d.Sealed == nil {
			d.PhoneNumber = "hash:" + hex.EncodeToString(d.Hash)
			continue
		}
		number, err := s.openNumber(d.Sealed, d.UserID, d.Stage)
		if err != nil {
			return fmt.Errorf("device %d: %w", d.PK, err)
		}
		d.PhoneNumber = string(number)
	}
	return nil
}
