package push_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/push"
	"countersign/push/pushtest"
)

func TestCancel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		script []pushtest.Step
		before time.Duration // from Dispatch to Cancel
		sent   int
		want   []string
	}{
		{"under way", []pushtest.Step{pushtest.Hang}, 100 * time.Millisecond, 1, nil},
		{"backing off", []pushtest.Step{pushtest.Fail(push.Unavailable)}, 100 * time.Millisecond, 1,
			[]string{"0s a failing unavailable 1"}},
		{"accepted before", nil, 100 * time.Millisecond, 1, []string{"0s a accepted 1!"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, push.Options{})
				b.channel.Script(c.script...)
				b.Dispatch(b.job("a"))
				pass(c.before)
				b.Cancel("a")
				b.Cancel("a")
				b.Cancel("nobody")
				if err := b.Stop(t.Context()); err != nil { // returns at once: nothing is alive
					t.Fatal(err)
				}
				if since := time.Since(b.start); since != c.before {
					t.Errorf("the cancelled job lived on for %v", since-c.before)
				}
				pass(window)
				b.want(c.want...)
				if n := len(b.channel.Sent()); n != c.sent {
					t.Errorf("%d attempts, want %d", n, c.sent)
				}
			})
		})
	}
}

func TestCancelQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{Workers: 1})
		b.channel.Script(pushtest.Hang)
		b.Dispatch(b.job("a"))
		b.Dispatch(b.job("b"))
		b.Cancel("b")
		pass(window)
		for _, r := range b.heard() {
			if strings.Contains(r, " b ") {
				t.Errorf("cancelled, and yet: %s", r)
			}
		}
		if n := len(b.channel.Sent()); n != 2 { // both for a
			t.Errorf("%d attempts", n)
		}
	})
}

func TestSameIDReplaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{})
		b.channel.Script(pushtest.Fail(push.Unavailable))
		b.Dispatch(b.job("a"))
		synctest.Wait()
		b.Dispatch(b.job("a"))
		pass(window)
		b.want("0s a failing unavailable 1", "0s a accepted 1!")
		if n := len(b.channel.Sent()); n != 2 {
			t.Errorf("%d attempts, want one for each", n)
		}
	})
}

// A report may start the next job and cancel others: the dispatcher holds no lock of its own meanwhile.
func TestReportMayCallBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{})
		b.channel.Script(pushtest.Fail(push.Unregistered))
		first := b.job("a")
		first.Report = func(r push.Report) {
			b.report(r)
			b.Cancel("a")
			b.Dispatch(b.job("b"))
		}
		b.Dispatch(first)
		b.want("0s a dead unregistered 1!", "0s b accepted 1!")
	})
}

func TestStopDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{Workers: 1})
		b.channel.Script(
			pushtest.Fail(push.Unavailable), // a: backing off when Stop comes
			func(ctx context.Context, m push.Message) error { // b: under way, and fails
				pass(500 * time.Millisecond)
				return pushtest.Fail(push.Unavailable)(ctx, m)
			},
			pushtest.Accept, // c: queued
		)
		b.Dispatch(b.job("a"))
		synctest.Wait()
		b.Dispatch(b.job("b"))
		synctest.Wait()
		b.Dispatch(b.job("c"))
		if err := b.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Dispatch(b.job("d"))
		b.want("0s a failing unavailable 1", "0s a failed unavailable 1!",
			"500ms b failing unavailable 1", "500ms b failed unavailable 1!", "500ms c accepted 1!", "500ms d failed unavailable 0!")
		if err := b.Stop(t.Context()); err != nil {
			t.Errorf("second Stop: %v", err)
		}
	})
}

func TestStopInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{Workers: 1})
		b.channel.Otherwise(pushtest.Hang)
		b.Dispatch(b.job("a"))
		synctest.Wait()
		b.Dispatch(b.job("b"))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := b.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		b.want("300ms a failed timeout 1!", "300ms b failed unavailable 0!")
	})
}

func TestWorkersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const workers, jobs = 3, 20
		b := setup(t, push.Options{Workers: workers})
		var mu sync.Mutex
		var under, most int
		b.channel.Otherwise(func(context.Context, push.Message) error {
			mu.Lock()
			under++
			most = max(most, under)
			mu.Unlock()
			pass(10 * time.Millisecond)
			mu.Lock()
			under--
			mu.Unlock()
			return nil
		})
		for i := range jobs {
			b.Dispatch(b.job(fmt.Sprint(i)))
		}
		pass(time.Second)
		if most != workers || len(b.heard()) != jobs {
			t.Errorf("%d at once, %d reports", most, len(b.heard()))
		}
	})
}

func TestJitterSpreads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{Rand: func() float64 { return .5 }})
		b.channel.Script(pushtest.Fail(push.Unavailable), pushtest.FailFor(push.Unavailable, 10*time.Second))
		b.Dispatch(b.job("a"))
		pass(window)
		// 250 ms and half of the other 250; then the wish of 10 s and half of 500 ms.
		b.want("0s a failing unavailable 1", "10.625s a accepted 3!")
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := push.New([]push.Channel{pushtest.New("x"), pushtest.New("x")}, push.Options{}); err == nil {
		t.Error("two channels of one name were taken")
	}
	reg := prometheus.NewRegistry()
	if _, err := push.New(nil, push.Options{Metrics: reg}); err != nil {
		t.Fatal(err)
	}
	if _, err := push.New(nil, push.Options{Metrics: reg}); err == nil {
		t.Error("metrics were registered twice")
	}
}

// Everything at once, for the race detector: each job has exactly one final report unless it was cancelled.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	channel := pushtest.New("fake")
	channel.Otherwise(func(_ context.Context, m push.Message) error {
		if strings.HasSuffix(m.Data["n"], "3") && m.TTL > 0 {
			return &push.Error{Reason: push.Unavailable}
		}
		return nil
	})
	d, err := push.New([]push.Channel{channel}, push.Options{Workers: 8, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	const jobs = 2000
	var mu sync.Mutex
	finals := map[string]int{}
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range jobs / 4 {
				id := fmt.Sprintf("%d-%d", w, i)
				d.Dispatch(push.Job{
					ID: id, Channel: "fake", Deadline: time.Now().Add(100 * time.Millisecond),
					Message: push.Message{Address: address, Data: map[string]string{"n": id}},
					Report: func(r push.Report) {
						mu.Lock()
						defer mu.Unlock()
						if finals[r.ID] > 0 {
							t.Errorf("%s: a report after the final one", r.ID)
						}
						if r.Final {
							finals[r.ID]++
						}
					},
				})
				if i%5 == 4 {
					d.Cancel(id)
				}
			}
		})
	}
	all.Wait()
	if err := d.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for w := range 4 {
		for i := range jobs / 4 {
			if id := fmt.Sprintf("%d-%d", w, i); i%5 != 4 && finals[id] != 1 {
				t.Errorf("%s: %d final reports", id, finals[id])
			}
		}
	}
}
