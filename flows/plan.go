package flows

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"countersign/core/rbac"
)

// planFormat is the version of the stored JSON. A row of another version is planned anew.
const planFormat = 1

// The lives of a plan: an unfinished one that nobody touched for planIdle is planned anew; a finished one tells a
// second tab of the same browser for doneFor where the first one went.
const (
	planIdle = time.Hour
	doneFor  = 10 * time.Second
)

// Plan is what is left to do in one flow of one session.
type Plan struct {
	Format  int       `json:"v"`
	Started time.Time `json:"started"`
	Steps   []*Step   `json:"steps"`
	Context Context   `json:"context"`
	Query   string    `json:"query,omitempty"` // the page's own query string, without "?"
	Moves   int       `json:"moves,omitempty"` // how many steps were left behind
	Actor   int       `json:"actor,omitempty"` // the user who was logged in when it was made, or by one of its stages; 0 is nobody

	DoneTo string    `json:"done_to,omitempty"` // where the finished flow sent the browser
	DoneAt time.Time `json:"done_at,omitzero"`

	version int64     // of the stored row; 0 is not stored
	touched time.Time // when the stored row was written
}

// Step is one stage to come, with what it keeps between requests.
type Step struct {
	Stage     uuid.UUID       `json:"stage"`
	Binding   uuid.UUID       `json:"binding"`              // zero for a step that a stage put in
	OnInvalid string          `json:"on_invalid,omitempty"` // invalid_response_action, "" is retry
	State     json.RawMessage `json:"state,omitempty"`
}

// Context is what stages tell each other. The JSON names are the reserved ones of core.md §1.4.
type Context struct {
	PendingUser           int            `json:"pending_user,omitempty"` // 0 is nobody
	PendingUserShown      *Shown         `json:"pending_user_shown,omitempty"`
	PendingUserIdentifier string         `json:"pending_user_identifier,omitempty"`
	Pretended             string         `json:"pretended,omitempty"` // the name of a user who does not exist but is treated as if
	UserBackend           string         `json:"user_backend,omitempty"`
	AuthMethod            string         `json:"auth_method,omitempty"`
	AuthMethodArgs        map[string]any `json:"auth_method_args,omitempty"`
	Factors               []string       `json:"factors,omitempty"` // what was proved, in its order: "password", "mobile"
	Redirect              string         `json:"redirect,omitempty"`
	DenyMessage           string         `json:"deny_message,omitempty"`
	Application           string         `json:"application,omitempty"` // the name of the application that asked for the login
	Source                string         `json:"source,omitempty"`
}

// Shown is what challenges show of the pending user. It is as old as the login.
type Shown struct {
	Username string `json:"username"`
	Name     string `json:"name"`
}

// Finished tells whether the flow was walked to its end.
func (p *Plan) Finished() bool { return !p.DoneAt.IsZero() }

func (p *Plan) current() *Step {
	if p.Finished() || len(p.Steps) == 0 {
		return nil
	}
	return p.Steps[0]
}

// pop drops the step that passed and puts others in its place.
func (p *Plan) pop(insert []uuid.UUID) {
	rest := p.Steps[1:]
	steps := make([]*Step, 0, len(insert)+len(rest))
	for _, id := range insert {
		steps = append(steps, &Step{Stage: id})
	}
	p.Steps = append(steps, rest...)
	p.Moves++
}

func (p *Plan) position() position { return position{p.Started, p.Moves} }

func (a position) same(b position) bool { return a.moves == b.moves && a.started.Equal(b.started) }

// belongsTo tells whether actor may go on with the plan: everybody in the session while nobody was logged in, later that
// user only. Another one who logs in at the same browser begins anew, or they would act for the first.
func (p *Plan) belongsTo(actor *rbac.Actor) bool {
	return p.Actor == 0 || actor != nil && actor.ID == p.Actor
}

func decodePlan(raw []byte, version int64) (*Plan, error) {
	var p Plan
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	p.version = version
	return &p, nil
}
