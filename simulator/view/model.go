package view

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/charmbracelet/bubbles/cursor"
	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"countersign/mobile/wire"
	"countersign/simulator/desk"
	"countersign/simulator/phone"
)

// model is what the terminal shows.
type model struct {
	hub     *desk.Hub
	control desk.Control
	look    look

	width, height int
	now           desk.Snapshot
	paused        bool
	quit          bool

	asking bool            // for the number of a phone to take over
	input  textinput.Model // of that number, or of a number that is typed on the phone
	held   int             // the phone that is looked at, 0 for none
	rings  []phone.Ring    // its own, newest first
	note   string          // what the last key did
}

func newModel(hub *desk.Hub, control desk.Control, r *lipgloss.Renderer) *model {
	input := textinput.New()
	input.CharLimit, input.Width = 9, 10
	input.Prompt = ""
	input.Cursor.SetMode(cursor.CursorStatic)
	input.PromptStyle, input.TextStyle, input.PlaceholderStyle = r.NewStyle(), r.NewStyle(), r.NewStyle()
	m := &model{hub: hub, control: control, look: newLook(r), width: 80, height: 24, input: input}
	m.read()
	return m
}

type tickMsg struct{}

// sentMsg tells how an answer went.
type sentMsg struct {
	item string
	err  error
}

func tick() tea.Cmd { return tea.Tick(drawEvery, func(time.Time) tea.Msg { return tickMsg{} }) }

// Init starts the clock that draws.
func (m *model) Init() tea.Cmd { return tick() }

// read looks how the run stands.
func (m *model) read() {
	m.now, m.paused = m.hub.Snapshot(), m.control.Paused()
	if m.held > 0 {
		m.rings = m.control.Ring(m.held)
	}
}

// Update takes one message of Bubble Tea.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tickMsg:
		m.read()
		if m.now.Phase == desk.Ended {
			return m, tea.Quit
		}
		return m, tick()
	case sentMsg:
		m.note = "sent " + msg.item
		if msg.err != nil {
			m.note = "not sent: " + msg.err.Error()
		}
		m.read()
	case tea.KeyMsg:
		cmd := m.key(msg)
		m.read()
		return m, cmd
	}
	return m, nil
}

func (m *model) key(k tea.KeyMsg) tea.Cmd {
	name := k.String()
	if name == "ctrl+c" {
		m.quit = true
		return tea.Quit
	}
	m.note = ""
	switch {
	case m.asking:
		return m.keyAsking(k)
	case m.held > 0:
		return m.keyHolding(k)
	}
	switch name {
	case "q":
		m.quit = true
		return tea.Quit
	case "p":
		if m.control.Paused() {
			m.control.Resume()
		} else {
			m.control.Pause()
		}
	case "s":
		if !m.control.Paused() {
			m.note = "step: pause the run first"
			break
		}
		m.control.Step()
		m.note = "one more login begins"
	case "t":
		m.asking = true
		m.input.Reset()
		return m.input.Focus()
	}
	return nil
}

func (m *model) keyAsking(k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		m.asking = false
		return nil
	case "enter":
		m.asking = false
		number, err := strconv.Atoi(m.input.Value())
		m.input.Reset()
		if err != nil || !m.hub.TakeOver(m.control, number) {
			m.note = "there is no such phone"
			return nil
		}
		m.held = number
		return m.input.Focus()
	}
	return m.typed(k)
}

// typed gives digits and their correction to the input.
func (m *model) typed(k tea.KeyMsg) (cmd tea.Cmd) {
	for _, r := range k.Runes {
		if r < '0' || r > '9' {
			return nil
		}
	}
	m.input, cmd = m.input.Update(k)
	return cmd
}

// ringing is the newest prompt that waits.
func (m *model) ringing() (phone.Ring, bool) {
	i := slices.IndexFunc(m.rings, func(r phone.Ring) bool { return r.State == phone.Ringing })
	if i < 0 {
		return phone.Ring{}, false
	}
	return m.rings[i], true
}

func (m *model) keyHolding(k tea.KeyMsg) tea.Cmd {
	name := k.String()
	switch name {
	case "esc":
		m.held = 0
		m.input.Reset()
		return nil
	case "r":
		m.hub.Release(m.control, m.held)
		m.note = fmt.Sprintf("phone %d answers by itself again", m.held)
		m.held = 0
		return nil
	}
	r, waits := m.ringing()
	if !waits {
		return nil
	}
	if name == "d" {
		return m.send(r, wire.ItemDeny)
	}
	switch {
	case r.Mode.Types():
		if name == "enter" {
			item := m.input.Value()
			m.input.Reset()
			return m.send(r, item)
		}
		return m.typed(k)
	case r.Mode == wire.AcceptDeny:
		if name == "y" {
			return m.send(r, wire.ItemAccept)
		}
	case r.Mode.Shows():
		if name == "y" {
			return m.send(r, r.Code())
		}
	default:
		if i, err := strconv.Atoi(name); err == nil && i >= 1 && i <= len(r.Items) {
			return m.send(r, r.Items[i-1])
		}
	}
	return nil
}

// send answers beside the screen, which goes on.
func (m *model) send(r phone.Ring, item string) tea.Cmd {
	number := m.held
	return func() tea.Msg { return sentMsg{item, m.control.Answer(number, r.TxID, item)} }
}
