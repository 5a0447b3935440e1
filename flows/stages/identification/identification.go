package identification

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/user"
	"countersign/flows"
)

// Component is the name of the challenge.
const Component = "ak-stage-identification"

const failed = "Failed to authenticate."

// UserField is a field of a user by which they may name themselves.
type UserField string

// Enum lists the fields.
func (UserField) Enum() []string { return []string{user.ByEmail, user.ByUsername, user.ByUPN} }

// SchemaName is the component's name.
func (UserField) SchemaName() string { return "UserFieldsEnum" }

// Settings are what an admin chooses.
type Settings struct {
	UserFields       []UserField `json:"user_fields" doc:"Fields of the user object to match against."`
	PasswordStage    *uuid.UUID  `json:"password_stage" api:"ref=passwordstage" doc:"When set, the password is asked on the same page."`
	FoldCase         bool        `json:"case_insensitive_matching" doc:"Match the fields regardless of their casing."`
	ShowMatched      bool        `json:"show_matched_user" doc:"Show the matched user's name and avatar; otherwise the text that was entered."`
	EnrollmentFlow   *uuid.UUID  `json:"enrollment_flow" api:"ref=flow" doc:"Linked at the bottom of the page."`
	RecoveryFlow     *uuid.UUID  `json:"recovery_flow" api:"ref=flow" doc:"Linked at the bottom of the page."`
	PasswordlessFlow *uuid.UUID  `json:"passwordless_flow" api:"ref=flow" doc:"Linked at the bottom of the page."`
	Sources          []uuid.UUID `json:"sources" doc:"Sources to show on the page."`
	ShowSourceLabels bool        `json:"show_source_labels"`
	Pretend          bool        `json:"pretend_user_exists" doc:"Go on even when the user is unknown, so that nobody learns who exists."`
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings `db:"settings"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "IdentificationStage" }

// Challenge asks who is there.
type Challenge struct {
	flows.Common
	UserFields       []string          `json:"user_fields" api:"required,nullable"`
	PasswordFields   bool              `json:"password_fields" api:"required"`
	ApplicationPre   string            `json:"application_pre,omitempty"`
	FlowDesignation  flows.Designation `json:"flow_designation" api:"required"`
	EnrollURL        string            `json:"enroll_url,omitempty"`
	RecoveryURL      string            `json:"recovery_url,omitempty"`
	PasswordlessURL  string            `json:"passwordless_url,omitempty"`
	PrimaryAction    string            `json:"primary_action" api:"required"`
	Sources          []LoginSource     `json:"sources,omitempty"`
	ShowSourceLabels bool              `json:"show_source_labels" api:"required"`
}

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "IdentificationChallenge" }

// LoginSource is another place to log in at.
type LoginSource struct {
	Name      string         `json:"name" api:"required"`
	IconURL   *string        `json:"icon_url"`
	Challenge map[string]any `json:"challenge" api:"required"`
}

// Response is the answer.
type Response struct {
	Component string  `json:"component" api:"default=ak-stage-identification"`
	UIDField  string  `json:"uid_field" api:"required"`
	Password  *string `json:"password" api:"raw,blank,nullable"`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "IdentificationChallengeResponse" }

// PasswordChecker is what the stage named by password_stage must be.
type PasswordChecker interface {
	// Check tries the backends for u, who may be unknown (ID 0). When it says true, u is the run's pending user and the
	// authentication method is set. It writes the event of a failure. A refusal for too many attempts is a *fault.Error.
	Check(ctx context.Context, run *flows.Run, u *user.User, password string) (bool, error)
}

// Stage asks who is there.
type Stage struct {
	users    *user.Store
	settings Settings
}

// Kind makes the kind.
func Kind(users *user.Store) *flows.Kind {
	return flows.NewKind(
		resource.KindInfo{
			Name: "identificationstage", App: "authentik_stages_identification",
			Label: "Identification Stage", Plural: "Identification Stages", Component: "ak-stage-identification-form",
			Description: "Allows the user to identify themselves.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		resource.Def[Row]{
			Path: "/stages/identification/",
			Filter: []string{
				"name", "password_stage", "case_insensitive_matching", "show_matched_user", "enrollment_flow",
				"passwordless_flow", "recovery_flow", "show_source_labels",
			},
			New: func() Row {
				return Row{Settings: Settings{FoldCase: true, ShowMatched: true, Pretend: true}}
			},
			Validate: validate,
		},
		func(_ uuid.UUID, _ string, s Settings) (flows.Stage, error) {
			return &Stage{users: users, settings: s}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
}

func validate(_ context.Context, _ pgx.Tx, c *resource.Change[Row]) error {
	if len(c.Row.Sources) > 0 {
		return fault.Field("sources", "does_not_exist", `Invalid pk "`+c.Row.Sources[0].String()+`" - object does not exist.`)
	}
	// Only what was submitted counts (core.md §2.1), also in a PATCH.
	if !c.Sent("user_fields") || len(c.Row.UserFields) == 0 {
		return fault.Field(fault.NonField, "invalid", "When no user fields are selected, at least one source must be selected")
	}
	return nil
}

// Begin shows the form.
func (s *Stage) Begin(_ context.Context, run *flows.Run) (flows.Outcome, error) {
	c := &Challenge{
		FlowDesignation: run.Flow.Designation, PrimaryAction: "Continue", ApplicationPre: run.Context.Application,
		PasswordFields: s.settings.PasswordStage != nil, ShowSourceLabels: s.settings.ShowSourceLabels,
	}
	c.Component = Component
	if run.Flow.Designation == flows.Authentication {
		c.PrimaryAction = "Log in"
	}
	for _, f := range s.settings.UserFields {
		c.UserFields = append(c.UserFields, string(f))
	}
	c.EnrollURL = flowURL(run, s.settings.EnrollmentFlow)
	c.RecoveryURL = flowURL(run, s.settings.RecoveryFlow)
	c.PasswordlessURL = flowURL(run, s.settings.PasswordlessFlow)
	return flows.Show(c), nil
}

func flowURL(run *flows.Run, id *uuid.UUID) string {
	if id == nil {
		return ""
	}
	f := run.Stages().Flow(*id)
	if f == nil {
		return ""
	}
	return run.FlowURL(f.Slug)
}

// Answer looks the user up.
func (s *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	var r Response
	if fields, err := run.Decode(answer, &r); err != nil || fields != nil {
		return flows.Stay(fields), err
	}
	fields := make([]string, 0, len(s.settings.UserFields))
	for _, f := range s.settings.UserFields {
		fields = append(fields, string(f))
	}
	u, err := s.users.Find(ctx, run.DB(), r.UIDField, fields, s.settings.FoldCase)
	if err != nil {
		return flows.Outcome{}, err
	}
	known := u != nil
	r.UIDField = clip(r.UIDField) // no name is longer, and the plan keeps it
	if !known {
		u = &user.User{Username: r.UIDField, Email: r.UIDField}
	}
	if s.settings.PasswordStage != nil {
		return s.withPassword(ctx, run, u, r)
	}
	if !known && !s.settings.Pretend {
		if err := run.Emit(ctx, event.Event{
			Action: event.LoginFailed, App: "authentik.stages.identification",
			Context: map[string]any{"username": r.UIDField}, User: &event.User{Username: r.UIDField},
		}); err != nil {
			return flows.Outcome{}, err
		}
		return flows.StayField(fault.NonField, "invalid", failed), nil
	}
	s.pend(run, u, r.UIDField)
	return flows.Next(), nil
}

func (s *Stage) withPassword(ctx context.Context, run *flows.Run, u *user.User, r Response) (flows.Outcome, error) {
	entry := run.Stages().Stage(*s.settings.PasswordStage)
	if entry == nil {
		return flows.Deny(""), nil
	}
	checker, ok := entry.Stage.(PasswordChecker)
	if !ok {
		return flows.Deny(""), nil
	}
	if r.Password == nil || *r.Password == "" {
		return flows.StayField("password", "required", "This field is required."), nil
	}
	right, err := checker.Check(ctx, run, u, *r.Password)
	if fields := flows.Refusal(err, "password"); fields != nil {
		return flows.Stay(fields), nil
	}
	if err != nil {
		return flows.Outcome{}, err
	}
	if !right {
		return flows.StayField(fault.NonField, "invalid", failed), nil
	}
	s.pend(run, u, r.UIDField)
	return flows.Next(), nil
}

func (s *Stage) pend(run *flows.Run, u *user.User, entered string) {
	run.SetPendingUser(u)
	if !s.settings.ShowMatched {
		run.Context.PendingUserIdentifier = entered
	}
}

// maxName is the longest that a user's name (150) or e-mail address (254) can be, in characters.
const maxName = 254

func clip(s string) string {
	if runes := []rune(s); len(runes) > maxName {
		return string(runes[:maxName])
	}
	return s
}
