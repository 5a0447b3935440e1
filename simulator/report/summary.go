package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/simulator/event"
)

// Format is the version of the summary that this package writes.
const Format = 1

// The verdicts.
const (
	// Passed: the run came to its end, every login ended as it should, every check and threshold holds.
	Passed = "passed"
	// Failed: something did not hold, or the run could not be made.
	Failed = "failed"
	// Incomplete: nothing failed, but the run was interrupted or its log breaks off.
	Incomplete = "incomplete"
)

// The reasons of an end that carry a verdict.
const (
	endDone        = "done"
	endInterrupted = "interrupted"
	endUnreachable = "target unreachable"
)

// Summary is what one run came to. Times are milliseconds, those of events since the begin of the logins.
type Summary struct {
	Seed     uint64    `json:"seed"`
	Scenario string    `json:"scenario"`
	Verdict  string    `json:"verdict"`
	Why      []string  `json:"why,omitempty"` // of a verdict other than passed
	Format   int       `json:"format"`        // of the summary: 1
	About    string    `json:"about,omitempty"`
	Command  string    `json:"command"` // that runs it again
	Clock    string    `json:"clock"`   // wall, virtual
	Server   string    `json:"server,omitempty"`
	Version  string    `json:"version,omitempty"`
	Started  time.Time `json:"started"`

	Ended    string       `json:"ended"`    // why the run ended; "" when its log breaks off
	Duration event.Millis `json:"duration"` // until the last thing that was told
	Counts   Counts       `json:"counts"`

	Metrics    map[string]Metric `json:"metrics"`
	Checks     []Result          `json:"checks"`
	Thresholds []Result          `json:"thresholds"`
	Errors     []Trouble         `json:"errors"` // the most frequent first
	Marks      []Mark            `json:"marks"`
	Simulator  Simulator         `json:"simulator"`
	Lost       int               `json:"lost,omitempty"` // marks and results beyond what is remembered

	Curves  map[string][]Quantile `json:"curves"` // login_duration, login_service_time, answer_to_release
	Series  Series                `json:"series"`
	Wrong   []Login               `json:"wrong_logins"` // the first 50
	Slowest []Login               `json:"slowest_logins"`
	First   []Login               `json:"first_logins"`
}

// Counts of a run.
type Counts struct {
	Phones     int            `json:"phones"`               // that the run asks for
	Enrolled   int            `json:"enrolled"`             // that were ready
	Unenrolled int            `json:"unenrolled,omitempty"` // that could not be made ready
	Planned    int            `json:"planned,omitempty"`    // logins; 0: as many as the time gave
	Due        int            `json:"due"`
	Ended      int            `json:"ended"`
	Unfinished int            `json:"unfinished"` // due and not ended
	Wrong      int            `json:"wrong"`      // ended other than they should
	Outcomes   map[string]int `json:"outcomes"`
}

// Metric is one metric with all its figures: milliseconds of a duration; what it does not have is left out.
type Metric struct {
	Count float64  `json:"count"`
	Rate  *float64 `json:"rate,omitempty"` // logins: a second; login_wrong, …_errors: a share from 0 to 1
	Avg   *float64 `json:"avg,omitempty"`
	Min   *float64 `json:"min,omitempty"`
	Med   *float64 `json:"med,omitempty"`
	P90   *float64 `json:"p90,omitempty"`
	P95   *float64 `json:"p95,omitempty"`
	P99   *float64 `json:"p99,omitempty"`
	P999  *float64 `json:"p999,omitempty"`
	Max   *float64 `json:"max,omitempty"`
}

// Result of a check or a threshold.
type Result struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Text   string `json:"text,omitempty"`
}

// Trouble is an error's text and how often it came.
type Trouble struct {
	Who   string `json:"who"` // browser, phone
	Step  string `json:"step"`
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// The kinds of a Mark.
const (
	MarkFault = "fault"
	MarkWorld = "world"
)

// Mark is something that was done to the run: a fault with its end, nil where it lasted, or an act upon the servers.
type Mark struct {
	At    event.Millis  `json:"at"`
	Until *event.Millis `json:"until,omitempty"`
	Kind  string        `json:"kind"`
	Name  string        `json:"name"`
	Text  string        `json:"text,omitempty"`
	Error string        `json:"error,omitempty"`
}

// Simulator is how hard the simulator itself worked, at most: a run whose lag is not small beside its figures measured itself.
type Simulator struct {
	Lag        float64 `json:"lag"` // milliseconds
	CPU        float64 `json:"cpu"` // cores
	MemoryMiB  float64 `json:"rss_mib"`
	Goroutines float64 `json:"goroutines"`
}

// Quantile is one point of a percentile curve.
type Quantile struct {
	P  float64 `json:"p"` // 0 to 100
	Ms float64 `json:"ms"`
}

// Series is the run over time.
type Series struct {
	Width  event.Millis `json:"width"` // of each point
	Points []Point      `json:"points"`
}

// Point is a stretch of time: what was due and what ended in it, and the percentiles of login_duration of those that ended.
type Point struct {
	At            event.Millis       `json:"at"` // its begin
	Due           int                `json:"due"`
	Ended         map[string]int     `json:"ended,omitempty"` // by outcome
	Wrong         int                `json:"wrong,omitempty"`
	BrowserErrors int                `json:"browser_errors,omitempty"`
	PhoneErrors   int                `json:"phone_errors,omitempty"`
	P50           float64            `json:"p50,omitempty"`
	P95           float64            `json:"p95,omitempty"`
	P99           float64            `json:"p99,omitempty"`
	Gauges        map[string]float64 `json:"gauges,omitempty"` // the greatest of each
}

// Login is one login with its steps.
type Login struct {
	Login   int          `json:"login"`
	Phone   int          `json:"phone,omitempty"`
	Person  string       `json:"person,omitempty"` // what its person did
	Due     event.Millis `json:"due"`
	Took    event.Millis `json:"took"`
	Queued  event.Millis `json:"queued,omitempty"`
	Outcome string       `json:"outcome"`
	Want    string       `json:"want,omitempty"`
	Wrong   string       `json:"wrong,omitempty"`
	Text    string       `json:"text,omitempty"` // the server's words
	Steps   []Step       `json:"steps,omitempty"`
	Left    int          `json:"left_out,omitempty"` // steps beyond the 64 that are remembered
}

// Step is one step of a login. At is its begin since the login was due.
type Step struct {
	Who   string       `json:"who"` // browser, phone
	Name  string       `json:"name"`
	At    event.Millis `json:"at"`
	Took  event.Millis `json:"took,omitempty"`
	Text  string       `json:"text,omitempty"`
	Error string       `json:"error,omitempty"`
}

// Summary is what the run came to so far.
func (c *Collector) Summary() Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.header
	s := Summary{
		Format: Format, Seed: h.Seed, Scenario: h.Scenario, About: h.About, Command: h.Command, Clock: h.Clock, Server: h.Server,
		Version: h.Version, Started: h.Started, Ended: c.why, Duration: c.last,
		Counts: Counts{
			Phones: h.Phones, Enrolled: c.enrolled, Unenrolled: c.unenrolled, Planned: h.Logins, Due: c.due, Ended: c.done,
			Unfinished: max(c.due-c.done, 0), Wrong: int(c.wrong.hits), Outcomes: maps.Clone(c.outcomes),
		},
		Metrics: map[string]Metric{}, Checks: append([]Result{}, c.checks...), Thresholds: append([]Result{}, c.thresholds...),
		Errors: troubles(c.faults), Marks: append([]Mark{}, c.marks...), Lost: c.lost,
		Simulator: Simulator{c.peak[event.GaugeLag], c.peak[event.GaugeCPU], c.peak[event.GaugeMemory], c.peak[event.GaugeGoroutines]},
		Curves:    map[string][]Quantile{}, Series: c.series.summary(),
		Wrong: copies(c.traces.wrong), Slowest: copies(c.traces.slowest), First: copies(c.traces.first),
	}
	if s.Command == "" {
		s.Command = fmt.Sprintf("simulator run %s --seed %d", h.Scenario, h.Seed)
	}
	if c.ended && s.Ended == "" {
		s.Ended = endDone
	}
	names := append(slices.Collect(maps.Keys(c.trends)), Logins, LoginWrong, BrowserErrors, PhoneErrors)
	for _, name := range names {
		s.Metrics[name] = c.metric(name)
	}
	for _, name := range []string{LoginDuration, LoginServiceTime, AnswerToRelease} {
		if t := c.trends[name]; t != nil {
			s.Curves[name] = t.curve()
		}
	}
	s.judge()
	return s
}

func (c *Collector) metric(name string) Metric {
	figure := func(aggregation string, q float64) *float64 {
		v, ok := c.value(name, aggregation, q)
		if !ok {
			return nil
		}
		return &v
	}
	m := Metric{Rate: figure(Rate, 0)}
	m.Count, _ = c.value(name, Count, 0)
	if t := c.trends[name]; t != nil {
		m.Rate = nil
		m.Avg, m.Min, m.Med, m.Max = figure(Avg, 0), figure(Min, 0), figure(Med, 0), figure(Max, 0)
		m.P90, m.P95, m.P99, m.P999 = figure(Percentile, 90), figure(Percentile, 95), figure(Percentile, 99), figure(Percentile, 99.9)
	}
	return m
}

// standard are the percentiles that a curve has exactly, as far as the count bears them.
var standard = []float64{50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 99.9999}

// curve is the percentiles up to the last that the count bears, five to each halving of what is left, and the maximum.
func (t *trend) curve() []Quantile {
	n := float64(t.h.TotalCount())
	at := []float64{100 * (1 - 1/n), 100}
	for left := 1.0; left*n >= 1; left /= 2 {
		for tick := range 5 {
			if rest := left * (1 - float64(tick)/10); rest*n >= 1 {
				at = append(at, 100*(1-rest))
			}
		}
	}
	for _, p := range standard {
		if (100-p)*n >= 100 {
			at = append(at, p)
		}
	}
	slices.Sort(at)
	var out []Quantile
	for _, p := range slices.Compact(at) {
		out = append(out, Quantile{P: p, Ms: t.at(p) / 1000})
	}
	return out
}

func troubles(counts map[Trouble]int) []Trouble {
	out := []Trouble{}
	for t, n := range counts {
		t.Count = n
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Trouble) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Who+a.Step+a.Text, b.Who+b.Step+b.Text)
	})
	return out
}

func copied[V any](m map[string]V) map[string]V {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

// judge sets the verdict and its reasons.
func (s *Summary) judge() {
	failed := func(list []Result) (n int) {
		for _, r := range list {
			if !r.Passed {
				n++
			}
		}
		return n
	}
	why := func(n int, one, many string) {
		if n == 1 {
			s.Why = append(s.Why, "1 "+one)
		} else if n > 1 {
			s.Why = append(s.Why, fmt.Sprintf("%d %s", n, many))
		}
	}
	s.Why = nil
	why(s.Counts.Wrong, "login ended wrong", "logins ended wrong")
	if s.Ended == endDone {
		why(s.Counts.Unfinished, "login did not end", "logins did not end")
	}
	why(failed(s.Checks), "check failed", "checks failed")
	why(failed(s.Thresholds), "threshold crossed", "thresholds crossed")
	switch {
	case s.Ended != endDone && s.Ended != endInterrupted && s.Ended != "":
		s.Verdict, s.Why = Failed, append(s.Why, s.Ended)
	case len(s.Why) > 0:
		s.Verdict = Failed
	case s.Ended == "":
		s.Verdict, s.Why = Incomplete, []string{"the log breaks off"}
	case s.Ended == endInterrupted:
		s.Verdict, s.Why = Incomplete, []string{endInterrupted}
	default:
		s.Verdict = Passed
	}
}

// The exit codes of a run.
const (
	ExitPassed      = 0
	ExitWrong       = 1 // a check failed, or a login ended wrong
	ExitThreshold   = 2
	ExitScenario    = 3 // the scenario is not valid
	ExitUnreachable = 4 // the target is
	ExitInterrupted = 130
)

// ExitCode is the code with which a run's command ends. A wrong login outweighs a crossed threshold, and that the interruption.
func (s *Summary) ExitCode() int {
	crossed := slices.ContainsFunc(s.Thresholds, func(r Result) bool { return !r.Passed })
	switch {
	case strings.HasPrefix(s.Ended, endUnreachable):
		return ExitUnreachable
	case s.Counts.Wrong > 0, s.Ended == endDone && s.Counts.Unfinished > 0,
		slices.ContainsFunc(s.Checks, func(r Result) bool { return !r.Passed }):
		return ExitWrong
	case crossed:
		return ExitThreshold
	case s.Verdict == Failed:
		return ExitWrong
	case s.Verdict == Incomplete:
		return ExitInterrupted
	}
	return ExitPassed
}

const maxSummary = 64 << 20

// Read makes a summary of what r holds: the events of a run, or a summary as JSON. A log that breaks off gives the summary of what
// there is, with io.ErrUnexpectedEOF beside it; any other error gives none.
func Read(r io.Reader) (Summary, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if isSummary(b) {
		var s Summary
		if err := json.NewDecoder(io.LimitReader(b, maxSummary)).Decode(&s); err != nil {
			return Summary{}, fmt.Errorf("read summary: %w", err)
		}
		if s.Format != Format || s.Metrics == nil {
			return Summary{}, fmt.Errorf("read summary: format %d, this version reads %d", s.Format, Format)
		}
		return s, nil
	}
	c := New()
	err := event.Read(b, func(e event.Event) error { c.Take(e); return nil })
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Summary{}, err
	}
	return c.Summary(), err
}

// isSummary looks for a field near the begin that a log does not have.
func isSummary(b *bufio.Reader) bool {
	head, _ := b.Peek(b.Size()) // shorter where there is no more
	return bytes.Contains(head, []byte(`"counts"`)) && !bytes.Contains(head, []byte(event.RunBegun))
}
