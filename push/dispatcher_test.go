package push_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/push"
	"countersign/push/pushtest"
)

const (
	address = "fGx0-a-registration-token-that-nobody-may-see"
	window  = time.Minute
)

// bench is a dispatcher over one scripted channel, and what it reported. Inside synctest.Test its time is virtual.
type bench struct {
	*push.Dispatcher
	t       *testing.T
	channel *pushtest.Channel
	start   time.Time
	log     *bytes.Buffer
	metrics *prometheus.Registry

	mu      sync.Mutex
	reports []push.Report
	times   []time.Duration // since start, of each report
}

func setup(t *testing.T, o push.Options) *bench {
	t.Helper()
	b := &bench{t: t, channel: pushtest.New("fake"), start: time.Now(), log: &bytes.Buffer{}, metrics: prometheus.NewRegistry()}
	o.Log = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Metrics = b.metrics
	if o.Rand == nil {
		o.Rand = func() float64 { return 0 } // the shortest pauses: 250 ms, 500 ms, 1 s, 2 s, 4 s, 5 s …
	}
	d, err := push.New([]push.Channel{b.channel}, o)
	if err != nil {
		t.Fatal(err)
	}
	b.Dispatcher = d
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = d.Stop(ctx)
	})
	return b
}

// job is a job by that ID, with the whole window before it.
func (b *bench) job(id string) push.Job {
	return push.Job{
		ID: id, Channel: "fake", Deadline: time.Now().Add(window), Report: b.report,
		Message: push.Message{Address: address, Title: "Login request", Data: map[string]string{"v": "1"}, CollapseKey: "c"},
	}
}

func (b *bench) report(r push.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports = append(b.reports, r)
	b.times = append(b.times, time.Since(b.start))
}

// heard is the reports so far: "state reason attempt", with "!" when final, each with its time.
func (b *bench) heard() []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for i, r := range b.reports {
		text := fmt.Sprintf("%v %s %s %s %d", b.times[i], r.ID, r.State, r.Reason, r.Attempt)
		if r.Final {
			text += "!"
		}
		all = append(all, strings.Join(strings.Fields(text), " "))
	}
	return all
}

func (b *bench) want(reports ...string) {
	b.t.Helper()
	if got := b.heard(); !reflect.DeepEqual(got, reports) {
		b.t.Errorf("reports\n got %q\nwant %q", got, reports)
	}
}

// numbers are the metrics by "name{label values}", of a histogram the count.
func (b *bench) numbers() map[string]float64 {
	families, err := b.metrics.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "countersign_push_") + "{" + strings.Join(labels, ",") + "}"
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// pass lets virtual time go by.
func pass(d time.Duration) { <-time.After(d) }

func TestReports(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		script []pushtest.Step
		rest   pushtest.Step
		want   []string
		sent   int
	}{
		{
			name: "accepted", rest: pushtest.Accept, sent: 1,
			want: []string{"0s a accepted 1!"},
		}, {
			name: "dead address", rest: pushtest.Fail(push.Unregistered), sent: 1,
			want: []string{"0s a dead unregistered 1!"},
		}, {
			name: "never an address", rest: pushtest.Fail(push.InvalidAddress), sent: 1,
			want: []string{"0s a dead invalid_address 1!"},
		}, {
			name: "other project", rest: pushtest.Fail(push.SenderMismatch), sent: 1,
			want: []string{"0s a failed sender_mismatch 1!"},
		}, {
			name: "our message", rest: pushtest.Fail(push.BadMessage), sent: 1,
			want: []string{"0s a failed bad_message 1!"},
		}, {
			name: "our key", rest: pushtest.Fail(push.Credentials), sent: 1,
			want: []string{"0s a failed credentials 1!"},
		}, {
			name: "first failure at once, then accepted", rest: pushtest.Accept, sent: 3,
			script: []pushtest.Step{pushtest.Fail(push.Unavailable), pushtest.Fail(push.Unavailable)},
			want:   []string{"0s a failing unavailable 1", "750ms a accepted 3!"},
		}, {
			name: "another reason is news", rest: pushtest.Fail(push.Unregistered), sent: 4,
			script: []pushtest.Step{pushtest.Fail(push.Unavailable), pushtest.Fail(push.Internal), pushtest.Fail(push.Internal)},
			want: []string{
				"0s a failing unavailable 1", "250ms a failing internal 2", "1.75s a dead unregistered 4!",
			},
		}, {
			name: "outage for the whole window", rest: pushtest.Fail(push.Unavailable), sent: 16,
			// 0, .25, .75, 1.75, 3.75, 7.75 and then each 5 s, the last at 57.75 s: the next would be too late.
			want: []string{"0s a failing unavailable 1", "57.75s a failed unavailable 16!"},
		}, {
			name: "quota without a wish is a minute: over the window", rest: pushtest.Fail(push.Quota), sent: 1,
			want: []string{"0s a failed quota 1!"},
		}, {
			name: "the provider's wish is honoured", rest: pushtest.Accept, sent: 2,
			script: []pushtest.Step{pushtest.FailFor(push.Quota, 20*time.Second)},
			want:   []string{"0s a failing quota 1", "20s a accepted 2!"},
		}, {
			name: "a wish beyond the window ends it", rest: pushtest.FailFor(push.Unavailable, 2*time.Minute), sent: 1,
			want: []string{"0s a failed unavailable 1!"},
		}, {
			name: "hanging: said within a second, cut off after five, tried again", rest: pushtest.Accept, sent: 2,
			script: []pushtest.Step{pushtest.Hang},
			want:   []string{"900ms a failing timeout 1", "5.25s a accepted 2!"},
		}, {
			name: "hanging for the whole window", rest: pushtest.Hang, sent: 8,
			// Tries of 5 s with .25, .5, 1, 2, 4, 5, 5 s between them; the eighth is cut off by the window.
			want: []string{"900ms a failing timeout 1", "57.75s a failed timeout 8!"},
		}, {
			name: "slow but good", sent: 1,
			rest: func(context.Context, push.Message) error { pass(3 * time.Second); return nil },
			want: []string{"900ms a failing timeout 1", "3s a accepted 1!"},
		}, {
			name: "an error of no known kind is tried again", rest: pushtest.Accept, sent: 2,
			script: []pushtest.Step{func(context.Context, push.Message) error { return errors.New("boom") }},
			want:   []string{"0s a failing internal 1", "250ms a accepted 2!"},
		}, {
			name: "a panic is final", sent: 1,
			rest: func(context.Context, push.Message) error { panic("boom " + address) },
			want: []string{"0s a failed internal 1!"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, push.Options{})
				b.channel.Script(c.script...)
				b.channel.Otherwise(c.rest)
				b.Dispatch(b.job("a"))
				pass(2 * window)
				b.want(c.want...)
				if n := len(b.channel.Sent()); n != c.sent {
					t.Errorf("%d attempts, want %d", n, c.sent)
				}
				if strings.Contains(b.log.String(), address) {
					t.Errorf("the log shows the address:\n%s", b.log)
				}
			})
		})
	}
}

func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{Queue: 2, Workers: 1})
		b.channel.Otherwise(pushtest.Hang)

		for name, change := range map[push.Reason]func(*push.Job){
			push.NoChannel: func(j *push.Job) { j.Channel = "elsewhere" },
			push.NoAddress: func(j *push.Job) { j.Message.Address = "" },
			push.Expired:   func(j *push.Job) { j.Deadline = time.Now() },
		} {
			j := b.job("x")
			change(&j)
			var got []push.Report
			j.Report = func(r push.Report) { got = append(got, r) }
			b.Dispatch(j)
			want := []push.Report{{ID: "x", Channel: j.Channel, State: push.Failed, Reason: name, Final: true}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: reported %+v before Dispatch returned, want %+v", name, got, want)
			}
		}

		b.Dispatch(b.job("a")) // under way
		b.Dispatch(b.job("b")) // queued
		b.Dispatch(b.job("c")) // one too many
		b.want("0s c failed queue_full 0!")
		if n := b.numbers()["queue_length{}"]; n != 1 {
			t.Errorf("the queue gauge says %v", n)
		}
	})
}

// A hanging provider takes all workers: those that wait behind are told too.
func TestSlowWhileQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{Workers: 1})
		b.channel.Script(pushtest.Hang)
		b.Dispatch(b.job("a"))
		synctest.Wait()
		b.Dispatch(b.job("b"))
		pass(2 * time.Second)
		got := b.heard()
		if len(got) != 2 || !strings.Contains(strings.Join(got, ","), "900ms b failing timeout 0") {
			t.Fatalf("reports %q", got)
		}
		pass(10 * time.Second)
		if got := b.heard(); len(got) != 4 || got[2] != "5s b accepted 1!" || got[3] != "5.25s a accepted 2!" {
			t.Fatalf("reports %q", got)
		}
	})
}

func TestTTLIsWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{})
		b.channel.Script(pushtest.FailFor(push.Unavailable, 20*time.Second))
		b.Dispatch(b.job("a"))
		pass(window)
		sent := b.channel.Sent()
		if len(sent) != 2 || sent[0].TTL != window || sent[1].TTL != 40*time.Second {
			t.Fatalf("sent %+v", sent)
		}
	})
}

// Nothing leaves after the window although the job waited in the queue.
func TestExpiredInTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{Workers: 1, Attempt: time.Hour})
		b.channel.Script(pushtest.Hang)
		first := b.job("a")
		b.Dispatch(first)
		synctest.Wait()
		second := b.job("b")
		second.Deadline = time.Now().Add(10 * time.Second)
		b.Dispatch(second)
		pass(2 * window)
		got := b.heard()
		if n := len(b.channel.Sent()); n != 1 || got[len(got)-1] != "1m0s b failed expired 0!" {
			t.Fatalf("%d sent, reports %q", n, got)
		}
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, push.Options{})
		b.channel.Script(pushtest.Fail(push.Unavailable), pushtest.Accept, pushtest.Fail(push.Unregistered), pushtest.Hang)
		b.Dispatch(b.job("a"))
		pass(time.Second)
		b.Dispatch(b.job("b"))
		synctest.Wait()
		b.Dispatch(b.job("c"))
		synctest.Wait()
		b.Cancel("c")
		j := b.job("d")
		j.Channel = address // a name that nobody bounded must not become a label
		b.Dispatch(j)
		synctest.Wait()
		want := map[string]float64{
			"attempts_total{fake,accepted}":      1,
			"attempts_total{fake,cancelled}":     1,
			"attempts_total{fake,unavailable}":   1,
			"attempts_total{fake,unregistered}":  1,
			"attempt_seconds{fake}":              4,
			"jobs_total{fake,,accepted}":         1,
			"jobs_total{fake,,cancelled}":        1,
			"jobs_total{fake,unregistered,dead}": 1,
			"jobs_total{none,no_channel,failed}": 1,
			"jobs_alive{}":                       0,
			"queue_length{}":                     0,
		}
		if got := b.numbers(); !reflect.DeepEqual(got, want) {
			t.Errorf("metrics\n got %v\nwant %v", got, want)
		}
	})
}
