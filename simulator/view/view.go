package view

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/term"

	"countersign/simulator/desk"
	"countersign/simulator/report"
)

const (
	drawEvery = time.Second / 4
	lineEvery = 5 * time.Second
)

// ErrQuit says that the person wants the run to end, as an interruption would: with its report.
var ErrQuit = errors.New("the person ended the run")

// Run shows the run until it has ended, which gives nil, until its person quits, which gives ErrQuit, or until ctx ends, which gives
// its error. in and out are a terminal, or out gets a line every few seconds. Colours are left out as NO_COLOR says.
func Run(ctx context.Context, hub *desk.Hub, control desk.Control, in io.Reader, out io.Writer) error {
	if !isTerminal(in) || !isTerminal(out) {
		return lines(ctx, hub, out, lineEvery)
	}
	r := lipgloss.NewRenderer(out)
	_ = r.HasDarkBackground() // asks the terminal, whose reply would else come among the keys
	m := newModel(hub, control, r)
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler(), tea.WithAltScreen())
	last, err := p.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("show the run: %w", err)
	}
	if last.(*model).quit {
		return ErrQuit
	}
	return nil
}

// isTerminal also says no to a terminal that can do nothing.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}

// lines writes how the run stands: when its phase or its faults change, and every so often.
func lines(ctx context.Context, hub *desk.Hub, out io.Writer, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	before := ""
	for due := true; ; {
		changed := hub.Changed()
		s := hub.Snapshot()
		state := s.Phase
		for _, f := range s.Faults {
			state += "\n" + f.Name
		}
		if due || state != before {
			if _, err := fmt.Fprintln(out, line(s)); err != nil {
				return fmt.Errorf("show the run: %w", err)
			}
			due, before = false, state
			tick.Reset(every)
		}
		if s.Phase == desk.Ended {
			return nil
		}
		select {
		case <-changed:
		case <-tick.C:
			due = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// line is how a run stands.
func line(s desk.Snapshot) string {
	if s.Phase == desk.Preparing {
		return fmt.Sprintf("preparing: %d of %d phones are ready", s.Phones.Ready(), s.Phones.All)
	}
	parts := []string{progressOf(s), fmt.Sprintf("%.1f/s", s.Rates.Done)}
	if p95, ok := s.Percentiles["p95"]; ok {
		parts = append(parts, "p95 "+report.Duration(p95))
	}
	if s.Counts.Wrong > 0 {
		parts = append(parts, fmt.Sprintf("%d wrong", s.Counts.Wrong))
	}
	if s.Counts.Errors > 0 {
		parts = append(parts, plural(s.Counts.Errors, "error"))
	}
	if s.Left > 0 {
		parts = append(parts, millis(s.Left)+" left")
	}
	for _, f := range s.Faults {
		parts = append(parts, "fault: "+f.Name)
	}
	text := millis(s.At) + "  " + strings.Join(parts, ", ")
	if s.Phase == desk.Ended {
		text += ": " + s.Ended
	}
	return text
}

// progressOf is the logins done, of those that will be.
func progressOf(s desk.Snapshot) string {
	if s.Run.Logins > 0 {
		return fmt.Sprintf("%d of %d logins", s.Counts.Done, s.Run.Logins)
	}
	return plural(s.Counts.Done, "login")
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
