package brand

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
)

// DefaultTTL is how old a snapshot may be where Store.TTL is zero.
const DefaultTTL = 5 * time.Second

// Store finds brands by host. Make it with its exported fields; it is safe for use by several goroutines.
type Store struct {
	Pool *pgxpool.Pool
	TTL  time.Duration
	Now  func() time.Time
	Log  *slog.Logger

	current atomic.Pointer[snapshot]
	written atomic.Int64 // when Invalidate was called last, in Unix nanoseconds
	reading sync.Mutex
}

// settle is how long after a write snapshots are not reused: the write's transaction commits within it.
const settle = time.Second

// For gives the brand for a host (with its port, as in the request): the one with the longest domain that host ends
// in, whatever the case; else the default one; else a brand with domain "fallback" and the usual looks (ring.md §3.3).
// The result is shared: do not change it. An error is the database's, and only when nothing was ever read.
func (s *Store) For(ctx context.Context, host string) (*Brand, error) {
	snap, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return snap.match(host), nil
}

// Invalidate says that brands are being written, in a transaction that commits within a second: what was read
// before that is not used again.
func (s *Store) Invalidate() { s.written.Store(s.Now().UnixNano()) }

func (snap *snapshot) match(host string) *Brand {
	host = strings.ToLower(host)
	var usual *Brand
	for _, b := range snap.brands {
		if b.Default {
			usual = b
		} else if strings.HasSuffix(host, strings.ToLower(b.Domain)) {
			return b
		}
	}
	if usual == nil {
		fallback := New()
		fallback.Domain = "fallback"
		return &fallback
	}
	return usual
}

// slug is the slug of a flow that a brand names, "" for none.
func (snap *snapshot) slug(flow *uuid.UUID) string {
	if flow == nil {
		return ""
	}
	return snap.slugs[*flow]
}

func (s *Store) snapshot(ctx context.Context) (*snapshot, error) {
	old := s.current.Load()
	if old != nil && s.fresh(old) {
		return old, nil
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if now := s.current.Load(); now != nil && now != old && s.fresh(now) {
		return now, nil // read while we waited
	}
	next, err := read(ctx, s.Pool, s.Now())
	switch {
	case err != nil && old != nil:
		s.Log.WarnContext(ctx, "brands not read, the old ones are used", "error", err)
		return old, nil
	case err != nil:
		return nil, err
	}
	s.current.Store(next)
	return next, nil
}

func (s *Store) fresh(snap *snapshot) bool {
	ttl := s.TTL
	if ttl == 0 {
		ttl = DefaultTTL
	}
	return s.Now().Sub(snap.at) < ttl && snap.at.UnixNano() > s.written.Load()+int64(settle)
}

const columns = `brand_uuid, domain, is_default, branding_title, branding_logo, branding_favicon, flow_authentication,
	flow_invalidation, flow_recovery, flow_unenrollment, flow_user_settings, flow_device_code, attributes`

func read(ctx context.Context, q db.Querier, at time.Time) (*snapshot, error) {
	snap := &snapshot{slugs: map[uuid.UUID]string{}, at: at}
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM brands ORDER BY length(domain) DESC, domain`)
	if err != nil {
		return nil, fmt.Errorf("read brands: %w", db.Fault(err))
	}
	if snap.brands, err = pgx.CollectRows(rows, pgx.RowToAddrOfStructByNameLax[Brand]); err != nil {
		return nil, fmt.Errorf("read brands: %w", db.Fault(err))
	}
	rows, err = q.Query(ctx, `SELECT f.flow_uuid, f.slug FROM flows f WHERE EXISTS (SELECT FROM brands b WHERE f.flow_uuid IN
		(b.flow_authentication, b.flow_invalidation, b.flow_recovery, b.flow_unenrollment, b.flow_user_settings, b.flow_device_code))`)
	if err != nil {
		return nil, fmt.Errorf("read flows of brands: %w", db.Fault(err))
	}
	var id uuid.UUID
	var slug string
	if _, err = pgx.ForEachRow(rows, []any{&id, &slug}, func() error { snap.slugs[id] = slug; return nil }); err != nil {
		return nil, fmt.Errorf("read flows of brands: %w", db.Fault(err))
	}
	return snap, nil
}
