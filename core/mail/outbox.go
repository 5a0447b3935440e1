package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/task"
)

const (
	// perHour is how many mails one address gets about one user within an hour. The last waits for the hour's end and
	// tells how many more there would have been.
	perHour = 20
	window  = time.Hour

	channel    = "countersign_mail" // of the notifications by 004_mail.sql
	jobName    = "send_mail"
	batch      = 100 // mails that leave the outbox in one transaction
	atOnce     = 4   // mails that a node sends at the same time
	attempts   = 8   // over some six hours
	giveUp     = 3 * 24 * time.Hour
	keepQuotas = 24 * time.Hour // longer than a mail that waits for its hour's end is tried
)

// Service queues mails, hands them to the background jobs and sends them. Fill its fields, then call Beside for events,
// and, on a node that works jobs, Start.
type Service struct {
	Pool   *pgxpool.Pool
	Sender *Sender
	Events *event.Log
	Now    func() time.Time
	Log    *slog.Logger

	// Devices are the kinds of authenticators by app and model, "authentik_stages_authenticator_totp.totpdevice", with their
	// names for people.
	Devices map[string]string
	// Site tells of a host, without its port, how people know it, and whether an administrator has named it, so that
	// a link to it may be sent. Who makes a request chooses its Host header.
	Site func(ctx context.Context, host string) (title string, known bool)

	jobs task.Inserter
	stop func()
}

// job is what the background job of one mail holds.
type job struct {
	ID      uuid.UUID  `json:"id"`
	User    int        `json:"user"`
	Address string     `json:"address"`
	Kind    Kind       `json:"kind"`
	Facts   Facts      `json:"facts"`
	Since   *time.Time `json:"since,omitempty"` // the beginning of the hour whose last mail it is
}

// Job is the background job that sends one mail.
func (s *Service) Job() task.OneOff {
	return task.OneOff{
		Name: jobName, Workers: atOnce, Attempts: attempts, Timeout: MaxTimeout + 15*time.Second, // the rest is for the database
		Run: s.deliver, Failed: s.failed,
	}
}

// Start begins to hand on what is in the outbox, now and whenever something comes, until Stop. Call it before those jobs
// are worked.
func (s *Service) Start(jobs task.Inserter) {
	s.jobs = jobs
	s.stop = task.Relay(s.Pool, s.Log, channel, s.Relay)
}

// Stop ends what Start began.
func (s *Service) Stop() { s.stop() }

// Tidy hands on what a lost notification left in the outbox, and drops old quotas. It is for a periodic job.
func (s *Service) Tidy(ctx context.Context) error {
	if _, err := s.Pool.Exec(ctx, `DELETE FROM mail_quotas WHERE since < $1`, s.Now().Add(-keepQuotas)); err != nil {
		return fmt.Errorf("drop old mail quotas: %w", db.Fault(err))
	}
	return s.Relay(ctx)
}

// Discard empties the outbox, for an installation that sends no mails any more.
func Discard(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, `DELETE FROM mail_outbox`); err != nil {
		return fmt.Errorf("empty the outbox of mails: %w", db.Fault(err))
	}
	return nil
}

// Relay makes background jobs of the mails in the outbox, as far as the quotas allow. Nodes that do it at once wait for
// one another.
func (s *Service) Relay(ctx context.Context) error {
	for {
		var n int
		err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) (err error) {
			n, err = s.relay(ctx, tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("relay mails: %w", err)
		}
		if n < batch {
			return nil
		}
	}
}

// queued is a row of the outbox.
type queued struct {
	ID      uuid.UUID
	User    int
	Address string
	Kind    Kind
	Facts   json.RawMessage
}

// recipient is whom a quota is for.
type recipient struct {
	User    int
	Address string
}

// quota is an hour of a recipient.
type quota struct {
	since time.Time
	owed  int
}

func (s *Service) relay(ctx context.Context, tx pgx.Tx) (int, error) {
	// Two nodes would count the same quota, and lock rows in different orders.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('countersign mail'))`); err != nil {
		return 0, db.Fault(err)
	}
	rows, err := tx.Query(ctx, `WITH gone AS (
			DELETE FROM mail_outbox WHERE mail_uuid IN (SELECT mail_uuid FROM mail_outbox ORDER BY position LIMIT $1) RETURNING *)
		SELECT mail_uuid, user_id, address, kind, facts FROM gone ORDER BY position`, batch)
	if err != nil {
		return 0, db.Fault(err)
	}
	mails, err := pgx.CollectRows(rows, pgx.RowToStructByPos[queued])
	if err != nil || len(mails) == 0 {
		return 0, db.Fault(err)
	}
	quotas, err := s.quotas(ctx, tx, mails)
	if err != nil {
		return 0, err
	}
	jobs := make([]task.Insert, 0, len(mails))
	for _, m := range mails {
		q := quotas[recipient{m.User, m.Address}]
		q.owed++
		j := job{ID: m.ID, User: m.User, Address: m.Address, Kind: m.Kind}
		if err := json.Unmarshal(m.Facts, &j.Facts); err != nil {
			return 0, fmt.Errorf("read facts of mail %s: %w", m.ID, err)
		}
		switch {
		case q.owed < perHour:
			jobs = append(jobs, task.Insert{Job: jobName, Facts: j})
		case q.owed == perHour:
			j.Since = &q.since
			jobs = append(jobs, task.Insert{Job: jobName, Facts: j, At: q.since.Add(window)})
		}
	}
	var keep pgx.Batch
	for r, q := range quotas {
		keep.Queue(`INSERT INTO mail_quotas (user_id, address, since, owed) VALUES ($1, $2, $3, $4)
			ON CONFLICT (user_id, address, since) DO UPDATE SET owed = EXCLUDED.owed`, r.User, r.Address, q.since, q.owed)
	}
	if err := tx.SendBatch(ctx, &keep).Close(); err != nil {
		return 0, db.Fault(err)
	}
	return len(mails), s.jobs.InsertTx(ctx, tx, jobs...)
}

// quotas reads the running hour of each recipient, or begins one.
func (s *Service) quotas(ctx context.Context, tx pgx.Tx, mails []queued) (map[recipient]*quota, error) {
	now := s.Now().UTC().Truncate(time.Microsecond) // as PostgreSQL keeps it, for the comparison when the hour is over
	users := make([]int, 0, len(mails))
	out := make(map[recipient]*quota, len(mails))
	for _, m := range mails {
		users = append(users, m.User)
		out[recipient{m.User, m.Address}] = &quota{since: now}
	}
	rows, err := tx.Query(ctx, `SELECT user_id, address, since, owed FROM mail_quotas WHERE user_id = ANY($1) AND since > $2 ORDER BY since`,
		users, now.Add(-window))
	if err != nil {
		return nil, fmt.Errorf("read mail quotas: %w", db.Fault(err))
	}
	var r recipient
	var q quota
	_, err = pgx.ForEachRow(rows, []any{&r.User, &r.Address, &q.since, &q.owed}, func() error {
		if found := out[r]; found != nil {
			*found = q
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read mail quotas: %w", db.Fault(err))
	}
	return out, nil
}
