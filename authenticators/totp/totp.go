package totp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/authenticators/throttle"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
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

// SealedFor names the place of a device's seed to the keeper: the associated data of totp_devices.key_sealed.
func SealedFor(device int) string { return "totp_devices.key:" + strconv.Itoa(device) }

// Kind is the authenticator app among the authenticator kinds.
func (s *Service) Kind() *authenticators.Kind {
	return &authenticators.Kind{
		Class: Class, Label: label, Plural: label + "s", Model: app + "." + model, Type: app + ".TOTPDevice",
		Query: "SELECT id AS pk, id::text AS uid, user_id, name, confirmed, created FROM totp_devices",
		Field: "code", Method: method{s},
	}
}

// method is the app's part in the validation stage.
type method struct{ s *Service }

// standing is what an offer keeps.
type standing struct {
	Until time.Time `json:"until,omitzero"` // the device takes no code before
}

// Offer asks each device for itself.
func (m method) Offer(_ context.Context, _ *flows.Run, devices []authenticators.Device) ([]*authenticators.Offer, error) {
	offers := make([]*authenticators.Offer, 0, len(devices))
	for _, d := range devices {
		offers = append(offers, &authenticators.Offer{Class: Class, UID: d.UID, Name: d.Name})
	}
	return offers, nil
}

// Show gives the browser the device's name and, while it is locked, until when.
func (m method) Show(_ context.Context, run *flows.Run, o *authenticators.Offer) (map[string]any, error) {
	var st standing
	if _, err := o.Kept(&st); err != nil {
		return nil, err
	}
	shown := map[string]any{"device_name": o.Name}
	if st.Until.After(run.Now()) {
		shown["locked_until"] = st.Until
	}
	return shown, nil
}

// Select does nothing: the app needs no telling.
func (m method) Select(context.Context, *flows.Run, *authenticators.Offer) (fault.Fields, error) {
	return nil, nil
}

// device is a row as a login reads it.
type device struct {
	id       int
	digits   int
	sealed   []byte
	lastStep int64
	throttle throttle.State
	version  int
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

// Answer takes a code.
func (m method) Answer(ctx context.Context, run *flows.Run, o *authenticators.Offer, value json.RawMessage) (flows.Outcome, error) {
	d, err := m.read(ctx, run, o)
	if err != nil {
		return flows.Outcome{}, err
	}
	id, _ := strconv.Atoi(o.UID)
	refuse := func(reason throttle.Reason, code, text string) (flows.Outcome, error) {
		err := throttle.Emit(ctx, run, Class, event.Model(id, app, model, o.Name), reason)
		return flows.StayField("code", code, text), err
	}
	if d == nil {
		return refuse(throttle.Gone, "invalid", "This device was removed. Please use another way.")
	}
	now, source := run.Now(), throttle.Source(run.Origin.ClientIP)
	if until := d.throttle.Until(now, source); until.After(now) {
		if err := o.Keep(standing{until}); err != nil {
			return flows.Outcome{}, err
		}
		_, err := refuse(throttle.Throttled, "", "")
		return throttle.Refuse("code", now, until), err
	}
	code, ok := parseCode(value, d.digits)
	if !ok {
		return refuse(throttle.Malformed, "invalid", fmt.Sprintf("A code has %d digits.", d.digits))
	}
	seed, err := m.s.keeper.Open(d.sealed, SealedFor(d.id))
	if err != nil {
		return flows.Outcome{}, fmt.Errorf("open seed of device %d: %w", d.id, err)
	}
	step, fresh, right := match(seed, now, d.lastStep, d.digits, code)
	switch {
	case right && fresh:
		d.throttle.Pass(now, source)
		run.Queue(grantSQL, d.id, d.version, step, d.throttle, now)
		return flows.Next(), nil
	case right:
		return refuse(throttle.Used, "used", "This code was used already. Wait for the next one.")
	}
	d.throttle.Fail(now, source)
	run.Queue(countSQL, d.id, d.version, d.throttle)
	if err := o.Keep(standing{d.throttle.Until(now, source)}); err != nil {
		return flows.Outcome{}, err
	}
	return refuse(throttle.Invalid, "invalid", "Invalid Token. Please ensure the time on your device is accurate and try again.")
}

// read finds the offered device, if it is still the pending user's; nil if it is not.
func (m method) read(ctx context.Context, run *flows.Run, o *authenticators.Offer) (*device, error) {
	u, err := run.PendingUser(ctx)
	if err != nil {
		return nil, err
	}
	id, ok := authenticators.Number(o.UID)
	if !ok || u == nil {
		return nil, nil //nolint:nilnil // no device is an answer
	}
	d := &device{id: int(id)}
	err = run.DB().QueryRow(ctx, `SELECT digits, key_sealed, last_step, throttle, version FROM totp_devices
		WHERE id = $1 AND user_id = $2 AND confirmed`, d.id, u.ID).Scan(&d.digits, &d.sealed, &d.lastStep, &d.throttle, &d.version)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // no device is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("read device %d: %w", d.id, db.Fault(err))
	}
	return d, nil
}
