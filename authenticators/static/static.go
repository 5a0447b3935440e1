package static

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"countersign/authenticators"
	"countersign/authenticators/throttle"
	"countersign/core/db"
	"countersign/core/secret"
	"countersign/flows"
)

// Class is the device class.
const Class = "static"

const (
	app   = "authentik_stages_authenticator_static"
	model = "staticdevice"
	label = "Static Device"
)

// fewCodes is from how many codes left on a person is told to make new ones.
const fewCodes = 3

// Service is the server side of recovery codes.
type Service struct{ keeper *secret.Keeper }

// New makes a service whose keys keeper seals.
func New(keeper *secret.Keeper) *Service { return &Service{keeper} }

// Sealed is where recovery codes keep sealed values.
func Sealed() []secret.Column { return []secret.Column{sealedKey} }

var sealedKey = secret.Column{Table: "static_devices", Name: "key_sealed", Key: []string{"id"}}

// Kind is recovery codes among the authenticator kinds.
func (s *Service) Kind() *authenticators.Kind {
	return &authenticators.Kind{
		Class: Class, Label: label, Plural: label + "s", Model: app + "." + model, Type: app + ".StaticDevice",
		Query: "SELECT id AS pk, id::text AS uid, user_id, name, confirmed, created FROM static_devices",
		Facts: `(SELECT json_build_object('throttle', t.throttle, 'left', (SELECT count(*) FROM static_codes c WHERE c.device = t.id))
			FROM static_devices t WHERE t.id = d.pk)`,
		Field: "code", Method: method{throttle.Method{
			Class: Class, App: app, Model: model, Gone: "This list of codes was removed. Please use another way.", Read: s.read,
		}},
	}
}

// method is the part of recovery codes in the validation stage.
type method struct{ throttle.Method }

// Show tells also how many codes are left when they are few.
func (m method) Show(ctx context.Context, run *flows.Run, o *authenticators.Offer) (map[string]any, error) {
	var st throttle.Standing
	if _, err := o.Kept(&st); err != nil {
		return nil, err
	}
	shown, err := m.Method.Show(ctx, run, o)
	if err == nil && st.Left != nil && *st.Left <= fewCodes {
		shown["codes_left"] = *st.Left
	}
	return shown, err
}

// device is a row as a login reads it, with the hashes of the codes that are left.
type device struct {
	keeper  *secret.Keeper
	id      int
	sealed  []byte
	length  int // of a code
	state   throttle.State
	version int
	hashes  [][]byte
	spent   []byte // the one that was typed
}

func (s *Service) read(ctx context.Context, q db.Querier, id, userID int) (throttle.Device, error) {
	d := &device{keeper: s.keeper, id: id}
	return d, q.QueryRow(ctx, `SELECT key_sealed, code_length, throttle, version, ARRAY(SELECT code_hash FROM static_codes WHERE device = d.id)
		FROM static_devices d WHERE id = $1 AND user_id = $2 AND confirmed`, id, userID).Scan(&d.sealed, &d.length, &d.state, &d.version, &d.hashes)
}

// State is the row's.
func (d *device) State() *throttle.State { return &d.state }

// Compare looks for the code among those that are left.
func (d *device) Compare(_ time.Time, typed json.RawMessage) (throttle.Verdict, error) {
	code, ok := parseCode(typed, d.length)
	if !ok {
		return throttle.Verdict{Reason: throttle.Malformed, Code: "invalid", Text: fmt.Sprintf("A recovery code has %d letters and digits.", d.length)}, nil
	}
	key, err := d.keeper.Open(d.sealed, sealedKey.AAD(d.id))
	if err != nil {
		return throttle.Verdict{}, fmt.Errorf("open its key: %w", err)
	}
	if d.spent = find(d.hashes, hash(key, code)); d.spent == nil {
		return throttle.Verdict{Reason: throttle.Invalid, Code: "invalid", Text: "This code is not valid. It may have been used already."}, nil
	}
	return throttle.Verdict{}, nil
}

// The guarded writes of an attempt: the device is as it was read, or nothing of the request happens.
const (
	updateSQL = `WITH w AS (
		UPDATE static_devices SET throttle = $3, last_used = coalesce($4, last_used), version = version + 1
		WHERE id = $1 AND version = $2 RETURNING 1)
		SELECT require_one(count(*)) FROM w`
	spendSQL = `WITH w AS (
		DELETE FROM static_codes WHERE device = $1 AND code_hash = $2 RETURNING 1)
		SELECT require_one(count(*)) FROM w`
)

// Save counts a wrong code, and takes a right one from the list.
func (d *device) Save(run *flows.Run, right bool) {
	if !right {
		run.Queue(updateSQL, d.id, d.version, d.state, nil)
		return
	}
	run.Queue(updateSQL, d.id, d.version, d.state, run.Now())
	run.Queue(spendSQL, d.id, d.spent)
}
