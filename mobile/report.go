package mobile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/duration"
	"countersign/core/event"
	"countersign/core/fault"
)

// ReportAction is something that "it was not me" sets off, when a phone says so with its signature.
type ReportAction string

// The actions. The event is written in any case.
const (
	ReportEvent     ReportAction = "event"
	ReportSession   ReportAction = "end_session"      // the session that asked, where somebody is logged in with it
	ReportSessions  ReportAction = "end_all_sessions" // all of the user
	ReportBlockPush ReportAction = "block_push"       // no phone of the user is asked for a time
	ReportLock      ReportAction = "lock"             // the user is made inactive, and all their sessions end
	ReportMail      ReportAction = "mail"             // to the user and to administrators
)

// Enum lists the actions.
func (ReportAction) Enum() []string {
	return []string{string(ReportEvent), string(ReportSession), string(ReportSessions), string(ReportBlockPush), string(ReportLock), string(ReportMail)}
}

// SchemaName is the component's name.
func (ReportAction) SchemaName() string { return "ReportActionsEnum" }

// DefaultReportActions are those of a new stage.
func DefaultReportActions() []ReportAction {
	return []ReportAction{ReportEvent, ReportSession, ReportMail}
}

const (
	// DefaultReportBlock is how long block_push lasts, as a setting.
	DefaultReportBlock = "hours=1"
	maxReportBlock     = 7 * 24 * time.Hour

	// reportsADay is how many reports of a user have effects beyond the event within 24 hours: whoever has the phone in hand
	// could otherwise keep its owner out.
	reportsADay = 3
)

// checkReports looks at the settings of a stage about reports.
func (s Settings) checkReports() error {
	fields := fault.Fields{}
	switch d, err := duration.Parse(s.ReportBlock); {
	case err != nil:
		fields.Add("report_block_push", "invalid", err.Error())
	case d < time.Minute || d > maxReportBlock:
		fields.Add("report_block_push", "invalid", "Must be between a minute and seven days.")
	}
	return fields.Err()
}

// report is one, with what is to be known to act on it.
type report struct {
	tx      uuid.UUID
	at      time.Time
	user    event.User
	session *uuid.UUID
	browser string // the mark of the known browser that asked
	ip      string // of the browser
	device  uuid.UUID
	name    string // the device's
	login   bool   // what was reported is one, not an application's request
	actions []ReportAction
	block   time.Duration
	earlier int // reports with effects within the last day
}

func (r *report) text() string {
	if r.login {
		return "A login was reported on the phone as not the user's."
	}
	return "A transaction was reported on the phone as not the user's."
}

// reported acts on a report within the transaction of its answer, so that it has its effects once, or the answer does not count.
func (s *Service) reported(ctx context.Context, q pgx.Tx, tx uuid.UUID, now time.Time) error {
	r, err := readReport(ctx, q, tx, now)
	if err != nil {
		return fmt.Errorf("read report: %w", db.Fault(err))
	}
	if _, err := q.Exec(ctx, `UPDATE mobile_transactions SET disowned = true WHERE tx_id = $1`, tx); err != nil {
		return fmt.Errorf("note report: %w", db.Fault(err))
	}
	told := map[string]any{
		"message": r.text(), "transaction": tx, "device": deviceRef(r.device, r.name),
		event.AskedFrom: r.ip,
	}
	if !r.login {
		told[event.NoLogin] = true
	}
	effects := []string{}
	if r.earlier < reportsADay {
		if effects, err = s.actOn(ctx, q, r); err != nil {
			return err
		}
		if slices.Contains(r.actions, ReportMail) {
			effects = append(effects, string(ReportMail))
			told[event.Suspicion] = event.PhoneReport
		}
	} else {
		told["limited"] = fmt.Sprintf("The user made %d reports within a day: this one has no more effects.", r.earlier)
	}
	told[event.Effects] = effects
	return s.Events.Emit(ctx, q, event.Event{Action: event.SuspiciousRequest, App: app, User: &r.user, Owner: r.user.PK, Context: told})
}

// readReport locks the user, so that reports at once count each other.
func readReport(ctx context.Context, q pgx.Tx, tx uuid.UUID, now time.Time) (*report, error) {
	r := &report{tx: tx, at: now}
	var actions []byte
	var block string
	err := q.QueryRow(ctx, `SELECT u.id, u.username, u.email, x.session, x.browser, coalesce(x.context->>'ip', ''), v.uuid, v.name, x.approval IS NULL,
			s.settings->'report_actions', coalesce(s.settings->>'report_block_push', '')
		FROM mobile_transactions x JOIN users u ON u.id = x.user_id JOIN mobile_devices v ON v.uuid = x.device LEFT JOIN stages s ON s.stage_uuid = v.stage
		WHERE x.tx_id = $1 FOR NO KEY UPDATE OF u`, tx).
		Scan(&r.user.PK, &r.user.Username, &r.user.Email, &r.session, &r.browser, &r.ip, &r.device, &r.name, &r.login, &actions, &block)
	if err != nil {
		return nil, err
	}
	r.actions = DefaultReportActions() // of a phone whose stage is gone
	if actions != nil {
		if err := json.Unmarshal(actions, &r.actions); err != nil {
			return nil, err
		}
	}
	if r.block, err = duration.Parse(block); err != nil || r.block <= 0 {
		r.block = time.Hour
	}
	err = q.QueryRow(ctx, `SELECT count(*) FROM mobile_transactions WHERE user_id = $1 AND reported AND answered > $2`,
		r.user.PK, now.Add(-24*time.Hour)).Scan(&r.earlier)
	return r, err
}

// actOn has the chosen effects, but for event and mail, and names those that there were.
func (s *Service) actOn(ctx context.Context, q pgx.Tx, r *report) (effects []string, err error) {
	if _, err := q.Exec(ctx, `UPDATE mobile_transactions SET reported = true WHERE tx_id = $1`, r.tx); err != nil {
		return nil, fmt.Errorf("note report: %w", db.Fault(err))
	}
	chosen := func(a ReportAction) bool { return slices.Contains(r.actions, a) }
	effects = []string{}
	done := func(a ReportAction) { effects = append(effects, string(a)) }
	why := map[string]any{"logout_reason": r.text(), "transaction": r.tx}
	switch {
	case chosen(ReportSessions) || chosen(ReportLock):
		if _, err := s.Sessions.EndOf(ctx, q, r.user, nil, why); err != nil {
			return nil, err
		}
		done(ReportSessions)
	case chosen(ReportSession) && r.session != nil:
		n, err := s.Sessions.EndOf(ctx, q, r.user, []uuid.UUID{*r.session}, why)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			done(ReportSession)
		}
	}
	locked := false
	if chosen(ReportLock) {
		if locked, err = s.setActive(ctx, q, r.user, false); err != nil {
			return nil, err
		}
		if locked {
			done(ReportLock)
		}
	}
	var until *time.Time
	if chosen(ReportBlockPush) {
		t := r.at.Add(r.block)
		until = &t
		done(ReportBlockPush)
	}
	if until == nil && !locked {
		return effects, nil
	}
	_, err = q.Exec(ctx, `INSERT INTO mobile_blocks (user_id, until, everywhere, locked, device, name, tx_id, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (user_id) DO UPDATE SET until = greatest(mobile_blocks.until, EXCLUDED.until), locked = mobile_blocks.locked OR EXCLUDED.locked,
			everywhere = EXCLUDED.everywhere OR mobile_blocks.everywhere AND mobile_blocks.until > EXCLUDED.created,
			device = EXCLUDED.device, name = EXCLUDED.name, tx_id = EXCLUDED.tx_id, created = EXCLUDED.created`,
		r.user.PK, until, r.browser != "", locked, r.device, r.name, r.tx, r.at)
	if err != nil {
		return nil, fmt.Errorf("block user %d: %w", r.user.PK, db.Fault(err))
	}
	return effects, nil
}

// setActive locks a user, or lifts that, with its event; false if there was nothing to change.
func (s *Service) setActive(ctx context.Context, q pgx.Tx, u event.User, active bool) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE users SET is_active = $2 WHERE id = $1 AND is_active <> $2`, u.PK, active)
	if err != nil {
		return false, fmt.Errorf("lock user %d: %w", u.PK, db.Fault(err))
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	message := "The user was locked after a report on their phone."
	if active {
		message = "The lock after a report on the phone was lifted."
	}
	return true, s.Events.Emit(ctx, q, event.Event{
		Action: event.ModelUpdated, Context: map[string]any{
			"model": event.Model(u.PK, "authentik_core", "user", u.Username), "message": message, "is_active": active,
		},
	})
}
