package throttle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/flows"
)

// Method is the part in the validation stage of a kind whose codes are typed: each device is asked for itself, and an
// answer goes the way that the package describes.
type Method struct {
	Class, App, Model string
	Gone              string // what a person is told of a device that was removed meanwhile

	// Read reads a confirmed device of a user; pgx.ErrNoRows if there is none.
	Read func(ctx context.Context, q db.Querier, id, userID int) (Device, error)
}

// Device is a row as an attempt reads it.
type Device interface {
	// State is the row's, to be changed.
	State() *State
	// Compare looks at what was typed; a zero Verdict is a right code. Error: it cannot be looked at, as the row does not
	// open with any configured key.
	Compare(now time.Time, typed json.RawMessage) (Verdict, error)
	// Save queues the writes after a right code, or else after a wrong one. They demand the row as it was read.
	Save(run *flows.Run, right bool)
}

// Verdict is why a code is refused, in a code for programs and a text for people.
type Verdict struct {
	Reason     Reason
	Code, Text string
}

// Facts are what a kind's authenticators.Kind.Facts give of a device.
type Facts struct {
	Throttle State `json:"throttle"` // of its row: who comes to a locked device is told so before they type
	Left     *int  `json:"left"`     // codes; nil for kinds that do not count them
}

// Standing is what an offer keeps.
type Standing struct {
	Left  *int      `json:"left,omitempty"` // codes, when the device was offered; nil for kinds that do not count them
	Until time.Time `json:"until,omitzero"` // the device takes no code before
}

// Offer asks each device for itself.
func (m Method) Offer(_ context.Context, run *flows.Run, devices []authenticators.Device) ([]*authenticators.Offer, error) {
	now, source := run.Now(), Source(run.Origin.ClientIP)
	offers := make([]*authenticators.Offer, 0, len(devices))
	for _, d := range devices {
		var f Facts
		if err := d.Read(&f); err != nil {
			return nil, err
		}
		o := &authenticators.Offer{Class: m.Class, UID: d.UID, Name: d.Name}
		if err := o.Keep(Standing{Left: f.Left, Until: f.Throttle.Until(now, source)}); err != nil {
			return nil, err
		}
		offers = append(offers, o)
	}
	return offers, nil
}

// Show gives the browser the device's name and, while it is locked, until when.
func (Method) Show(_ context.Context, run *flows.Run, o *authenticators.Offer) (map[string]any, error) {
	var st Standing
	if _, err := o.Kept(&st); err != nil {
		return nil, err
	}
	shown := map[string]any{"device_name": o.Name}
	if st.Until.After(run.Now()) {
		shown["locked_until"] = st.Until
	}
	return shown, nil
}

// Select does nothing: the person has the codes at hand.
func (Method) Select(context.Context, *flows.Run, *authenticators.Offer) (fault.Fields, error) {
	return nil, nil
}

// Answer takes a code.
func (m Method) Answer(ctx context.Context, run *flows.Run, o *authenticators.Offer, typed json.RawMessage) (flows.Outcome, error) {
	id, numbered := authenticators.Number(o.UID)
	ref := event.Model(int(id), m.App, m.Model, o.Name)
	refuse := func(v Verdict) (flows.Outcome, error) {
		return flows.StayField("code", v.Code, v.Text), Emit(ctx, run, m.Class, ref, v.Reason)
	}
	u, err := run.PendingUser(ctx)
	if err != nil {
		return flows.Outcome{}, err
	}
	gone := Verdict{Gone, "invalid", m.Gone}
	if !numbered || u == nil {
		return refuse(gone)
	}
	d, err := m.Read(ctx, run.DB(), int(id), u.ID)
	if errors.Is(err, pgx.ErrNoRows) {
		return refuse(gone)
	}
	if err != nil {
		return flows.Outcome{}, fmt.Errorf("read device %d: %w", id, db.Fault(err))
	}
	now, source := run.Now(), Source(run.Origin.ClientIP)
	if until := d.State().Until(now, source); until.After(now) {
		if err := keep(o, until); err != nil {
			return flows.Outcome{}, err
		}
		return Refuse("code", now, until), Emit(ctx, run, m.Class, ref, Throttled)
	}
	v, err := d.Compare(now, typed)
	switch {
	case err != nil:
		return unusable(ctx, run, ref, err)
	case v == Verdict{}:
		d.State().Pass(now, source)
		d.Save(run, true)
		return flows.Next(), nil
	case v.Reason == Invalid:
		d.State().Fail(now, source)
		d.Save(run, false)
		if err := keep(o, d.State().Until(now, source)); err != nil {
			return flows.Outcome{}, err
		}
	}
	return refuse(v)
}

// unusable tells administrators why a device cannot be looked at, and the person that it cannot.
func unusable(ctx context.Context, run *flows.Run, device event.Ref, cause error) (flows.Outcome, error) {
	return flows.StayField("code", "unavailable", "This cannot be checked at the moment. Use another way, or ask your administrator."),
		run.Emit(ctx, event.Event{Action: event.ConfigurationError, App: device.App, Context: map[string]any{
			"message": "A device cannot be checked: " + cause.Error(), "device": device,
		}})
}

// keep notes with an offer until when its device takes no code.
func keep(o *authenticators.Offer, until time.Time) error {
	var st Standing
	if _, err := o.Kept(&st); err != nil {
		return err
	}
	st.Until = until
	return o.Keep(st)
}
