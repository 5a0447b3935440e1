package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"countersign/mobile/wire"
	"countersign/simulator/desk"
	"countersign/simulator/event"
	"countersign/simulator/phone"
	"countersign/simulator/report"
)

// fake is a run that remembers what it was told.
type fake struct {
	mu     sync.Mutex
	paused bool
	said   []string
	rings  []phone.Ring // of every phone
}

func (f *fake) say(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func (f *fake) Pause()             { f.say("pause"); f.paused = true }
func (f *fake) Resume()            { f.say("resume"); f.paused = false }
func (f *fake) Step()              { f.say("step") }
func (f *fake) Paused() bool       { return f.paused }
func (f *fake) TakeOver(phone int) { f.say("take %d", phone) }
func (f *fake) Release(phone int)  { f.say("release %d", phone) }

func (f *fake) Ring(int) []phone.Ring { return f.rings }

func (f *fake) Answer(number int, tx, item string) error {
	f.say("answer %d %s %s", number, tx, item)
	if item == "13" {
		return errors.New("the server is gone")
	}
	return nil
}

const second = event.Millis(time.Second)

type stage struct {
	hub   *desk.Hub
	sinks event.Sinks
}

// busy is a run in its middle, with everything that there is to show.
func busy() stage {
	s := begun()
	for p := range 200 {
		s.take(event.Event{Kind: event.PhoneEnrolled, Phone: p + 1})
	}
	s.take(event.Event{Kind: event.RunStarted})
	for i := range 120 {
		at := event.Millis(i) * second / 10
		s.take(event.Event{At: at, Kind: event.LoginDue, Login: i + 1, Phone: i + 1, Name: "approve", Want: "approved"})
		s.take(event.Event{At: at, Kind: event.PhoneStep, Login: i + 1, Phone: i + 1, Name: "push_received", Took: second / 20})
		s.take(event.Event{At: at, Kind: event.PhoneStep, Login: i + 1, Phone: i + 1, Name: "rang"})
		if i >= 100 {
			continue
		}
		outcome, wrong := "approved", ""
		if i%10 == 9 {
			outcome, wrong = "wrong_number", "other outcome than planned"
		}
		s.take(event.Event{At: at, Kind: event.LoginEnded, Login: i + 1, Phone: i + 1, Outcome: outcome, Want: "approved", Wrong: wrong, Took: second})
	}
	s.take(event.Event{At: 12 * second, Kind: event.BrowserStep, Login: 7, Name: "select", Error: "read tcp 127.0.0.1:41234->127.0.0.1:9000: connection reset by peer, and more 日本語 words"})
	s.take(event.Event{At: 12 * second, Kind: event.FaultOn, Name: "push outage", Text: "503 for each second message, with Retry-After"})
	s.take(event.Event{At: 12 * second, Kind: event.PhoneStep, Phone: 150, Name: event.StepOffline})
	return s
}

func begun() stage {
	figures := report.New()
	s := stage{hub: desk.NewHub(figures, nil)}
	s.sinks = event.Sinks{figures, s.hub}
	s.take(event.Event{Kind: event.RunBegun, Header: &event.Header{Format: event.Format, Scenario: "push-outage", Seed: 42, Phones: 200, Logins: 1000}})
	return s
}

func (s stage) take(e event.Event) { s.sinks.Take(e) }

func renderer(colour bool) *lipgloss.Renderer {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetHasDarkBackground(true)
	r.SetColorProfile(termenv.Ascii)
	if colour {
		r.SetColorProfile(termenv.ANSI256)
	}
	return r
}

func sized(m *model, width, height int) *model {
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	return m
}

// The screen fits any terminal, and says the same with colours and without.
func TestScreenFits(t *testing.T) {
	t.Parallel()
	s := busy()
	ring := phone.Ring{
		TxID: "tx", Mode: wire.NumberMatching2, Items: []string{"17", "42", "63"}, State: phone.Ringing,
		Context: wire.Context{Application: "Payroll of a company with a long name", IP: "203.0.113.7", Browser: "Firefox", OS: "Linux"},
	}
	for _, held := range []int{0, 5} {
		for _, size := range [][2]int{{20, 10}, {40, 24}, {40, 8}, {80, 24}, {120, 40}, {200, 60}} {
			var texts []string
			for _, colour := range []bool{false, true} {
				m := sized(newModel(s.hub, &fake{rings: []phone.Ring{ring}}, renderer(colour)), size[0], size[1])
				m.held = held
				m.read()
				text := m.View()
				lines := strings.Split(text, "\n")
				if len(lines) > size[1] {
					t.Errorf("%d lines in %v", len(lines), size)
				}
				for _, line := range lines {
					if n := ansi.StringWidth(line); n > size[0] {
						t.Errorf("%d columns in %v: %q", n, size, line)
					}
				}
				if strings.Contains(text, "\x1b[") && !colour || !strings.Contains(text, "\x1b[38;5;") && colour {
					t.Errorf("colour %v at %v: %q", colour, size, text)
				}
				texts = append(texts, ansi.Strip(text))
			}
			if texts[0] != texts[1] {
				t.Errorf("colour changes the text at %v:\n%s\n%s", size, texts[0], texts[1])
			}
			if testing.Verbose() {
				t.Logf("%v\n%s", size, texts[0])
			}
		}
	}
}

func TestScreenSaysWhatMatters(t *testing.T) {
	t.Parallel()
	s := busy()
	for width, more := range map[int][]string{
		40:  {"done    "},
		80:  {"select: read tcp 127.0.0.1:41234"},
		120: {"503 for each second message, with Retry-After, since 12s"},
	} {
		text := sized(newModel(s.hub, &fake{}, renderer(false)), width, 40).View()
		for _, want := range append(more, "push-outage", "seed 42", "running", "100 of 1000 logins", "left", "p95", "approved", "wrong number", "90.0%",
			"! push outage", "Last errors", "20 ringing", "1 offline", "p pause", "q quit", "█", "░") {
			if !strings.Contains(text, want) {
				t.Errorf("no %q at %d:\n%s", want, width, text)
			}
		}
	}
	preparing := begun()
	preparing.take(event.Event{Kind: event.PhoneEnrolled, Phone: 1})
	if text := newModel(preparing.hub, &fake{}, renderer(false)).View(); !strings.Contains(text, "preparing") || !strings.Contains(text, "1 of 200 phones are ready") {
		t.Errorf("while phones enrol:\n%s", text)
	}
}

// press sends keys as a terminal does, and runs what they start.
func press(m *model, keys ...string) {
	for _, k := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
		switch k {
		case "enter":
			msg = tea.KeyMsg{Type: tea.KeyEnter}
		case "esc":
			msg = tea.KeyMsg{Type: tea.KeyEsc}
		case "ctrl+c":
			msg = tea.KeyMsg{Type: tea.KeyCtrlC}
		case "backspace":
			msg = tea.KeyMsg{Type: tea.KeyBackspace}
		}
		_, cmd := m.Update(msg)
		if cmd == nil {
			continue
		}
		if sent, ok := cmd().(sentMsg); ok {
			m.Update(sent)
		}
	}
}

func TestKeysSteerTheRun(t *testing.T) {
	t.Parallel()
	s := busy()
	c := &fake{}
	m := newModel(s.hub, c, renderer(false))
	press(m, "s")
	if !strings.Contains(m.View(), "pause the run first") {
		t.Errorf("a step of a run that is not paused:\n%s", m.View())
	}
	press(m, "p")
	if text := m.View(); !strings.Contains(text, "paused") || !strings.Contains(text, "p resume") {
		t.Errorf("paused:\n%s", text)
	}
	press(m, "s", "s", "p", "t", "x", "9", "9", "9", "enter")
	if !strings.Contains(m.View(), "there is no such phone") {
		t.Errorf("phone 999:\n%s", m.View())
	}
	press(m, "t", "7", "esc", "q")
	if want := []string{"pause", "step", "step", "resume"}; !slices.Equal(c.said, want) {
		t.Errorf("told %q, want %q", c.said, want)
	}
	if !m.quit {
		t.Error("q does not quit")
	}
	other := newModel(s.hub, c, renderer(false))
	press(other, "t", "ctrl+c")
	if !other.quit {
		t.Error("Ctrl-C does not quit while a number is asked for")
	}
}

func TestKeysAnswerAPhone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode  wire.Mode
		items []string
		keys  []string
		want  string
	}{
		"tap":      {wire.NumberMatching2, []string{"17", "42", "63"}, []string{"9", "2"}, "answer 7 tx 42"},
		"deny":     {wire.NumberMatching2, []string{"17", "42", "63"}, []string{"d"}, "answer 7 tx deny"},
		"agree":    {wire.AcceptDeny, nil, []string{"1", "y"}, "answer 7 tx accept"},
		"type":     {wire.NumberTyped2, nil, []string{"4", "x", "3", "backspace", "2", "enter"}, "answer 7 tx 42"},
		"the code": {wire.CodeShown6, []string{"123456"}, []string{"y"}, "answer 7 tx 123456"},
	} {
		f := &fake{rings: []phone.Ring{{TxID: "tx", Mode: c.mode, Items: c.items, State: phone.Ringing}, {TxID: "old", State: phone.Answered}}}
		m := newModel(busy().hub, f, renderer(false))
		press(m, append([]string{"t", "7", "enter"}, c.keys...)...)
		if want := []string{"take 7", c.want}; !slices.Equal(f.said, want) {
			t.Errorf("%s: told %q, want %q\n%s", name, f.said, want, m.View())
		}
		if !strings.Contains(m.View(), "sent ") {
			t.Errorf("%s: nothing says that it was sent:\n%s", name, m.View())
		}
	}
	f := &fake{rings: []phone.Ring{{TxID: "tx", Mode: wire.NumberMatching2, Items: []string{"13"}, State: phone.Ringing}}}
	m := newModel(busy().hub, f, renderer(false))
	press(m, "t", "7", "enter", "1")
	if !strings.Contains(m.View(), "not sent: the server is gone") {
		t.Errorf("an answer that fails:\n%s", m.View())
	}
	f.rings[0].State = phone.Expired
	press(m, "esc", "t", "7", "enter", "1", "d", "r")
	if f.said[len(f.said)-1] != "release 7" || m.held != 0 {
		t.Errorf("told %q", f.said)
	}
}

func TestEndOfTheRunEndsTheScreen(t *testing.T) {
	t.Parallel()
	s := busy()
	m := newModel(s.hub, &fake{}, renderer(false))
	s.take(event.Event{At: 13 * second, Kind: event.RunEnded, Text: "done"})
	_, cmd := m.Update(tickMsg{})
	if cmd == nil || m.quit {
		t.Fatal("it goes on")
	}
	if _, ok := cmd().(tea.QuitMsg); !ok {
		t.Error("it goes on")
	}
}

// lineWriter gives each line to a channel.
type lineWriter struct{ lines chan string }

func (w lineWriter) Write(p []byte) (int, error) {
	w.lines <- string(p)
	return len(p), nil
}

// Without a terminal there are lines: of each phase and fault at once, of the rest seldom.
func TestLinesWithoutATerminal(t *testing.T) {
	t.Parallel()
	s := begun()
	out := lineWriter{make(chan string)}
	ended := make(chan error, 1)
	go func() { ended <- Run(context.Background(), s.hub, &fake{}, strings.NewReader("q"), out) }()
	if got := <-out.lines; got != "preparing: 0 of 200 phones are ready\n" {
		t.Errorf("%q", got)
	}
	s.take(event.Event{Kind: event.RunStarted})
	if got := <-out.lines; got != "0  0 of 1000 logins, 0.0/s\n" {
		t.Errorf("%q", got)
	}
	for i := range 1000 { // says nothing
		s.take(event.Event{At: second, Kind: event.LoginDue, Login: i})
	}
	s.take(event.Event{At: 2 * second, Kind: event.LoginEnded, Login: 1, Took: second, Outcome: "failed", Wrong: "why?"})
	s.take(event.Event{At: 2 * second, Kind: event.RunEnded, Text: "interrupted"})
	if got := <-out.lines; got != "2s  1 of 1000 logins, 0.0/s, p95 1s, 1 wrong: interrupted\n" {
		t.Errorf("%q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestLinesComeAgainAndEndWithTheContext(t *testing.T) {
	t.Parallel()
	s := busy()
	out := lineWriter{make(chan string)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- lines(ctx, s.hub, out, time.Millisecond) }()
	for range 3 {
		if got := <-out.lines; !strings.Contains(got, "100 of 1000 logins") || !strings.Contains(got, "fault: push outage") || !strings.Contains(got, "10 wrong, 1 error") {
			t.Errorf("%q", got)
		}
	}
	cancel()
	for {
		select {
		case <-out.lines:
			continue
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		return
	}
}

func TestNoTerminalIsSeen(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if isTerminal(f) || isTerminal(&bytes.Buffer{}) {
		t.Error("a file is a terminal")
	}
}
