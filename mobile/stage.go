package mobile

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/authenticators/qr"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/secret"
	"countersign/flows"
	"countersign/mobile/attestation"
	"countersign/mobile/wire"
)

// Component is the name of the enrolment challenge.
const Component = "ak-stage-authenticator-mobile"

// Settings are what an admin chooses (core.md §4.1).
type Settings struct {
	ConfigureFlow *uuid.UUID `json:"configure_flow" api:"ref=flow" doc:"Flow used by an authenticated user to configure this stage. If empty, users cannot configure it."`
	FriendlyName  *string    `json:"friendly_name"`
	Mode          wire.Mode  `json:"item_matching_mode"`
	CGWEndpoint   string     `json:"cgw_endpoint" api:"required" doc:"Host, and port, of the relay that rings phones of this stage which choose one; - or localhost for the server's own, push.relay.url. Other phones do not need it."`
	Answer        AnswerMode `json:"answer_mode" doc:"How people answer. item_matching: as item_matching_mode says. number_typed: the browser shows a number that they type on the phone. code_shown: the phone shows a code that they type in the browser."`
	TypedAttempts int        `json:"typed_attempts" api:"min=1,max=5" doc:"Wrong numbers that end a request where people type. Where they pick, the first wrong one does."`
	Required      Assurance  `json:"required_assurance" doc:"What logins have to be worth; settings that give less are refused."`
	Accepted      Accepted   `json:"accepted_answers" doc:"By what the answers of phones must be authenticated: their token, a signature, or one that needs a fingerprint, a face or a code."`
	Overlap       string     `json:"transfer_overlap" doc:"How long a phone stays good after it has approved a new one in its place, as in hours=24."`
	Cooldown      string     `json:"cooldown" doc:"How long a phone whose keys or push address changed is not asked where accepted_answers is signed_user_verified, as in hours=24."`

	// What the maker has to say of the keys of phones: see docs/attestation.md.
	Attestation attestation.Demand `json:"attestation" doc:"What phones must prove of where their keys are kept: nothing; nothing, but what they send is checked and shown; that it is hardware, under the maker's operating system; that it is a security chip of its own."`
	MinPatch    string             `json:"attestation_min_patch" api:"blank" doc:"Oldest security update of Android phones, as YYYY-MM; empty for any. Where attestation is demanded."`
	AndroidApps []string           `json:"attestation_android_apps" doc:"Android apps that may be used, each as <package>/<SHA-256 of its signing certificate in hexadecimal>; none for any. Where attestation is demanded."`
	AppleApps   []string           `json:"attestation_apple_apps" doc:"App IDs of iOS apps that may be used, each as <team>.<bundle id>. Without one, App Attest is not taken."`

	Reports     []ReportAction `json:"report_actions" doc:"What it sets off when somebody says, on a phone that signs its answers, that a login was not theirs. The event is written in any case; more than three times a day for a user it is all there is."`
	ReportBlock string         `json:"report_block_push" doc:"How long block_push keeps the user's phones from being asked. Format: hours=1;minutes=2;seconds=3."`
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings  `db:"settings"`
	Assurance StageAssurance `json:"assurance" api:"ro"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "AuthenticatorMobileStage" }

// Challenge shows the QR codes, as data URIs: one of the payload, for an app, and one of the link, for a phone's camera. There
// is no link any more once a phone has opened it.
type Challenge struct {
	flows.WithUser
	Payload  wire.Payload  `json:"payload" api:"required"`
	QRCode   string        `json:"qr_code,omitempty"`
	Link     string        `json:"link,omitempty" doc:"What a phone opens to enrol in its browser."`
	QRLink   string        `json:"qr_link,omitempty"`
	Code     string        `json:"code,omitempty" doc:"The code of the link, for typing."`
	Expires  time.Time     `json:"expires,omitzero"`
	Progress wire.Progress `json:"progress,omitempty"`
	// Once a phone with keys has called in: its name, and what it must show too before the person says that it is theirs.
	DeviceName  string `json:"device_name,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "AuthenticatorMobileChallenge" }

// Response says that the person is done; or that the phone shows the fingerprint; or that it shows another one, or that
// somebody else used the code, with matches false: the enrolment is thrown away and a new one begins.
type Response struct {
	Component   string `json:"component" api:"default=ak-stage-authenticator-mobile"`
	Fingerprint string `json:"fingerprint,omitempty" api:"max=32" doc:"The fingerprint as it is shown, when the phone shows the same."`
	Matches     *bool  `json:"matches,omitempty" doc:"false: it is not the same, or the phone is not mine."`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "AuthenticatorMobileChallengeResponse" }

// Stage enrols a phone.
type Stage struct {
	id       uuid.UUID
	service  *Service
	settings Settings
}

// enrolment is what the plan keeps.
type enrolment struct {
	Device  uuid.UUID `json:"device"`
	Sealed  []byte    `json:"sealed"` // the one-time token and the code, parted by a space: a reload shows them again
	Expires time.Time `json:"expires"`
}

// StageKind makes the stage kind.
func (s *Service) StageKind() *flows.Kind {
	k := flows.NewKind(
		resource.KindInfo{
			Name: "authenticatormobilestage", App: app, Label: "Mobile Authenticator Setup Stage",
			Plural: "Mobile Authenticator Setup Stages", Component: "ak-stage-authenticator-mobile-form",
			Description: "Setup Mobile authenticator.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		resource.Def[Row]{
			Path: "/stages/authenticator/mobile/", Filter: []string{"name", "configure_flow"},
			New: func() Row {
				return Row{Settings: Settings{
					Mode: wire.NumberMatching3, Answer: AnswerByItem, TypedAttempts: defaultAttempts, Required: AssureAny, Accepted: AcceptBearer,
					Overlap: "days=1", Cooldown: "hours=0",
					Attestation: attestation.None, AndroidApps: []string{}, AppleApps: []string{},
					Reports: DefaultReportActions(), ReportBlock: DefaultReportBlock,
				}}
			},
			Validate: s.checkRow, Load: assureRows,
		},
		func(id uuid.UUID, _ string, settings Settings) (flows.Stage, error) {
			return &Stage{id: id, service: s, settings: settings}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
	k.UserSettings, k.AlwaysListed = "ak-user-settings-authenticator-mobile", true
	return k
}

// Begin makes the device and its one-time token at the first call, and shows them.
func (st *Stage) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	s := st.service
	var e enrolment
	if _, err := run.State(&e); err != nil {
		return flows.Outcome{}, err
	}
	var at underway
	if e.Device != uuid.Nil {
		var err error
		if at, err = s.underway(ctx, run.DB(), e.Device); err != nil {
			return flows.Outcome{}, err
		}
		switch at.Progress {
		case wire.Confirmed:
			return flows.Next(), nil
		case "": // collected meanwhile, or refused
			e = enrolment{}
		case wire.CalledIn:
			if run.Now().Before(at.expires) {
				c := &Challenge{
					Payload: wire.Payload{URL: run.BaseURL, Device: e.Device.String()}, Expires: at.expires,
					Progress: at.Progress, DeviceName: at.name, Fingerprint: at.fingerprint,
				}
				c.Component = Component
				return flows.Show(c), nil
			}
			if err := s.refuse(ctx, run, e.Device, "Nobody compared the fingerprint in time."); err != nil {
				return flows.Outcome{}, err
			}
			e = enrolment{}
		}
	}
	if e.Device == uuid.Nil {
		u, err := authenticators.Owner(ctx, run)
		if err != nil {
			return flows.Outcome{}, err
		}
		if u == nil {
			return flows.Next(), nil
		}
		if full, err := authenticators.Full(ctx, run, "mobile_devices", u.ID); err != nil || full {
			return flows.Deny(authenticators.TooMany), err
		}
		e.Device = uuid.New()
		run.Queue(`INSERT INTO mobile_devices (uuid, user_id, stage, name, push_channel, enrollment_session, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`, e.Device, u.ID, st.id, "Phone", s.Channel, run.Session.UUID, run.Now())
	}
	token, code, ok := s.shown(e)
	if !ok || !run.Now().Before(e.Expires) { // none yet, over, or sealed with a key that is gone: new ones
		var err error
		if token, code, err = s.invite(run, &e); err != nil {
			return flows.Outcome{}, err
		}
		at = underway{Progress: wire.Shown}
	}
	c, err := challenge(run.BaseURL, e, token, code, at)
	if err != nil {
		return flows.Outcome{}, err
	}
	return flows.Show(c), nil
}

// shown opens the token and the code that an enrolment shows.
func (s *Service) shown(e enrolment) (token, code string, ok bool) {
	plain, err := s.Keeper.Open(e.Sealed, planned(e.Device))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(plain), " ")
}

// invite makes a new token and a new code for the device of an enrolment; those before are dead, and whoever has them.
func (s *Service) invite(run *flows.Run, e *enrolment) (token, code string, err error) {
	code, hash, err := s.newCode()
	if err != nil {
		return "", "", err
	}
	token = secret.Token(tokenLength)
	e.Sealed, e.Expires = s.Keeper.Seal([]byte(token+" "+code), planned(e.Device)), run.Now().Add(enrollmentWindow)
	run.Queue(`DELETE FROM mobile_tokens WHERE device = $1`, e.Device)
	run.Queue(`INSERT INTO mobile_tokens (token_hash, device, purpose, created, expires) VALUES ($1, $2, $3, $4, $5)`,
		hashToken(token), e.Device, purposeEnrollment, run.Now(), e.Expires)
	run.Queue(`INSERT INTO mobile_enrollments (device, code_hash, expires) VALUES ($1, $2, $3) ON CONFLICT (device) DO UPDATE
		SET code_hash = excluded.code_hash, expires = excluded.expires, redeemed = NULL, contested = NULL`, e.Device, hash, e.Expires)
	return token, code, run.SetState(*e)
}

// challenge shows an enrolment as far as it is.
func challenge(base string, e enrolment, token, code string, at underway) (*Challenge, error) {
	c := &Challenge{
		Payload: wire.Payload{URL: base, Device: e.Device.String(), Token: token},
		Expires: e.Expires, Progress: at.Progress,
	}
	c.Component = Component
	text, err := json.Marshal(c.Payload)
	if err != nil {
		return nil, fmt.Errorf("encode QR payload: %w", err)
	}
	if c.QRCode, err = qr.Image(string(text)); err != nil || at.Progress != wire.Shown {
		return c, err
	}
	c.Link, c.Code = wire.Link(base, code), wire.ShowCode(code)
	c.QRLink, err = qr.Image(c.Link)
	return c, err
}

// Answer passes once the phone has called in.
func (st *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	var r Response
	if fields, err := run.Decode(answer, &r); err != nil || fields != nil {
		return flows.Stay(fields), err
	}
	var e enrolment
	if _, err := run.State(&e); err != nil {
		return flows.Outcome{}, err
	}
	if e.Device != uuid.Nil {
		at, err := st.service.underway(ctx, run.DB(), e.Device)
		if err != nil {
			return flows.Outcome{}, err
		}
		switch {
		case at.Progress == wire.Confirmed:
			return flows.Next(), nil
		case r.Matches != nil && !*r.Matches:
			return flows.Soft(nil), st.service.refuse(ctx, run, e.Device, "The owner did not recognise the phone.")
		case r.Fingerprint != "":
			if done, err := st.service.compared(ctx, run, e.Device, r.Fingerprint); err != nil || done {
				return flows.Next(), err
			}
			return flows.Soft(fault.Fields{"fingerprint": {{Code: "invalid", Text: "This is not what is shown now. Compare it again."}}}), nil
		}
	}
	return flows.Soft(nil), nil
}

// planned names the place of a token in a plan to the keeper.
func planned(device uuid.UUID) string { return "flow_plans.mobile:" + device.String() }

// CleanUp collects abandoned enrolments, dead tokens and old prompts.
func (s *Service) CleanUp(ctx context.Context) error {
	now := s.Now()
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `DELETE FROM mobile_devices WHERE NOT confirmed AND created < $1
			AND NOT EXISTS (SELECT FROM mobile_tokens t WHERE t.device = uuid AND t.expires > $2) RETURNING uuid, name`, now.Add(-abandoned), now)
		if err != nil {
			return fmt.Errorf("collect enrolments: %w", db.Fault(err))
		}
		type gone struct {
			ID   uuid.UUID
			Name string
		}
		devices, err := pgx.CollectRows(rows, pgx.RowToStructByPos[gone])
		if err != nil {
			return fmt.Errorf("collect enrolments: %w", db.Fault(err))
		}
		for _, d := range devices {
			e := event.Event{Action: event.ModelDeleted, App: app, Context: map[string]any{
				"model": deviceRef(d.ID, d.Name), "message": "The enrolment was not completed in time.",
			}}
			if err := s.Events.Emit(ctx, tx, e); err != nil {
				return err
			}
		}
		if err := s.collectTransfers(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM mobile_tokens WHERE expires < $1`, now); err != nil {
			return fmt.Errorf("collect device tokens: %w", db.Fault(err))
		}
		if _, err := tx.Exec(ctx, `DELETE FROM mobile_proofs WHERE expires < $1`, now); err != nil {
			return fmt.Errorf("collect proofs: %w", db.Fault(err))
		}
		if _, err := tx.Exec(ctx, `DELETE FROM mobile_code_tries WHERE since < $1`, now.Add(-codeWindow)); err != nil {
			return fmt.Errorf("collect tries of codes: %w", db.Fault(err))
		}
		if err := s.expireApprovals(ctx, tx, nil); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE mobile_transactions SET status = 'expired' WHERE status = 'wait' AND expires < $1`, now); err != nil {
			return fmt.Errorf("expire prompts: %w", db.Fault(err))
		}
		if _, err := tx.Exec(ctx, `DELETE FROM mobile_blocks WHERE NOT locked AND until < $1`, now); err != nil {
			return fmt.Errorf("collect blocks: %w", db.Fault(err))
		}
		if _, err := tx.Exec(ctx, `DELETE FROM mobile_transactions WHERE created < $1`, now.Add(-retention)); err != nil {
			return fmt.Errorf("collect prompts: %w", db.Fault(err))
		}
		return nil
	})
}
