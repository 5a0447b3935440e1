package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"countersign/simulator/event"
)

// A plot is drawn by the template into an SVG as wide as its place: positions are percent of it, so that text keeps its size, and
// paths lie in a square of side 1000 that is stretched, so that lines keep their width.
type plot struct {
	ID, Title, About string
	Height           int // pixels
	X, Y             []tick
	Bands            []band
	Shapes           []shape
	Legend           []key
	Table            table
}

type tick struct {
	At    string // percent
	Label string
	Minor bool // not on a narrow page
}

type band struct {
	X, Width string // percent; Width "": an instant
	Number   int
	Title    string
	Class    string
}

type shape struct{ Class, Path, Name string }

type key struct{ Class, Name string }

type table struct {
	Head []string
	Rows [][]string
}

// scale maps values onto 0 to 1.
type scale struct {
	from, to float64
	log      bool
}

func (s scale) at(v float64) float64 {
	from, to := s.from, s.to
	if s.log {
		v, from, to = math.Log10(max(v, from)), math.Log10(from), math.Log10(to)
	}
	if to <= from {
		return 0
	}
	return min(max((v-from)/(to-from), 0), 1)
}

func pct(v float64) string { return strconv.FormatFloat(100*v, 'f', 2, 64) + "%" }

func (s scale) x(v float64) string { return strconv.FormatFloat(1000*s.at(v), 'f', 1, 64) }
func (s scale) y(v float64) string { return strconv.FormatFloat(1000-1000*s.at(v), 'f', 1, 64) }

// upTo is a scale from 0 to a round value at or above the greatest, with its ticks.
func upTo(greatest float64, label func(float64) string) (scale, []tick) {
	step := niceStep(greatest / 4)
	s := scale{to: step * max(math.Ceil(greatest/step-1e-9), 1)}
	var out []tick
	for i := 0; float64(i)*step <= s.to*1.0001; i++ {
		v := float64(i) * step
		out = append(out, tick{At: pct(1 - s.at(v)), Label: label(v)})
	}
	return s, out
}

// durations is upTo, or a logarithmic scale where the values lie far apart.
func durations(least, greatest float64) (scale, []tick) {
	if least <= 0 || greatest/least < 40 {
		return upTo(greatest, Duration)
	}
	s := scale{from: math.Pow(10, math.Floor(math.Log10(least))), to: math.Pow(10, math.Ceil(math.Log10(greatest))), log: true}
	for _, part := range []float64{0.2, 0.5} { // not a whole empty decade above
		if s.to*part >= greatest {
			s.to *= part
			break
		}
	}
	var out []tick
	for decade := s.from; decade <= s.to*1.0001; decade *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if v := decade * digit; v <= s.to*1.0001 && (digit == 1 || s.to/s.from <= 200) {
				out = append(out, tick{At: pct(1 - s.at(v)), Label: Duration(v)})
			}
		}
	}
	return s, out
}

// niceStep is 1, 2 or 5 times a power of ten, at least v.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, digit := range []float64{1, 2, 5, 10} {
		if v <= digit*power*1.0001 {
			return digit * power
		}
	}
	return 10 * power
}

// clockTicks are round times from 0 to the end.
func clockTicks(s scale) []tick {
	steps := []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400}
	total := s.to / 1000
	step := niceStep(total / 8)
	for _, one := range steps {
		if total/one <= 8 {
			step = one
			break
		}
	}
	var out []tick
	for i := 0; float64(i)*step <= total*1.0001; i++ {
		out = append(out, tick{At: pct(s.at(1000 * float64(i) * step)), Label: clockLabel(float64(i)*step, total), Minor: i%2 == 1})
	}
	return out
}

// clockLabel is a time in seconds as it is read on an axis that ends at total.
func clockLabel(seconds, total float64) string {
	whole := int(math.Round(seconds))
	switch {
	case total <= 120:
		return strconv.Itoa(whole) + " s"
	case total < 3600:
		return fmt.Sprintf("%d:%02d", whole/60, whole%60)
	}
	return fmt.Sprintf("%d:%02d h", whole/3600, whole%3600/60)
}

func count(v float64) string { return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64) }

// lines joins points; a missing one, NaN, breaks the line, and one that stands alone is a dot.
func lines(xs, ys []float64, x, y scale) string {
	var path strings.Builder
	for i := range xs {
		if math.IsNaN(ys[i]) {
			continue
		}
		first := i == 0 || math.IsNaN(ys[i-1])
		last := i == len(xs)-1 || math.IsNaN(ys[i+1])
		command := "L"
		if first {
			command = "M"
		}
		path.WriteString(command + x.x(xs[i]) + " " + y.y(ys[i]))
		if first && last {
			path.WriteString("h0")
		}
	}
	return path.String()
}

// bars is one layer of stacked bars; tops is what stands below them, and is raised.
func bars(values, tops []float64, width float64, x, y scale) string {
	var path strings.Builder
	for i, v := range values {
		if v <= 0 {
			continue
		}
		left, right := x.x(float64(i)*width), x.x(float64(i+1)*width)
		fmt.Fprintf(&path, "M%s %sH%sV%sH%sz", left, y.y(tops[i]), right, y.y(tops[i]+v), left)
		tops[i] += v
	}
	return path.String()
}

// bands are the marks over the time of a plot; a fault without an end lasts until the run's.
func bands(marks []Mark, x scale) []band {
	var out []band
	for i, m := range marks {
		at, until := x.at(millis(m.At)), x.to
		if m.Until != nil {
			until = millis(*m.Until)
		}
		b := band{X: pct(at), Number: i + 1, Title: m.title(), Class: m.Kind}
		if m.Kind == MarkFault {
			b.Width = pct(max(x.at(until)-at, 0.002))
		}
		out = append(out, b)
	}
	return out
}

func (m Mark) title() string {
	text := m.Name + ", " + m.span()
	if m.Text != "" {
		text += ": " + m.Text
	}
	return text
}

func (m Mark) span() string {
	switch {
	case m.Kind == MarkWorld:
		return "at " + Duration(millis(m.At))
	case m.Until == nil:
		return "from " + Duration(millis(m.At)) + " to the end"
	}
	return "from " + Duration(millis(m.At)) + " to " + Duration(millis(*m.Until))
}

// seconds is a time for the tables of a plot.
func seconds(m event.Millis) string {
	return strconv.FormatFloat(time.Duration(m).Seconds(), 'f', -1, 64)
}
