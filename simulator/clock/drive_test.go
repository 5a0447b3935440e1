package clock_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"countersign/simulator/clock"
)

func TestDriveTakesNoTimeAndKeepsOrder(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	v := clock.NewVirtual(start)
	var mu sync.Mutex
	var got []time.Duration
	began := time.Now()
	err := v.Drive(t.Context(), func(context.Context) {
		var all sync.WaitGroup
		for _, d := range []time.Duration{3 * time.Hour, time.Hour, 2 * time.Hour} {
			all.Go(func() {
				c, _ := v.After(d)
				<-c
				for range 1000 { // what follows at the same instant is over before the clock goes on
					runtime.Gosched()
				}
				mu.Lock()
				got = append(got, v.Now().Sub(start))
				mu.Unlock()
			})
		}
		all.Wait()
	})
	if err != nil || len(got) != 3 || got[0] != time.Hour || got[1] != 2*time.Hour || got[2] != 3*time.Hour {
		t.Errorf("%v %v", got, err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("three hours took %s", took)
	}
}

func TestDriveTellsWhenAllAreStuck(t *testing.T) {
	t.Parallel()
	v := clock.NewVirtual(time.Unix(0, 0))
	err := v.Drive(t.Context(), func(ctx context.Context) { <-ctx.Done() })
	if !errors.Is(err, clock.ErrStuck) {
		t.Errorf("%v", err)
	}
}

func TestDriveEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	v := clock.NewVirtual(time.Unix(0, 0))
	err := v.Drive(ctx, func(ctx context.Context) {
		for range 10 {
			c, _ := v.After(time.Second)
			select {
			case <-c:
			case <-ctx.Done():
				return
			}
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
