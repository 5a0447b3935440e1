package report_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"countersign/simulator/event"
	"countersign/simulator/report"
)

// timed is a run of n logins that took so many milliseconds each, one a tenth of a second.
func timed(seed uint64, n int, took float64, wrong string) report.Summary {
	events := [][]event.Event{begin(seed)}
	for i := range n {
		w := ""
		if i == 0 {
			w = wrong
		}
		events = append(events, login(i+1, event.Millis(i)*second/10, 0, milli(took), "approved", w))
	}
	return collect(append(events, ended(event.Millis(n)*second/10, "done"))...).Summary()
}

func judged(c *report.Comparison, judgement string) (out []string) {
	for _, d := range c.Rows {
		if d.Judgement == judgement {
			out = append(out, d.Metric+" "+d.Aggregation)
		}
	}
	return out
}

func TestCompareJudgesBeyondTheTolerance(t *testing.T) {
	t.Parallel()
	before := timed(7, 200, 100, "")
	durations := []string{
		"login_duration med", "login_duration p(95)", "login_service_time med", "login_service_time p(95)",
		"answer_to_release med", "answer_to_release p(95)", "browser_wait med", "browser_wait p(95)",
	}
	for name, c := range map[string]struct {
		after         report.Summary
		tolerance     report.Tolerance
		worse, better []string
	}{
		"the same":          {before, 0, nil, nil},
		"within":            {timed(7, 200, 109, ""), 0.1, nil, nil},
		"slower":            {timed(7, 200, 120, ""), 0.1, durations, nil},
		"slower, tolerated": {timed(7, 200, 120, ""), 0.25, nil, nil},
		"faster":            {timed(7, 200, 80, ""), 0.1, nil, durations},
		"a wrong login":     {timed(7, 200, 100, "let in"), 10, []string{"login_wrong rate"}, nil},
		"by less than 1 ms": {timed(7, 200, 100.9, ""), 0.001, nil, nil},
		"few logins":        {timed(7, 8, 105, ""), 0.01, nil, nil},
	} {
		compared := report.Compare(&before, &c.after, c.tolerance)
		if worse, better := judged(compared, report.Worse), judged(compared, report.Better); !slices.Equal(worse, c.worse) || !slices.Equal(better, c.better) {
			t.Errorf("%s: worse %q, better %q; want %q, %q", name, worse, better, c.worse, c.better)
		}
		if err := compared.Err(); errors.Is(err, report.ErrWorse) != (len(c.worse) > 0) || compared.Worse != len(c.worse) {
			t.Errorf("%s: %v, %d worse", name, err, compared.Worse)
		}
	}
	stalled := timed(7, 200, 100, "")
	half := *stalled.Metrics[report.Logins].Rate / 2
	m := stalled.Metrics[report.Logins]
	m.Rate = &half
	stalled.Metrics[report.Logins] = m
	if worse := judged(report.Compare(&before, &stalled, 0.1), report.Worse); !slices.Equal(worse, []string{"logins rate"}) {
		t.Errorf("half the rate: worse %q", worse)
	}
}

func TestCompareWarns(t *testing.T) {
	t.Parallel()
	a, b := timed(7, 20, 100, ""), timed(8, 20, 100, "")
	b.Scenario, b.Clock, b.Counts.Phones, b.Verdict = "evening", "virtual", 9, report.Incomplete
	got := strings.Join(report.Compare(&a, &b, 0).Warnings, "; ")
	want := "different scenarios: morning, evening; different seeds: 7, 8; different clocks: wall, virtual; different numbers of phones: 3, 9; B is incomplete"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if w := report.Compare(&a, &a, 0).Warnings; len(w) > 0 {
		t.Errorf("a run and itself: %q", w)
	}
}

func TestCompareFits(t *testing.T) {
	t.Parallel()
	a, b := timed(7, 200, 100, ""), timed(8, 200, 150, "")
	compared := report.Compare(&a, &b, 0.1)
	for width, columns := range map[int][]string{40: {"B / A"}, 80: {" A ", " B ", "B − A", "B / A"}} {
		var out bytes.Buffer
		if err := compared.Text(&out, report.TextOptions{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > width {
				t.Errorf("wider than %d: %s", width, line)
			}
		}
		for _, want := range append(columns, "✗ worse: 8 figures by more than 10 %", "! different seeds: 7, 8", "✗ login_duration p(95)", "×1.50") {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q at %d:\n%s", want, width, out.String())
			}
		}
		if width == 40 && strings.Contains(out.String(), "B − A") {
			t.Error("40 columns have all columns")
		}
	}
	var page bytes.Buffer
	if err := compared.HTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"different seeds: 7, 8", `id="curve-login_duration"`, "✕ worse", "8 figures by more than 10 %"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page.String(), "ZgotmplZ") || strings.Contains(page.String(), "<script") {
		t.Error("the page has what it must not")
	}
}

func TestTolerance(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]report.Tolerance{"10%": 0.1, "0.25": 0.25, " 5 % ": 0.05, "0": 0} {
		var got report.Tolerance
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %v (%v)", text, got, err)
		}
	}
	for _, text := range []string{"", "%", "ten", "-1%", "NaN", "Inf"} {
		var got report.Tolerance
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
