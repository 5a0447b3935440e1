package report

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
)

// ErrWorse says that a run is worse than the one before it.
var ErrWorse = errors.New("worse than before")

const (
	// noise is a difference in milliseconds that is never called worse or better.
	noise = 1.0
	// enough is how many logins or steps a percentile must have beyond it to be judged; with fewer it is chance.
	enough = 5
)

// Tolerance is the share by which a figure may be worse: 0.1 is 10 %.
type Tolerance float64

// UnmarshalText reads "10%" or "0.1".
func (t *Tolerance) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 100) {
		return fmt.Errorf("%q is no tolerance such as 10%% or 0.1", text)
	}
	*t = Tolerance(v)
	return nil
}

// Comparison holds a run B against an earlier one A.
type Comparison struct {
	A, B      *Summary
	Tolerance Tolerance
	Warnings  []string // why the two may not be comparable
	Rows      []Difference
	Worse     int // rows
}

// The judgements on a Difference; "" is neither.
const (
	// Worse is by more than the tolerance.
	Worse = "worse"
	// Better is by more than the tolerance.
	Better = "better"
)

// Difference is one figure of the two runs; nil where a run has none.
type Difference struct {
	Metric, Aggregation string
	A, B                *float64
	Judgement           string
	format              func(float64) string
}

// Compare holds b against a. A figure is worse when it is greater, the rate of logins when it is smaller, by more than the
// tolerance; durations by more than a millisecond besides, and percentiles with at least five values beyond them in both runs. The
// lag, which is the simulator's own, is shown and not judged.
func Compare(a, b *Summary, tolerance Tolerance) *Comparison {
	c := &Comparison{A: a, B: b, Tolerance: tolerance}
	warn := func(differs bool, format string, args ...any) {
		if differs {
			c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
		}
	}
	warn(a.Scenario != b.Scenario, "different scenarios: %s, %s", a.Scenario, b.Scenario)
	warn(a.Seed != b.Seed, "different seeds: %d, %d", a.Seed, b.Seed)
	warn(a.Clock != b.Clock, "different clocks: %s, %s", a.Clock, b.Clock)
	warn(a.Counts.Phones != b.Counts.Phones, "different numbers of phones: %d, %d", a.Counts.Phones, b.Counts.Phones)
	warn(a.Verdict == Incomplete, "A is incomplete")
	warn(b.Verdict == Incomplete, "B is incomplete")
	names := map[string]Metric{}
	for _, s := range []*Summary{a, b} {
		for name, m := range s.Metrics {
			names[name] = m
		}
	}
	for _, name := range (&Summary{Metrics: names}).names() {
		c.metric(name, a.Metrics[name], b.Metrics[name])
	}
	return c
}

func (c *Comparison) metric(name string, a, b Metric) {
	if a.Rate != nil || b.Rate != nil {
		format := func(v float64) string { return strconv.FormatFloat(100*v, 'f', 2, 64) + "%" }
		if name == Logins {
			format = func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) + "/s" }
		}
		d := Difference{Metric: name, Aggregation: Rate, A: a.Rate, B: b.Rate, format: format}
		if d.A != nil && d.B != nil {
			better, worse := *d.A, *d.B
			if name == Logins {
				better, worse = worse, better
			}
			d.judge(better, worse, c.Tolerance)
		}
		c.add(d)
		return
	}
	beyond := min(a.Count, b.Count)
	for _, one := range []struct {
		aggregation string
		a, b        *float64
		share       float64 // of the values that lie beyond
	}{{Med, a.Med, b.Med, 0.5}, {"p(95)", a.P95, b.P95, 0.05}, {"p(99)", a.P99, b.P99, 0.01}} {
		if one.a == nil && one.b == nil {
			continue
		}
		d := Difference{Metric: name, Aggregation: one.aggregation, A: one.a, B: one.b, format: Duration}
		if one.a != nil && one.b != nil && name != Lag && beyond*one.share >= enough && max(*one.a-*one.b, *one.b-*one.a) > noise {
			d.judge(*one.a, *one.b, c.Tolerance)
		}
		c.add(d)
	}
}

// judge compares two figures of which the greater is the worse.
func (d *Difference) judge(a, b float64, t Tolerance) {
	switch {
	case b > a*(1+float64(t)):
		d.Judgement = Worse
	case a > b*(1+float64(t)):
		d.Judgement = Better
	}
}

func (c *Comparison) add(d Difference) {
	if d.Judgement == Worse {
		c.Worse++
	}
	c.Rows = append(c.Rows, d)
}

// Err is ErrWorse, with what is, if anything is worse.
func (c *Comparison) Err() error {
	if c.Worse == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", c.headline(), ErrWorse)
}

func (c *Comparison) headline() string {
	figures := "1 figure"
	if c.Worse != 1 {
		figures = fmt.Sprintf("%d figures", c.Worse)
	}
	return fmt.Sprintf("%s by more than %.4g %%", figures, 100*float64(c.Tolerance))
}

// cells are the row: name, A, B, difference, ratio.
func (d Difference) cells() []string {
	value := func(v *float64) string {
		if v == nil {
			return "–"
		}
		return d.format(*v)
	}
	row := []string{d.Metric + " " + d.Aggregation, value(d.A), value(d.B), "", ""}
	if d.A != nil && d.B != nil {
		if difference := *d.B - *d.A; difference != 0 {
			row[3] = d.format(difference)
			if difference > 0 {
				row[3] = "+" + row[3]
			}
		}
		if *d.A != 0 {
			row[4] = "×" + strconv.FormatFloat(*d.B / *d.A, 'f', 2, 64)
		}
	}
	return row
}

var compareHead = []string{"", "A", "B", "B − A", "B / A"}

// Text writes the comparison for a terminal.
func (c *Comparison) Text(w io.Writer, o TextOptions) error {
	p := &paper{width: o.width(), colour: o.Colour}
	if c.Worse > 0 {
		p.line(0, bold+";"+red, "✗ worse: "+c.headline())
	} else {
		p.line(0, bold+";"+green, fmt.Sprintf("✓ no figure is worse by more than %.4g %%", 100*float64(c.Tolerance)))
	}
	for i, s := range []*Summary{c.A, c.B} {
		p.line(2, plain, fmt.Sprintf("%c  %s, seed %d, %s: %d logins, %d wrong", 'A'+i, s.Scenario, s.Seed, s.Verdict, s.Counts.Ended, s.Counts.Wrong))
	}
	for _, warning := range c.Warnings {
		p.line(2, yellow, "! "+warning)
	}
	g := grid{head: compareHead, rank: []int{0, 3, 2, 4, 1}}
	for _, d := range c.Rows {
		cells := d.cells()
		mark := map[string]string{Worse: "✗ ", Better: "✓ "}[d.Judgement]
		if mark == "" {
			mark = "  "
		}
		cells[0] = mark + cells[0]
		g.rows = append(g.rows, cells)
		g.tint = append(g.tint, map[string]string{Worse: red, Better: green}[d.Judgement])
	}
	p.table(g)
	_, err := io.WriteString(w, p.String())
	return err
}

// compareSheet is what the comparison's template is given.
type compareSheet struct {
	*Comparison
	Style    template.CSS
	Policy   string
	Headline string
	Runs     []*Summary
	Curves   []plot
	Head     []string
	Table    []compareRow
}

type compareRow struct {
	Cells     []string
	Judgement string
}

// HTML writes the comparison as one page that needs nothing else.
func (c *Comparison) HTML(w io.Writer) error {
	data := compareSheet{
		Comparison: c, Style: template.CSS(style), Policy: policy(style), //nolint:gosec // G203: the program's own
		Headline: c.headline(), Runs: []*Summary{c.A, c.B}, Head: compareHead,
	}
	for _, name := range []string{LoginDuration, AnswerToRelease} {
		p := curves("curve-"+name, []curve{{key{"c-2", "A"}, c.A.Curves[name]}, {key{"c-1", "B"}, c.B.Curves[name]}})
		if p != nil {
			p.Title = name
			data.Curves = append(data.Curves, *p)
		}
	}
	for _, d := range c.Rows {
		data.Table = append(data.Table, compareRow{d.cells(), d.Judgement})
	}
	return pages.ExecuteTemplate(w, "compare", data)
}
