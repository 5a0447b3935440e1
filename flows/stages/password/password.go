package password

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/token"
	"countersign/core/user"
	"countersign/flows"
)

// Component is the name of the challenge.
const Component = "ak-stage-password"

// Backend says what a password is tried against.
type Backend string

// The backends. The LDAP one has no effect while no LDAP source exists.
const (
	Inbuilt Backend = "authentik.core.auth.InbuiltBackend"
	Token   Backend = "authentik.core.auth.TokenBackend"
	LDAP    Backend = "authentik.sources.ldap.auth.LDAPBackend"
)

// Enum lists the backends.
func (Backend) Enum() []string { return []string{string(Inbuilt), string(Token), string(LDAP)} }

// SchemaName is the component's name.
func (Backend) SchemaName() string { return "BackendsEnum" }

// app is the application label in the events of wrong passwords.
const app = "authentik.stages.password"

// The limit over sessions: that many wrong passwords for one user from one address within the window, and further tries are
// refused unseen until the window has moved on. The owner at another address is not held up, nor one who denied or missed what
// their phone asked: other factors have limits of their own.
const (
	sourceFailures = 20
	sourceWindow   = 10 * time.Minute
)

// Settings are what an admin chooses.
type Settings struct {
	Backends      []Backend  `json:"backends" api:"required" doc:"Selection of backends to test the password against."`
	ConfigureFlow *uuid.UUID `json:"configure_flow" api:"ref=flow" doc:"Flow by which a user changes the password. Without one users cannot."`
	MaxFailures   int32      `json:"failed_attempts_before_cancel" doc:"How many attempts a user has before the flow is cancelled."`
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings `db:"settings"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "PasswordStage" }

// Challenge asks for the password.
type Challenge struct {
	flows.WithUser
	RecoveryURL string `json:"recovery_url,omitempty"`
}

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "PasswordChallenge" }

// Response is the answer.
type Response struct {
	Component string `json:"component" api:"default=ak-stage-password"`
	Password  string `json:"password" api:"required,raw"`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "PasswordChallengeResponse" }

// Stage asks for the password.
type Stage struct {
	id       uuid.UUID
	name     string
	users    *user.Store
	tokens   *token.Store
	settings Settings
}

type state struct {
	Failures int32 `json:"failures"`
}

// Kind makes the kind.
func Kind(users *user.Store, tokens *token.Store) *flows.Kind {
	k := flows.NewKind(
		resource.KindInfo{
			Name: "passwordstage", App: "authentik_stages_password",
			Label: "Password Stage", Plural: "Password Stages", Component: "ak-stage-password-form",
			Description: "Prompts the user for their password, and validates it against the configured backends.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		resource.Def[Row]{
			Path:   "/stages/password/",
			Filter: []string{"name", "configure_flow", "failed_attempts_before_cancel"},
			New:    func() Row { return Row{Settings: Settings{MaxFailures: 5}} },
		},
		func(id uuid.UUID, name string, s Settings) (flows.Stage, error) {
			return &Stage{id: id, name: name, users: users, tokens: tokens, settings: s}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
	k.UserSettings = "ak-user-settings-password"
	return k
}

// Begin shows the form.
func (s *Stage) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	if run.Context.UserBackend != "" {
		return flows.Next(), nil
	}
	u, err := run.PendingUser(ctx)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Deny(""), nil
	}
	c := &Challenge{}
	c.Component = Component
	if f := run.Stages().First(flows.Recovery); f != nil {
		c.RecoveryURL = run.BaseURL + "if/flow/" + f.Slug + "/"
	}
	return flows.Show(c), nil
}

// Answer checks the password.
func (s *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	if run.Context.UserBackend != "" {
		return flows.Next(), nil
	}
	var r Response
	if fields, err := run.Decode(answer, &r); err != nil || fields != nil {
		return flows.Stay(fields), err
	}
	u, err := run.PendingUser(ctx)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Deny(""), nil
	}
	right, err := s.Check(ctx, run, u, r.Password)
	if fields := flows.Refusal(err, "password"); fields != nil {
		return flows.Stay(fields), nil
	}
	if err != nil {
		return flows.Outcome{}, err
	}
	if right {
		return flows.Next(), nil
	}
	var st state
	if _, err := run.State(&st); err != nil {
		return flows.Outcome{}, err
	}
	if st.Failures++; st.Failures >= s.settings.MaxFailures {
		return flows.Deny(""), nil
	}
	if err := run.SetState(st); err != nil {
		return flows.Outcome{}, err
	}
	return flows.StayField("password", "invalid", "Invalid password"), nil
}

// Check tries the backends in their order. When one says yes, it makes u the run's pending user and sets the
// authentication method; when none does, it writes the event login_failed. fault.Throttled: too many failures from this
// address.
func (s *Stage) Check(ctx context.Context, run *flows.Run, u *user.User, password string) (bool, error) {
	if err := s.limit(ctx, run, u.Username); err != nil {
		return false, err
	}
	var known *user.User
	if u.ID != 0 {
		known = u
	}
	for _, backend := range s.settings.Backends {
		method, args, ok, err := s.try(ctx, backend, known, password)
		if err != nil {
			return false, err
		}
		if ok {
			run.SetPendingUser(u)
			run.Context.UserBackend, run.Context.AuthMethod, run.Context.AuthMethodArgs = string(backend), method, args
			run.Context.Factors = append(run.Context.Factors, "password")
			run.Changed()
			return true, nil
		}
	}
	return false, run.Emit(ctx, event.Event{
		Action: event.LoginFailed, App: app,
		Context: map[string]any{
			"username": u.Username,
			"stage":    map[string]any{"pk": s.id, "name": s.name, "app": "authentik_stages_password", "model_name": "passwordstage"},
		},
		User: &event.User{PK: u.ID, Username: u.Username, Email: u.Email},
	})
}

func (s *Stage) try(ctx context.Context, b Backend, known *user.User, password string) (method string, args map[string]any, ok bool, err error) {
	switch b {
	case Inbuilt:
		ok, err = s.users.CheckPassword(ctx, known, password)
		return "password", nil, ok, err
	case Token:
		id := 0 // nobody's, asked all the same: the time is not to tell who exists
		if known != nil && known.IsActive {
			id = known.ID
		}
		t, err := s.tokens.AppPassword(ctx, id, password)
		if err != nil || t == nil {
			return "", nil, false, err
		}
		return "token", map[string]any{"token": t.Identifier}, true, nil
	default:
		return "", nil, false, nil
	}
}

// limit refuses when the user has too many failures from this address. The events name the address, and so does the
// question about them.
func (s *Stage) limit(ctx context.Context, run *flows.Run, username string) error {
	if !run.Origin.ClientIP.IsValid() {
		return nil // the peer has no address, and the events none to count by
	}
	source := run.Origin.ClientIP.Unmap().WithZone("").String()
	var oldest *time.Time
	err := run.DB().QueryRow(ctx, `SELECT min(created) FROM (
			SELECT created FROM events WHERE "user"->>'username' = $1 AND created > $2 AND action = 'login_failed' AND app = $5 AND client_ip = $3
			ORDER BY created DESC LIMIT $4) f HAVING count(*) = $4`,
		username, run.Now().Add(-sourceWindow), source, sourceFailures, app).Scan(&oldest)
	if err != nil {
		if fault.Is(db.Fault(err), fault.NotFound) {
			return nil
		}
		return fmt.Errorf("count failed logins: %w", db.Fault(err))
	}
	wait := oldest.Add(sourceWindow).Sub(run.Now()).Round(time.Minute) + time.Minute
	f := fault.New(fault.Throttled, "throttled", fmt.Sprintf("Too many failed attempts. Please try again in %d minutes.", int(wait.Minutes())))
	f.RetryAfter = wait
	return f
}
