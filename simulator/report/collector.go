package report

import (
	"slices"
	"sync"
	"time"

	"countersign/simulator/browser"
	"countersign/simulator/event"
	"countersign/simulator/phone"
)

// What a collector remembers at most.
const (
	maxTrends   = 64
	maxOutcomes = 32
	maxOpen     = 200_000 // logins that are due and have not ended
	maxTraced   = 5_000   // of them, with their steps
	maxMarks    = 200
	maxResults  = 500 // checks, thresholds
	maxFaults   = 50  // different texts of errors
	maxText     = 500 // bytes of an error
)

// other is the outcome under which those beyond maxOutcomes are counted.
const other = "other"

// Collector is an event.Sink that measures. It is safe for concurrent use, and its memory does not grow with the run.
type Collector struct {
	mu sync.Mutex

	header     event.Header
	begun      bool
	ended      bool
	why        string       // of the end
	last       event.Millis // the latest time that was told
	enrolled   int
	unenrolled int

	due      int
	outcomes map[string]int
	done     int // logins that ended
	wrong    share
	browser  share
	phone    share
	trends   map[string]*trend
	faults   map[Trouble]int

	series series
	marks  []Mark
	open   map[int]*pending
	traced int // of open
	traces traces

	checks, thresholds []Result
	lost               int // marks and results beyond what is remembered
	peak               map[string]float64
}

// pending is a login that is due and has not ended.
type pending struct {
	answered event.Millis // when the phone sent its answer
	sent     bool
	trace    *Login // nil: too many were open
}

// New makes a collector for one run.
func New() *Collector {
	return &Collector{
		outcomes: map[string]int{}, trends: map[string]*trend{}, faults: map[Trouble]int{}, open: map[int]*pending{},
		series: newSeries(), peak: map[string]float64{},
	}
}

// Take measures one event.
func (c *Collector) Take(e event.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, e.At)
	switch e.Kind {
	case event.RunBegun:
		if e.Header != nil {
			c.header, c.begun = *e.Header, true
		}
	case event.PhoneEnrolled:
		if e.Error == "" {
			c.enrolled++
		} else {
			c.unenrolled++
			c.trouble("phone", "enrolment", e.Error)
		}
	case event.LoginDue:
		c.dueLogin(e)
	case event.BrowserStep:
		c.step(e, "browser", BrowserPrefix, &c.browser)
	case event.PhoneStep:
		c.step(e, "phone", PhonePrefix, &c.phone)
	case event.LoginEnded:
		c.endLogin(e)
	case event.FaultOn, event.FaultOff, event.World:
		c.mark(e)
	case event.Sample:
		c.sample(e)
	case event.Check:
		c.result(&c.checks, e)
	case event.Threshold:
		c.result(&c.thresholds, e)
	case event.RunEnded:
		c.ended, c.why = true, e.Text
	}
}

func (c *Collector) dueLogin(e event.Event) {
	c.due++
	c.series.at(e.At).due++
	if len(c.open) >= maxOpen {
		return
	}
	p := &pending{}
	if c.traced < maxTraced {
		c.traced++
		p.trace = &Login{Login: e.Login, Phone: e.Phone, Person: e.Name, Due: e.At, Want: e.Want}
	}
	c.open[e.Login] = p
}

func (c *Collector) step(e event.Event, who, prefix string, failed *share) {
	failed.add(e.Error != "")
	p := c.open[e.Login]
	if p != nil && p.trace != nil {
		p.trace.step(e, who)
	}
	if e.Error != "" {
		c.trouble(who, e.Name, e.Error)
		if who == "phone" {
			c.series.at(e.At).phone++
		} else {
			c.series.at(e.At).browser++
		}
		return
	}
	if who == "phone" {
		switch e.Name {
		case phone.StepReceived:
			c.record(PushDelivery, e.Took)
		case phone.StepDecided, phone.StepAnswered: // a login can end before its phone has read the reply
			if p != nil {
				p.answered, p.sent = e.At-e.Took, true
			}
		}
		if slices.Contains(instants, e.Name) {
			return
		}
	}
	c.record(prefix+e.Name, e.Took)
}

func (c *Collector) endLogin(e event.Event) {
	c.done++
	outcome := e.Outcome
	if _, known := c.outcomes[outcome]; !known && len(c.outcomes) >= maxOutcomes {
		outcome = other
	}
	c.outcomes[outcome]++
	c.wrong.add(e.Wrong != "")
	c.record(LoginDuration, e.Took)
	c.record(LoginServiceTime, e.Took-e.Queued)
	c.record(LoginQueued, e.Queued)
	c.series.at(e.At).end(outcome, e.Wrong != "", e.Took)
	p := c.open[e.Login]
	if p == nil {
		p = &pending{}
	}
	delete(c.open, e.Login)
	if p.sent && e.Outcome == string(browser.Approved) {
		c.record(AnswerToRelease, e.At-p.answered)
	}
	trace := p.trace
	if trace == nil {
		trace = &Login{Login: e.Login, Phone: e.Phone, Due: e.At - e.Took, Want: e.Want}
	} else {
		c.traced--
	}
	c.traces.take(trace.end(e))
}

func (c *Collector) record(name string, took event.Millis) {
	t := c.trends[name]
	if t == nil {
		if len(c.trends) >= maxTrends {
			return
		}
		t = newTrend()
		c.trends[name] = t
	}
	t.record(took)
}

func (c *Collector) trouble(who, step, text string) {
	key := Trouble{Who: who, Step: step, Text: shorten(text)}
	if _, known := c.faults[key]; !known && len(c.faults) >= maxFaults {
		key = Trouble{Who: who, Step: step, Text: "other errors"}
		if _, known := c.faults[key]; !known && len(c.faults) >= 2*maxFaults {
			return
		}
	}
	c.faults[key]++
}

func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	return text[:maxText] + "…"
}

func (c *Collector) mark(e event.Event) {
	if e.Kind == event.FaultOff {
		for i := range slices.Backward(c.marks) {
			if m := &c.marks[i]; m.Kind == MarkFault && m.Name == e.Name && m.Until == nil {
				m.Until = &e.At
				return
			}
		}
		return
	}
	if len(c.marks) >= maxMarks {
		c.lost++
		return
	}
	m := Mark{At: e.At, Kind: MarkFault, Name: e.Name, Text: shorten(e.Text), Error: shorten(e.Error)}
	if e.Kind == event.World {
		m.Kind = MarkWorld
	}
	c.marks = append(c.marks, m)
}

func (c *Collector) sample(e event.Event) {
	point := c.series.at(e.At)
	for name, v := range e.Values {
		if name == event.GaugeLag {
			c.record(Lag, event.Millis(v*float64(time.Millisecond)))
		}
		if old, known := c.peak[name]; known || len(c.peak) < maxTrends {
			c.peak[name] = max(old, v)
			point.gauge(name, v)
		}
	}
}

func (c *Collector) result(list *[]Result, e event.Event) {
	if len(*list) >= maxResults {
		c.lost++
		return
	}
	*list = append(*list, Result{Name: e.Name, Passed: e.Passed, Text: shorten(e.Text)})
}

// Value is a figure as it stands: milliseconds of a duration, a count, a share from 0 to 1, logins a second. q is the percentile,
// 0 to 100, of the aggregation p, and of no meaning for others. It is false when there is no such figure: an unknown metric, an
// aggregation that the metric does not have, or nothing measured yet, which a threshold must not take for a good value. A count
// of nothing is 0.
func (c *Collector) Value(metric, aggregation string, q float64) (float64, bool) {
	if !slices.Contains(Aggregations(metric), aggregation) {
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value(metric, aggregation, q)
}

func (c *Collector) value(metric, aggregation string, q float64) (float64, bool) {
	switch metric {
	case Logins:
		if aggregation == Count {
			return float64(c.done), true
		}
		if c.last <= 0 {
			return 0, false
		}
		return float64(c.done) / time.Duration(c.last).Seconds(), true
	case LoginWrong:
		return c.wrong.value(aggregation)
	case BrowserErrors:
		return c.browser.value(aggregation)
	case PhoneErrors:
		return c.phone.value(aggregation)
	}
	t := c.trends[metric]
	if t == nil {
		return 0, aggregation == Count
	}
	return t.value(aggregation, q)
}

// Metrics are the names that Value knows, in the order of the reports: those of every run, and the steps that this one has seen.
func (c *Collector) Metrics() []string {
	names := knownMetrics()
	c.mu.Lock()
	for name := range c.trends {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	c.mu.Unlock()
	order(names)
	return names
}
