package authtest

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/core/user"
	"countersign/core/user/usertest"
	"countersign/flows"
)

// Verify measures one answer that is right: the plan and the device read, the answer checked, and the commit that grants
// it. Between two answers the clock moves on by pause.
//
// Beside it run the same statements in plain pgx, for the ratio: statements gives, for the n-th time, the one that reads the
// device and those that write it.
func Verify(b *testing.B, s Suite, pause time.Duration, statements func(n int, d authenticators.Device) (read Statement, write []Statement)) {
	b.Run("product", func(b *testing.B) {
		w, ann, dev, d := s.ready(b)
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			w.Clock.Advance(pause)
			br := w.Browser(loginFlow)
			w.Start(b, br, loginFlow, flows.Context{PendingUser: ann.ID})
			page := choose(b, br, d)
			send := br.Prepare(b, true, dev.Right(b, page))
			b.StartTimer()
			if p := send(); !p.Continue {
				b.Fatal(p)
			}
		}
	})
	b.Run("statements", func(b *testing.B) {
		w, ann, _, d := s.ready(b)
		br := w.Browser(loginFlow)
		w.Start(b, br, loginFlow, flows.Context{PendingUser: ann.ID})
		choose(b, br, d)
		plan := w.Plan(b, br, loginFlow)
		n := 0
		for b.Loop() {
			n++
			read, write := statements(n, d)
			for _, q := range []Statement{{`SELECT e.epoch, p.version, p.plan, p.updated, s.session_uuid IS NOT NULL, s.user_id FROM flow_epoch e
				LEFT JOIN sessions s ON s.session_uuid = $1
				LEFT JOIN flow_plans p ON p.session_uuid = $1 AND p.flow_uuid IS NOT NULL`, []any{br.Session}},
				{`SELECT * FROM users WHERE id = $1`, []any{ann.ID}}, read} {
				rows, err := w.Pool.Query(b.Context(), q.SQL, q.Args...)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := pgx.CollectRows(rows, pgx.RowToMap); err != nil {
					b.Fatal(err)
				}
			}
			batch := &pgx.Batch{}
			for _, q := range write {
				batch.Queue(q.SQL, q.Args...)
			}
			batch.Queue(`WITH w AS (UPDATE flow_plans SET plan = $2, updated = now(), version = version + 1
				WHERE session_uuid = $1 AND version = $3 RETURNING 1) SELECT require_one(count(*)) FROM w`,
				br.Session, plan.Raw, plan.Version+int64(n)-1)
			if err := w.Pool.SendBatch(b.Context(), batch).Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Statement is SQL with its arguments.
type Statement struct {
	SQL  string
	Args []any
}

// ready is a world in which ann has a device.
func (s Suite) ready(t testing.TB) (*world, *user.User, Device, authenticators.Device) {
	t.Helper()
	w := s.world(t)
	ann := usertest.Add(t, w.Users, "ann", "")
	dev, d := w.enrol(t, ann)
	return w, ann, dev, d
}

