package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/progress"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"countersign/mobile/wire"
	"countersign/simulator/desk"
	"countersign/simulator/event"
	"countersign/simulator/phone"
	"countersign/simulator/report"
)

const (
	narrowest = 20
	widest    = 120
	cell      = 20 // columns of a figure
)

// look is how text is drawn on one terminal.
type look struct {
	r                                           *lipgloss.Renderer
	bold, dim, good, bad, warn, accent, inverse lipgloss.Style
}

func newLook(r *lipgloss.Renderer) look {
	colour := func(light, dark string) lipgloss.Style {
		return r.NewStyle().Foreground(lipgloss.AdaptiveColor{Light: light, Dark: dark})
	}
	return look{
		r: r, bold: r.NewStyle().Bold(true), dim: colour("242", "246"), good: colour("28", "78"), bad: colour("124", "210"),
		warn: colour("94", "221"), accent: colour("26", "111"), inverse: r.NewStyle().Reverse(true),
	}
}

// View is the whole screen.
func (m *model) View() string {
	width := min(max(m.width, narrowest), widest)
	s := m.now
	page := &screen{width: width}
	m.title(page, s)
	page.add(m.bar(s, width))
	page.add(m.look.dim.Render(m.where(s)))
	if m.held > 0 {
		m.phone(page)
	} else {
		m.figures(page, s)
		m.outcomes(page, s)
	}
	for _, f := range s.Faults {
		text := "! " + f.Name
		if f.Text != "" {
			text += ": " + f.Text
		}
		page.add(m.look.warn.Render(text + ", since " + millis(f.Since)))
	}
	foot := m.foot(width)
	if left := m.height - len(page.lines) - len(foot) - 2; left > 0 && len(s.Errors) > 0 && m.held == 0 {
		page.add("", m.look.bold.Render("Last errors"))
		for _, e := range s.Errors[:min(len(s.Errors), left-1)] {
			text := e.Text
			if e.Login > 0 {
				text = fmt.Sprintf("login %d, %s", e.Login, text)
			}
			page.add(m.look.dim.Render(fmt.Sprintf("%7s ", millis(e.At))) + m.tone(e).Render(text))
		}
	}
	page.fit(m.height - len(foot))
	page.add(foot...)
	return strings.Join(page.lines, "\n")
}

func (m *model) tone(l desk.Line) lipgloss.Style {
	if l.Kind == "world" {
		return m.look.warn
	}
	return m.look.bad
}

// screen is lines that are cut to a width.
type screen struct {
	width int
	lines []string
}

func (p *screen) add(lines ...string) {
	for _, l := range lines {
		p.lines = append(p.lines, ansi.Truncate(l, p.width, "…"))
	}
}

// fit makes the screen so high.
func (p *screen) fit(height int) {
	if height < 1 {
		height = 1
	}
	if len(p.lines) > height {
		p.lines = p.lines[:height]
	}
	for len(p.lines) < height {
		p.lines = append(p.lines, "")
	}
}

func (m *model) title(page *screen, s desk.Snapshot) {
	name := s.Run.Scenario
	if name == "" {
		name = "run"
	}
	state := m.look.good.Render("running")
	switch {
	case s.Phase == desk.Ended:
		state = m.look.bold.Render("ended: " + s.Ended)
	case m.paused:
		state = m.look.inverse.Render(" paused ")
	case s.Phase == desk.Preparing:
		state = m.look.accent.Render("preparing")
	}
	seed := m.look.dim.Render(fmt.Sprintf("seed %d", s.Run.Seed))
	right := seed + "  " + state
	left := ansi.Truncate(m.look.bold.Render(name), max(page.width-lipgloss.Width(right)-2, 4), "…")
	gap := max(page.width-lipgloss.Width(left)-lipgloss.Width(right), 1)
	page.add(left+strings.Repeat(" ", gap)+right, "")
}

// bar is the progress; without a known end it is empty.
func (m *model) bar(s desk.Snapshot, width int) string {
	bar := progress.New(progress.WithWidth(width), progress.WithoutPercentage(), progress.WithColorProfile(m.look.r.ColorProfile()),
		progress.WithSolidFill("#5a86f0"), progress.WithFillCharacters('█', '░'))
	return bar.ViewAs(max(s.Progress, 0))
}

func (m *model) where(s desk.Snapshot) string {
	if s.Phase == desk.Preparing {
		return fmt.Sprintf("%d of %d phones are ready", s.Phones.Ready(), s.Phones.All)
	}
	text := millis(s.At) + " · " + progressOf(s)
	if s.Left > 0 {
		text += " · " + millis(s.Left) + " left"
	}
	return text
}

// figures are as many beside each other as there is place for.
func (m *model) figures(page *screen, s desk.Snapshot) {
	figure := func(name, value string, style lipgloss.Style) string {
		text := m.look.dim.Render(fmt.Sprintf("%-8s", name)) + style.Render(value)
		return text + strings.Repeat(" ", max(cell-lipgloss.Width(text), 1))
	}
	plain, wrong, failing := m.look.r.NewStyle(), m.look.good, m.look.r.NewStyle()
	if s.Counts.Wrong > 0 {
		wrong = m.look.bad
	}
	if s.Rates.Errors > 0 {
		failing = m.look.bad
	}
	took := func(name string) string {
		if v, ok := s.Percentiles[name]; ok {
			return report.Duration(v)
		}
		return "–"
	}
	rate := func(v float64) string { return fmt.Sprintf("%.1f/s", v) }
	all := []string{
		figure("done", rate(s.Rates.Done), m.look.bold), figure("p50", took("p50"), m.look.bold), figure("due", rate(s.Rates.Due), plain),
		figure("p95", took("p95"), m.look.bold), figure("pushes", rate(s.Rates.Pushes), plain), figure("p99", took("p99"), m.look.bold),
		figure("errors", rate(s.Rates.Errors), failing), figure("release", took("release_p95"), plain),
		figure("flying", fmt.Sprint(s.Counts.Flying), plain), figure("wrong", fmt.Sprint(s.Counts.Wrong), wrong),
	}
	page.add("")
	across := max(page.width/cell/2*2, 1)
	for row := range slices.Chunk(all, across) {
		page.add(strings.TrimRight(strings.Join(row, ""), " "))
	}
	phones := []string{fmt.Sprintf("%d idle", s.Phones.Idle)}
	for _, one := range []struct {
		n     int
		name  string
		style lipgloss.Style
	}{
		{s.Phones.Ringing, "ringing", m.look.accent}, {s.Phones.Answering, "answering", m.look.good},
		{s.Phones.Offline, "offline", m.look.bad}, {len(s.Taken), "taken", m.look.warn},
	} {
		if one.n > 0 {
			phones = append(phones, one.style.Render(fmt.Sprintf("%d %s", one.n, one.name)))
		}
	}
	page.add(m.look.dim.Render("phones  ") + strings.Join(phones, m.look.dim.Render(", ")))
}

// outcomes with a bar each, the most frequent first.
func (m *model) outcomes(page *screen, s desk.Snapshot) {
	if len(s.Outcomes) == 0 {
		return
	}
	page.add("")
	names := make([]string, 0, len(s.Outcomes))
	for name := range s.Outcomes {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := s.Outcomes[b] - s.Outcomes[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		share := float64(s.Outcomes[name]) / float64(max(s.Counts.Done, 1))
		text := fmt.Sprintf("%-13s%7d %5.1f%% ", strings.ReplaceAll(name, "_", " "), s.Outcomes[name], 100*share)
		style := m.look.accent
		if name == "approved" {
			style = m.look.good
		}
		place := max(min(page.width-lipgloss.Width(text), 40), 0)
		page.add(text + style.Render(strings.Repeat("█", int(share*float64(place)+0.5))))
	}
	page.add("")
}

// phone is the one that is held.
func (m *model) phone(page *screen) {
	page.add("", m.look.bold.Render(fmt.Sprintf("Phone %d is in your hand", m.held)), "")
	r, waits := m.ringing()
	if !waits {
		page.add("It does not ring.")
		if len(m.rings) > 0 {
			last := m.rings[0]
			page.add(m.look.dim.Render("The last request: " + strings.TrimSpace(string(last.State)+" "+last.Answer)))
		}
		return
	}
	what := r.Context.Application
	if what == "" {
		what = r.Title
	}
	page.add(m.look.accent.Render("It rings: are you logging in to " + what + "?"))
	var from []string
	for _, text := range []string{r.Context.IP, r.Context.Browser, r.Context.OS} {
		if text != "" {
			from = append(from, text)
		}
	}
	page.add(m.look.dim.Render(strings.Join(from, " · ")))
	if !r.Expires.IsZero() {
		left := max(time.Until(r.Expires), 0).Round(time.Second)
		page.add(m.look.dim.Render(fmt.Sprintf("%s left", left)))
	}
	page.add("", m.choices(r))
}

// choices are the keys that answer a ring.
func (m *model) choices(r phone.Ring) string {
	key := func(k, text string) string { return m.look.inverse.Render(" "+k+" ") + " " + text + "   " }
	no := key("d", "no, it was not me")
	switch {
	case r.Mode.Types():
		return "Type the number: " + m.input.View() + "  " + key("⏎", "send") + no
	case r.Mode == wire.AcceptDeny:
		return key("y", "yes") + no
	case r.Mode.Shows():
		return key("y", "yes, show the code "+r.Code()) + no
	}
	var out strings.Builder
	for i, item := range r.Items {
		out.WriteString(key(fmt.Sprint(i+1), item))
	}
	return out.String() + no
}

// foot is what the last key did, and the keys.
func (m *model) foot(width int) []string {
	p := &screen{width: width}
	note := m.note
	keys := "p pause · s step · t take over · q quit"
	switch {
	case m.asking:
		note, keys = "Number of the phone: "+m.input.View(), "Enter take it over · Esc back"
	case m.held > 0:
		keys = "r give back · Esc back, keeping it"
	case m.paused:
		keys = "p resume · s step · t take over · q quit"
	}
	p.add(note, m.look.dim.Render(keys))
	return p.lines
}

func millis(m event.Millis) string { return report.Duration(float64(m) / float64(time.Millisecond)) }
