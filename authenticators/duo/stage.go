package duo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/duosecurity/duo_api_golang/authapi"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/authenticators/qr"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/resource"
	"countersign/core/user"
	"countersign/flows"
)

// Component is the name of the set-up challenge.
const Component = "ak-stage-authenticator-duo"

const deviceName = "Duo Authenticator"

// Challenge shows the QR code for the Duo app.
type Challenge struct {
	flows.WithUser
	ActivationBarcode string `json:"activation_barcode" api:"required"`
	ActivationCode    string `json:"activation_code" api:"required"`
	StageUUID         string `json:"stage_uuid" api:"required"`
	QRCode            string `json:"qr_code,omitempty"` // the barcode as a data URI: the pages load no image from elsewhere
}

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "AuthenticatorDuoChallenge" }

// Response says that the person is done.
type Response struct {
	Component string `json:"component" api:"default=ak-stage-authenticator-duo"`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "AuthenticatorDuoChallengeResponse" }

// Stage sets a Duo device up.
type Stage struct {
	id       uuid.UUID
	name     string
	service  *Service
	settings Settings
}

// StageKind makes the stage kind.
func (s *Service) StageKind() *flows.Kind {
	k := flows.NewKind(
		resource.KindInfo{
			Name: kindName, App: app, Label: "Duo Authenticator Setup Stage", Plural: "Duo Authenticator Setup Stages",
			Component: "ak-stage-authenticator-duo-form", Description: "Setup Duo authenticator devices",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		s.definition(),
		func(id uuid.UUID, name string, settings Settings) (flows.Stage, error) {
			return &Stage{id: id, name: name, service: s, settings: settings}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
	k.UserSettings, k.AlwaysListed = "ak-user-settings-authenticator-duo", true
	return k
}

func (st *Stage) ref() event.Ref { return event.Model(st.id, app, kindName, st.name) }

// enrolment is one under way.
type enrolment struct {
	User      int
	Session   uuid.UUID
	DuoUser   string
	Code      activation
	Activated bool
}

// activation is what Duo gives for the app.
type activation struct {
	Code    string `json:"code"`
	Barcode string `json:"barcode"`
}

// enrolment reads the one that where finds, unless it is over; nil if there is none.
func (st *Stage) enrolment(ctx context.Context, q db.Querier, where string, arg any) (*enrolment, error) {
	var e enrolment
	var sealed []byte
	var shown *uuid.UUID
	err := q.QueryRow(ctx, `SELECT user_id, session_uuid, duo_user_id, activation_sealed, activated FROM duo_enrollments
		WHERE stage = $1 AND expires > $2 AND `+where+` = $3`, st.id, st.service.Now(), arg).Scan(&e.User, &shown, &e.DuoUser, &sealed, &e.Activated)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Duo enrolment: %w", db.Fault(err))
	}
	if shown != nil {
		e.Session = *shown
	}
	plain, err := st.service.Keeper.Open(sealed, sealedCode.AAD(e.User, st.id))
	if err != nil {
		return nil, nil //nolint:nilerr // sealed with a key that is gone: the set-up begins anew
	}
	if err := json.Unmarshal(plain, &e.Code); err != nil {
		return nil, fmt.Errorf("decode Duo enrolment: %w", err)
	}
	return &e, nil
}

// Begin begins an enrolment at Duo, once, and shows it.
func (st *Stage) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Next(), nil
	}
	if full, err := authenticators.Full(ctx, run, "duo_devices", u.ID); err != nil || full {
		return flows.Deny(authenticators.TooMany), err
	}
	e, err := st.enrolment(ctx, run.DB(), "user_id", u.ID)
	if err != nil {
		return flows.Outcome{}, err
	}
	switch {
	case e == nil:
		var refused string
		if e, refused, err = st.begin(ctx, run, u); err != nil {
			return flows.Outcome{}, err
		}
		if refused != "" {
			return flows.Deny(refused), nil
		}
	case e.Session != run.Session.UUID: // begun in another browser
		run.Queue(`UPDATE duo_enrollments SET session_uuid = $3 WHERE user_id = $1 AND stage = $2`, u.ID, st.id, run.Session.UUID)
	}
	c := &Challenge{ActivationBarcode: e.Code.Barcode, ActivationCode: e.Code.Code, StageUUID: st.id.String()}
	c.Component = Component
	if c.QRCode, err = qr.Image(inBarcode(e.Code)); err != nil {
		return flows.Outcome{}, err
	}
	return flows.Show(c), nil
}

// inBarcode is what Duo's image says: the value in its URL, which else is the activation code.
func inBarcode(a activation) string {
	if u, err := url.Parse(a.Barcode); err == nil {
		if v := u.Query().Get("value"); v != "" && len(v) <= maxBarcode {
			return v
		}
	}
	return a.Code
}

// maxBarcode bounds what Duo may say, in bytes: far beyond what it says, within what a QR code holds.
const maxBarcode = 1024

// begin asks Duo for an enrolment. refused is a text for the person.
func (st *Stage) begin(ctx context.Context, run *flows.Run, u *user.User) (e *enrolment, refused string, err error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	e = &enrolment{User: u.ID, Session: run.Session.UUID}
	api, err := st.service.auth(call, st)
	if err == nil {
		var got *authapi.EnrollResult
		got, err = api.Enroll(authapi.EnrollUsername(u.Username), authapi.EnrollValidSeconds(uint64(enrolmentLife/time.Second)))
		if got == nil {
			got = &authapi.EnrollResult{}
		}
		err = outcome(got.StatResult, err)
		e.DuoUser, e.Code = got.Response.User_Id, activation{got.Response.Activation_Code, got.Response.Activation_Barcode}
		if err == nil && (e.DuoUser == "" || e.Code.Code == "" || len(e.Code.Code) > maxBarcode || len(e.Code.Barcode) > 2*maxBarcode) {
			err = errors.New("duo's answer lacks the user or the activation code")
		}
	}
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	if err != nil {
		refused = "Duo could not be reached. Try again later, or ask your administrator."
		var no *apiError
		if errors.As(err, &no) {
			refused = "Duo did not begin a set-up for you. If you use Duo already, ask your administrator to import your device."
		}
		return nil, refused, st.service.failed(ctx, run, st, u, "Failed to enroll user", err)
	}
	plain, err := json.Marshal(e.Code)
	if err != nil {
		return nil, "", err
	}
	run.Queue(`INSERT INTO duo_enrollments (user_id, stage, session_uuid, duo_user_id, activation_sealed, expires) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (user_id, stage) DO UPDATE SET session_uuid = excluded.session_uuid, duo_user_id = excluded.duo_user_id,
			activation_sealed = excluded.activation_sealed, activated = false, expires = excluded.expires`,
		u.ID, st.id, run.Session.UUID, e.DuoUser, st.service.Keeper.Seal(plain, sealedCode.AAD(u.ID, st.id)), run.Now().Add(enrolmentLife))
	return e, "", nil
}

// failed tells administrators of a failure of Duo, or of its settings.
func (s *Service) failed(ctx context.Context, run *flows.Run, st *Stage, u *user.User, what string, cause error) error {
	c := map[string]any{"message": what + ": " + cause.Error()}
	if st != nil {
		c["stage"] = st.ref()
	}
	return run.Emit(ctx, event.Event{Action: event.ConfigurationError, App: app, User: eventUser(u), Context: c})
}

// status asks Duo how far an enrolment is: success, waiting or invalid.
func (st *Stage) status(ctx context.Context, e *enrolment) (string, error) {
	if e.Activated {
		return statusSuccess, nil
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	api, err := st.service.auth(call, st)
	if err != nil {
		return "", err
	}
	got, err := api.EnrollStatus(e.DuoUser, e.Code.Code)
	if got == nil {
		got = &authapi.EnrollStatusResult{}
	}
	if err := outcome(got.StatResult, err); err != nil {
		return "", err
	}
	switch got.Response {
	case statusSuccess, statusWaiting, statusInvalid:
		return got.Response, nil
	}
	return "", fmt.Errorf("duo's status of an enrolment is %q", clip(got.Response, maxText))
}

// Answer makes the device once Duo says that the app has it.
func (st *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Next(), nil
	}
	var in Response
	if fields, err := run.Decode(answer, &in); err != nil || fields != nil {
		return flows.Stay(fields), err
	}
	e, err := st.enrolment(ctx, run.DB(), "user_id", u.ID)
	if err != nil {
		return flows.Outcome{}, err
	}
	if e == nil {
		return flows.Soft(nil), nil // nothing was shown yet, or it is over: it is shown now
	}
	status, err := st.status(ctx, e)
	if ctx.Err() != nil {
		return flows.Outcome{}, ctx.Err()
	}
	if err != nil {
		if err := st.service.failed(ctx, run, st, u, "Failed to ask for the status of an enrolment", err); err != nil {
			return flows.Outcome{}, err
		}
		return flows.StayField("non_field_errors", "unavailable", "Duo could not be reached. Try again in a moment."), nil
	}
	if status != statusSuccess {
		if status == statusInvalid { // it will not be better: the next set-up begins anew
			run.Queue(`DELETE FROM duo_enrollments WHERE user_id = $1 AND stage = $2`, u.ID, st.id)
		}
		return flows.Deny("Invalid enrollment status: " + status + "."), nil
	}
	return st.enrol(ctx, run, u, e)
}

func (st *Stage) enrol(ctx context.Context, run *flows.Run, u *user.User, e *enrolment) (flows.Outcome, error) {
	tx, err := run.Tx(ctx)
	if err != nil {
		return flows.Outcome{}, err
	}
	run.Queue(`DELETE FROM duo_enrollments WHERE user_id = $1 AND stage = $2`, u.ID, st.id)
	var id int
	err = tx.QueryRow(ctx, `INSERT INTO duo_devices (user_id, stage, name, confirmed, duo_user_id, created) VALUES ($1, $2, $3, true, $4, $5)
		ON CONFLICT ON CONSTRAINT duo_devices_stage_duo_user_id_key DO NOTHING RETURNING id`, u.ID, st.id, deviceName, e.DuoUser, run.Now()).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return flows.Deny("Device with Credential ID already exists."), nil
	}
	if err != nil {
		return flows.Outcome{}, fmt.Errorf("make device: %w", db.Fault(err))
	}
	return flows.Next(), run.Emit(ctx, created(u, id, deviceName))
}

func created(u *user.User, id int, name string) event.Event {
	return event.Event{
		Action: event.ModelCreated, App: app, User: eventUser(u),
		Context: map[string]any{"model": event.Model(id, app, model, name)},
	}
}
