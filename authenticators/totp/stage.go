package totp

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/qr"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/resource"
	"countersign/flows"
)

// Component is the name of the set-up challenge.
const Component = "ak-stage-authenticator-totp"

// Digits is how long a code is: "6" or "8". A body may have it as a number too.
type Digits string

// The lengths.
const (
	Six   Digits = "6"
	Eight Digits = "8"
)

// Enum lists the values.
func (Digits) Enum() []string { return []string{string(Six), string(Eight)} }

// SchemaName is the component's name.
func (Digits) SchemaName() string { return "DigitsEnum" }

func (d Digits) count() int {
	if d == Eight {
		return 8
	}
	return 6
}

// Settings are what an admin chooses (core.md §2.10).
type Settings struct {
	ConfigureFlow *uuid.UUID `json:"configure_flow" api:"ref=flow" doc:"Flow used by an authenticated user to configure this stage. If empty, users cannot configure it."`
	FriendlyName  *string    `json:"friendly_name"`
	Digits        Digits     `json:"digits" api:"required"`
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings `db:"settings"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "AuthenticatorTOTPStage" }

// Challenge shows the seed.
type Challenge struct {
	flows.WithUser
	ConfigURL string `json:"config_url" api:"required"` // otpauth://
	QRCode    string `json:"qr_code,omitempty"`         // an image of it, as a data URI
}

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "AuthenticatorTOTPChallenge" }

// Response is a first code. The document calls it an integer, as the contract does; text keeps the zeros in front.
type Response struct {
	Component string `json:"component" api:"default=ak-stage-authenticator-totp"`
	Code      int    `json:"code" api:"required"`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "AuthenticatorTOTPChallengeResponse" }

// response is what is read for a Response.
type response struct {
	Component string          `json:"component" api:"default=ak-stage-authenticator-totp"`
	Code      json.RawMessage `json:"code" api:"required"`
}

// Stage sets an app up.
type Stage struct {
	service  *Service
	settings Settings
}

// draft is what the plan keeps.
type draft struct {
	Seed   []byte `json:"seed"`
	Digits int    `json:"digits"`
}

// StageKind makes the stage kind.
func (s *Service) StageKind() *flows.Kind {
	k := flows.NewKind(
		resource.KindInfo{
			Name: "authenticatortotpstage", App: app, Label: "TOTP Authenticator Setup Stage",
			Plural: "TOTP Authenticator Setup Stages", Component: "ak-stage-authenticator-totp-form",
			Description: "Setup an authenticator app, whose codes change with the time.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		resource.Def[Row]{
			Path: "/stages/authenticator/totp/", Filter: []string{"name", "configure_flow", "digits", "friendly_name"},
			Filters: []resource.Filter{{Name: "stage_uuid", Type: resource.UUID, SQL: "t.stage_uuid = $1"}},
		},
		func(_ uuid.UUID, _ string, settings Settings) (flows.Stage, error) {
			return &Stage{service: s, settings: settings}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
	k.UserSettings, k.AlwaysListed = "ak-user-settings-authenticator-totp", true
	return k
}

// Begin draws a seed at the first call and shows it. Nobody's account gets no app.
func (st *Stage) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Next(), nil
	}
	if full, err := authenticators.Full(ctx, run, "totp_devices", u.ID); err != nil || full {
		return flows.Deny(authenticators.TooMany), err
	}
	var d draft
	there, err := st.service.draft().Recall(run, u.ID, &d)
	if err != nil {
		return flows.Outcome{}, err
	}
	if !there {
		d = draft{make([]byte, seedSize), st.settings.Digits.count()}
		rand.Read(d.Seed) // never fails: crypto/rand ends the process instead
		if err := st.service.draft().Keep(run, u.ID, d); err != nil {
			return flows.Outcome{}, err
		}
	}
	c := &Challenge{ConfigURL: configURL(run.Title, u.Username, d.Seed, d.Digits)}
	c.Component = Component
	c.QRCode, err = qr.Image(c.ConfigURL)
	if err != nil {
		c.QRCode = "" // names that fill a whole code: the key can be typed
	}
	return flows.Show(c), nil
}

// Answer adds the device with the first right code.
func (st *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	var r response
	if fields, err := run.Decode(answer, &r); err != nil || fields != nil {
		return flows.Stay(fields), err
	}
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Next(), nil
	}
	var d draft
	if there, err := st.service.draft().Recall(run, u.ID, &d); err != nil || !there { // nothing was shown yet
		return flows.Soft(nil), err
	}
	code, ok := parseCode(r.Code, d.Digits)
	if !ok {
		return flows.StayField("code", "invalid", fmt.Sprintf("A code has %d digits.", d.Digits)), nil
	}
	step, _, right := match(d.Seed, run.Now(), -1, d.Digits, code)
	if !right {
		return flows.StayField("code", "invalid", "Code does not match"), nil
	}
	var id int
	if err := run.DB().QueryRow(ctx, `SELECT nextval(pg_get_serial_sequence('totp_devices', 'id'))`).Scan(&id); err != nil {
		return flows.Outcome{}, fmt.Errorf("number device: %w", db.Fault(err))
	}
	const name = "TOTP Authenticator"
	run.Queue(`INSERT INTO totp_devices (id, user_id, name, confirmed, key_sealed, digits, last_step, created)
		VALUES ($1, $2, $3, true, $4, $5, $6, $7)`,
		id, u.ID, name, st.service.keeper.Seal(d.Seed, sealedSeed.AAD(id)), d.Digits, step, run.Now())
	return flows.Next(), run.Emit(ctx, event.Event{
		Action: event.ModelCreated, App: app, User: &event.User{PK: u.ID, Username: u.Username, Email: u.Email},
		Context: map[string]any{"model": event.Model(id, app, model, name)},
	})
}

func (s *Service) draft() authenticators.Draft {
	return authenticators.Draft{Class: Class, Keeper: s.keeper}
}

// maxIssuer is how much of a brand's title is told, in characters.
const maxIssuer = 64

// configURL is what apps read (https://github.com/google/google-authenticator/wiki/Key-Uri-Format). Neither name may
// hold a colon, and a space is %20: apps do not take a plus for one. totp.Generate of github.com/pquerna/otp leaves & and =
// in an issuer as they are, so that a brand called "A & B" would make another URL.
func configURL(issuer, account string, seed []byte, digits int) string {
	clean := func(s string) string {
		return strings.ReplaceAll(url.QueryEscape(strings.TrimSpace(strings.ReplaceAll(s, ":", " "))), "+", "%20")
	}
	if r := []rune(issuer); len(r) > maxIssuer {
		issuer = string(r[:maxIssuer])
	}
	if issuer = clean(issuer); issuer == "" {
		issuer = "Countersign"
	}
	return fmt.Sprintf("otpauth://totp/%s:%s?secret=%s&algorithm=SHA1&digits=%d&period=%d&issuer=%s",
		issuer, clean(account), base32.StdEncoding.EncodeToString(seed), digits, period, issuer)
}
