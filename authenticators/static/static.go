package static

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

// SealedFor names the place of a device's key to the keeper: the associated data of static_devices.key_sealed.
func SealedFor(device int) string { return "static_devices.key:" + strconv.Itoa(device) }

// Kind is recovery codes among the authenticator kinds.
func (s *Service) Kind() *authenticators.Kind {
	return &authenticators.Kind{
		Class: Class, Label: label, Plural: label + "s", Model: app + "." + model, Type: app + ".StaticDevice",
		Query: "SELECT id AS pk, id::text AS uid, user_id, name, confirmed, created FROM static_devices",
		Facts: "(SELECT count(*) FROM static_codes c WHERE c.device = d.pk)",
		Field: "code", Method: method{s},
	}
}

// method is the part of recovery codes in the validation stage.
type method struct{ s *Service }

// standing is what an offer keeps.
type standing struct {
	Left  int       `json:"left"`           // codes, when the device was offered
	Until time.Time `json:"until,omitzero"` // the device takes no code before
}

// Offer asks each device for itself.
func (m method) Offer(_ context.Context, _ *flows.Run, devices []authenticators.Device) ([]*authenticators.Offer, error) {
	offers := make([]*authenticators.Offer, 0, len(devices))
	for _, d := range devices {
		var st standing
		if err := d.Read(&st.Left); err != nil {
			return nil, err
		}
		o := &authenticators.Offer{Class: Class, UID: d.UID, Name: d.Name}
		if err := o.Keep(st); err != nil {
			return nil, err
		}
		offers = append(offers, o)
	}
	return offers, nil
}

// Show gives the browser the device's name, how many codes are left when they are few, and, while it is locked, until when.
func (m method) Show(_ context.Context, run *flows.Run, o *authenticators.Offer) (map[string]any, error) {
	var st standing
	if _, err := o.Kept(&st); err != nil {
		return nil, err
	}
	shown := map[string]any{"device_name": o.Name}
	if st.Left <= fewCodes {
		shown["codes_left"] = st.Left
	}
	if st.Until.After(run.Now()) {
		shown["locked_until"] = st.Until
	}
	return shown, nil
}

// Select does nothing: the codes are on paper.
func (m method) Select(context.Context, *flows.Run, *authenticators.Offer) (fault.Fields, error) {
	return nil, nil
}

// device is a row as a login reads it, with the hashes of the codes that are left.
type device struct {
	id       int
	sealed   []byte
	length   int // of a code
	throttle throttle.State
	version  int
	hashes   [][]byte
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

// Answer takes a code.
func (m method) Answer(ctx context.Context, run *flows.Run, o *authenticators.Offer, value json.RawMessage) (flows.Outcome, error) {
	d, err := m.read(ctx, run, o)
	if err != nil {
		return flows.Outcome{}, err
	}
	id, _ := strconv.Atoi(o.UID)
	refuse := func(reason throttle.Reason, text string) (flows.Outcome, error) {
		err := throttle.Emit(ctx, run, Class, event.Model(id, app, model, o.Name), reason)
		return flows.StayField("code", "invalid", text), err
	}
	if d == nil {
		return refuse(throttle.Gone, "This list of codes was removed. Please use another way.")
	}
	now, source := run.Now(), throttle.Source(run.Origin.ClientIP)
	if until := d.throttle.Until(now, source); until.After(now) {
		if err := o.Keep(standing{len(d.hashes), until}); err != nil {
			return flows.Outcome{}, err
		}
		_, err := refuse(throttle.Throttled, "")
		return throttle.Refuse("code", now, until), err
	}
	code, ok := parseCode(value, d.length)
	if !ok {
		return refuse(throttle.Malformed, fmt.Sprintf("A recovery code has %d letters and digits.", d.length))
	}
	key, err := m.s.keeper.Open(d.sealed, SealedFor(d.id))
	if err != nil {
		return flows.Outcome{}, fmt.Errorf("open key of device %d: %w", d.id, err)
	}
	if spent := find(d.hashes, hash(key, code)); spent != nil {
		d.throttle.Pass(now, source)
		run.Queue(updateSQL, d.id, d.version, d.throttle, now)
		run.Queue(spendSQL, d.id, spent)
		return flows.Next(), nil
	}
	d.throttle.Fail(now, source)
	run.Queue(updateSQL, d.id, d.version, d.throttle, nil)
	if err := o.Keep(standing{len(d.hashes), d.throttle.Until(now, source)}); err != nil {
		return flows.Outcome{}, err
	}
	return refuse(throttle.Invalid, "This code is not valid. It may have been used already.")
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
	err = run.DB().QueryRow(ctx, `SELECT key_sealed, code_length, throttle, version, ARRAY(SELECT code_hash FROM static_codes WHERE device = d.id)
		FROM static_devices d WHERE id = $1 AND user_id = $2 AND confirmed`, d.id, u.ID).Scan(&d.sealed, &d.length, &d.throttle, &d.version, &d.hashes)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // no device is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("read device %d: %w", d.id, db.Fault(err))
	}
	return d, nil
}
