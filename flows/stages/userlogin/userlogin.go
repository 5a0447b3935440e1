package userlogin

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/duration"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/session"
	"countersign/flows"
)

// Component is the name of the challenge.
const Component = "ak-stage-user-login"

// NetworkBinding ties a session to a network.
type NetworkBinding string

// Enum lists the bindings.
func (NetworkBinding) Enum() []string {
	return []string{session.NoBinding, session.BindASN, session.BindASNNetwork, session.BindASNNetworkIP}
}

// SchemaName is the component's name.
func (NetworkBinding) SchemaName() string { return "NetworkBindingEnum" }

// GeoIPBinding ties a session to a place.
type GeoIPBinding string

// Enum lists the bindings.
func (GeoIPBinding) Enum() []string {
	return []string{session.NoBinding, session.BindContinent, session.BindCountry, session.BindCity}
}

// SchemaName is the component's name.
func (GeoIPBinding) SchemaName() string { return "GeoipBindingEnum" }

// Settings are what an admin chooses.
type Settings struct {
	SessionDuration string         `json:"session_duration" doc:"How long a session lasts; 0 is until the browser is closed. Format: hours=1;minutes=2;seconds=3."`
	TerminateOthers bool           `json:"terminate_other_sessions" doc:"Terminate all other sessions of the user logging in."`
	RememberOffset  string         `json:"remember_me_offset" doc:"By how much a session is longer when the user picks remember me; with 0 it is not offered. Format: hours=1;minutes=2;seconds=3."`
	NetworkBinding  NetworkBinding `json:"network_binding" doc:"Bind sessions created by this stage to the configured network."`
	GeoIPBinding    GeoIPBinding   `json:"geoip_binding" doc:"Bind sessions created by this stage to the configured GeoIP location."`
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings `db:"settings"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "UserLoginStage" }

// Challenge asks whether to remember the browser.
type Challenge struct{ flows.WithUser }

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "UserLoginChallenge" }

// Response is the answer.
type Response struct {
	Component  string `json:"component" api:"default=ak-stage-user-login"`
	RememberMe bool   `json:"remember_me" api:"required"`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "UserLoginChallengeResponse" }

// Stage logs the pending user in.
type Stage struct {
	sessions         *session.Store
	settings         Settings
	duration, offset time.Duration
}

// Kind makes the kind.
func Kind(sessions *session.Store) *flows.Kind {
	return flows.NewKind(
		resource.KindInfo{
			Name: "userloginstage", App: "authentik_stages_user_login", Label: "User Login Stage", Plural: "User Login Stages",
			Component: "ak-stage-user-login-form", Description: "Attaches the currently pending user to the current session.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		resource.Def[Row]{
			Path: "/stages/user_login/",
			Filter: []string{
				"name", "session_duration", "terminate_other_sessions", "remember_me_offset", "network_binding", "geoip_binding",
			},
			Filters: []resource.Filter{{Name: "stage_uuid", Type: resource.UUID, SQL: "t.stage_uuid = $1"}},
			New: func() Row {
				return Row{Settings: Settings{
					SessionDuration: "seconds=0", RememberOffset: "seconds=0",
					NetworkBinding: session.NoBinding, GeoIPBinding: session.NoBinding,
				}}
			},
			Validate: validate,
		},
		func(_ uuid.UUID, _ string, s Settings) (flows.Stage, error) {
			length, err := duration.Parse(s.SessionDuration)
			if err != nil {
				return nil, err
			}
			offset, err := duration.Parse(s.RememberOffset)
			if err != nil {
				return nil, err
			}
			return &Stage{sessions: sessions, settings: s, duration: length, offset: offset}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
}

func validate(_ context.Context, _ pgx.Tx, c *resource.Change[Row]) error {
	fields := fault.Fields{}
	for name, value := range map[string]string{
		"session_duration": c.Row.SessionDuration, "remember_me_offset": c.Row.RememberOffset,
	} {
		if _, err := duration.Parse(value); err != nil {
			fields.Add(name, "invalid", err.Error())
		}
	}
	return fields.Err()
}

// Begin logs in, or asks whether to remember the browser.
func (s *Stage) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	if s.offset <= 0 {
		return s.login(ctx, run, false)
	}
	c := &Challenge{}
	c.Component = Component
	return flows.Show(c), nil
}

// Answer logs in.
func (s *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	if s.offset <= 0 {
		return s.login(ctx, run, false)
	}
	var r Response
	if fields, err := run.Decode(answer, &r); err != nil || fields != nil {
		return flows.Stay(fields), err
	}
	return s.login(ctx, run, r.RememberMe)
}

func (s *Stage) login(ctx context.Context, run *flows.Run, remember bool) (flows.Outcome, error) {
	u, err := run.PendingUser(ctx)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil || u.ID == 0 {
		return flows.Deny("No Pending user to login."), nil
	}
	length := s.duration
	if remember {
		length += s.offset
	}
	tx, err := run.Tx(ctx)
	if err != nil {
		return flows.Outcome{}, err
	}
	cookie, err := s.sessions.Login(ctx, tx, run.Session, session.LoginOptions{
		User: u, Method: run.Context.AuthMethod, Args: run.Context.AuthMethodArgs, Factors: run.Context.Factors,
		Duration: max(0, length), NetworkBinding: string(s.settings.NetworkBinding), GeoIPBinding: string(s.settings.GeoIPBinding),
		TerminateOthers: s.settings.TerminateOthers,
	})
	switch {
	case errors.Is(err, session.ErrEnded):
		return flows.Outcome{}, flows.ErrOvertaken
	case fault.Is(err, fault.Denied):
		return flows.Deny(fault.As(err).Detail), nil
	case err != nil:
		return flows.Outcome{}, err
	}
	run.SetCookie(cookie)
	return flows.Next(), nil
}
