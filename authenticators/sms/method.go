package sms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/authenticators/throttle"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/user"
	"countersign/flows"
)

// Class is the device class.
const Class = "sms"

// Kind is the text message among the authenticator kinds.
func (s *Service) Kind() *authenticators.Kind {
	return &authenticators.Kind{
		Class: Class, Label: "SMS Device", Plural: "SMS Devices", Model: app + "." + model, Type: app + ".SMSDevice",
		Query: "SELECT id AS pk, id::text AS uid, user_id, name, confirmed, created FROM sms_devices",
		Facts: "(SELECT json_build_object('stage', s.stage, 'sealed', encode(s.phone_sealed, 'base64')) FROM sms_devices s WHERE s.id = d.pk AND s.phone_sealed IS NOT NULL)",
		Field: "code", Method: method{s},
	}
}

// method is the text message's part in the validation stage.
type method struct{ s *Service }

// question is what an offer keeps: the end of the number, and the code on its way to it.
type question struct {
	Hint string     `json:"hint"`
	Code *uuid.UUID `json:"code,omitempty"`
	Sent time.Time  `json:"sent,omitzero"`
}

// target is a device that can be sent to: one that only verified a number cannot.
type target struct {
	ID     int
	User   int
	Stage  uuid.UUID
	Sealed []byte
}

// targetOf reads one; nil: there is none.
func targetOf(ctx context.Context, q db.Querier, id int) (*target, error) {
	t := &target{ID: id}
	err := q.QueryRow(ctx, `SELECT user_id, stage, phone_sealed FROM sms_devices WHERE id = $1 AND confirmed AND phone_sealed IS NOT NULL`, id).
		Scan(&t.User, &t.Stage, &t.Sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // it is gone
	}
	if err != nil {
		return nil, fmt.Errorf("read device %d: %w", id, db.Fault(err))
	}
	return t, nil
}

// Offer offers each number that can be sent to.
func (m method) Offer(_ context.Context, _ *flows.Run, devices []authenticators.Device) ([]*authenticators.Offer, error) {
	var offers []*authenticators.Offer
	for _, d := range devices {
		var t *target
		if err := d.Read(&t); err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		var q question
		// A number that does not open is told of when it is chosen: the person may have another device.
		if number, err := m.s.openNumber(t.Sealed, d.UserID, t.Stage); err == nil {
			q.Hint = number.hint()
		}
		o := &authenticators.Offer{Class: Class, UID: d.UID, Name: d.Name}
		if err := o.Keep(q); err != nil {
			return nil, err
		}
		offers = append(offers, o)
	}
	return offers, nil
}

// Show gives the end of the number, by which its owner knows it, and from when on another code may be asked for.
func (m method) Show(_ context.Context, _ *flows.Run, o *authenticators.Offer) (map[string]any, error) {
	var q question
	if _, err := o.Kept(&q); err != nil {
		return nil, err
	}
	shown := map[string]any{"number": q.Hint}
	if q.Code != nil {
		shown["again"] = q.Sent.Add(m.s.Limits.Gap)
	}
	return shown, nil
}

// Select sends a code and waits for the provider's word. Chosen again while a code of this run has just been sent, as
// by a page that is loaded again, nothing happens.
func (m method) Select(ctx context.Context, run *flows.Run, o *authenticators.Offer) (fault.Fields, error) {
	var q question
	if _, err := o.Kept(&q); err != nil {
		return nil, err
	}
	u, t, err := m.target(ctx, run, o)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return selection("invalid", gone), nil
	}
	if q.Code != nil && run.Now().Before(q.Sent.Add(m.s.Limits.Gap)) {
		return nil, nil
	}
	st, err := stageOf(run, t.Stage)
	if err != nil {
		return nil, err
	}
	var code uuid.UUID
	var refused string
	if number, sealed := m.s.openNumber(t.Sealed, t.User, t.Stage); sealed != nil {
		refused, err = failed(ctx, run, st, u, sealed)
	} else {
		code, refused, err = m.s.sendCode(ctx, run, st, u, number)
	}
	if err != nil {
		return nil, err
	}
	if refused != "" {
		return selection("not_sent", refused), nil
	}
	q.Code, q.Sent = &code, run.Now()
	return nil, o.Keep(q)
}

const gone = "This device was removed. Please use another way."

// target is the device of an offer and its owner, who logs in; nil when it is not theirs any more.
func (m method) target(ctx context.Context, run *flows.Run, o *authenticators.Offer) (*user.User, *target, error) {
	id, err := strconv.Atoi(o.UID)
	if err != nil {
		return nil, nil, fmt.Errorf("device of offer: %w", err)
	}
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	t, err := targetOf(ctx, run.DB(), id)
	if err != nil {
		return nil, nil, err
	}
	if t != nil && u != nil && u.ID == t.User {
		return u, t, nil
	}
	return u, nil, nil
}

// stageOf is the stage by which a device was set up: it says how to send.
func stageOf(run *flows.Run, id uuid.UUID) (*Stage, error) {
	if e := run.Stages().Stage(id); e != nil {
		if st, ok := e.Stage.(*Stage); ok {
			return st, nil
		}
	}
	return nil, errors.New("the stage of the device cannot be used")
}

func selection(code, text string) fault.Fields {
	return fault.Fields{"selected_challenge": {{Code: code, Text: text}}}
}

// Answer compares what was typed with the code that was sent in this run.
func (m method) Answer(ctx context.Context, run *flows.Run, o *authenticators.Offer, value json.RawMessage) (flows.Outcome, error) {
	refuse := func(reason throttle.Reason, code, text string) (flows.Outcome, error) {
		pk, _ := strconv.Atoi(o.UID)
		return flows.StayField("code", code, text), throttle.Emit(ctx, run, Class, event.Model(pk, app, model, o.Name), reason)
	}
	var q question
	if _, err := o.Kept(&q); err != nil {
		return flows.Outcome{}, err
	}
	_, t, err := m.target(ctx, run, o)
	if err != nil {
		return flows.Outcome{}, err
	}
	if t == nil {
		return refuse(throttle.Gone, "invalid", gone)
	}
	if q.Code == nil { // the answer is meant for another device, if for any: there is nothing to compare it with
		return flows.StayField("code", "invalid", "No code was sent yet. Choose the text message first."), nil
	}
	code, _ := parseCode(value)
	if !plausible(code) {
		return refuse(throttle.Malformed, "invalid", "A code has 6 digits.")
	}
	v, err := m.s.check(ctx, run, *q.Code, code)
	switch {
	case err != nil:
		return flows.Outcome{}, err
	case v == over:
		return refuse(throttle.Used, "expired", "This code is over. Ask for a new one.")
	case v == wrong:
		return refuse(throttle.Invalid, "invalid", "This code is not right. Look at the newest message.")
	}
	run.Queue(`UPDATE sms_devices SET last_used = $2 WHERE id = $1`, t.ID, run.Now())
	return flows.Next(), nil
}
