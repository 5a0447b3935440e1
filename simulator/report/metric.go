package report

import (
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"countersign/simulator/event"
	"countersign/simulator/phone"
)

// The metrics. Durations are in milliseconds.
const (
	// LoginDuration is a login's time from when it was due until it ended.
	LoginDuration = "login_duration"
	// LoginServiceTime is LoginDuration without LoginQueued: what coordinated omission would show.
	LoginServiceTime = "login_service_time"
	// LoginQueued is for how long a login that was due waited until it began.
	LoginQueued = "login_queued"
	// AnswerToRelease is the time from when the phone sent its answer until the browser of an approved login was let in.
	AnswerToRelease = "answer_to_release"
	// PushDelivery is the time from the push service's acceptance of a push until the phone had it.
	PushDelivery = "push_delivery"
	// BrowserPrefix with the name of a step is the duration of that step of the login page, where it succeeded.
	BrowserPrefix = "browser_"
	// PhonePrefix with the name of a step is the duration of that step of the phone, where it succeeded.
	PhonePrefix = "phone_"
	// Lag is by how much the simulator itself was late with an arrival, at most within each second.
	Lag = "lag"
	// Logins counts those that ended; its rate is a second.
	Logins = "logins"
	// LoginWrong is the share, and the count, of the logins that ended other than they should.
	LoginWrong = "login_wrong"
	// BrowserErrors is the share, and the count, of the browsers' steps that failed.
	BrowserErrors = "browser_errors"
	// PhoneErrors is the share, and the count, of the phones' steps that failed.
	PhoneErrors = "phone_errors"
)

// The aggregations, as k6 names them.
const (
	Avg        = "avg"
	Min        = "min"
	Med        = "med"
	Max        = "max"
	Percentile = "p"
	Count      = "count"
	Rate       = "rate"
)

// metrics that every run has a place for, in the order of the reports; the steps come between.
var (
	headMetrics = []string{LoginDuration, LoginServiceTime, LoginQueued, AnswerToRelease, PushDelivery}
	tailMetrics = []string{Lag, Logins, LoginWrong, BrowserErrors, PhoneErrors}
	rates       = []string{LoginWrong, BrowserErrors, PhoneErrors}

	browserSteps = []string{"page", "start", "identify", "password", "login", "select", "wait"}
	phoneSteps   = []string{phone.StepFetched, phone.StepAnswered}

	// instants are steps of the phone that take no time, or whose time is another metric.
	instants = []string{
		phone.StepReceived, phone.StepMissed, phone.StepHungUp, phone.StepRang, phone.StepDecided, phone.StepDuplicate, phone.StepNothing,
		phone.StepIgnored,
		event.StepOffline, event.StepOnline,
	}
)

// Aggregations are those that a metric has, nil if there can be no metric of that name.
func Aggregations(metric string) []string {
	switch {
	case metric == Logins:
		return []string{Count, Rate}
	case slices.Contains(rates, metric):
		return []string{Rate, Count}
	case slices.Contains(headMetrics, metric), metric == Lag,
		strings.HasPrefix(metric, BrowserPrefix) && len(metric) > len(BrowserPrefix),
		strings.HasPrefix(metric, PhonePrefix) && len(metric) > len(PhonePrefix):
		return []string{Avg, Min, Med, Max, Percentile, Count}
	}
	return nil
}

// order sorts metrics for the reports: the login as a whole, browser, phone, the rest.
func order(names []string) {
	known := knownMetrics()
	place := func(name string) int {
		if i := slices.Index(known, name); i >= 0 {
			return 10 * i
		}
		if strings.HasPrefix(name, BrowserPrefix) {
			return 10*slices.Index(known, BrowserPrefix+browserSteps[len(browserSteps)-1]) + 1
		}
		return 10*slices.Index(known, PhonePrefix+phoneSteps[len(phoneSteps)-1]) + 1
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := place(a) - place(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

func knownMetrics() []string {
	names := slices.Clone(headMetrics)
	for _, s := range browserSteps {
		names = append(names, BrowserPrefix+s)
	}
	for _, s := range phoneSteps {
		names = append(names, PhonePrefix+s)
	}
	return append(names, tailMetrics...)
}

// A trend is a distribution of durations: from a microsecond to an hour at three digits, about 190 KiB.
type trend struct {
	h             *hdrhistogram.Histogram
	sum, min, max int64 // exact, in microseconds
}

const longestMicros = int64(3600 * 1e6)

func newTrend() *trend { return &trend{h: hdrhistogram.New(1, longestMicros, 3)} }

func (t *trend) record(m event.Millis) {
	v := clamp(m)
	if n := t.h.TotalCount(); n == 0 || v < t.min {
		t.min = v
	}
	t.max = max(t.max, v)
	t.sum += v
	_ = t.h.RecordValue(v) // clamped to the histogram's range, it cannot fail
}

// clamp is a duration in microseconds within the range of the histograms.
func clamp(m event.Millis) int64 { return min(max(int64(m)/1000, 0), longestMicros) }

func (t *trend) value(aggregation string, q float64) (float64, bool) {
	n := t.h.TotalCount()
	if aggregation == Count {
		return float64(n), true
	}
	if n == 0 {
		return 0, false
	}
	var micros float64
	switch aggregation {
	case Avg:
		micros = float64(t.sum) / float64(n)
	case Min:
		micros = float64(t.min)
	case Max:
		micros = float64(t.max)
	case Med:
		micros = t.at(50)
	case Percentile:
		if q < 0 || q > 100 {
			return 0, false
		}
		micros = t.at(q)
	default:
		return 0, false
	}
	return micros / 1000, true
}

// at is a percentile in microseconds; the histogram rounds up, and never shows more than the greatest value there was.
func (t *trend) at(q float64) float64 {
	return float64(min(max(t.h.ValueAtPercentile(q), t.min), t.max))
}

// A share counts how many of all were so.
type share struct{ hits, all int64 }

func (s *share) add(hit bool) {
	s.all++
	if hit {
		s.hits++
	}
}

func (s share) value(aggregation string) (float64, bool) {
	switch {
	case aggregation == Count:
		return float64(s.hits), true
	case aggregation == Rate && s.all > 0:
		return float64(s.hits) / float64(s.all), true
	}
	return 0, false
}
