package bench

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Delay is how long a browser waits after the phone's answer has gone out, where the server is not saturated.
type Delay struct {
	Rate    float64 `json:"approvals_per_second"`
	Samples int     `json:"samples"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

const delayWorkers = 8

// delay starts approvals at a steady rate, whether earlier ones are done or not, as far as delayWorkers reach.
func (w *world) delay(ctx context.Context, rate float64, d time.Duration) (Delay, error) {
	if err := w.renew(ctx); err != nil {
		return Delay{}, err
	}
	var mu sync.Mutex
	var delays []time.Duration
	starts := make(chan struct{}, delayWorkers)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(starts)
		tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
		defer tick.Stop()
		for end := time.After(d); ; {
			select {
			case <-tick.C:
			case <-end:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case starts <- struct{}{}:
			default:
			}
		}
	})
	began := time.Now()
	for range delayWorkers {
		g.Go(func() error {
			c, err := w.pair()
			if err != nil {
				return err
			}
			defer c.close()
			for range starts {
				p := w.login()
				if p == nil {
					break
				}
				took, err := w.approve(ctx, c, p)
				if err != nil {
					return err
				}
				mu.Lock()
				delays = append(delays, took)
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Delay{}, err
	}
	slices.Sort(delays)
	return Delay{
		Rate: float64(len(delays)) / time.Since(began).Seconds(), Samples: len(delays), P50: milliseconds(quantile(delays, .5)),
		P99: milliseconds(quantile(delays, .99)), Max: milliseconds(quantile(delays, 1)),
	}, nil
}
