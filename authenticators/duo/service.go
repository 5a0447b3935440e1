package duo

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/secret"
	"countersign/core/session"
	"countersign/core/user"
)

const (
	app   = "authentik_stages_authenticator_duo"
	model = "duodevice"
	// enrolmentLife is how long Duo takes an activation code; its own default.
	enrolmentLife = 24 * time.Hour
	// retention is how long pushes are kept: long enough to know a user's own addresses.
	retention = 30 * 24 * time.Hour
)

// Options are what a Service needs. Transport, Budget, Hold and Now have defaults.
type Options struct {
	Pool      *pgxpool.Pool
	Keeper    *secret.Keeper
	Events    *event.Log
	Sessions  *session.Store    // lets the browser that enrols ask for the status
	Transport http.RoundTripper // to Duo; default: one that trusts Duo's certificates alone
	Budget    Budget
	Hold      time.Duration // how long a request waits for the person's answer; default 40 s
	Now       func() time.Time
}

// Service is the server side of Duo. It is safe for concurrent use.
type Service struct {
	Options
	calls *calls
}

// New makes a service.
func New(o Options) *Service {
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	if o.Budget.Pushes <= 0 || o.Budget.Window <= 0 {
		o.Budget = DefaultBudget()
	}
	if o.Hold <= 0 {
		o.Hold = holdLimit
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{Options: o, calls: newCalls()}
}

// Waiting is how many calls to Duo run for logins now.
func (s *Service) Waiting() int { return s.calls.count() }

func eventUser(u *user.User) *event.User {
	if u == nil {
		return nil
	}
	return &event.User{PK: u.ID, Username: u.Username, Email: u.Email}
}

// CleanUp deletes enrolments that are over and pushes that are no longer history.
func (s *Service) CleanUp(ctx context.Context) error {
	now := s.Now()
	if _, err := s.Pool.Exec(ctx, `DELETE FROM duo_enrollments WHERE expires < $1`, now); err != nil {
		return fmt.Errorf("collect Duo enrolments: %w", db.Fault(err))
	}
	if _, err := s.Pool.Exec(ctx, `DELETE FROM duo_pushes WHERE created < $1`, now.Add(-retention)); err != nil {
		return fmt.Errorf("collect Duo pushes: %w", db.Fault(err))
	}
	return nil
}
