package clock

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// settled is how often in a row nothing must be running before time moves on.
const settled = 3

// stays is after how long in a system call, with nothing else to run, a goroutine is taken for one that stays there: what a
// program does by itself, such as a write to a file, is over by then.
const stays = 250 * time.Millisecond

// collectAfter is how much may be allocated before a collection is made, between two instants.
const collectAfter = 256 << 20

// ErrStuck says that everybody waits, and nobody for the clock.
var ErrStuck = errors.New("clock: all wait for each other, and none for the clock")

// Drive runs do and moves the clock to its next timer whenever the whole program waits, until do has returned: what happens
// at one instant is over before the next begins, however long it took. Programs that it drives must wait for nothing outside
// of them, such as a network. The runtime says who runs ("/sched/goroutines", Go 1.26), which is only exact on one processor
// and without the collector's helpers: Drive sees to both, for the whole program. Of several at once, one waits for the other.
func (v *Virtual) Drive(ctx context.Context, do func(context.Context)) error {
	driving <- struct{}{}
	defer func() { <-driving }()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx)
	}()
	w := newWatch()
	for {
		select {
		case <-done:
			return ctx.Err()
		case <-ctx.Done():
			<-done
			return ctx.Err()
		default:
		}
		if !w.quiet() {
			runtime.Gosched()
			continue
		}
		w.collect()
		if !v.next() {
			select {
			case <-done:
				return nil
			default:
			}
			cancel()
			<-done
			return ErrStuck
		}
	}
}

var driving = make(chan struct{}, 1)

// next moves the clock to the earliest timer and fires all that are due then; false without one.
func (v *Virtual) next() bool {
	v.mu.Lock()
	var earliest time.Time
	for t := range v.timers {
		if earliest.IsZero() || t.at.Before(earliest) {
			earliest = t.at
		}
	}
	v.mu.Unlock()
	if earliest.IsZero() {
		return false
	}
	v.Advance(earliest.Sub(v.Now()))
	return true
}

// watch tells whether anything runs.
type watch struct {
	samples []metrics.Sample
	outside uint64 // goroutines in system calls that stay there, such as one that waits for signals or reads a terminal
	calm    int
	since   time.Time // when, of the wall clock, more than those were first seen there, and nothing else ran
	heap    uint64    // allocated in all at the last collection
}

func newWatch() *watch {
	w := &watch{samples: []metrics.Sample{
		{Name: "/sched/goroutines/runnable:goroutines"}, {Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/not-in-go:goroutines"}, {Name: "/gc/heap/allocs:bytes"},
	}}
	metrics.Read(w.samples)
	w.outside = w.samples[2].Value.Uint64()
	return w
}

// quiet is true once nothing but the caller ran, several looks long.
func (w *watch) quiet() bool {
	metrics.Read(w.samples)
	if w.samples[0].Value.Uint64() > 0 || w.samples[1].Value.Uint64() > 1 {
		w.calm, w.since = 0, time.Time{}
		return false
	}
	outside := w.samples[2].Value.Uint64()
	w.outside = min(w.outside, outside)
	if outside > w.outside {
		w.calm = 0
		if w.since.IsZero() {
			w.since = time.Now()
		}
		if time.Since(w.since) > stays {
			w.outside = outside
		}
		return false
	}
	w.calm, w.since = w.calm+1, time.Time{}
	if w.calm < settled {
		return false
	}
	w.calm = 0
	return true
}

func (w *watch) collect() {
	if now := w.samples[3].Value.Uint64(); now-w.heap > collectAfter {
		runtime.GC()
		w.heap = now
	}
}
