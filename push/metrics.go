package push

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the Dispatcher's numbers:
//
//	countersign_push_attempts_total{channel, result}        attempts that ended: "accepted" or a Reason
//	countersign_push_jobs_total{channel, state, reason}     jobs that ended: a final State, or "cancelled"
//	countersign_push_attempt_seconds{channel}               how long an attempt took
//	countersign_push_queue_length                           jobs that wait for a worker
//	countersign_push_jobs_alive                             those, and the ones under way or backing off
type metrics struct {
	attempts *prometheus.CounterVec
	jobs     *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// cancelled is the result and state of what was cancelled; nobody hears it as a State.
const cancelled = "cancelled"

// noChannel is the channel label of jobs for channels that do not exist, whose names are not ours to bound.
const noChannel = "none"

func newMetrics(to prometheus.Registerer, queued, alive func() float64) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "countersign", Subsystem: "push", Name: name, Help: help}
	}
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts(opts("attempts_total",
			"Attempts to send a message, by how they ended.")), []string{"channel", "result"}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts(opts("jobs_total",
			"Messages that were accepted or given up.")), []string{"channel", "state", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "countersign", Subsystem: "push", Name: "attempt_seconds",
			Help:    "Duration of one attempt to send a message.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"channel"}),
	}
	if to == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.attempts, m.jobs, m.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("queue_length", "Messages that wait for a worker.")), queued),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("jobs_alive", "Messages not yet accepted or given up.")), alive),
	} {
		if err := to.Register(c); err != nil {
			return nil, fmt.Errorf("register push metrics: %w", err)
		}
	}
	return m, nil
}
