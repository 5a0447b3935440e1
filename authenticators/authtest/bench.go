package authtest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/core/user"
)

// Verify measures one answer that is right: the plan and the device read, the answer checked, and the commit that grants
// it. In turns with it run the same statements in plain pgx; statements gives, for the n-th time, the one that reads the
// device and those that write it. Between two answers the clock moves on by pause.
//
// It reports the medians: answers a second on one connection, and their share of what plain pgx does.
func Verify(b *testing.B, s Suite, pause time.Duration, statements func(n int, d authenticators.Device) (read Statement, write []Statement)) {
	b.Helper()
	w := s.world(b)
	ann, bob := w.person(b, "ann"), w.person(b, "bob")
	dev, mine := w.enrol(b, ann)
	_, theirs := w.enrol(b, bob)
	var product, plain []time.Duration
	for n := 0; b.Loop(); n++ {
		w.Clock.Advance(pause)
		br := w.login(b, ann)
		send := br.Prepare(b, true, dev.Right(b, choose(b, br, mine)))
		begin := time.Now()
		p := send()
		product = append(product, time.Since(begin))
		if !p.Continue {
			b.Fatal(p)
		}
		br = w.login(b, bob)
		choose(b, br, theirs)
		plan := w.Plan(b, br, loginFlow)
		read, write := statements(n, theirs)
		reads := []Statement{{`SELECT e.epoch, p.version, p.plan, p.updated, s.session_uuid IS NOT NULL, s.user_id
			FROM flow_epoch e LEFT JOIN sessions s ON s.session_uuid = $1 LEFT JOIN flow_plans p ON p.session_uuid = $1`, []any{br.Session}}, read}
		write = append(write, Statement{`WITH w AS (UPDATE flow_plans SET plan = $2, updated = now(), version = version + 1
			WHERE session_uuid = $1 AND version = $3 RETURNING 1) SELECT require_one(count(*)) FROM w`, []any{br.Session, plan.Raw, plan.Version}})
		begin = time.Now()
		if err := w.run(b.Context(), bob, reads, write); err != nil {
			b.Fatal(err)
		}
		plain = append(plain, time.Since(begin))
	}
	slices.Sort(product)
	slices.Sort(plain)
	ours, raw := product[len(product)/2], plain[len(plain)/2]
	b.ReportMetric(float64(time.Second)/float64(ours), "verify/s")
	b.ReportMetric(float64(raw)/float64(ours), "of-pgx")
}

// run reads one after the other, and writes all at once.
func (w *world) run(ctx context.Context, u *user.User, reads, writes []Statement) error {
	if _, err := w.Users.ByID(ctx, w.Pool, u.ID); err != nil {
		return err
	}
	for _, q := range reads {
		rows, err := w.Pool.Query(ctx, q.SQL, q.Args...)
		if err != nil {
			return err
		}
		for rows.Next() {
			_ = rows.RawValues()
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	batch := &pgx.Batch{}
	for _, q := range writes {
		batch.Queue(q.SQL, q.Args...)
	}
	return w.Pool.SendBatch(ctx, batch).Close()
}

// Statement is SQL with its arguments.
type Statement struct {
	SQL  string
	Args []any
}
