package mobile

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/throttle"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/session"
	"countersign/flows"
	"countersign/mobile/wire"
)

// Class is the device class.
const Class = "mobile"

// Kind is the phone among the authenticator kinds.
func (s *Service) Kind() *authenticators.Kind {
	return &authenticators.Kind{
		Class: Class, Label: "Mobile Device", Plural: "Mobile Devices", Model: app + ".mobiledevice", Type: app + ".MobileDevice",
		Query: "SELECT id AS pk, uuid::text AS uid, user_id, name, confirmed, created FROM mobile_devices",
		Facts: "(SELECT m.stage FROM mobile_devices m WHERE m.id = d.pk)",
		Field: "mobile", NamesDevice: true, Method: method{s},
	}
}

// method is the phone's part in the validation stage.
type method struct{ s *Service }

// question is what an offer keeps: the items drawn for a device, and the prompt that asks them once it was chosen.
type question struct {
	Mode    wire.Mode  `json:"mode"`
	Items   []string   `json:"items"`
	Correct string     `json:"correct"`
	Tries   int        `json:"tries"` // wrong answers that it takes
	Tx      *uuid.UUID `json:"tx,omitempty"`
	Expires time.Time  `json:"expires,omitzero"`
	Told    string     `json:"told,omitempty"` // the delivery failure that the browser knows of

	Delivery Delivery `json:"delivery,omitempty"` // how far the browser knows that it came
	Follows  bool     `json:"follows,omitempty"`  // and it wants to hear more

	Rung   time.Time `json:"rung,omitzero"` // when the push was last sent
	Rings  int       `json:"rings,omitempty"`
	Paused *pause    `json:"paused,omitempty"` // why the phone was not asked when it was chosen last

	// What the browser knows of the prompt.
	Left     int  `json:"left,omitempty"` // tries
	Approved bool `json:"approved,omitempty"`
}

// shown is what the browser shows: never what the phone does.
func (q question) shown() string {
	if q.Mode.Shows() {
		return ""
	}
	return q.Correct
}

// The limits on sending the push of an open question again, when the person asks for it.
const (
	ringGap  = 10 * time.Second
	maxRings = 3
)

// Offer draws the items for each phone.
func (m method) Offer(_ context.Context, run *flows.Run, devices []authenticators.Device) ([]*authenticators.Offer, error) {
	offers := make([]*authenticators.Offer, 0, len(devices))
	for _, d := range devices {
		o := &authenticators.Offer{Class: Class, UID: d.UID, Name: d.Name}
		mode, tries, err := modeOf(run, d)
		if err == nil {
			err = m.redraw(o, mode, tries)
		}
		if err != nil {
			return nil, err
		}
		offers = append(offers, o)
	}
	return offers, nil
}

// modeOf is the mode of the stage by which a phone was set up, and how many wrong answers end a question.
func modeOf(run *flows.Run, d authenticators.Device) (mode wire.Mode, tries int, err error) {
	var stage *uuid.UUID
	if err := d.Read(&stage); err != nil {
		return "", 0, err
	}
	if stage != nil {
		if e := run.Stages().Stage(*stage); e != nil {
			if enrolment, ok := e.Stage.(*Stage); ok {
				return enrolment.settings.mode(), enrolment.settings.attempts(), nil
			}
		}
	}
	return wire.NumberMatching3, 1, nil
}

func (m method) redraw(o *authenticators.Offer, mode wire.Mode, tries int) error {
	items, correct, err := draw(m.s.Random, mode)
	if err != nil {
		return err
	}
	return o.Keep(question{Mode: mode, Items: items, Correct: correct, Tries: tries, Left: tries})
}

// Show gives the browser the number that the person is to find on the phone, or to type there (core.md §3.2). Where they
// type, attempts_left says how many wrong ones are taken still; where the phone shows a code, approved whether it has been
// allowed there.
// answer_window, in seconds, is for a page that asks and waits in one request, and so cannot know when the question ends.
func (m method) Show(_ context.Context, _ *flows.Run, o *authenticators.Offer) (map[string]any, error) {
	var q question
	if _, err := o.Kept(&q); err != nil {
		return nil, err
	}
	shown := map[string]any{
		"item_mode": q.Mode, "item": q.shown(), "device_name": o.Name, "answer_window": int(m.s.AnswerWindow.Seconds()),
	}
	if q.Tx != nil {
		shown["expires"], shown["delivery"] = q.Expires, cmp.Or(q.Delivery, DeliverySent)
		if q.Told != "" && q.Delivery.rank() < DeliveryAccepted.rank() {
			shown["delivery"], shown["delivery_failure"] = DeliveryFailed, q.Told
		}
	}
	if q.Paused != nil {
		shown["paused_until"], shown["paused_reason"] = q.Paused.Until, q.Paused.Reason
	}
	if !q.Mode.Picks() {
		shown["attempts_left"] = q.Left
	}
	if q.Mode.Shows() {
		shown["approved"] = q.Approved
	}
	return shown, nil
}

// Outdated tells whether the browser showed another item than the one that counts.
func (m method) Outdated(o *authenticators.Offer, shown map[string]any) (bool, error) {
	var q question
	if _, err := o.Kept(&q); err != nil {
		return false, err
	}
	item, ok := shown["item"].(string)
	return ok && item != q.shown(), nil
}

// Ahead reads what asking the phone takes. It is read again if another is asked, or from elsewhere.
func (m method) Ahead(value json.RawMessage, o *event.Origin) flows.Ahead {
	var uid string
	if json.Unmarshal(value, &uid) != nil {
		return nil
	}
	device, err := uuid.Parse(uid)
	if err != nil {
		return nil
	}
	return &aiming{device: device, source: throttle.Source(o.ClientIP), now: m.s.Now()}
}

// Select asks the phone, unless the same question is open already.
func (m method) Select(ctx context.Context, run *flows.Run, o *authenticators.Offer) (fault.Fields, error) {
	s := m.s
	var q question
	if _, err := o.Kept(&q); err != nil {
		return nil, err
	}
	device, err := uuid.Parse(o.UID)
	if err != nil {
		return nil, fmt.Errorf("device of offer: %w", err)
	}
	t, err := s.aim(ctx, run, device)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return failure("invalid", "This phone was removed. Please use another way."), nil
	}
	if !t.canFetch && !q.Mode.Picks() {
		return failure("unsupported", unable), nil
	}
	now, by := run.Now(), s.asker(run, t)
	if q.Tx != nil {
		if t.pending != nil && *t.pending == *q.Tx && now.Before(q.Expires) {
			return nil, m.ringAgain(ctx, run, t, o, q, by)
		}
		// What the phone said a moment ago stands: to ask anew would undo an approval, or outlive a denial.
		st, err := s.standing(ctx, run.DB(), *q.Tx, q.Expires, false)
		if err != nil {
			return nil, err
		}
		if st != nil && (st.status == statusAccept || st.status == statusDeny) {
			return nil, nil
		}
		if err := m.redraw(o, q.Mode, q.Tries); err != nil {
			return nil, err
		}
		if _, err := o.Kept(&q); err != nil {
			return nil, err
		}
	}
	if t.changed {
		wait, err := s.cooling(ctx, run.DB(), device)
		if err != nil {
			return nil, err
		}
		if wait > 0 {
			return failure("cooldown", "The keys or the address of this phone changed a short time ago. It can be asked again in "+throttle.Pause(wait)+"; until then use another way."), nil
		}
	}
	if q.Paused, err = s.paused(ctx, run, t, by); err != nil {
		return nil, err
	}
	if q.Paused != nil {
		return failure("throttled", q.Paused.text(now)), o.Keep(q)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("name prompt: %w", err)
	}
	p := prompt{
		id: id, mode: q.Mode, items: q.Items, correct: q.Correct, tries: q.Tries, created: now, expires: now.Add(s.AnswerWindow),
		context: contextOf(run, now), follows: follows(o),
	}
	if err := s.open(ctx, run, t, p, by); err != nil {
		return nil, err
	}
	q.Tx, q.Expires, q.Rung, q.Rings, q.Delivery, q.Follows = &id, p.expires, now, 1, "", p.follows
	return nil, o.Keep(q)
}

// ringAgain sends the push of an open question once more; too soon or too often, it rings already. It counts as a ring.
func (m method) ringAgain(ctx context.Context, run *flows.Run, t *target, o *authenticators.Offer, q question, by asker) error {
	now := run.Now()
	if q.Rings >= maxRings || now.Sub(q.Rung) < ringGap || m.s.Budget.wait(now, t.history, by) > 0 {
		return nil
	}
	q.Rung, q.Told, q.Delivery = now, "", ""
	q.Rings++
	run.Contended(ringKey)
	run.Queue(`UPDATE mobile_transactions SET ring = $2, rings = rings + 1, rung = $3 WHERE tx_id = $1 AND status = 'wait'`, *q.Tx, t.nextRing(), now)
	p := prompt{id: *q.Tx, mode: q.Mode, items: q.Items, context: wire.Context{Host: run.Origin.Host}, expires: q.Expires}
	if err := m.s.announce(ctx, run, t, p); err != nil {
		return err
	}
	return o.Keep(q)
}

// contextOf is what the phone shows of the login.
func contextOf(run *flows.Run, now time.Time) wire.Context {
	agent := session.ParseAgent(run.Origin.UserAgent)
	application := run.Context.Application
	if application == "" {
		application = run.Title
	}
	return wire.Context{
		Application: application, Host: run.Origin.Host, IP: addressOf(run.Origin),
		Browser: agent.Browser.Family, OS: agent.OS.Family, Time: now.UTC().Truncate(time.Second),
	}
}

// Answer waits for the phone and tells what it said.
func (m method) Answer(ctx context.Context, run *flows.Run, o *authenticators.Offer, _ json.RawMessage) (flows.Outcome, error) {
	s := m.s
	var q question
	if _, err := o.Kept(&q); err != nil {
		return flows.Outcome{}, err
	}
	if q.Tx == nil { // an answer without a choice is a choice too
		fields, err := m.Select(ctx, run, o)
		if err != nil || fields != nil {
			return flows.Soft(fields), err
		}
		if _, err := o.Kept(&q); err != nil {
			return flows.Outcome{}, err
		}
	}
	wake, cancel := s.waiters.subscribe(*q.Tx, q.Follows)
	waiting := false
	defer func() {
		if !waiting {
			cancel()
		}
	}()
	limit := min(holdLimit, q.Expires.Sub(run.Now()))
	if q.Rings == 1 && o.Changed() && !run.Resumed { // opened by this very request, not committed yet
		waiting = true
		return flows.Wait(wake, limit, cancel), nil
	}
	st, err := s.standing(ctx, run.DB(), *q.Tx, q.Expires, run.Resumed)
	if err != nil {
		return flows.Outcome{}, err
	}
	if st != nil && st.status == statusWait && run.Now().Before(st.expires) {
		if st.delivery.rank() > max(q.Delivery.rank(), DeliveryFailed.rank()) && q.Follows {
			q.Delivery = st.delivery
			return flows.Soft(failure("waiting", "Waiting for push answer")), o.Keep(q)
		}
		if st.failure != "" && st.failure != q.Told && q.Delivery.rank() <= DeliveryFailed.rank() {
			q.Told = st.failure
			return flows.Soft(failure("internal", "Failed to send push notification")), o.Keep(q)
		}
		if news := q.learn(st.progress); news != nil {
			return flows.Soft(news), o.Keep(q)
		}
		if run.Resumed {
			return flows.Soft(failure("waiting", "Waiting for push answer")), nil
		}
		waiting = true
		return flows.Wait(wake, limit, cancel), nil
	}
	return m.conclude(ctx, run, o, q, st)
}

// follows tells whether the page by which the phone was chosen shows how far the question came.
func follows(o *authenticators.Offer) bool {
	_, ok := o.Shown["delivery"]
	return ok
}

// letGo notes that a login went on.
func (s *Service) letGo(o *authenticators.Offer, q question) {
	device, err := uuid.Parse(o.UID)
	if err != nil {
		return
	}
	l := leg{tx: *q.Tx, device: device, name: o.Name, created: q.Expires.Add(-s.AnswerWindow)}
	now := s.Now()
	s.metrics.stage(stageReleased, "", now.Sub(l.created))
	s.record.note(entry{leg: l, stage: stageReleased, at: now})
}

// conclude maps a prompt that is over. Whatever it was but accepted, the next choice asks a new question.
func (m method) conclude(ctx context.Context, run *flows.Run, o *authenticators.Offer, q question, st *standing) (flows.Outcome, error) {
	if st != nil && st.status == statusAccept {
		m.s.crowd.approved(*q.Tx)
		m.s.letGo(o, q)
		o.Proof = &authenticators.Proof{
			UID: o.UID, Name: o.Name, UserVerified: st.signed == string(wire.UseVerification), SameNetwork: st.sameNetwork,
			Facts: claims(q.Mode, st.signed, st.hardware),
		}
		return flows.Next(), nil
	}
	if err := m.redraw(o, q.Mode, q.Tries); err != nil {
		return flows.Outcome{}, err
	}
	switch {
	case st == nil:
		return flows.Stay(failure("denied", "This phone was removed. Please use another way.")), nil
	case st.status == statusDeny:
		return flows.Deny("The login was denied on your phone."), nil
	case st.status == statusWrong:
		return flows.Stay(failure("denied", "Mobile denied access")), nil
	case st.status == statusSuperseded:
		return flows.Stay(failure("superseded", "A newer request was sent to this phone.")), nil
	}
	if st.status == statusWait {
		m.s.metrics.stage(stageExpired, "", m.s.AnswerWindow)
		run.Queue(`UPDATE mobile_transactions SET status = 'expired' WHERE tx_id = $1 AND status = 'wait'`, *q.Tx)
		u, err := run.PendingUser(ctx)
		if err != nil {
			return flows.Outcome{}, err
		}
		e := event.Event{Action: event.LoginFailed, App: app, Context: map[string]any{
			"transaction": *q.Tx, "device_class": Class, "mobile_response": "timeout",
		}}
		if u != nil {
			e.User = &event.User{PK: u.ID, Username: u.Username, Email: u.Email}
		}
		if err := run.Emit(ctx, e); err != nil {
			return flows.Outcome{}, err
		}
	}
	return flows.Stay(failure("invalid", "Mobile push notification timed out.")), nil
}

func failure(code, text string) fault.Fields {
	return fault.Fields{"mobile": {{Code: code, Text: text}}}
}
