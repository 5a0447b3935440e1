package duo

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/secret"
	"countersign/core/session"
	"countersign/core/user"
	"countersign/flows"
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

// pending is whom the flow is about; nil for nobody, and for a pretended user.
func pending(ctx context.Context, run *flows.Run) (*user.User, error) {
	u, err := run.PendingUser(ctx)
	if err != nil || u == nil || u.ID == 0 {
		return nil, err
	}
	return u, nil
}

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

// Reseal seals what an older key sealed with the first one: the secrets of stages, and enrolments under way. It tells
// how many rows it changed, and may be run again at any time.
func (s *Service) Reseal(ctx context.Context) (changed int, err error) {
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		stages, err := s.resealStages(ctx, tx)
		if err != nil {
			return err
		}
		enrolments, err := s.resealEnrolments(ctx, tx)
		changed = stages + enrolments
		return err
	})
	return changed, err
}

func (s *Service) resealStages(ctx context.Context, tx pgx.Tx) (int, error) {
	rows, err := tx.Query(ctx, `SELECT stage_uuid, coalesce(settings->>'client_secret', ''), coalesce(settings->>'admin_secret_key', '')
		FROM stages WHERE kind = $1 ORDER BY stage_uuid FOR UPDATE`, kindName)
	if err != nil {
		return 0, fmt.Errorf("read stages: %w", db.Fault(err))
	}
	type stage struct {
		ID            uuid.UUID
		Client, Admin string
	}
	stages, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stage])
	if err != nil {
		return 0, fmt.Errorf("read stages: %w", db.Fault(err))
	}
	changed := 0
	for _, st := range stages {
		if s.Keeper.CurrentText(st.Client) && s.Keeper.CurrentText(st.Admin) {
			continue
		}
		o, err := open(s.Keeper, st.ID, Settings{ClientSecret: st.Client, AdminSecretKey: st.Admin})
		if err != nil {
			return 0, fmt.Errorf("stage %s: %w", st.ID, err)
		}
		if _, err := tx.Exec(ctx, `UPDATE stages SET settings = settings || jsonb_build_object('client_secret', $2::text, 'admin_secret_key', $3::text) WHERE stage_uuid = $1`,
			st.ID, s.Keeper.SealText(o.ClientSecret, clientAAD(st.ID)), s.Keeper.SealText(o.AdminSecretKey, adminAAD(st.ID))); err != nil {
			return 0, fmt.Errorf("seal secrets of stage %s: %w", st.ID, db.Fault(err))
		}
		changed++
	}
	return changed, nil
}

func (s *Service) resealEnrolments(ctx context.Context, tx pgx.Tx) (int, error) {
	rows, err := tx.Query(ctx, `SELECT user_id, stage, activation_sealed FROM duo_enrollments ORDER BY user_id, stage FOR UPDATE`)
	if err != nil {
		return 0, fmt.Errorf("read Duo enrolments: %w", db.Fault(err))
	}
	type row struct {
		User   int
		Stage  uuid.UUID
		Sealed []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return 0, fmt.Errorf("read Duo enrolments: %w", db.Fault(err))
	}
	changed := 0
	for _, e := range all {
		if s.Keeper.Current(e.Sealed) {
			continue
		}
		plain, err := s.Keeper.Open(e.Sealed, activationAAD(e.User, e.Stage))
		if err != nil {
			return 0, fmt.Errorf("open Duo enrolment of user %d: %w", e.User, err)
		}
		if _, err := tx.Exec(ctx, `UPDATE duo_enrollments SET activation_sealed = $3 WHERE user_id = $1 AND stage = $2`,
			e.User, e.Stage, s.Keeper.Seal(plain, activationAAD(e.User, e.Stage))); err != nil {
			return 0, fmt.Errorf("seal Duo enrolment of user %d: %w", e.User, db.Fault(err))
		}
		changed++
	}
	return changed, nil
}
