package mobile

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The stages of a prompt beside its deliveries.
const (
	stageCreated  = "created"
	stageAnswered = "answered"
	stageReleased = "released"
	stageExpired  = "expired"
)

// metrics are the numbers of the prompts:
//
//	countersign_mobile_prompts_total{stage, reason}   prompts that came to a stage; reason: of a failure, the push's; of an
//	                                                  answer, accept, deny, wrong or report; else ""
//	countersign_mobile_stage_seconds{stage}           from a prompt's creation to the stage
//	countersign_mobile_records_dropped_total          stages that are in no event, as the database was too slow
//	countersign_mobile_phones_held                    phones held on a long poll or a socket
type metrics struct {
	prompts *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	dropped prometheus.Counter
}

func newMetrics(to prometheus.Registerer, held func() float64) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "countersign", Subsystem: "mobile", Name: name, Help: help}
	}
	m := &metrics{
		prompts: prometheus.NewCounterVec(prometheus.CounterOpts(opts("prompts_total", "Prompts that came to a stage.")), []string{"stage", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "countersign", Subsystem: "mobile", Name: "stage_seconds", Help: "Time from a prompt's creation to a stage.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 20, 40, 60, 120, 300, 600},
		}, []string{"stage"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts(opts("records_dropped_total", "Stages of prompts that could not be recorded."))),
	}
	if to != nil {
		to.MustRegister(m.prompts, m.seconds, m.dropped,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("phones_held", "Phones held on a long poll or a socket.")), held))
	}
	return m
}

// stage counts a prompt that came to a stage after so long.
func (m *metrics) stage(stage, reason string, after time.Duration) {
	m.prompts.WithLabelValues(stage, reason).Inc()
	if stage != stageCreated {
		m.seconds.WithLabelValues(stage).Observe(max(after, 0).Seconds())
	}
}
