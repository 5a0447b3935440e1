package bench

import (
	"context"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// statement is one that the server sent, with its arguments.
type statement struct {
	sql  string
	args []any
}

// trip is what went to PostgreSQL in one round trip: one statement, or a batch.
type trip []statement

// writes matches statements that must become durable.
var writes = regexp.MustCompile(`(?i)\b(INSERT INTO|UPDATE\s+\w+|DELETE FROM)\b`)

func (t trip) durable() bool {
	return slices.ContainsFunc(t, func(s statement) bool { return writes.MatchString(s.sql) })
}

// tracer watches what the server sends: it records one approval, and tells when a browser's request has read its
// session or its prompt, after which it waits.
type tracer struct {
	recording atomic.Bool
	watching  bool // whether anybody waits for looks: browsers that ask and wait in two requests
	mu        sync.Mutex
	trips     []trip

	reads   sync.Map // SQL → whether it only reads
	looking sync.Map // a prompt's uuid.UUID, or a session's key_hash as a string → chan struct{}
}

type lookKey struct{}

// record gives the round trips that fn causes. Nothing else may use the server meanwhile.
func (t *tracer) record(fn func() error) ([]trip, error) {
	t.trips = nil
	t.recording.Store(true)
	err := fn()
	t.recording.Store(false)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trips, err
}

func (t *tracer) add(tr trip) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trips = append(t.trips, tr)
}

// TraceQueryStart records, and remembers a read of a session or a prompt.
func (t *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if t.recording.Load() {
		t.add(trip{{data.SQL, slices.Clone(data.Args)}})
	}
	return t.look(ctx, data.SQL, data.Args)
}

// look remembers, for the statement's end, that it reads a session or a prompt.
func (t *tracer) look(ctx context.Context, sql string, args []any) context.Context {
	if !t.watching || len(args) == 0 || !t.onlyReads(sql) {
		return ctx
	}
	for _, a := range args {
		key := a
		switch v := a.(type) {
		case uuid.UUID:
		case []byte:
			key = string(v)
		default:
			continue
		}
		if ch, ok := t.looking.Load(key); ok {
			return context.WithValue(ctx, lookKey{}, ch)
		}
	}
	return ctx
}

func (t *tracer) onlyReads(sql string) bool {
	known, ok := t.reads.Load(sql)
	if !ok {
		known = !writes.MatchString(sql)
		t.reads.Store(sql, known)
	}
	return known.(bool)
}

// TraceQueryEnd tells the phone that the browser's request has looked.
func (t *tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	looked(ctx)
}

func looked(ctx context.Context) {
	if ch, ok := ctx.Value(lookKey{}).(chan struct{}); ok {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// TraceBatchStart does the same for a batch.
func (t *tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	if t.recording.Load() {
		var tr trip
		for _, q := range data.Batch.QueuedQueries {
			tr = append(tr, statement{q.SQL, slices.Clone(q.Arguments)})
		}
		t.add(tr)
	}
	for _, q := range data.Batch.QueuedQueries {
		ctx = t.look(ctx, q.SQL, q.Arguments)
	}
	return ctx
}

// TraceBatchQuery does nothing.
func (t *tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd tells the phone that the browser's request has looked.
func (t *tracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) {
	looked(ctx)
}
