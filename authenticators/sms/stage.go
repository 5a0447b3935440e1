package sms

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/user"
	"countersign/flows"
)

// Component is the name of the set-up challenge.
const Component = "ak-stage-authenticator-sms"

// deviceName is what a device is called until its owner says otherwise.
const deviceName = "SMS Device"

// Challenge asks for a number, then for the code that was sent to it.
type Challenge struct {
	flows.WithUser
	PhoneNumberRequired bool   `json:"phone_number_required" api:"default=true"`
	SentTo              string `json:"sent_to,omitempty"` // the last digits of the number
}

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "AuthenticatorSMSChallenge" }

// Response is a number, or a code. The code may be a text as well (core.md §10 item 17).
type Response struct {
	Component   string `json:"component" api:"default=ak-stage-authenticator-sms"`
	Code        int    `json:"code,omitempty"`
	PhoneNumber string `json:"phone_number,omitempty"`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "AuthenticatorSMSChallengeResponse" }

// asked is a Response as it is read: the code is looked at by parseCode.
type asked struct {
	Component   string `json:"component"`
	PhoneNumber string `json:"phone_number,omitempty"`
}

// Stage sets a number up.
type Stage struct {
	id       uuid.UUID
	name     string
	service  *Service
	settings Settings
}

// setup is what the plan keeps: the number, sealed, and the code on its way to it.
type setup struct {
	Number string    `json:"number"`
	Code   uuid.UUID `json:"code"`
}

// StageKind makes the stage kind.
func (s *Service) StageKind() *flows.Kind {
	k := flows.NewKind(
		resource.KindInfo{
			Name: kindName, App: app, Label: "SMS Authenticator Setup Stage", Plural: "SMS Authenticator Setup Stages",
			Component: "ak-stage-authenticator-sms-form", Description: "Use SMS-based TOTP instead of authenticator-based.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		s.definition(),
		func(id uuid.UUID, name string, settings Settings) (flows.Stage, error) {
			return &Stage{id: id, name: name, service: s, settings: settings}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
	k.UserSettings, k.AlwaysListed = "ak-user-settings-authenticator-sms", true
	return k
}

func (st *Stage) ref() event.Ref { return event.Model(st.id, app, kindName, st.name) }

func (st *Stage) aad() string { return "plan of sms set-up:" + st.id.String() }

// Begin asks for what is missing. Nobody in particular has nothing to set up.
func (st *Stage) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Next(), nil
	}
	if full, err := authenticators.Full(ctx, run, "sms_devices", u.ID); err != nil || full {
		return flows.Deny(authenticators.TooMany), err
	}
	_, number, err := st.recall(run)
	if err != nil {
		return flows.Outcome{}, err
	}
	c := &Challenge{PhoneNumberRequired: number == ""}
	if number != "" {
		c.SentTo = number.hint()
	}
	c.Component = Component
	return flows.Show(c), nil
}

// recall reads what the plan keeps; number is "" while there is none. What an older key sealed and no longer opens is
// asked for again.
func (st *Stage) recall(run *flows.Run) (kept setup, number Number, err error) {
	there, err := run.State(&kept)
	if err != nil || !there {
		return setup{}, "", err
	}
	plain, err := st.service.Keeper.OpenText(kept.Number, st.aad())
	if err != nil {
		return setup{}, "", nil //nolint:nilerr // sealed with a key that is gone: the number is asked for again
	}
	number, ok := parseNumber(plain)
	if !ok {
		return setup{}, "", errors.New("the plan keeps no telephone number")
	}
	return kept, number, nil
}

// Answer takes a number, to which it sends a code, or the code.
func (st *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Next(), nil
	}
	var in asked
	fields, err := run.Decode(answer, &in)
	if err != nil {
		return flows.Outcome{}, err
	}
	raw, typed := answer["code"]
	code, readable := "", true
	if typed {
		code, readable = parseCode(raw)
	}
	switch {
	case typed && string(raw) == "null":
		fields = add(fields, "code", "null", "This field may not be null.")
	case !readable:
		fields = add(fields, "code", "invalid", "A valid integer is required.")
	}
	switch {
	case fields != nil:
		return flows.Stay(fields), nil
	case typed:
		return st.verify(ctx, run, u, code)
	case in.PhoneNumber != "":
		return st.ask(ctx, run, u, in.PhoneNumber)
	default:
		return flows.StayField("phone_number", "required", "phone_number required"), nil
	}
}

func add(fields fault.Fields, name, code, text string) fault.Fields {
	if fields == nil {
		fields = fault.Fields{}
	}
	fields.Add(name, code, text)
	return fields
}

// ask sends a code to a number that nobody has set up on this stage.
func (st *Stage) ask(ctx context.Context, run *flows.Run, u *user.User, typed string) (flows.Outcome, error) {
	number, ok := parseNumber(typed)
	if !ok {
		return flows.StayField("phone_number", "invalid", "Invalid phone number. Write it with its country code, like +44 7700 900123."), nil
	}
	taken, err := st.taken(ctx, run.DB(), number)
	if err != nil {
		return flows.Outcome{}, err
	}
	if taken {
		return flows.StayField("phone_number", "invalid", "Invalid phone number"), nil
	}
	id, refused, err := st.service.sendCode(ctx, run, st, u, number)
	if err != nil {
		return flows.Outcome{}, err
	}
	if refused != "" {
		return flows.StayField("phone_number", "not_sent", refused), nil
	}
	kept := setup{Number: st.service.Keeper.SealText(string(number), st.aad()), Code: id}
	return flows.Soft(nil), run.SetState(kept)
}

func (st *Stage) taken(ctx context.Context, q db.Querier, n Number) (taken bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM sms_devices WHERE stage = $1 AND phone_hash = ANY($2))`, st.id, st.service.hashesOf(n)).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("look for a device of the number: %w", db.Fault(err))
	}
	return taken, nil
}

// verify makes the device when the code is right.
func (st *Stage) verify(ctx context.Context, run *flows.Run, u *user.User, code string) (flows.Outcome, error) {
	kept, number, err := st.recall(run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if number == "" {
		return flows.StayField("phone_number", "required", "phone_number required"), nil
	}
	if !plausible(code) {
		return flows.StayField("code", "invalid", "Code does not match"), nil
	}
	v, err := st.service.check(ctx, run, kept.Code, code)
	switch {
	case err != nil:
		return flows.Outcome{}, err
	case v == wrong:
		return flows.StayField("code", "invalid", "Code does not match"), nil
	case v == over:
		return flows.StayField("code", "expired", "This code is over. Ask for a new one."), nil
	}
	made, err := st.enrol(ctx, run, u, number)
	if err != nil {
		return flows.Outcome{}, err
	}
	if !made { // somebody was faster
		return flows.StayField("phone_number", "invalid", "Invalid phone number"), nil
	}
	return flows.Next(), nil
}

func (st *Stage) enrol(ctx context.Context, run *flows.Run, u *user.User, number Number) (bool, error) {
	tx, err := run.Tx(ctx)
	if err != nil {
		return false, err
	}
	s := st.service
	var sealed []byte
	if !st.settings.VerifyOnly {
		sealed = s.sealNumber(number, u.ID, st.id)
	}
	var id int
	err = tx.QueryRow(ctx, `INSERT INTO sms_devices (user_id, stage, name, confirmed, phone_hash, phone_sealed, created)
		SELECT $1, $2, $3, true, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM sms_devices WHERE stage = $2 AND phone_hash = ANY($7))
		ON CONFLICT ON CONSTRAINT sms_devices_stage_phone_hash_key DO NOTHING RETURNING id`,
		u.ID, st.id, deviceName, s.hashNumber(number), sealed, run.Now(), s.hashesOf(number)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("make device: %w", db.Fault(err))
	}
	return true, run.Emit(ctx, event.Event{
		Action: event.ModelCreated, App: app, User: eventUser(u),
		Context: map[string]any{"model": event.Model(id, app, model, deviceName)},
	})
}
