package sms

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/core/db"
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

// MountDevices adds /authenticators/sms/ for owners and /authenticators/admin/sms/.
func (s *Service) MountDevices(r *resource.Registry) {
	authenticators.MountDevices(r, resource.Def[Device]{
		Name: model, App: app, Label: "SMS Device", Plural: "SMS Devices", Path: "/authenticators/sms/", Table: "sms_devices",
		Doc: "Viewset for sms authenticator devices", Load: s.showNumbers,
	}, func(d *Device) int { return d.UserID }, "A device is made by the person who has it, in the set-up stage.")
}

func (s *Service) showNumbers(_ context.Context, _ db.Querier, _ *resource.View, rows []*Device) error {
	for _, d := range rows {
		if d.Sealed == nil {
			d.PhoneNumber = "hash:" + hex.EncodeToString(d.Hash[max(0, len(d.Hash)-sha256.Size):])
			continue
		}
		// One that does not open is shown as none: its owner can still remove it.
		number, _ := s.openNumber(d.Sealed, d.UserID, d.Stage)
		d.PhoneNumber = string(number)
	}
	return nil
}
