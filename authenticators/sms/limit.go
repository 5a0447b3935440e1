package sms

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/authenticators/throttle"
	"countersign/core/db"
)

// Limit is so many sends within a time.
type Limit struct {
	Sends  int
	Window time.Duration
}

// Limits bound how often messages are sent; what is zero has its default. Messages that no provider took count for the
// source alone.
type Limits struct {
	Number Limit         // to one number: 5 an hour
	User   Limit         // for one user: 10 an hour
	Source Limit         // from one address: 50 an hour
	Gap    time.Duration // between two messages to one number: 30 s; negative: none
}

// DefaultLimits are those for zero values.
func DefaultLimits() Limits {
	return Limits{Number: Limit{5, time.Hour}, User: Limit{10, time.Hour}, Source: Limit{50, time.Hour}, Gap: 30 * time.Second}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, p := range []struct{ have, def *Limit }{{&l.Number, &d.Number}, {&l.User, &d.User}, {&l.Source, &d.Source}} {
		if p.have.Sends <= 0 || p.have.Window <= 0 {
			*p.have = *p.def
		}
	}
	if l.Gap == 0 {
		l.Gap = d.Gap
	}
	return l
}

func (l Limits) longest() time.Duration {
	return max(l.Number.Window, l.User.Window, l.Source.Window, l.Gap)
}

// history is what was sent lately to a number, for a user or from a source, the newest first.
type history struct {
	sends []past
	own   bool // the source is one from which the user has typed a right code
}

type past struct {
	Created                   time.Time
	ToNumber, ForUser, FromIt bool
	Own                       bool // from a source from which the user has typed a right code
	Undelivered               bool
}

// maxHistory bounds what is read; the limits keep the history shorter.
const maxHistory = 1000

func readHistory(ctx context.Context, q db.Querier, number [][]byte, userID int, source string, since time.Time) (history, error) {
	rows, err := q.Query(ctx, `SELECT c.created, c.phone_hash = ANY($1), c.user_id = $2, c.source = $3,
			c.source IN (SELECT k.source FROM sms_codes k WHERE k.user_id = $2 AND k.used IS NOT NULL AND k.source <> ''), c.undelivered
		FROM sms_codes c WHERE c.created > $4 AND (c.phone_hash = ANY($1) OR c.user_id = $2 OR c.source = $3)
		ORDER BY c.created DESC LIMIT $5`, number, userID, source, since, maxHistory)
	if err != nil {
		return history{}, fmt.Errorf("read history of messages: %w", db.Fault(err))
	}
	var h history
	if h.sends, err = pgx.CollectRows(rows, pgx.RowToStructByPos[past]); err != nil {
		return history{}, fmt.Errorf("read history of messages: %w", db.Fault(err))
	}
	err = q.QueryRow(ctx, `SELECT $2 <> '' AND EXISTS (SELECT FROM sms_codes WHERE user_id = $1 AND source = $2 AND used IS NOT NULL)`,
		userID, source).Scan(&h.own)
	if err != nil {
		return history{}, fmt.Errorf("read history of messages: %w", db.Fault(err))
	}
	return h, nil
}

// refuse says why no message is to be sent now; "" when one may.
func (l Limits) refuse(now time.Time, h history) string {
	// The counts of number and user are those of the user's own place, or those that all strange places share.
	mine := func(p past) bool { return !p.Undelivered && (h.own && p.Own && p.FromIt || !h.own && !p.Own) }
	toNumber := func(p past) bool { return p.ToNumber && mine(p) }
	if wait := (Limit{1, l.Gap}).wait(now, h.sends, toNumber); wait > 0 {
		return "A code is on its way. You can ask for another one in " + throttle.Pause(wait) + "."
	}
	for _, c := range []struct {
		limit  Limit
		counts func(past) bool
		text   string
	}{
		{l.Number, toNumber, "Too many codes were sent to this number."},
		{l.User, func(p past) bool { return p.ForUser && mine(p) }, "Too many codes were sent for this account."},
		{l.Source, func(p past) bool { return p.FromIt }, "Too many codes were asked for from your network."},
	} {
		if wait := c.limit.wait(now, h.sends, c.counts); wait > 0 {
			return c.text + " Try again in " + throttle.Pause(wait) + ", or use another way."
		}
	}
	return ""
}

// wait is how long until one more of those that count fits; 0 is now.
func (l Limit) wait(now time.Time, sends []past, counts func(past) bool) time.Duration {
	n := 0
	for _, p := range sends {
		if !counts(p) {
			continue
		}
		if n++; n == l.Sends {
			return max(0, p.Created.Add(l.Window).Sub(now))
		}
	}
	return 0
}
