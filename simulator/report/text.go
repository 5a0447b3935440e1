package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/simulator/event"
)

const (
	describedWrong = 20 // of the wrong logins, in text
	narrowest      = 40
	widest         = 120
)

// TextOptions of a report for the terminal.
type TextOptions struct {
	Width  int // columns; default 80, at least 40
	Colour bool
}

func (o TextOptions) width() int {
	if o.Width <= 0 {
		return 80
	}
	return min(max(o.Width, narrowest), widest)
}

// paper is text with a width and, where wanted, colours.
type paper struct {
	strings.Builder
	width  int
	colour bool
}

// The colours, as SGR parameters.
const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p *paper) tint(sgr, text string) string {
	if !p.colour || sgr == plain {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// line writes text, wrapped to the width; continued lines are indented by two more.
func (p *paper) line(indent int, sgr, text string) {
	for i, part := range wrap(text, p.width-indent-2) {
		pad := indent
		if i > 0 {
			pad += 2
		}
		p.WriteString(strings.Repeat(" ", pad) + p.tint(sgr, part) + "\n")
	}
}

// wrap breaks text between words, and words that are longer than width.
func wrap(text string, width int) []string {
	var lines []string
	var line []rune
	for _, word := range strings.Fields(text) {
		runes := []rune(word)
		if len(line) > 0 && len(line)+1+len(runes) > width {
			lines = append(lines, string(line))
			line = nil
		}
		if len(line) > 0 {
			line = append(line, ' ')
		}
		line = append(line, runes...)
		for len(line) > width {
			lines = append(lines, string(line[:width]))
			line = line[width:]
		}
	}
	return append(lines, string(line))
}

// Text writes the summary for a terminal.
func (s *Summary) Text(w io.Writer, o TextOptions) error {
	p := &paper{width: o.width(), colour: o.Colour}
	verdict := map[string][2]string{Passed: {green, "✓ passed"}, Failed: {red, "✗ failed"}, Incomplete: {yellow, "! incomplete"}}[s.Verdict]
	p.WriteString(p.tint(bold+";"+verdict[0], verdict[1]) + fmt.Sprintf("  seed %d\n", s.Seed))
	p.line(2, plain, s.Scenario)
	p.WriteString("  " + p.tint(dim, "$ "+s.Command) + "\n") // whole, to be copied
	for _, why := range s.Why {
		p.line(2, verdict[0], why)
	}
	p.results("checks", s.Checks)
	p.results("thresholds", s.Thresholds)
	p.counts(s)
	p.table(s.table())
	for _, l := range s.Wrong[:min(len(s.Wrong), describedWrong)] {
		p.WriteString("\n")
		p.line(2, red, fmt.Sprintf("✗ login %d, phone %d: %s", l.Login, l.Phone, l.Wrong))
		p.line(4, plain, fmt.Sprintf("%s, wanted %s, after %s", l.Outcome, l.Want, Duration(millis(l.Took))))
		if l.Text != "" {
			p.line(4, dim, l.Text)
		}
	}
	if more := s.Counts.Wrong - min(len(s.Wrong), describedWrong); more > 0 {
		p.line(2, red, fmt.Sprintf("✗ and %d more", more))
	}
	for i, t := range s.Errors {
		if i == 0 {
			p.WriteString("\n  " + p.tint(bold, "errors") + "\n")
		}
		p.line(4, plain, fmt.Sprintf("%d × %s %s: %s", t.Count, t.Who, t.Step, t.Text))
	}
	if m := s.Simulator; m != (Simulator{}) {
		p.WriteString("\n")
		p.line(2, dim, fmt.Sprintf("simulator, at most: %s late, %.2f cores, %.0f MiB", Duration(m.Lag), m.CPU, m.MemoryMiB))
	}
	_, err := io.WriteString(w, p.String())
	return err
}

func (p *paper) results(title string, list []Result) {
	if len(list) == 0 {
		return
	}
	p.WriteString("\n  " + p.tint(bold, title) + "\n")
	for _, r := range list {
		text := r.Name
		if r.Text != "" {
			text += " (" + r.Text + ")"
		}
		if r.Passed {
			p.line(4, green, "✓ "+text)
		} else {
			p.line(4, red, "✗ "+text)
		}
	}
}

func (p *paper) counts(s *Summary) {
	c := s.Counts
	p.WriteString("\n")
	p.fact("phones", fmt.Sprintf("%d of %d", c.Enrolled, max(c.Phones, c.Enrolled)), "")
	logins := strconv.Itoa(c.Ended)
	if c.Planned > 0 {
		logins += fmt.Sprintf(" of %d", c.Planned)
	}
	p.fact("logins", logins+" in "+Duration(millis(s.Duration)), "")
	if rate := s.Metrics[Logins].Rate; rate != nil {
		p.fact("rate", fmt.Sprintf("%.1f/s", *rate), "")
	}
	for _, outcome := range slices.Sorted(maps.Keys(c.Outcomes)) {
		p.fact("  "+outcome, percent(c.Outcomes[outcome], c.Ended), "")
	}
	wrong := ""
	if c.Wrong > 0 {
		wrong = red
	}
	p.fact("wrong", percent(c.Wrong, c.Ended), wrong)
	if c.Unfinished > 0 {
		p.fact("unfinished", strconv.Itoa(c.Unfinished), yellow)
	}
}

// fact is a name, dots and a value, as k6 lays them out.
func (p *paper) fact(name, value, sgr string) {
	const dots = 20
	p.WriteString("  " + name + p.tint(dim, strings.Repeat(".", max(dots-utf8.RuneCountInString(name), 1))) + " " + p.tint(sgr, value) + "\n")
}

func percent(n, of int) string {
	if of == 0 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d  %.1f %%", n, 100*float64(n)/float64(of))
}

// grid is a table that loses columns where it is too wide, those of the greatest rank first.
type grid struct {
	head []string
	rank []int
	rows [][]string
	tint []string // of each row; nil: none
}

// table is the durations of a summary.
func (s *Summary) table() grid {
	g := grid{
		head: []string{"", "avg", "min", "med", "max", "p(90)", "p(95)", "p(99)", "count"},
		rank: []int{0, 4, 6, 2, 3, 7, 1, 5, 8},
	}
	for _, name := range s.names() {
		m := s.Metrics[name]
		if m.Avg == nil {
			continue
		}
		row := []string{name}
		for _, v := range []*float64{m.Avg, m.Min, m.Med, m.Max, m.P90, m.P95, m.P99} {
			row = append(row, Duration(*v))
		}
		g.rows = append(g.rows, append(row, strconv.FormatFloat(m.Count, 'f', 0, 64)))
	}
	return g
}

// names are the metrics of the summary in the order of the reports.
func (s *Summary) names() []string {
	names := slices.Collect(maps.Keys(s.Metrics))
	order(names)
	return names
}

func (p *paper) table(g grid) {
	if len(g.rows) == 0 {
		return
	}
	widths := make([]int, len(g.head))
	for i := range g.head {
		for _, row := range append([][]string{g.head}, g.rows...) {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	left := p.width - 2 - widths[0]
	shown := make([]bool, len(g.head))
	for rank := range len(g.head) {
		i := slices.Index(g.rank, rank)
		if i < 0 {
			continue
		}
		if i > 0 {
			if left < widths[i]+2 {
				break
			}
			left -= widths[i] + 2
		}
		shown[i] = true
	}
	p.WriteString("\n")
	for r, row := range append([][]string{g.head}, g.rows...) {
		line := "  " + row[0] + strings.Repeat(" ", widths[0]-utf8.RuneCountInString(row[0]))
		for i := 1; i < len(row); i++ {
			if shown[i] {
				line += strings.Repeat(" ", 2+widths[i]-utf8.RuneCountInString(row[i])) + row[i]
			}
		}
		line = strings.TrimRight(line, " ")
		switch {
		case r == 0:
			line = p.tint(dim, line)
		case g.tint != nil:
			line = p.tint(g.tint[r-1], line)
		}
		p.WriteString(line + "\n")
	}
}

// Duration is a duration of so many milliseconds as a person reads it, with three digits that count.
func Duration(v float64) string {
	size := math.Abs(v)
	three := func(v float64, unit string) string {
		digits := 2
		if size = math.Abs(v); size >= 99.95 {
			digits = 0
		} else if size >= 9.995 {
			digits = 1
		}
		text := strconv.FormatFloat(v, 'f', digits, 64)
		if digits > 0 {
			text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
		}
		return text + unit
	}
	switch {
	case size == 0:
		return "0"
	case size < 0.9995:
		return three(v*1000, "µs")
	case size < 999.5:
		return three(v, "ms")
	case size < 99_950:
		return three(v/1000, "s")
	}
	seconds := int(math.Round(size / 1000))
	text := fmt.Sprintf("%dm%02ds", seconds/60, seconds%60)
	if seconds >= 3600 {
		text = fmt.Sprintf("%dh%02dm", seconds/3600, seconds%3600/60)
	}
	if v < 0 {
		return "-" + text
	}
	return text
}

func millis(m event.Millis) float64 { return float64(m) / float64(time.Millisecond) }
