package report

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"countersign/simulator/event"
)

//go:embed report.css
var style string

//go:embed report.html compare.html
var files embed.FS

// The files are part of the program, so that a mistake in them is one of it.
var pages = template.Must(template.New("report").Funcs(template.FuncMap{
	"ms":      Duration,
	"millis":  func(m event.Millis) string { return Duration(millis(m)) },
	"share":   percent,
	"gantt":   gantt,
	"strip":   strip,
	"longest": longest,
	"list": func(logins []Login, title, about string, open bool) loginList {
		return loginList{logins, title, about, open}
	},
	"span":  Mark.span,
	"add":   func(a, b int) int { return a + b },
	"class": outcomeClass,
	"words": words,
}).ParseFS(files, "*.html"))

type loginList struct {
	Logins       []Login
	Title, About string
	Open         bool
}

// sheet is what the page's template is given.
type sheet struct {
	*Summary
	Style   template.CSS
	Policy  string
	Figures []figure
	Plots   []plot // over time
	Curve   *plot
	Gauges  []plot
	Metric  table
}

type figure struct{ Name, Value, Note, Class string }

// HTML writes the summary as one page that needs nothing else: no script, no file, no network.
func (s *Summary) HTML(w io.Writer) error {
	data := sheet{
		Summary: s, Style: template.CSS(style), Policy: policy(style), //nolint:gosec // G203: the program's own
		Figures: s.figures(), Plots: s.timePlots(), Curve: s.curvePlot(), Gauges: s.gaugePlots(),
	}
	g := s.table()
	data.Metric = table{append([]string{"Duration"}, g.head[1:]...), g.rows}
	return pages.ExecuteTemplate(w, "report", data)
}

// policy forbids the page everything but its own style.
func policy(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

func words(name string) string { return strings.ReplaceAll(name, "_", " ") }

// outcomes in the order in which they are stacked; what they do not name follows by name.
var outcomeOrder = []string{"approved", "denied", "wrong_number", "expired", "superseded", "throttled", "left", "dropped", "refused", "no_phone", "failed"}

func outcomeClass(name string) string {
	if slices.Contains(outcomeOrder, name) {
		return "o-" + name
	}
	return "o-other"
}

func (s *Summary) outcomes() []string {
	names := slices.Sorted(maps.Keys(s.Counts.Outcomes))
	place := func(name string) int {
		if i := slices.Index(outcomeOrder, name); i >= 0 {
			return i
		}
		return len(outcomeOrder)
	}
	slices.SortStableFunc(names, func(a, b string) int { return place(a) - place(b) })
	return names
}

// Outcomes are for the template, in their order.
func (s *Summary) Outcomes() []string { return s.outcomes() }

func (s *Summary) figures() []figure {
	c := s.Counts
	logins := figure{Name: "Logins", Value: strconv.Itoa(c.Ended), Note: "in " + Duration(millis(s.Duration))}
	if c.Planned > 0 {
		logins.Note = fmt.Sprintf("of %d, in %s", c.Planned, Duration(millis(s.Duration)))
	}
	wrong := figure{Name: "Ended wrong", Value: strconv.Itoa(c.Wrong), Class: "good", Note: "each as it should"}
	if c.Ended == 0 {
		wrong.Class, wrong.Note = "", "none has ended"
	}
	if c.Wrong > 0 {
		wrong.Class, wrong.Note = "bad", fmt.Sprintf("%.2g %% of them", 100*float64(c.Wrong)/float64(c.Ended))
	}
	out := []figure{logins, wrong}
	if rate := s.Metrics[Logins].Rate; rate != nil {
		out = append(out, figure{Name: "Rate", Value: fmt.Sprintf("%.1f", *rate), Note: "logins a second"})
	}
	if m := s.Metrics[LoginDuration]; m.Med != nil {
		out = append(out,
			figure{Name: "Login, p50", Value: Duration(*m.Med), Note: "since it was due"},
			figure{Name: "Login, p95", Value: Duration(*m.P95), Note: "p99 " + Duration(*m.P99)})
	}
	if m := s.Metrics[AnswerToRelease]; m.P95 != nil {
		out = append(out, figure{Name: "Release, p95", Value: Duration(*m.P95), Note: "since the phone answered"})
	}
	return out
}

// curve is one line of percentiles.
type curve struct {
	key
	points []Quantile
}

func (s *Summary) curvePlot() *plot {
	return curves("curve", []curve{
		{key{"c-1", LoginDuration}, s.Curves[LoginDuration]},
		{key{"c-2", LoginServiceTime}, s.Curves[LoginServiceTime]},
		{key{"c-3", AnswerToRelease}, s.Curves[AnswerToRelease]},
	})
}

// curves are percentiles over what is left to 100 %, logarithmic, as HdrHistogram plots them; nil where there are none.
func curves(id string, list []curve) *plot {
	least, greatest, deepest := math.Inf(1), 0.0, 90.0
	for _, one := range list {
		for _, q := range one.points {
			if q.P >= 50 && q.P < 100 {
				least, greatest, deepest = min(least, q.Ms), max(greatest, q.Ms), max(deepest, q.P)
			}
		}
	}
	if greatest == 0 {
		return nil
	}
	p := plot{
		ID: id, Title: "Percentiles", Height: 300,
		About: "Durations over percentiles from the 50th on, each decade of what is left to 100 % of one width.",
	}
	depth := func(percentile float64) float64 { return 100 / (100 - percentile) }
	x := scale{from: depth(50), to: depth(deepest), log: true}
	y, ticks := durations(least, greatest)
	p.Y = ticks
	for _, at := range standard {
		if at <= deepest {
			p.X = append(p.X, tick{At: pct(x.at(depth(at))), Label: "p" + count(at), Minor: at == 75 || at == 95 || at == 99.5 || at == 99.95})
		}
	}
	p.Table.Head = []string{"Percentile"}
	exact := make([]map[float64]string, len(list))
	for i, one := range list {
		if len(one.points) == 0 {
			continue
		}
		exact[i] = map[float64]string{}
		var xs, ys []float64
		for _, q := range one.points {
			exact[i][q.P] = Duration(q.Ms)
			if q.P >= 50 && q.P < 100 {
				xs, ys = append(xs, depth(q.P)), append(ys, q.Ms)
			}
		}
		p.Table.Head = append(p.Table.Head, one.Name)
		p.Legend = append(p.Legend, one.key)
		p.Shapes = append(p.Shapes, shape{"line " + one.Class, lines(xs, ys, x, y), one.Name})
	}
	slices.Reverse(p.Shapes) // the first on top
	for _, at := range append(slices.Clone(standard), 100) {
		row := []string{"p" + count(at)}
		if at == 100 {
			row[0] = "max"
		}
		found := false
		for _, values := range exact {
			v, known := values[at]
			switch {
			case known:
				row, found = append(row, v), true
			case values != nil:
				row = append(row, "–")
			}
		}
		if found {
			p.Table.Rows = append(p.Table.Rows, row)
		}
	}
	return &p
}

// axis is the time of the plots.
func (s *Summary) axis() (x scale, width float64) {
	width = millis(s.Series.Width)
	return scale{to: max(width*float64(len(s.Series.Points)), 1)}, width
}

// timePlots are throughput, errors and latency over time.
func (s *Summary) timePlots() []plot {
	if len(s.Series.Points) == 0 {
		return nil
	}
	x, _ := s.axis()
	out := []plot{s.throughput(), s.latency()}
	if p := s.errorPlot(); p != nil {
		out = append(out, *p)
	}
	for i := range out {
		out[i].X, out[i].Bands = clockTicks(x), bands(s.Marks, x)
	}
	return out
}

func (s *Summary) throughput() plot {
	x, width := s.axis()
	perSecond := 1000 / width
	p := plot{
		ID: "throughput", Title: "Logins a second", Height: 230,
		About: "Logins that ended, stacked by outcome, and those that were due, as a line.",
		Table: table{Head: []string{"From second", "Due"}},
	}
	greatest := 0.0
	for _, one := range s.Series.Points {
		ended := 0
		for _, n := range one.Ended {
			ended += n
		}
		greatest = max(greatest, float64(one.Due)*perSecond, float64(ended)*perSecond)
	}
	y, ticks := upTo(greatest, count)
	p.Y = ticks
	tops := make([]float64, len(s.Series.Points))
	names := s.outcomes()
	for _, name := range names {
		values := make([]float64, len(tops))
		for i, one := range s.Series.Points {
			values[i] = float64(one.Ended[name]) * perSecond
		}
		p.Shapes = append(p.Shapes, shape{"bars " + outcomeClass(name), bars(values, tops, width, x, y), name})
		p.Legend = append(p.Legend, key{outcomeClass(name), words(name)})
		p.Table.Head = append(p.Table.Head, words(name))
	}
	var due strings.Builder
	for i, one := range s.Series.Points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&due, "%s%s %sH%s", command, x.x(float64(i)*width), y.y(float64(one.Due)*perSecond), x.x(float64(i+1)*width))
		row := []string{seconds(one.At), strconv.Itoa(one.Due)}
		for _, name := range names {
			row = append(row, strconv.Itoa(one.Ended[name]))
		}
		p.Table.Rows = append(p.Table.Rows, row)
	}
	p.Shapes = append(p.Shapes, shape{"line due", due.String(), "due"})
	p.Legend = append(p.Legend, key{"due", "due"})
	return p
}

func (s *Summary) latency() plot {
	x, width := s.axis()
	p := plot{
		ID: "latency", Title: "Login duration", Height: 230,
		About: "Percentiles of login_duration of the logins that ended in each stretch of time.",
		Table: table{Head: []string{"From second", "p50", "p95", "p99"}},
	}
	n := len(s.Series.Points)
	xs := make([]float64, n)
	ys := [3][]float64{make([]float64, n), make([]float64, n), make([]float64, n)}
	least, greatest := math.Inf(1), 0.0
	for i, one := range s.Series.Points {
		xs[i] = (float64(i) + 0.5) * width
		row := []string{seconds(one.At)}
		for k, v := range []float64{one.P50, one.P95, one.P99} {
			if len(one.Ended) == 0 {
				v = math.NaN()
				row = append(row, "–")
			} else {
				least, greatest = min(least, v), max(greatest, v)
				row = append(row, Duration(v))
			}
			ys[k][i] = v
		}
		p.Table.Rows = append(p.Table.Rows, row)
	}
	y, ticks := durations(least, greatest)
	p.Y = ticks
	for k, name := range []string{"p50", "p95", "p99"} {
		class := "l-" + name
		p.Shapes = append(p.Shapes, shape{"line " + class, lines(xs, ys[k], x, y), name})
		p.Legend = append(p.Legend, key{class, name})
	}
	return p
}

// errorPlot is nil where there were none.
func (s *Summary) errorPlot() *plot {
	x, width := s.axis()
	p := plot{
		ID: "errors", Title: "Errors a second", Height: 150,
		About: "Steps of browsers and phones that failed, and logins that ended wrong, stacked.",
		Table: table{Head: []string{"From second", "Browsers", "Phones", "Ended wrong"}},
	}
	n := len(s.Series.Points)
	layers := [3][]float64{make([]float64, n), make([]float64, n), make([]float64, n)}
	greatest := 0.0
	for i, one := range s.Series.Points {
		row := []string{seconds(one.At)}
		sum := 0.0
		for k, v := range []int{one.BrowserErrors, one.PhoneErrors, one.Wrong} {
			layers[k][i] = float64(v) * 1000 / width
			sum += layers[k][i]
			row = append(row, strconv.Itoa(v))
		}
		greatest = max(greatest, sum)
		p.Table.Rows = append(p.Table.Rows, row)
	}
	if greatest == 0 {
		return nil
	}
	y, ticks := upTo(greatest, count)
	p.Y = ticks
	tops := make([]float64, n)
	for k, one := range []key{{"e-browser", "browsers"}, {"e-phone", "phones"}, {"e-wrong", "ended wrong"}} {
		p.Shapes = append(p.Shapes, shape{"bars " + one.Class, bars(layers[k], tops, width, x, y), one.Name})
		p.Legend = append(p.Legend, one)
	}
	return &p
}

// gaugePlots are the samples, one small plot each.
func (s *Summary) gaugePlots() []plot {
	x, width := s.axis()
	known := []struct {
		name, title string
		label       func(float64) string
	}{
		{event.GaugeLag, "Simulator, late by", Duration}, {event.GaugeCPU, "Simulator, cores", count}, {event.GaugeMemory, "Simulator, MiB", count},
		{event.GaugeGoroutines, "Simulator, goroutines", count}, {event.GaugeFlying, "Logins in flight", count}, {event.GaugeRinging, "Phones ringing", count},
		{event.GaugeServerCPU, "Server, cores", count}, {event.GaugeServerRSS, "Server, MiB", count}, {event.GaugeServerGo, "Server, goroutines", count},
		{event.GaugeHeap, "Simulator, live heap, MiB", count}, {event.GaugeServerHeap, "Server, heap before it is collected, MiB", count},
	}
	var out []plot
	for _, g := range known {
		p := plot{ID: "gauge-" + g.name, Title: g.title, About: "The greatest in each stretch of time.", Height: 90, Table: table{Head: []string{"From second", g.title}}}
		var xs, ys []float64
		greatest := 0.0
		for i, one := range s.Series.Points {
			v, found := one.Gauges[g.name]
			if !found { // a sample that is late leaves no hole
				continue
			}
			greatest = max(greatest, v)
			xs, ys = append(xs, (float64(i)+0.5)*width), append(ys, v)
			p.Table.Rows = append(p.Table.Rows, []string{seconds(one.At), g.label(math.Round(v*100) / 100)})
		}
		if len(xs) == 0 {
			continue
		}
		y, ticks := upTo(greatest, g.label)
		p.Y = []tick{ticks[0], ticks[len(ticks)-1]}
		ends := clockTicks(x)
		p.X, p.Bands = []tick{ends[0], ends[len(ends)-1]}, bands(s.Marks, x)
		p.Shapes = []shape{{"line c-1", lines(xs, ys, x, y), g.title}}
		out = append(out, p)
	}
	return out
}

const maxNote = 12 // bytes

// ganttRow is one step of a login: where its bar lies, in percent.
type ganttRow struct {
	Who, Name, At, Took, X, Width string
	Note, Text, Error             string // Note is a short text, which stands beside the name
	Instant                       bool
}

// gantt is a login's steps in their order, and before them its wait to begin.
func gantt(l Login) []ganttRow {
	x := scale{to: max(millis(l.Took), 0.001)}
	var out []ganttRow
	if l.Queued > 0 {
		out = append(out, row(x, Step{Who: "queue", Name: "waits", Took: l.Queued}))
	}
	steps := slices.Clone(l.Steps)
	slices.SortStableFunc(steps, func(a, b Step) int { return int(a.At - b.At) })
	for _, step := range steps {
		out = append(out, row(x, step))
	}
	return out
}

func row(x scale, step Step) ganttRow {
	at := x.at(millis(step.At))
	r := ganttRow{
		Who: step.Who, Name: words(step.Name), At: Duration(millis(step.At)), Took: Duration(millis(step.Took)), Text: step.Text, Error: step.Error,
		X: pct(at), Width: pct(max(x.at(millis(step.At+step.Took))-at, 0.01)), Instant: step.Took == 0,
	}
	if r.Instant {
		r.Took = ""
	}
	if len(r.Text) <= maxNote {
		r.Note, r.Text = r.Text, ""
	}
	return r
}

// strip is a login's steps on the scale of the longest of a list: one lane for the browser, one for the phone.
func strip(l Login, longest float64) []ganttRow {
	var out []ganttRow
	for _, step := range append([]Step{{Who: "queue", Took: l.Queued}}, l.Steps...) {
		if step.Took > 0 {
			out = append(out, row(scale{to: max(longest, 0.001)}, step))
		}
	}
	return out
}

func longest(logins []Login) (v float64) {
	for _, l := range logins {
		v = max(v, millis(l.Took))
	}
	return v
}
