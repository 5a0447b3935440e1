package totp

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
const Class = "totp"

const (
	app   = "authentik_stages_authenticator_totp"
	model = "totpdevice"
	label = "TOTP Device"
)

// Service is the server side of authenticator apps.
type Service struct{ keeper *secret.Keeper }

// New makes a service whose seeds keeper seals.
func New(keeper *secret.Keeper) *Service { return &Service{keeper} }

// Sealed is where authenticator apps keep sealed values.
func Sealed() []secret.Column { return []secret.Column{sealedSeed} }

var sealedSeed = secret.Column{Table: "totp_devices", Name: "key_sealed", Key: []string{"id"}}

// Kind is the authenticator app among the authenticator kinds.
func (s *Service) Kind() *authenticators.Kind {
	return &authenticators.Kind{
		Class: Class, Label: label, Plural: label + "s", Model: app + "." + model, Type: app + ".TOTPDevice",
		Query: "SELECT id AS pk, id::text AS uid, user_id, name, confirmed, created FROM totp_devices",
		Facts: "(SELECT json_build_object('throttle', t.throttle) FROM totp_devices t WHERE t.id = d.pk)",
		Field: "code", Method: throttle.Method{
			Class: Class, App: app, Model: model, Gone: "This device was removed. Please use another way.", Read: s.read,
		},
	}
}

// device is a row as a login reads it.
type device struct {
	keeper   *secret.Keeper
	id       int
	digits   int
	sealed   []byte
	lastStep int64
	state    throttle.State
	version  int
	step     int64 // of the code that was typed
}

func (s *Service) read(ctx context.Context, q db.Querier, id, userID int) (throttle.Device, error) {
	d := &device{keeper: s.keeper, id: id}
	return d, q.QueryRow(ctx, `SELECT digits, key_sealed, last_step, throttle, version FROM totp_devices
		WHERE id = $1 AND user_id = $2 AND confirmed`, id, userID).Scan(&d.digits, &d.sealed, &d.lastStep, &d.state, &d.version)
}

// State is the row's.
func (d *device) State() *throttle.State { return &d.state }

// Compare looks for the step of the code.
func (d *device) Compare(now time.Time, typed json.RawMessage) (throttle.Verdict, error) {
	code, ok := parseCode(typed, d.digits)
	if !ok {
		return throttle.Verdict{Reason: throttle.Malformed, Code: "invalid", Text: fmt.Sprintf("A code has %d digits.", d.digits)}, nil
	}
	seed, err := d.keeper.Open(d.sealed, sealedSeed.AAD(d.id))
	if err != nil {
		return throttle.Verdict{}, fmt.Errorf("open its seed: %w", err)
	}
	step, fresh, right := match(seed, now, d.lastStep, d.digits, code)
	switch {
	case right && fresh:
		d.step = step
		return throttle.Verdict{}, nil
	case right:
		return throttle.Verdict{Reason: throttle.Used, Code: "used", Text: "This code was used already. Wait for the next one."}, nil
	}
	const text = "Invalid Token. Please ensure the time on your device is accurate and try again."
	return throttle.Verdict{Reason: throttle.Invalid, Code: "invalid", Text: text}, nil
}

// The guarded writes of an attempt: the device is as it was read, or nothing of the request happens.
const (
	grantSQL = `WITH w AS (
		UPDATE totp_devices SET last_step = $3, throttle = $4, last_used = $5, version = version + 1
		WHERE id = $1 AND version = $2 AND last_step < $3 RETURNING 1)
		SELECT require_one(count(*)) FROM w`
	countSQL = `WITH w AS (
		UPDATE totp_devices SET throttle = $3, version = version + 1 WHERE id = $1 AND version = $2 RETURNING 1)
		SELECT require_one(count(*)) FROM w`
)

// Save counts a wrong code, and notes the step of a right one.
func (d *device) Save(run *flows.Run, right bool) {
	if !right {
		run.Queue(countSQL, d.id, d.version, d.state)
		return
	}
	run.Queue(grantSQL, d.id, d.version, d.step, d.state, run.Now())
}
