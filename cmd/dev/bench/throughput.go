package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"countersign/core/db"
)

// slice is about how long one side is measured before the other one has its turn.
const slice = 500 * time.Millisecond

// Throughput is the comparison at one concurrency.
type Throughput struct {
	Concurrency int     `json:"concurrency"`
	Approvals   float64 `json:"approvals_per_second"`
	Raw         float64 `json:"raw_per_second"`
	Ratio       float64 `json:"ratio"`
	RatioLow    float64 `json:"ratio_p10"` // over neighbouring slices
	RatioHigh   float64 `json:"ratio_p90"`
	Slices      int     `json:"slices"`
	CPU         CPU     `json:"cpu_us_per_approval"`
	RawCPU      CPU     `json:"cpu_us_per_raw_unit"`
	Mallocs     float64 `json:"allocations_per_approval"`
	Bytes       float64 `json:"allocated_bytes_per_approval"`
	P50         float64 `json:"release_p50_ms"` // from the phone's answer to the browser's release, at full load
	P99         float64 `json:"release_p99_ms"`
}

// side is one of the two that are compared.
type side struct {
	units   int
	took    time.Duration
	cpu     usage
	rates   []float64
	mallocs uint64
	bytes   uint64
	delays  []time.Duration
}

// compare measures both sides in turns.
func (w *world) compare(ctx context.Context, r *recipe, c int, d time.Duration) (Throughput, error) {
	pairs, conns, err := w.connect(ctx, c)
	if err != nil {
		return Throughput{}, err
	}
	defer func() {
		for i := range pairs {
			pairs[i].close()
			_ = conns[i].Close(ctx)
		}
	}()
	cooks := make([]cook, c)
	for i := range cooks {
		cooks[i].recipe = r
	}
	var mu sync.Mutex
	var served, raw side
	approve := func(delays *[]time.Duration) func(worker int, p *person) error {
		return func(worker int, p *person) error {
			took, err := w.approve(ctx, pairs[worker], p)
			if err == nil && delays != nil {
				mu.Lock()
				*delays = append(*delays, took)
				mu.Unlock()
			}
			return err
		}
	}
	send := func(worker int, p *person) error { return cooks[worker].unit(ctx, conns[worker], p) }

	// Both once for nothing: statements are prepared, connections are made.
	if err := w.slice(ctx, c, slice/2, &side{}, approve(nil)); err != nil {
		return Throughput{}, fmt.Errorf("approve: %w", err)
	}
	if err := w.slice(ctx, c, slice/2, &side{}, send); err != nil {
		return Throughput{}, fmt.Errorf("raw limit: %w", err)
	}
	// The tables are as an hour's autovacuum leaves them, and plans that were made for empty ones are made anew.
	if _, err := w.admin.Exec(ctx, `VACUUM ANALYZE`); err != nil {
		return Throughput{}, err
	}
	for turn := 0; served.took < d || raw.took < d; turn++ {
		first := turn%2 == 0
		for _, ours := range []bool{first, !first} {
			if ours {
				err = w.slice(ctx, c, slice, &served, approve(&served.delays))
			} else {
				err = w.slice(ctx, c, slice, &raw, send)
			}
			if err != nil {
				return Throughput{}, fmt.Errorf("at %d at a time (approvals: %t): %w", c, ours, err)
			}
		}
	}
	return w.judge(c, &served, &raw), nil
}

func (w *world) judge(c int, served, raw *side) Throughput {
	var ratios []float64
	for i := range served.rates {
		ratios = append(ratios, served.rates[i]/raw.rates[i])
	}
	slices.Sort(ratios)
	slices.Sort(served.delays)
	n := float64(served.units)
	t := Throughput{
		Concurrency: c, Approvals: n / served.took.Seconds(), Raw: float64(raw.units) / raw.took.Seconds(),
		RatioLow: quantile(ratios, .1), RatioHigh: quantile(ratios, .9), Slices: len(ratios),
		CPU: served.cpu.per(served.units), RawCPU: raw.cpu.per(raw.units),
		Mallocs: float64(served.mallocs) / n, Bytes: float64(served.bytes) / n,
		P50: milliseconds(quantile(served.delays, .5)), P99: milliseconds(quantile(served.delays, .99)),
	}
	t.Ratio = t.Approvals / t.Raw
	return t
}

// connect makes what both sides need for c at a time. The raw side has a connection for each.
func (w *world) connect(ctx context.Context, c int) (pairs []*pair, conns []*pgx.Conn, err error) {
	config := w.admin.Config().ConnConfig
	for range c {
		p, err := w.pair()
		if err != nil {
			return nil, nil, err
		}
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return nil, nil, err
		}
		db.RegisterTypes(conn.TypeMap())
		pairs, conns = append(pairs, p), append(conns, conn)
	}
	return pairs, conns, nil
}

// slice lets c workers do units for a while, or until the logins are used up, and adds to s what it was.
func (w *world) slice(ctx context.Context, c int, d time.Duration, s *side, unit func(worker int, p *person) error) error {
	if err := w.renew(ctx); err != nil {
		return fmt.Errorf("renew logins: %w", err)
	}
	before, objects, size := w.usage(), uint64(0), uint64(0)
	objects, size = allocated()
	var units int
	var mu sync.Mutex
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for worker := range c {
		g.Go(func() error {
			n := 0
			for gctx.Err() == nil && time.Since(began) < d {
				p := w.login()
				if p == nil {
					break
				}
				if err := unit(worker, p); err != nil {
					return err
				}
				n++
			}
			mu.Lock()
			units += n
			mu.Unlock()
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took := time.Since(began)
	o, b := allocated()
	s.units, s.took, s.cpu = s.units+units, s.took+took, s.cpu.plus(w.usage().minus(before))
	s.mallocs, s.bytes = s.mallocs+o-objects, s.bytes+b-size
	s.rates = append(s.rates, float64(units)/took.Seconds())
	return nil
}

type number interface{ ~int64 | ~float64 }

// quantile of sorted values; 0 of none.
func quantile[T number](sorted []T, q float64) T {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
