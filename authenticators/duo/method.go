package duo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/duosecurity/duo_api_golang/authapi"
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
const Class = "duo"

const (
	// holdLimit ends one waiting request before the proxies in front of us do, the asking before it included; the page
	// comes back at once.
	holdLimit = 40 * time.Second
	// pushLife is how long a transaction is asked about: Duo gives a person 60 seconds.
	pushLife = 90 * time.Second
	// pollPause is between two questions that Duo answers at once.
	pollPause = time.Second
	maxInfo   = 128 // bytes of a line that the app shows
	maxTx     = 256
)

// Kind is Duo among the authenticator kinds.
func (s *Service) Kind() *authenticators.Kind {
	return &authenticators.Kind{
		Class: Class, Label: "Duo Device", Plural: "Duo Devices", Model: app + "." + model, Type: app + ".DuoDevice",
		Query: "SELECT id AS pk, id::text AS uid, user_id, name, confirmed, created FROM duo_devices",
		Field: "duo", NamesDevice: true, Method: method{s},
	}
}

// method is Duo's part in the validation stage.
type method struct{ s *Service }

// push is what an offer keeps of one under way.
type push struct {
	ID    uuid.UUID `json:"id"`
	Tx    string    `json:"tx,omitempty"` // Duo's transaction, once it has one
	Until time.Time `json:"until"`        // when it is over at the latest
}

// word is Duo's answer about a login.
type word struct {
	Result string `json:"result"`
	Status string `json:"status"`
	Text   string `json:"status_msg"`
}

// Offer offers each device.
func (method) Offer(_ context.Context, _ *flows.Run, devices []authenticators.Device) ([]*authenticators.Offer, error) {
	offers := make([]*authenticators.Offer, 0, len(devices))
	for _, d := range devices {
		offers = append(offers, &authenticators.Offer{Class: Class, UID: d.UID, Name: d.Name})
	}
	return offers, nil
}

// Show gives the name of the device.
func (method) Show(_ context.Context, _ *flows.Run, o *authenticators.Offer) (map[string]any, error) {
	return map[string]any{"device_name": o.Name}, nil
}

// Select does nothing: the push goes out with the answer (core.md §3.3).
func (method) Select(context.Context, *flows.Run, *authenticators.Offer) (fault.Fields, error) {
	return nil, nil
}

// target is the device of an offer.
type target struct {
	id      int
	duoUser string
	owner   *user.User
	stage   *Stage // nil: it cannot be used
}

// target reads the device and whom it belongs to; nil when it is not theirs any more.
func (m method) target(ctx context.Context, run *flows.Run, o *authenticators.Offer) (*target, error) {
	u, err := authenticators.Owner(ctx, run)
	if err != nil || u == nil {
		return nil, err
	}
	t := &target{owner: u}
	if t.id, err = strconv.Atoi(o.UID); err != nil {
		return nil, fmt.Errorf("device of offer: %w", err)
	}
	var stage uuid.UUID
	err = run.DB().QueryRow(ctx, `SELECT stage, duo_user_id FROM duo_devices WHERE id = $1 AND user_id = $2 AND confirmed`, t.id, u.ID).Scan(&stage, &t.duoUser)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read device: %w", db.Fault(err))
	}
	if e := run.Stages().Stage(stage); e != nil {
		t.stage, _ = e.Stage.(*Stage)
	}
	return t, nil
}

// Answer has Duo ask the person, and waits for what they say.
func (m method) Answer(ctx context.Context, run *flows.Run, o *authenticators.Offer, _ json.RawMessage) (flows.Outcome, error) {
	t, err := m.target(ctx, run, o)
	if err != nil {
		return flows.Outcome{}, err
	}
	if t == nil {
		return m.refuse(ctx, run, o, throttle.Gone, "invalid", "This device was removed. Please use another way.")
	}
	if t.stage == nil {
		return m.failed(ctx, run, o, t, push{}, errors.New("the stage of the device cannot be used"))
	}
	var p push
	if _, err := o.Kept(&p); err != nil {
		return flows.Outcome{}, err
	}
	now := run.Now()
	switch {
	case run.Resumed:
		return m.resume(ctx, run, o, t, p)
	case p.Tx != "" && now.Before(p.Until):
		return m.poll(run, o, t, p), nil
	case p.Tx == "" && now.Before(p.Until): // another request is asking Duo
		c, fresh, leave := m.s.calls.join(callKey{p.ID, asking})
		if fresh { // on another node
			leave()
			return waiting(), nil
		}
		return flows.Wait(c.done, callTimeout, leave), nil
	}
	return m.ask(ctx, run, o, t)
}

// waiting says that the person has not answered yet: to be asked again.
func waiting() flows.Outcome {
	return flows.Soft(fault.Fields{"duo": {{Code: "waiting", Text: "Waiting for push answer"}}})
}

// ask notes a push and has Duo send it once that is durable.
func (m method) ask(ctx context.Context, run *flows.Run, o *authenticators.Offer, t *target) (flows.Outcome, error) {
	now, source := run.Now(), throttle.Source(run.Origin.ClientIP)
	wait, err := m.s.Budget.wait(ctx, run.DB(), t.id, source, now)
	if err != nil {
		return flows.Outcome{}, err
	}
	if wait > 0 {
		return flows.Soft(fault.Fields{"duo": {{
			Code: string(throttle.Throttled), Text: "Too many requests were sent by Duo. Try again in " + throttle.Pause(wait) + ", or use another way.",
		}}}), nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return flows.Outcome{}, fmt.Errorf("name push: %w", err)
	}
	run.Queue(`INSERT INTO duo_pushes (push_uuid, device, source, created) VALUES ($1, $2, $3, $4)`, id, t.id, source, now)
	options := m.options(run, t)
	c, _, leave := m.s.calls.join(callKey{id, asking})
	run.AfterCommit(func() {
		m.s.calls.start(c, callTimeout, func(ctx context.Context) result { return m.s.begin(ctx, t.stage, options) })
	})
	return flows.Wait(c.done, callTimeout+time.Second, leave), o.Keep(push{ID: id, Until: now.Add(callTimeout)})
}

// options are what Duo is told of a login, and shows the person.
func (m method) options(run *flows.Run, t *target) []func(*url.Values) {
	info := url.Values{"Domain": {clip(run.Origin.Host, maxInfo)}}
	if a := run.Context.Application; a != "" {
		info.Set("Application", clip(a, maxInfo))
	}
	options := []func(*url.Values){
		authapi.AuthUserId(t.duoUser), authapi.AuthAsync(), authapi.AuthDevice("auto"),
		authapi.AuthType(clip(run.Title+" Login request", maxInfo)), authapi.AuthDisplayUsername(t.owner.Username),
		authapi.AuthPushinfo(info.Encode()),
	}
	if run.Origin.ClientIP.IsValid() {
		options = append(options, authapi.AuthIpAddr(run.Origin.ClientIP.Unmap().WithZone("").String()))
	}
	return options
}

// begin has Duo begin an authentication by whatever the person's app can do.
func (s *Service) begin(ctx context.Context, st *Stage, options []func(*url.Values)) result {
	api, err := s.auth(ctx, st)
	if err != nil {
		return result{err: err}
	}
	got, err := api.Auth("auto", options...)
	if got == nil {
		got = &authapi.AuthResult{}
	}
	if err := outcome(got.StatResult, err); err != nil {
		return result{err: err}
	}
	r := got.Response
	switch {
	case r.Txid != "" && len(r.Txid) <= maxTx:
		return result{tx: r.Txid}
	case r.Result != "": // nobody is asked: bypass, or a denial
		return result{word: &word{r.Result, r.Status, clip(r.Status_Msg, maxText)}}
	}
	return result{err: errors.New("duo's answer has neither a transaction nor a result")}
}

// poll waits for the person's answer. Requests of one push on one node share a call.
//
// With a transaction that is not stored yet, Duo is asked once it is: a browser that leaves and comes back must find it.
func (m method) poll(run *flows.Run, o *authenticators.Offer, t *target, p push) flows.Outcome {
	c, fresh, leave := m.s.calls.join(callKey{p.ID, polling})
	start := func() {
		m.s.calls.start(c, m.s.Hold, func(ctx context.Context) result { return m.s.authStatus(ctx, t.stage, p.Tx) })
	}
	switch {
	case fresh && o.Changed():
		run.AfterCommit(start)
	case fresh:
		start()
	}
	return flows.Wait(c.done, m.s.Hold+time.Second, leave)
}

// authStatus asks Duo about a transaction until it is over or the context is: then it still waits.
func (s *Service) authStatus(ctx context.Context, st *Stage, tx string) result {
	api, err := s.auth(ctx, st)
	if err != nil {
		return result{err: err}
	}
	for {
		got, err := api.AuthStatus(tx) // Duo holds it until something changes
		if ctx.Err() != nil {
			return result{}
		}
		if got == nil {
			got = &authapi.AuthStatusResult{}
		}
		if err := outcome(got.StatResult, err); err != nil {
			return result{err: err}
		}
		if r := got.Response; r.Result != "waiting" {
			return result{word: &word{r.Result, r.Status, clip(r.Status_Msg, maxText)}}
		}
		pause := time.NewTimer(pollPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return result{}
		case <-pause.C:
		}
	}
}

// resume looks at what the call brought that the request slept for.
func (m method) resume(ctx context.Context, run *flows.Run, o *authenticators.Offer, t *target, p push) (flows.Outcome, error) {
	key := callKey{p.ID, asking}
	if p.Tx != "" {
		key.step = polling
	}
	r, done := m.s.calls.find(key)
	switch {
	case !done:
		return waiting(), nil
	case r.err != nil:
		return m.failed(ctx, run, o, t, p, r.err)
	case r.word != nil:
		return m.conclude(ctx, run, o, t, p, *r.word)
	case r.tx != "":
		p.Tx, p.Until = r.tx, run.Now().Add(pushLife)
		if err := o.Keep(p); err != nil {
			return flows.Outcome{}, err
		}
		return m.poll(run, o, t, p), nil
	default:
		return waiting(), nil
	}
}

// conclude maps Duo's word. After anything but an approval the next answer asks anew.
func (m method) conclude(ctx context.Context, run *flows.Run, o *authenticators.Offer, t *target, p push, w word) (flows.Outcome, error) {
	if err := o.Keep(push{}); err != nil {
		return flows.Outcome{}, err
	}
	if w.Result == "allow" {
		run.Queue(`UPDATE duo_pushes SET result = 'allow' WHERE push_uuid = $1`, p.ID)
		run.Queue(`UPDATE duo_devices SET last_used = $2 WHERE id = $1`, t.id, run.Now())
		if w.Status != "allow" {
			if run.Context.AuthMethodArgs == nil {
				run.Context.AuthMethodArgs = map[string]any{}
			}
			run.Context.AuthMethodArgs["duo_status"] = clip(w.Status, maxText)
		}
		return flows.Next(), nil
	}
	run.Queue(`UPDATE duo_pushes SET result = 'deny' WHERE push_uuid = $1`, p.ID)
	err := run.Emit(ctx, event.Event{
		Action: event.LoginFailed, App: app, User: eventUser(t.owner),
		Context: map[string]any{
			"device_class": Class, "device": event.Model(t.id, app, model, o.Name), "username": t.owner.Username, "duo_response": w,
		},
	})
	if w.Status == "timeout" {
		return flows.StayField("duo", "invalid", "Duo push notification timed out."), err
	}
	return flows.StayField("duo", "denied", "Duo denied access"), err
}

// failed tells administrators of a failure of Duo, and the person that they were not let in.
func (m method) failed(ctx context.Context, run *flows.Run, o *authenticators.Offer, t *target, p push, cause error) (flows.Outcome, error) {
	if err := o.Keep(push{}); err != nil {
		return flows.Outcome{}, err
	}
	if p.ID != uuid.Nil {
		run.Queue(`UPDATE duo_pushes SET result = 'failed' WHERE push_uuid = $1`, p.ID)
	}
	return flows.StayField("duo", "denied", "Duo could not be asked. Try again, or use another way."),
		m.s.failed(ctx, run, t.stage, t.owner, "Failed to DUO authenticate user", cause)
}

func (m method) refuse(ctx context.Context, run *flows.Run, o *authenticators.Offer, reason throttle.Reason, code, text string) (flows.Outcome, error) {
	pk, _ := strconv.Atoi(o.UID)
	return flows.StayField("duo", code, text), throttle.Emit(ctx, run, Class, event.Model(pk, app, model, o.Name), reason)
}
