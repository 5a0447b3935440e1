package mobile

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/resource"
	"countersign/mobile/wire"
)

// Device is a phone in the API (core.md §4.4). Its pk is a UUID written as a plain string; a request may repeat it.
type Device struct {
	ID                uuid.UUID  `json:"-" db:"uuid" api:"pk"`
	PK                string     `json:"pk" api:"required"`
	VerboseName       string     `json:"verbose_name" api:"ro" doc:"The object's kind, for people."`
	VerboseNamePlural string     `json:"verbose_name_plural" api:"ro" doc:"The object's kind in the plural."`
	MetaModelName     string     `json:"meta_model_name" api:"ro" doc:"The object's model."`
	Name              string     `json:"name" db:"name" api:"required,max=64"`
	Type              string     `json:"type" api:"ro" doc:"Type of the device."`
	Confirmed         bool       `json:"confirmed" db:"confirmed" api:"ro"`
	LastCheckin       *wire.Info `json:"last_checkin" api:"ro"`
	Attestation       findings   `json:"attestation" api:"ro" doc:"What was found, at the enrolment, of what the phone's maker says of its keys. Empty: nothing was asked for, or sent."`
	Changed           *time.Time `json:"changed" api:"ro" doc:"When the phone last changed its keys or its push address."`
	Transfer          *Move      `json:"transfer" api:"ro" doc:"The move to a new phone, if one is under way."`

	UserID int `json:"-" db:"user_id"`
}

// SchemaName is the component's name.
func (Device) SchemaName() string { return "MobileDevice" }

// Move is a transfer as the account page shows it.
type Move struct {
	State wire.TransferState `json:"state" api:"required"`
	Name  string             `json:"name" doc:"The new phone, once it has arrived."`
	Ends  time.Time          `json:"ends" doc:"When it is given up; once it is approved, when this phone is removed."`
}

// SchemaName is the component's name.
func (Move) SchemaName() string { return "MobileDeviceMove" }

// MountDevices adds /authenticators/mobile/ and /authenticators/admin/mobile/. A device is made by enrolment alone, so
// neither takes POST; the contract's admin POST cannot name a user and has no meaning.
func (s *Service) MountDevices(r *resource.Registry) {
	def := resource.Def[Device]{
		Name: "mobiledevice", App: app, Label: "Mobile Device", Plural: "Mobile Devices",
		Path: "/authenticators/mobile/", Table: "mobile_devices", Doc: "Viewset for Mobile authenticator devices",
		Verbs: resource.Verbs{resource.List, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy},
		// What never called in is an enrolment under way, not a phone.
		Base:   db.Pred{SQL: "t.confirmed"},
		Filter: []string{"name"}, Search: []string{"name"}, Order: []string{"name"},
		Visible: func(a *rbac.Actor) db.Pred { return db.Pred{SQL: "t.user_id = $1", Args: []any{a.ID}} },
		Allow: func(a *rbac.Actor, verb resource.Verb, row *Device) bool {
			// Administrators list everybody's here and open their own (core.md §5).
			return verb == resource.List || row != nil && row.UserID == a.ID
		},
		Validate: func(_ context.Context, _ pgx.Tx, c *resource.Change[Device]) error {
			if c.Sent("pk") && !strings.EqualFold(c.Row.PK, c.Row.ID.String()) {
				return fault.Field("pk", "invalid", "The key of a device cannot be changed.")
			}
			return nil
		},
		Load: load,
	}
	var devices *resource.Resource[Device]
	def.Actions = []resource.Action[Device]{resource.OnRow(api.Operation{
		Method: "POST", Path: "stop_transfer/", Description: "Give up the move of this phone's account to a new one",
	}, func(ctx context.Context, c *resource.Call[Device], _ api.None) (api.None, error) {
		return api.None{}, s.giveUpTransfer(ctx, c.Tx, c.Row.ID, "The move to a new phone was given up on the account page.")
	}), resource.OnRow(api.Operation{
		Method: "GET", Path: "used_by/", Description: "Get a list of all objects that use this object",
	}, func(ctx context.Context, c *resource.Call[Device], _ api.None) ([]Use, error) {
		found, err := devices.Uses(ctx, c.Tx, c.Row, c.Request.Actor)
		uses := make([]Use, 0, len(found))
		for _, u := range found {
			uses = append(uses, Use{u.App, u.ModelName, u.PK, u.Name, UseAction(strings.ToUpper(string(u.Action)))})
		}
		return uses, err
	})}
	devices = resource.Mount(r, def)
	def.Path, def.Visible, def.Allow = "/authenticators/admin/mobile/", nil, nil
	def.Actions = []resource.Action[Device]{resource.OnRow(api.Operation{
		Method: "GET", Path: "deliveries/", Description: "The latest requests to the phone, the newest first, at most 50, and how far each came",
	}, passages)}
	resource.Mount(r, def)
}

// Use is resource.Use as the mobile contract spells it: its actions are in capitals.
type Use struct {
	App       string    `json:"app" api:"required"`
	ModelName string    `json:"model_name" api:"required"`
	PK        string    `json:"pk" api:"required"`
	Name      string    `json:"name" api:"required"`
	Action    UseAction `json:"action" api:"required"`
}

// SchemaName is the component's name.
func (Use) SchemaName() string { return "MobileDeviceUsedBy" }

// UseAction is what becomes of the referring object when the device is deleted.
type UseAction string

// Enum lists the actions.
func (UseAction) Enum() []string {
	return []string{"CASCADE", "CASCADE_MANY", "SET_NULL", "SET_DEFAULT"}
}

// SchemaName is the component's name.
func (UseAction) SchemaName() string { return "ActionEnum" }

func load(ctx context.Context, q db.Querier, _ *resource.View, rows []*Device) error {
	ids := make([]uuid.UUID, 0, len(rows))
	byID := make(map[uuid.UUID]*Device, len(rows))
	for _, d := range rows {
		ids, byID[d.ID] = append(ids, d.ID), d
		d.PK, d.VerboseName, d.VerboseNamePlural = d.ID.String(), "Mobile Device", "Mobile Devices"
		d.MetaModelName, d.Type = app+".mobiledevice", app+".MobileDevice"
	}
	found, err := q.Query(ctx, `SELECT d.uuid, d.info, d.attestation, d.changed, CASE WHEN t.new_device IS NOT NULL THEN json_build_object('name', CASE WHEN n.signs THEN n.name ELSE '' END,
			'ends', coalesce(t.ends, t.expires), 'state', CASE WHEN t.approved IS NOT NULL THEN 'approved' WHEN n.signs THEN 'arrived' ELSE 'offered' END) END
		FROM mobile_devices d LEFT JOIN mobile_transfers t ON t.old_device = d.uuid LEFT JOIN mobile_devices n ON n.uuid = t.new_device
		WHERE d.uuid = ANY($1)`, ids)
	if err != nil {
		return db.Fault(err)
	}
	var id uuid.UUID
	var info wire.Info
	var attested findings
	var changed *time.Time
	var move *Move
	_, err = pgx.ForEachRow(found, []any{&id, &info, &attested, &changed, &move}, func() error {
		byID[id].Changed, byID[id].Transfer = changed, move
		changed, move = nil, nil
		own := info
		byID[id].Attestation, attested = attested, nil
		info = wire.Info{}
		if own.Others == nil {
			own.Others = map[string]any{}
		}
		byID[id].LastCheckin = &own
		return nil
	})
	return db.Fault(err)
}
