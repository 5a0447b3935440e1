package static

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/flows"
)

// Component is the name of the set-up challenge.
const Component = "ak-stage-authenticator-static"

// The bounds of a list. Six characters of the alphabet are 30 bits, more than the 20 that NIST SP 800-63B §5.1.2 asks of
// codes whose guessing is slowed down.
const (
	maxCount  = 100
	minLength = 6
	maxLength = 16
)

// Settings are what an admin chooses (core.md §2.11).
type Settings struct {
	ConfigureFlow *uuid.UUID `json:"configure_flow" api:"ref=flow" doc:"Flow used by an authenticated user to configure this stage. If empty, users cannot configure it."`
	FriendlyName  *string    `json:"friendly_name"`
	TokenCount    int        `json:"token_count" api:"min=0,max=2147483647" doc:"How many codes a list has, 1 to 100."`
	TokenLength   int        `json:"token_length" api:"min=0,max=2147483647" doc:"How many characters a code has, 6 to 16."`
}

// check tells what of the numbers is out of bounds.
func (s Settings) check() fault.Fields {
	fields := fault.Fields{}
	if s.TokenCount < 1 || s.TokenCount > maxCount {
		fields.Add("token_count", "invalid", fmt.Sprintf("A list has 1 to %d codes.", maxCount))
	}
	if s.TokenLength < minLength || s.TokenLength > maxLength {
		fields.Add("token_length", "invalid", fmt.Sprintf("A code has %d to %d characters.", minLength, maxLength))
	}
	return fields
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings `db:"settings"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "AuthenticatorStaticStage" }

// Challenge shows the codes.
type Challenge struct {
	flows.WithUser
	Codes []string `json:"codes" api:"required"`
}

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "AuthenticatorStaticChallenge" }

// Response says that the codes are put away.
type Response struct {
	Component string `json:"component" api:"default=ak-stage-authenticator-static"`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "AuthenticatorStaticChallengeResponse" }

// Stage makes a list.
type Stage struct {
	service  *Service
	settings Settings
}

// StageKind makes the stage kind.
func (s *Service) StageKind() *flows.Kind {
	k := flows.NewKind(
		resource.KindInfo{
			Name: "authenticatorstaticstage", App: app, Label: "Static Authenticator Setup Stage",
			Plural: "Static Authenticator Setup Stages", Component: "ak-stage-authenticator-static-form",
			Description: "Setup recovery codes, each of which works once.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		resource.Def[Row]{
			Path: "/stages/authenticator/static/", Filter: []string{"name", "configure_flow", "friendly_name", "token_count", "token_length"},
			Filters: []resource.Filter{{Name: "stage_uuid", Type: resource.UUID, SQL: "t.stage_uuid = $1"}},
			New:     func() Row { return Row{Settings: Settings{TokenCount: 6, TokenLength: 12}} },
			Validate: func(_ context.Context, _ pgx.Tx, c *resource.Change[Row]) error {
				return c.Row.check().Err()
			},
		},
		func(_ uuid.UUID, _ string, settings Settings) (flows.Stage, error) {
			if err := settings.check().Err(); err != nil {
				return nil, err
			}
			return &Stage{service: s, settings: settings}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
	k.UserSettings, k.AlwaysListed = "ak-user-settings-authenticator-static", true
	return k
}

// Begin draws the codes at the first call and shows them. Nobody's account gets none.
func (st *Stage) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Next(), nil
	}
	if full, err := authenticators.Full(ctx, run, "static_devices", u.ID); err != nil || full {
		return flows.Deny(authenticators.TooMany), err
	}
	var codes []string
	there, err := st.service.draft().Recall(run, u.ID, &codes)
	if err != nil {
		return flows.Outcome{}, err
	}
	if !there {
		codes = draw(st.settings.TokenCount, st.settings.TokenLength)
		if err := st.service.draft().Keep(run, u.ID, codes); err != nil {
			return flows.Outcome{}, err
		}
	}
	c := &Challenge{Codes: codes}
	c.Component = Component
	return flows.Show(c), nil
}

// Answer stores the hashes of the codes that were shown.
func (st *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	var r Response
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
	var codes []string
	if there, err := st.service.draft().Recall(run, u.ID, &codes); err != nil || !there { // nothing was shown yet
		return flows.Soft(nil), err
	}
	var id int
	if err := run.DB().QueryRow(ctx, `SELECT nextval(pg_get_serial_sequence('static_devices', 'id'))`).Scan(&id); err != nil {
		return flows.Outcome{}, fmt.Errorf("number device: %w", db.Fault(err))
	}
	key := make([]byte, keySize)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	hashes := make([][]byte, 0, len(codes))
	for _, c := range codes {
		hashes = append(hashes, hash(key, c))
	}
	const name = "Static Token"
	run.Queue(`INSERT INTO static_devices (id, user_id, name, confirmed, key_sealed, code_length, created)
		VALUES ($1, $2, $3, true, $4, $5, $6)`, id, u.ID, name, st.service.keeper.Seal(key, sealedKey.AAD(id)), len(codes[0]), run.Now())
	run.Queue(`INSERT INTO static_codes (device, code_hash) SELECT $1, h FROM unnest($2::bytea[]) h`, id, hashes)
	return flows.Next(), run.Emit(ctx, event.Event{
		Action: event.ModelCreated, App: app, User: &event.User{PK: u.ID, Username: u.Username, Email: u.Email},
		Context: map[string]any{"model": event.Model(id, app, model, name), "codes": len(codes)},
	})
}

func (s *Service) draft() authenticators.Draft {
	return authenticators.Draft{Class: Class, Keeper: s.keeper}
}
