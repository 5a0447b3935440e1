package mobile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/mobile/wire"
)

const (
	// listenLease is how long a device's row says where its phone is held, renewed when half of it is over. It outlives the
	// pause between two polls by far, so that a phone that keeps asking costs no write.
	listenLease = 30 * time.Minute
	// lookAgain is when a phone that came to this node looks a second time: whoever opened a prompt meanwhile may have read
	// where it was before.
	lookAgain = time.Second
)

// glance is one look at what waits for a phone: who calls, what is pending, and where its row says that it is held.
type glance struct {
	*calling
	pending []wire.Prompt
	first   []leg // those that the phone is given for the first time
	node    *uuid.UUID
	until   *time.Time
}

const pendingSQL = `SELECT tx_id, mode, items, context, created, expires, approved, approval, fetched IS NULL, node, follows FROM mobile_transactions
	WHERE device = $1 AND status = 'wait' AND expires > $2 ORDER BY created`

// look reads a glance in one round trip; with spend the caller's proof is used up. Errors: Denied, Unauthorized, NotFound.
func (s *Service) look(ctx context.Context, r *api.Request, c *calling, device uuid.UUID, spend bool) (*glance, error) {
	g := &glance{calling: c, pending: []wire.Prompt{}}
	c.device, c.own, c.fresh = uuid.Nil, false, false
	batch := &pgx.Batch{}
	batch.Queue(callerSQL, c.args(s, spend, []string{purposeDevice})...).QueryRow(c.scan)
	batch.Queue(pendingSQL, device, s.Now()).Query(g.scanPrompts)
	batch.Queue(`SELECT listening_node, listening_until FROM mobile_devices WHERE uuid = $1`, device).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&g.node, &g.until}, func() error { return nil })
		return err
	})
	if err := s.Pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("list prompts: %w", db.Fault(err))
	}
	if err := s.recognise(ctx, r, c, spend); err != nil {
		return nil, err
	}
	return g, c.here(r)
}

func (g *glance) scanPrompts(rows pgx.Rows) error {
	var p wire.Prompt
	var l leg
	var first bool
	_, err := pgx.ForEachRow(rows, []any{&l.tx, &p.Mode, &p.Items, &p.Context, &p.Created, &p.Expires, &p.Approved, &p.Transaction, &first, &l.node, &l.follows}, func() error {
		p.TxID, l.created = l.tx.String(), p.Created
		g.pending = append(g.pending, p)
		if first {
			g.first = append(g.first, l)
		}
		p = wire.Prompt{}
		return nil
	})
	return err
}

// news tells whether a phone that knows of one prompt, "" for none, learns something by the glance.
func (g *glance) news(known string) bool {
	if known == "" {
		return len(g.pending) > 0
	}
	return len(g.pending) != 1 || g.pending[0].TxID != known
}

// fetch lists what waits for the answer of the phone that calls, signed where the phone signs too. With wait it is held until
// that is something else than what the phone says it knows.
func (s *Service) fetch(ctx context.Context, r *api.Request, _ api.None) (wire.Pending, error) {
	hold, known, err := patience(r)
	if err != nil {
		return wire.Pending{}, err
	}
	device, err := uuid.Parse(r.Param("uuid"))
	if err != nil {
		return wire.Pending{}, fault.Missing()
	}
	c, err := s.calling(r)
	if err != nil {
		return wire.Pending{}, err
	}
	g, err := s.look(ctx, r, c, device, true)
	if err != nil {
		return wire.Pending{}, err
	}
	if hold > 0 && !g.news(known) {
		if g, err = s.await(ctx, r, g, hold, known); err != nil {
			return wire.Pending{}, err
		}
	}
	s.fetched(device, c.key.Thumbprint, g.first)
	if c.proof != nil {
		err = s.signAll(ctx, g.pending, r.BaseURL(), c.device)
	}
	return wire.Pending{Pending: g.pending}, err
}

// patience reads how long a phone wants to be held, and what it knows. Errors: Invalid about wait or known.
func patience(r *api.Request) (hold time.Duration, known string, err error) {
	query := r.Query()
	if text := query.Get("wait"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return 0, "", fault.Field("wait", "invalid", "Enter a number of seconds.")
		}
		hold = min(time.Duration(n)*time.Second, holdLimit)
		// Polls that came together, as after a restart, are not to come back together for ever.
		hold -= rand.N(hold/5 + 1) //nolint:gosec // G404: no secret
	}
	if known = query.Get("known"); known != "" {
		id, err := uuid.Parse(known)
		if err != nil {
			return 0, "", fault.Field("known", "invalid", "Must be a valid UUID.")
		}
		known = id.String()
	}
	return hold, known, nil
}

// await holds a phone until something is new to it, its time is over, another request of it comes, or the server stops. It
// reads when it is woken, not when it slept in vain: the phone comes again at once, and that reads.
func (s *Service) await(ctx context.Context, r *api.Request, g *glance, hold time.Duration, known string) (*glance, error) {
	device, c := g.device, g.calling
	wake := make(chan struct{}, 1)
	seat, leave := s.audience.sit(device, func() {
		select {
		case wake <- struct{}{}:
		default: // woken already
		}
	})
	defer leave()
	// What came between the first look and the seat would be missed.
	again, err := s.listen(ctx, g)
	if err != nil {
		return nil, err
	}
	if known != "" && len(g.pending) == 1 {
		hold = min(hold, g.pending[0].Expires.Sub(s.Now()))
	}
	timer := time.NewTimer(hold)
	defer timer.Stop()
	for {
		if g, err = s.look(ctx, r, c, device, false); err != nil || g.news(known) {
			return g, err
		}
		var moved <-chan time.Time
		if again {
			moved, again = time.After(lookAgain), false
		}
		select {
		case <-wake:
			if s.audience.state(seat) != holding {
				return g, nil
			}
		case <-moved:
		case <-timer.C:
			g.pending = slices.DeleteFunc(g.pending, func(p wire.Prompt) bool { return !p.Expires.After(s.Now()) })
			return g, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// listen notes that a phone is held by this node, unless its row says so for long enough; moved is true when it was elsewhere,
// so that others may still think so.
func (s *Service) listen(ctx context.Context, g *glance) (moved bool, err error) {
	now := s.Now()
	moved = g.node == nil || *g.node != s.Bus.Node()
	if !moved && g.until != nil && g.until.After(now.Add(listenLease/2)) {
		return false, nil
	}
	_, err = s.Pool.Exec(ctx, `UPDATE mobile_devices SET listening_node = $2, listening_until = $3 WHERE uuid = $1`, g.device, s.Bus.Node(), now.Add(listenLease))
	if err != nil {
		return false, fmt.Errorf("note where the phone is held: %w", db.Fault(err))
	}
	return moved, nil
}

// rouse lets a phone look again, wherever it is held; node is where its row says it is.
func (s *Service) rouse(device uuid.UUID, node *uuid.UUID) {
	s.audience.wake(device)
	if node != nil && *node != s.Bus.Node() {
		s.Bus.Notify(*node, topic, device.String())
	}
}
