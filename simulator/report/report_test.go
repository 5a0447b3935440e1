package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"countersign/simulator/event"
	"countersign/simulator/report"
)

const second = event.Millis(time.Second)

func milli(v float64) event.Millis { return event.Millis(v * float64(time.Millisecond)) }

func begin(seed uint64) []event.Event {
	return []event.Event{
		{Kind: event.RunBegun, Header: &event.Header{
			Format: event.Format, Scenario: "morning", Seed: seed, Clock: "wall", Phones: 3, Logins: 4, Server: "http://127.0.0.1:9000/",
			Started: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC),
		}},
		{Kind: event.PhoneEnrolled, Phone: 1, At: -5 * second}, {Kind: event.PhoneEnrolled, Phone: 2, At: -4 * second},
		{Kind: event.RunStarted},
	}
}

// login is one login with its steps: due at, queued, then the browser's wait during which the phone answers after half the time.
func login(n int, due, queued, took event.Millis, outcome, wrong string) []event.Event {
	began := due + queued
	end := due + took
	answered := began + (end-began)/2
	text := ""
	if wrong != "" {
		text = "The server said <no> & \"never\"."
	}
	return []event.Event{
		{At: due, Kind: event.LoginDue, Login: n, Phone: 1 + n%3, Name: "approve", Want: "approved"},
		{At: began + 1, Kind: event.BrowserStep, Login: n, Name: "select", Took: 1},
		{At: began + 2, Kind: event.PhoneStep, Login: n, Phone: 1 + n%3, Name: "push_received", Took: 2},
		{At: answered, Kind: event.PhoneStep, Login: n, Phone: 1 + n%3, Name: "decided", Text: "42"},
		{At: answered + 1, Kind: event.PhoneStep, Login: n, Phone: 1 + n%3, Name: "answered", Took: 1},
		{At: end, Kind: event.BrowserStep, Login: n, Name: "wait", Took: end - began},
		{At: end, Kind: event.LoginEnded, Login: n, Took: took, Queued: queued, Outcome: outcome, Want: "approved", Wrong: wrong, Text: text},
	}
}

func collect(events ...[]event.Event) *report.Collector {
	c := report.New()
	for _, e := range slices.Concat(events...) {
		c.Take(e)
	}
	return c
}

func ended(at event.Millis, why string) []event.Event {
	return []event.Event{{At: at, Kind: event.RunEnded, Text: why}}
}

func good(t *testing.T) report.Summary {
	t.Helper()
	return collect(begin(7), login(1, 0, 0, 100*milli(1), "approved", ""), login(2, second, 0, 200*milli(1), "approved", ""),
		ended(2*second, "done")).Summary()
}

func value(t *testing.T, c *report.Collector, metric, aggregation string, q float64) float64 {
	t.Helper()
	v, ok := c.Value(metric, aggregation, q)
	if !ok {
		t.Errorf("%s has no %s", metric, aggregation)
	}
	return v
}

// A login that waited for a free user counts from when it was due; beside it stands what the server alone took.
func TestDurationCountsFromDue(t *testing.T) {
	t.Parallel()
	var events [][]event.Event
	for i := range 10 {
		wait := milli(float64(100 * i))
		events = append(events, login(i+1, 0, wait, wait+milli(100), "approved", ""))
	}
	c := collect(events...)
	for _, want := range []struct {
		metric, aggregation string
		q, v                float64
	}{
		{report.LoginDuration, report.Max, 0, 1000},
		{report.LoginDuration, report.Min, 0, 100},
		{report.LoginDuration, report.Avg, 0, 550},
		{report.LoginDuration, report.Percentile, 100, 1000},
		{report.LoginServiceTime, report.Max, 0, 100},
		{report.LoginServiceTime, report.Med, 0, 100},
		{report.LoginQueued, report.Max, 0, 900},
		{report.AnswerToRelease, report.Avg, 0, 50},
		{report.Logins, report.Count, 0, 10},
		{report.Logins, report.Rate, 0, 10},
		{report.LoginWrong, report.Rate, 0, 0},
		{"browser_wait", report.Max, 0, 100},
		{"browser_wait", report.Count, 0, 10},
	} {
		if v := value(t, c, want.metric, want.aggregation, want.q); v != want.v {
			t.Errorf("%s %s(%v) = %v, want %v", want.metric, want.aggregation, want.q, v, want.v)
		}
	}
	if v := value(t, c, report.LoginDuration, report.Percentile, 90); v < 900 || v > 901 {
		t.Errorf("p(90) = %v, want 900 within a thousandth", v)
	}
}

func TestWhatIsNotMeasuredHasNoValue(t *testing.T) {
	t.Parallel()
	c := report.New()
	for _, one := range [][2]string{
		{"login_duratoin", report.Avg}, {report.LoginDuration, report.Avg}, {report.LoginDuration, "p95"}, {report.LoginDuration, report.Rate},
		{report.Logins, report.Avg}, {report.LoginWrong, report.Rate}, {report.BrowserErrors, report.Rate}, {"browser_", report.Avg},
	} {
		if v, ok := c.Value(one[0], one[1], 95); ok {
			t.Errorf("%s %s = %v", one[0], one[1], v)
		}
	}
	if v, ok := c.Value(report.LoginDuration, report.Count, 0); !ok || v != 0 {
		t.Errorf("count of nothing: %v %v", v, ok)
	}
	c.Take(event.Event{Kind: event.PhoneStep, Name: "keys_rotated", Took: 1})
	names := c.Metrics()
	if !slices.Contains(names, "phone_keys_rotated") || !slices.Contains(names, report.LoginWrong) || names[0] != report.LoginDuration {
		t.Errorf("metrics %v", names)
	}
	for _, name := range names {
		if report.Aggregations(name) == nil {
			t.Errorf("%s has no aggregation", name)
		}
	}
}

// The end of a login can be told before its phone has read the reply to its answer.
func TestAnswerIsKnownBeforeItsReply(t *testing.T) {
	t.Parallel()
	c := report.New()
	for _, e := range []event.Event{
		{At: 0, Kind: event.LoginDue, Login: 1},
		{At: milli(30), Kind: event.PhoneStep, Login: 1, Name: "decided"},
		{At: milli(40), Kind: event.LoginEnded, Login: 1, Took: milli(40), Outcome: "approved"},
		{At: milli(41), Kind: event.PhoneStep, Login: 1, Name: "answered", Took: milli(11)},
	} {
		c.Take(e)
	}
	if v := value(t, c, report.AnswerToRelease, report.Max, 0); v != 10 {
		t.Errorf("%v, want 10", v)
	}
	if s := c.Summary(); len(s.First[0].Steps) != 1 {
		t.Errorf("steps after the end: %+v", s.First[0].Steps)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	fine := login(1, 0, 0, second, "approved", "")
	bad := login(2, 0, 0, second, "approved", "let in without an answer")
	result := func(kind event.Kind, passed bool) []event.Event {
		return []event.Event{{At: second, Kind: kind, Name: "it holds", Passed: passed, Text: "found 3"}}
	}
	due := []event.Event{{Kind: event.LoginDue, Login: 9}}
	done, stopped := ended(second, "done"), ended(second, "interrupted")
	for name, c := range map[string]struct {
		events  [][]event.Event
		verdict string
		exit    int
		why     string
	}{
		"passed":          {[][]event.Event{fine, result(event.Check, true), result(event.Threshold, true), done}, report.Passed, 0, ""},
		"wrong":           {[][]event.Event{fine, bad, done}, report.Failed, 1, "1 login ended wrong"},
		"check":           {[][]event.Event{fine, result(event.Check, false), done}, report.Failed, 1, "1 check failed"},
		"threshold":       {[][]event.Event{fine, result(event.Threshold, false), done}, report.Failed, 2, "1 threshold crossed"},
		"both":            {[][]event.Event{fine, result(event.Threshold, false), result(event.Check, false), done}, report.Failed, 1, "1 check failed; 1 threshold crossed"},
		"no end":          {[][]event.Event{fine, due, done}, report.Failed, 1, "1 login did not end"},
		"interrupted":     {[][]event.Event{fine, due, stopped}, report.Incomplete, 130, "interrupted"},
		"wrong, then ^C":  {[][]event.Event{bad, stopped}, report.Failed, 1, "1 login ended wrong"},
		"crossed, and ^C": {[][]event.Event{fine, result(event.Threshold, false), stopped}, report.Failed, 2, "1 threshold crossed"},
		"unreachable":     {[][]event.Event{ended(0, "target unreachable: refused")}, report.Failed, 4, "target unreachable: refused"},
		"aborted":         {[][]event.Event{fine, ended(0, "aborted: no phone enrolled")}, report.Failed, 1, "aborted: no phone enrolled"},
		"broken off":      {[][]event.Event{fine, due}, report.Incomplete, 130, "the log breaks off"},
	} {
		s := collect(append([][]event.Event{begin(1)}, c.events...)...).Summary()
		if why := strings.Join(s.Why, "; "); s.Verdict != c.verdict || s.ExitCode() != c.exit || why != c.why {
			t.Errorf("%s: %s, exit %d, %q; want %s, %d, %q", name, s.Verdict, s.ExitCode(), why, c.verdict, c.exit, c.why)
		}
	}
}

// A million logins over a day leave at most 600 points, and nothing is lost in their joining.
func TestLongRunIsBoundedAndWhole(t *testing.T) {
	t.Parallel()
	c := report.New()
	const logins, every = 100_000, event.Millis(864 * time.Millisecond)
	for i := range logins {
		due := event.Millis(i) * every
		wrong := ""
		if i%1000 == 0 {
			wrong = "late"
		}
		for _, e := range login(i+1, due, 0, milli(float64(1+i%1000)), "approved", wrong) {
			c.Take(e)
		}
	}
	s := c.Summary()
	if n := len(s.Series.Points); n > 600 || n < 300 {
		t.Errorf("%d points", n)
	}
	due, done, wrong := 0, 0, 0
	for i, p := range s.Series.Points {
		due += p.Due
		done += p.Ended["approved"]
		wrong += p.Wrong
		if p.At != event.Millis(i)*s.Series.Width {
			t.Fatalf("point %d is at %v", i, p.At)
		}
	}
	if due != logins || done != logins || wrong != logins/1000 {
		t.Errorf("due %d, done %d, wrong %d", due, done, wrong)
	}
	// In each point the durations run from 1 to 1000 ms in equal parts, as its 167 logins come from anywhere in the thousand.
	if p := s.Series.Points[3]; p.P99 < p.P95 || p.P95 < p.P50 || p.P99 > 1010 || p.P99 == 0 {
		t.Errorf("percentiles of a joined point %+v", p)
	}
	if len(s.First) != 20 || len(s.Slowest) != 20 || len(s.Wrong) != 50 {
		t.Errorf("%d first, %d slowest, %d wrong", len(s.First), len(s.Slowest), len(s.Wrong))
	}
	if s.Slowest[0].Took != second || s.Slowest[0].Login != 1000 || s.Slowest[1].Login != 2000 {
		t.Errorf("slowest %+v", s.Slowest[0])
	}
	text, err := json.Marshal(s)
	if err != nil || len(text) > 1<<20 {
		t.Errorf("%d bytes of JSON (%v)", len(text), err)
	}
}

// A joined point has the logins of both, each as often as it came.
func TestJoinedPointsKeepTheirCounts(t *testing.T) {
	t.Parallel()
	c := report.New()
	for i := range 100 {
		at, took := event.Millis(0), milli(10)
		if i >= 90 {
			at, took = second, milli(1000)
		}
		c.Take(event.Event{At: at, Kind: event.LoginEnded, Login: i + 1, Took: took, Outcome: "approved"})
	}
	c.Take(event.Event{At: 700 * second, Kind: event.LoginDue, Login: 101})
	s := c.Summary()
	if p := s.Series.Points[0]; s.Series.Width != 2*second || p.Ended["approved"] != 100 || p.P50 > 10.2 || p.P95 < 990 {
		t.Errorf("width %v, %+v", time.Duration(s.Series.Width), p)
	}
}

func TestHostileNamesAreBounded(t *testing.T) {
	t.Parallel()
	c := report.New()
	c.Take(event.Event{Kind: event.LoginDue, Login: 5001})
	for i := range 5000 {
		name := fmt.Sprint("name-", i)
		c.Take(event.Event{Kind: event.BrowserStep, Name: name, Took: 1})
		c.Take(event.Event{Kind: event.PhoneStep, Name: name, Error: strings.Repeat("x", 10_000) + name})
		c.Take(event.Event{Kind: event.PhoneStep, Name: "answered", Error: name})
		c.Take(event.Event{Kind: event.LoginEnded, Login: i, Outcome: name})
		c.Take(event.Event{Kind: event.FaultOn, Name: name})
		c.Take(event.Event{Kind: event.Check, Name: name})
		c.Take(event.Event{Kind: event.Sample, Values: map[string]float64{name: 1}})
		for range 100 {
			c.Take(event.Event{Kind: event.BrowserStep, Login: 5001, Name: "wait"})
		}
	}
	c.Take(event.Event{Kind: event.LoginEnded, Login: 5001, Took: second, Outcome: "name-1"})
	s := c.Summary()
	if l := s.Slowest[0]; l.Login != 5001 || len(l.Steps) != 64 || l.Left != 500_000-64 {
		t.Errorf("login %d has %d steps and %d left out", l.Login, len(l.Steps), l.Left)
	}
	if len(s.Metrics) > 70 || len(s.Errors) > 100 || len(s.Counts.Outcomes) > 33 || len(s.Marks) > 200 || len(s.Checks) > 500 || s.Lost == 0 {
		t.Errorf("%d metrics, %d errors, %d outcomes, %d marks, %d checks, %d lost", len(s.Metrics), len(s.Errors), len(s.Counts.Outcomes), len(s.Marks), len(s.Checks), s.Lost)
	}
	n := 0
	for _, count := range s.Counts.Outcomes {
		n += count
	}
	if n != 5001 {
		t.Errorf("%d outcomes are counted", n)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	c := report.New()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				for _, e := range login(1000*g+i, second, 0, second, "approved", "") {
					c.Take(e)
				}
				_, _ = c.Value(report.LoginDuration, report.Percentile, 95)
				if i%50 == 0 {
					_ = c.Summary()
				}
			}
		})
	}
	all.Wait()
	if v := value(t, c, report.AnswerToRelease, report.Count, 0); v != 1600 {
		t.Errorf("%v answers", v)
	}
}

func TestMarksHaveTheirEnds(t *testing.T) {
	t.Parallel()
	s := collect(begin(1), []event.Event{
		{At: second, Kind: event.FaultOn, Name: "push", Text: "429 for each second push"},
		{At: 2 * second, Kind: event.FaultOn, Name: "push"},
		{At: 3 * second, Kind: event.FaultOff, Name: "push"},
		{At: 4 * second, Kind: event.World, Name: "kill", Text: "node 2"},
		{At: 5 * second, Kind: event.FaultOff, Name: "push"},
		{At: 6 * second, Kind: event.FaultOn, Name: "slow"},
	}).Summary()
	var got []string
	for _, m := range s.Marks {
		until := "-"
		if m.Until != nil {
			until = fmt.Sprint(time.Duration(*m.Until))
		}
		got = append(got, m.Kind+" "+m.Name+" "+until)
	}
	if want := []string{"fault push 5s", "fault push 3s", "world kill -", "fault slow -"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSummaryOfALogAndOfItself(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	l := event.NewLog(&log, false)
	for _, e := range slices.Concat(begin(7), login(1, 0, 0, second, "approved", ""), ended(second, "done")) {
		l.Take(e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole := log.String()
	s, err := report.Read(strings.NewReader(whole))
	if err != nil || s.Verdict != report.Passed || s.Seed != 7 || s.Counts.Ended != 1 {
		t.Fatalf("%+v (%v)", s, err)
	}
	var text bytes.Buffer
	if err := s.JSON(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(strings.ReplaceAll(text.String(), "\n", ""), `{ "seed": 7,`) {
		t.Errorf("the seed is not first: %.60s", text.String())
	}
	again, err := report.Read(&text)
	a, _ := json.Marshal(s)
	b, _ := json.Marshal(again)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("%v\n%s\n%s", err, a, b)
	}
	part, err := report.Read(strings.NewReader(whole[:len(whole)-8]))
	if !errors.Is(err, io.ErrUnexpectedEOF) || part.Verdict != report.Incomplete || part.Counts.Ended != 1 {
		t.Errorf("a log that breaks off: %v, %+v", err, part.Counts)
	}
	for name, text := range map[string]string{"nothing": "", "text": "hello", "JSON": `{"a":1}`, "another format": `{"seed":1,"format":9,"counts":{}}`} {
		if _, err := report.Read(strings.NewReader(text)); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	s := collect(begin(7), login(1, 0, 0, second, "approved", "let in \x00 too soon"), []event.Event{
		{Kind: event.Check, Name: "all answered", Passed: true},
		{Kind: event.Threshold, Name: "login_duration: p(95)<500", Text: "1000"},
	}, ended(2*second, "done")).Summary()
	var out bytes.Buffer
	if err := s.JUnit(&out); err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suite    struct {
			Properties []struct {
				Name  string `xml:"name,attr"`
				Value string `xml:"value,attr"`
			} `xml:"properties>property"`
			Cases []struct {
				Class   string `xml:"classname,attr"`
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(out.Bytes(), &suites); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	failed := map[string]string{}
	for _, c := range suites.Suite.Cases {
		if c.Failure != nil {
			failed[c.Class+" "+c.Name] = c.Failure.Message + "|" + c.Failure.Text
		}
	}
	if suites.Tests != 4 || suites.Failures != 2 || len(failed) != 2 {
		t.Errorf("%d tests, %d failures: %v", suites.Tests, suites.Failures, failed)
	}
	if text := failed["morning.logins every login ended as it should"]; !strings.HasPrefix(text, "1 of 1 ended wrong") || !strings.Contains(text, `said <no> & "never"`) {
		t.Errorf("failure %q", text)
	}
	if text := failed["morning.thresholds login_duration: p(95)<500"]; !strings.HasPrefix(text, "1000|") {
		t.Errorf("failure %q", text)
	}
	if p := suites.Suite.Properties[0]; p.Name != "seed" || p.Value != "7" {
		t.Errorf("property %+v", p)
	}
}

// The text fits its width, with and without colours, and says the same in both.
func TestTextFits(t *testing.T) {
	t.Parallel()
	var events [][]event.Event
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		wrong := ""
		if i%100 == 99 {
			wrong = "let in although the phone did not approve"
		}
		events = append(events, login(i+1, event.Millis(i)*second/10, milli(rng.Float64()*10), milli(20+rng.ExpFloat64()*300), "approved", wrong))
	}
	events = append(events, []event.Event{
		{Kind: event.BrowserStep, Name: "select", Error: "Post http://127.0.0.1:9000/api/v3/flows/executor/default-authentication-flow/: connection refused"},
		{Kind: event.Sample, Values: map[string]float64{event.GaugeLag: 1.5, event.GaugeCPU: 0.4}},
		{Kind: event.Check, Name: "nobody is let in without an answer", Passed: true},
		{Kind: event.Threshold, Name: "login_duration: p(95)<500", Text: "812.4"},
	}, ended(31*second, "done"))
	s := collect(append([][]event.Event{begin(7)}, events...)...).Summary()
	for _, width := range []int{40, 80, 120} {
		var plain, coloured bytes.Buffer
		if err := errors.Join(s.Text(&plain, report.TextOptions{Width: width}), s.Text(&coloured, report.TextOptions{Width: width, Colour: true})); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(plain.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width && !strings.HasPrefix(line, "  $ ") {
				t.Errorf("%d columns in %d: %s", n, width, line)
			}
		}
		if strings.Contains(plain.String(), "\x1b") || !strings.Contains(coloured.String(), "\x1b[") {
			t.Errorf("colours at %d", width)
		}
		if got := withoutColour(coloured.String()); got != plain.String() {
			t.Errorf("colour changes the text at %d:\n%s\n%s", width, got, plain.String())
		}
		for _, want := range []string{"✗ failed  seed 7", "simulator run morning", "300 of 4", "let in", "p(95)"} {
			if !strings.Contains(plain.String(), want) {
				t.Errorf("no %q at %d:\n%s", want, width, plain.String())
			}
		}
		if wide := strings.Contains(plain.String(), "p(99)"); wide != (width > 60) {
			t.Errorf("p(99) at %d: %v", width, wide)
		}
		if testing.Verbose() {
			t.Log("\n" + plain.String())
		}
	}
}

func withoutColour(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "\x1b[")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		_, text, _ = strings.Cut(after, "m")
	}
}

// A report that cannot be written is told, and the others are there.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	s := good(t)
	dir := t.TempDir()
	files := report.Files{JUnit: "/dev/full", JSON: filepath.Join(dir, "a.json")}
	err := files.Write(&s)
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
	f, err := os.Open(files.JSON)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if again, err := report.Read(f); err != nil || again.Counts.Ended != 2 {
		t.Errorf("%+v (%v)", again.Counts, err)
	}
}

// BenchmarkTake measures what the events of a login cost a run, and what so many logins leave in memory: a million, with
// -benchtime 1000000x.
func BenchmarkTake(b *testing.B) {
	c := report.New()
	one := login(1, 0, 0, second, "approved", "")
	n := 0
	for b.Loop() {
		n++
		for _, e := range one {
			e.Login, e.At = n, e.At+event.Millis(n)*second/100
			c.Take(e)
		}
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB-kept")
	runtime.KeepAlive(c)
}
