package mobile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
)

// rescueAfter is how old a prompt is when another node looks what came of its push. A node that lives has noted by then how it
// went, or that it takes long (push.Options.Slow, recordEvery).
const rescueAfter = 2 * time.Second

// rescue sends the pushes of prompts whose node died with them: of which nothing was ever heard, a while after this node took
// them over. A push that was sent, and only its note was lost, is sent a second time, and replaces itself on the phone.
type rescue struct {
	mu     sync.Mutex
	taken  []uuid.UUID // at most the logins that wait here
	due    *time.Timer // nil: none is set
	closed bool

	running sync.WaitGroup
}

// tookOver has the push of a prompt looked after that another node opened.
func (s *Service) tookOver(tx uuid.UUID) {
	r := &s.rescue
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.taken = append(r.taken, tx)
	if r.due == nil {
		r.due = time.AfterFunc(rescueAfter, func() {
			r.mu.Lock()
			ids := r.taken
			r.taken, r.due = nil, nil
			if r.closed {
				r.mu.Unlock()
				return
			}
			r.running.Add(1) // before close can wait
			r.mu.Unlock()
			defer r.running.Done()
			s.rescuePushes(ids)
		})
	}
}

// close ends what has not begun, and waits for what has.
func (r *rescue) close() {
	r.mu.Lock()
	r.closed = true
	if r.due != nil {
		r.due.Stop()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// rescuePushes sends those pushes of the prompts of which nothing was heard.
func (s *Service) rescuePushes(ids []uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.Background(), recordLimit)
	defer cancel()
	sent, err := s.pushAgain(ctx, ids)
	switch {
	case err != nil:
		s.Log.Error("rescue pushes", "prompts", len(ids), "error", err)
	case sent > 0:
		s.Log.Info("sent the pushes of a node that is gone", "pushes", sent)
	}
}

func (s *Service) pushAgain(ctx context.Context, ids []uuid.UUID) (sent int, err error) {
	rows, err := s.Pool.Query(ctx, `SELECT x.device, d.name, d.push_channel, d.push_address, d.can_fetch,
			x.tx_id, x.mode, x.items, x.context, x.created, x.expires, x.follows, x.approval IS NOT NULL
		FROM mobile_transactions x JOIN mobile_devices d ON d.uuid = x.device
		WHERE x.tx_id = ANY($1) AND x.status = 'wait' AND x.expires > $2
			AND x.accepted IS NULL AND x.fetched IS NULL AND x.displayed IS NULL AND x.failure IS NULL`, ids, s.Now())
	if err != nil {
		return 0, fmt.Errorf("find unsent pushes: %w", db.Fault(err))
	}
	var t target
	var p prompt
	_, err = pgx.ForEachRow(rows, []any{
		&t.device, &t.name, &t.channel, &t.address, &t.canFetch,
		&p.id, &p.mode, &p.items, &p.context, &p.created, &p.expires, &p.follows, &p.approval,
	}, func() error {
		s.Push.Dispatch(s.job(&t, p, p.context.Application))
		sent++
		return nil
	})
	if err != nil {
		return sent, fmt.Errorf("read unsent pushes: %w", db.Fault(err))
	}
	return sent, nil
}
