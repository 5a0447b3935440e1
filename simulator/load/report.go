package load

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"countersign/simulator/browser"
)

// Report of a run. Times are milliseconds.
type Report struct {
	Server       string                  `json:"server"`
	Phones       int                     `json:"phones"`
	Planned      int                     `json:"planned"`
	Finished     int                     `json:"finished"`
	Rate         float64                 `json:"rate"`          // logins due a second
	AchievedRate float64                 `json:"achieved_rate"` // logins finished a second
	Seed         uint64                  `json:"seed"`
	Mix          Mix                     `json:"mix"`
	Provisioning float64                 `json:"provisioning_ms"`
	Duration     float64                 `json:"duration_ms"`
	Late         int                     `json:"late"` // began more than 100 ms after they were due: no user was free
	PushFailed   int                     `json:"push_failed"`
	Interrupted  bool                    `json:"interrupted"`
	Outcomes     map[browser.Outcome]int `json:"outcomes"`
	WrongCount   int                     `json:"wrong"`
	Wrong        []WrongLogin            `json:"wrong_logins"` // the first 20
	Steps        []Percentiles           `json:"steps"`
}

// WrongLogin is a login that did not end as it had to.
type WrongLogin struct {
	User     string          `json:"user"`
	Plan     Kind            `json:"plan"`
	Expected browser.Outcome `json:"expected"`
	Outcome  browser.Outcome `json:"outcome"`
	Why      string          `json:"why"`
	Detail   string          `json:"detail,omitempty"`
}

// Percentiles of one step, in milliseconds.
type Percentiles struct {
	Step  string  `json:"step"`
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

func newReport(o Options) *Report {
	return &Report{
		Server: o.Base, Phones: o.Phones, Planned: o.Logins, Rate: o.Rate, Seed: o.Seed, Mix: o.Mix,
		Outcomes: map[browser.Outcome]int{}, Wrong: []WrongLogin{},
	}
}

// ErrWrong says that at least one login ended wrongly.
var ErrWrong = errors.New("a login ended wrongly")

// Err is ErrWrong, with the count, if any login ended wrongly.
func (r *Report) Err() error {
	if r.WrongCount == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d: %w", r.WrongCount, r.Finished, ErrWrong)
}

// Text writes the report for a person.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d logins on %d phones in %.1f s: %.1f/s of %.1f/s asked (seed %d)\n",
		r.Finished, r.Planned, r.Phones, r.Duration/1000, r.AchievedRate, r.Rate, r.Seed)
	var outcomes []string
	for outcome, n := range r.Outcomes {
		outcomes = append(outcomes, fmt.Sprintf("%s %d", outcome, n))
	}
	slices.Sort(outcomes)
	fmt.Fprintf(&b, "outcomes: %s\n", strings.Join(outcomes, ", "))
	if r.Late > 0 {
		fmt.Fprintf(&b, "%d began late, because no user was free: more phones, or a lower rate\n", r.Late)
	}
	if r.PushFailed > 0 {
		fmt.Fprintf(&b, "%d were told that the push did not go out\n", r.PushFailed)
	}
	if r.Interrupted {
		b.WriteString("interrupted\n")
	}
	b.WriteString(r.table())
	for _, one := range r.Wrong {
		fmt.Fprintf(&b, "WRONG %s: %s gave %s, expected %s: %s. %s\n", one.User, one.Plan, one.Outcome, one.Expected, one.Why, one.Detail)
	}
	if more := r.WrongCount - len(r.Wrong); more > 0 {
		fmt.Fprintf(&b, "WRONG: %d more\n", more)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table lays out the percentiles: the step on the left, figures right-aligned.
func (r *Report) table() string {
	var b strings.Builder
	const line = "%-22s %7s %9s %9s %9s %9s %9s %9s %9s\n"
	fmt.Fprintf(&b, "\n"+line, "milliseconds", "count", "mean", "p50", "p90", "p95", "p99", "p99.9", "max")
	ms := func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
	for _, s := range r.Steps {
		fmt.Fprintf(&b, line, s.Step, strconv.FormatInt(s.Count, 10), ms(s.Mean), ms(s.P50), ms(s.P90), ms(s.P95), ms(s.P99), ms(s.P999), ms(s.Max))
	}
	return b.String()
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// meter is a histogram per step, from a microsecond to ten minutes at three digits.
type meter struct {
	mu    sync.Mutex
	steps map[string]*hdrhistogram.Histogram
}

func newMeter() meter { return meter{steps: map[string]*hdrhistogram.Histogram{}} }

const longest = 10 * time.Minute

func (m *meter) record(step string, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.steps[step]
	if h == nil {
		h = hdrhistogram.New(1, longest.Microseconds(), 3)
		m.steps[step] = h
	}
	// Clamped to the histogram's range, recording cannot fail.
	_ = h.RecordValue(min(max(d.Microseconds(), 1), longest.Microseconds()))
}

func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.steps)
}

// stepOrder is that of the report; steps it does not name follow by name.
func stepOrder(step string) int {
	order := []string{
		"login", "queued", "browser: page", "browser: start", "browser: identify", "browser: password", "browser: select",
		"phone: push_received", "phone: fetched", "phone: answered", "browser: wait", "answer to release",
	}
	if i := slices.Index(order, step); i >= 0 {
		return i
	}
	return len(order)
}

func (m *meter) summary() []Percentiles {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Percentiles, 0, len(m.steps))
	for step, h := range m.steps {
		at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
		out = append(out, Percentiles{
			Step: step, Count: h.TotalCount(), Mean: h.Mean() / 1000,
			P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000,
		})
	}
	slices.SortFunc(out, func(a, b Percentiles) int {
		if d := stepOrder(a.Step) - stepOrder(b.Step); d != 0 {
			return d
		}
		return strings.Compare(a.Step, b.Step)
	})
	return out
}
