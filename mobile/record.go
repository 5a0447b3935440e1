package mobile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/core/db"
	"countersign/core/event"
)

const (
	recordEvery = 250 * time.Millisecond // how long an entry waits for others, so that administrators see it within a second
	recordQueue = 16_384                 // entries that wait; more are dropped, and counted
	recordBatch = 1000                   // prompts of one statement
	recordLimit = 10 * time.Second       // for one statement
)

// actionDelivery is the event of what happened to a prompt on its way.
const actionDelivery event.Action = "custom_mobile_delivery"

// entry is a stage that a prompt came to.
type entry struct {
	leg
	stage string
	key   string // the thumbprint of the phone's key by which that is known; ""
	at    time.Time
}

// record writes what happens to prompts on their way into their rows, and as audit events: later, and many at once, so that no
// login waits for it. What comes to one prompt in short order is one row's change and one event.
type record struct {
	pool    *pgxpool.Pool
	events  *event.Log
	log     *slog.Logger
	dropped prometheus.Counter

	mu      sync.Mutex
	entries []entry
	due     *time.Timer    // nil: none is set
	writing sync.WaitGroup // the writer
	busy    bool
	closed  bool
}

func (r *record) note(e entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.entries) >= recordQueue {
		r.dropped.Inc()
		return
	}
	r.entries = append(r.entries, e)
	r.schedule()
}

// schedule has a writer come, unless one will; r.mu is held.
func (r *record) schedule() {
	if r.due == nil && !r.busy && !r.closed && len(r.entries) > 0 {
		r.due = time.AfterFunc(recordEvery, r.write)
	}
}

// write is the one writer.
func (r *record) write() {
	r.mu.Lock()
	r.due = nil
	if r.busy || len(r.entries) == 0 {
		r.mu.Unlock()
		return
	}
	entries := r.entries
	r.entries, r.busy = nil, true
	r.writing.Add(1)
	r.mu.Unlock()
	defer r.writing.Done()
	for rest := passed(entries); len(rest) > 0; {
		n := min(recordBatch, len(rest))
		if err := r.store(rest[:n]); err != nil {
			r.dropped.Add(float64(n))
			r.log.Error("record deliveries", "prompts", n, "error", err)
		}
		rest = rest[n:]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
	r.schedule()
}

// close writes what is there; what comes later is dropped.
func (r *record) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.writing.Wait()
	r.write()
	r.writing.Wait() // for one that was about to begin
}

// course is what came to one prompt.
type course struct {
	leg
	at     map[string]time.Time
	stages []map[string]any // for the event
}

// passed gathers entries by prompt, in the order in which the prompts first come.
func passed(entries []entry) []*course {
	var all []*course
	by := map[uuid.UUID]*course{}
	for _, e := range entries {
		c := by[e.tx]
		if c == nil {
			c = &course{leg: e.leg, at: map[string]time.Time{}}
			by[e.tx] = c
			all = append(all, c)
		}
		if _, again := c.at[e.stage]; again {
			continue
		}
		c.at[e.stage] = e.at
		told := map[string]any{"stage": e.stage, "time": e.at}
		if e.key != "" {
			told["key"] = e.key
		}
		c.stages = append(c.stages, told)
	}
	return all
}

func (c *course) time(stage string) *time.Time {
	if at, ok := c.at[stage]; ok {
		return &at
	}
	return nil
}

// store writes the courses of prompts with one round trip.
func (r *record) store(all []*course) error {
	ctx, cancel := context.WithTimeout(context.Background(), recordLimit)
	defer cancel()
	var ids []uuid.UUID
	var accepted, fetched, displayed, released []*time.Time
	batch := &pgx.Batch{}
	for _, c := range all {
		ids = append(ids, c.tx)
		accepted, fetched = append(accepted, c.time(string(DeliveryAccepted))), append(fetched, c.time(string(DeliveryFetched)))
		displayed, released = append(displayed, c.time(string(DeliveryDisplayed))), append(released, c.time(stageReleased))
		args, err := r.events.Args(ctx, event.Event{Action: actionDelivery, App: app, Context: map[string]any{
			"transaction": c.tx, "device": deviceRef(c.device, c.name), "stages": c.stages,
		}})
		if err != nil {
			return err
		}
		batch.Queue(event.InsertSQL, args...)
	}
	batch.Queue(`UPDATE mobile_transactions x SET accepted = coalesce(x.accepted, n.accepted), fetched = coalesce(x.fetched, n.fetched),
			displayed = coalesce(x.displayed, n.displayed), released = coalesce(x.released, n.released)
		FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[]) AS n (tx, accepted, fetched, displayed, released)
		WHERE x.tx_id = n.tx`, ids, accepted, fetched, displayed, released)
	return db.Fault(r.pool.SendBatch(ctx, batch).Close())
}
