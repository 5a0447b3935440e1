package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count requests by operation, never by path: paths hold keys.
type metrics struct {
	count    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// newMetrics is nil, which observes nothing, without a registerer.
func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		return nil
	}
	m := &metrics{
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_http_requests_total", Help: "HTTP requests answered, by operation, method and status.",
		}, []string{"operation", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "countersign_http_request_duration_seconds", Help: "Time from a request's headers to its answer, by operation.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"operation", "method"}),
	}
	reg.MustRegister(m.count, m.duration)
	return m
}

func (m *metrics) observe(rt *route, method string, status int, took time.Duration) {
	if m == nil {
		return
	}
	if rt.op.Method == "" { // nothing was routed: the method may be any text
		method = "other"
	}
	m.count.WithLabelValues(rt.id, method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(rt.id, method).Observe(took.Seconds())
}
