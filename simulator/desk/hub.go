package desk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/simulator/event"
	"countersign/simulator/phone"
	"countersign/simulator/report"
)

const (
	rest       = time.Second / 4 // between two snapshots
	maxPhones  = 200_000
	maxFlying  = 50_000 // logins under way that are told one by one
	maxFaults  = 50
	maxNames   = 32 // outcomes, gauges
	keepFeed   = 30 // of pushes, and of errors
	sparkTime  = 60 // seconds
	rateTime   = 5  // seconds over which a rate is taken
	maxPending = 40 // in a snapshot
	maxText    = 300
)

// PhoneState is what a phone does.
type PhoneState byte

// The states of a phone, as a snapshot's grid writes them.
const (
	Absent    PhoneState = '.' // not enrolled yet
	Idle      PhoneState = 'i'
	Ringing   PhoneState = 'r'
	Answering PhoneState = 'a'
	Offline   PhoneState = 'x' // gone, or could not be enrolled
)

// Hub is an event.Sink that keeps how a run stands. It is safe for concurrent use.
type Hub struct {
	figures *report.Collector
	now     func() time.Time

	mu      sync.Mutex
	changed chan struct{} // nil: nobody waits
	taken   map[int]bool

	header   event.Header
	phase    string
	ended    string
	at       event.Millis // of the run
	phones   []PhoneState // by number - 1
	last     []byte       // the outcome that each phone had last: its letter
	names    []string     // outcomes
	outcomes map[string]int
	counts   Counts
	flying   map[int]*flight
	faults   []Fault
	pushes   feed
	errors   feed
	gauges   map[string]float64
	seconds  [sparkTime]second
	made     Snapshot
	madeAt   time.Time
}

type flight struct {
	phone   int
	person  string
	since   event.Millis
	step    string
	pending bool // its phone was asked
}

// second is what happened in one second of the run.
type second struct {
	number                    int
	due, done, errors, pushes int
}

// feed is the last few lines of a kind.
type feed struct{ lines []Line }

func (f *feed) add(l Line) {
	if len(f.lines) == keepFeed {
		f.lines = f.lines[1:]
	}
	f.lines = append(f.lines, l)
}

// newest are the lines, the newest first.
func (f *feed) newest() []Line {
	out := append([]Line{}, f.lines...)
	slices.Reverse(out)
	return out
}

// NewHub makes a hub for one run. figures is asked for percentiles; it is told the events by itself, before the hub. now is the
// wall clock; nil is the machine's.
func NewHub(figures *report.Collector, now func() time.Time) *Hub {
	if now == nil {
		now = time.Now
	}
	return &Hub{
		figures: figures, now: now, phase: Preparing, taken: map[int]bool{}, outcomes: map[string]int{}, flying: map[int]*flight{},
		gauges: map[string]float64{},
	}
}

// Take learns one event.
func (h *Hub) Take(e event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = max(h.at, e.At)
	switch e.Kind {
	case event.RunBegun:
		if e.Header != nil {
			h.header = *e.Header
			h.header.Spec = nil
		}
	case event.PhoneEnrolled:
		if e.Error == "" {
			h.set(e.Phone, Idle)
		} else {
			h.set(e.Phone, Offline)
			h.trouble(e, "phone", "enrolment")
		}
	case event.RunStarted:
		h.phase = Running
	case event.LoginDue:
		h.counts.Due++
		h.second(e.At).due++
		if len(h.flying) < maxFlying {
			h.flying[e.Login] = &flight{phone: e.Phone, person: e.Name, since: e.At}
		}
	case event.BrowserStep:
		h.browserStep(e)
	case event.PhoneStep:
		h.phoneStep(e)
	case event.LoginEnded:
		h.end(e)
	case event.FaultOn:
		if len(h.faults) < maxFaults {
			h.faults = append(h.faults, Fault{Name: e.Name, Text: short(e.Text), Since: e.At})
		}
		if e.Error != "" {
			h.trouble(e, "fault", e.Name)
		}
	case event.FaultOff:
		if i := slices.IndexFunc(h.faults, func(f Fault) bool { return f.Name == e.Name }); i >= 0 {
			h.faults = slices.Delete(h.faults, i, i+1)
		}
	case event.World:
		h.errors.add(Line{At: e.At, Kind: "world", Text: short(strings.TrimSpace(e.Name + " " + e.Text + " " + e.Error))})
	case event.Sample:
		for name, v := range e.Values {
			if _, known := h.gauges[name]; known || len(h.gauges) < maxNames {
				h.gauges[name] = v
			}
		}
	case event.Check, event.Threshold:
		if !e.Passed {
			h.errors.add(Line{At: e.At, Kind: "wrong", Text: short(string(e.Kind) + " " + e.Name + ": " + e.Text)})
		}
	case event.RunEnded:
		h.phase, h.ended = Ended, e.Text
	}
	h.tell()
}

// tell wakes who waits. The caller holds the lock.
func (h *Hub) tell() {
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// Changed is closed at the next change.
func (h *Hub) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	return h.changed
}

func (h *Hub) set(number int, s PhoneState) {
	if number < 1 || number > maxPhones {
		return
	}
	for len(h.phones) < number {
		h.phones, h.last = append(h.phones, Absent), append(h.last, letters[0])
	}
	h.phones[number-1] = s
}

func (h *Hub) browserStep(e event.Event) {
	f := h.flying[e.Login]
	if f != nil {
		f.step = e.Name
		f.pending = f.pending || e.Name == "select" && e.Error == ""
	}
	if e.Error != "" {
		h.trouble(e, "browser", e.Name)
	}
}

func (h *Hub) phoneStep(e event.Event) {
	if e.Error != "" {
		h.trouble(e, "phone", e.Name)
	}
	f := h.flying[e.Login]
	if f != nil {
		f.step, f.pending = e.Name, true
		if f.phone == 0 {
			f.phone = e.Phone
		}
	}
	switch e.Name {
	case phone.StepReceived:
		h.second(e.At).pushes++
		h.pushes.add(Line{At: e.At, Kind: "push", Phone: e.Phone, Login: e.Login, Took: e.Took, Text: short(e.Text)})
	case phone.StepRang:
		h.set(e.Phone, Ringing)
	case phone.StepDecided:
		h.set(e.Phone, Answering)
	case phone.StepAnswered, event.StepOnline:
		h.set(e.Phone, Idle)
	case event.StepOffline:
		h.set(e.Phone, Offline)
	}
}

func (h *Hub) end(e event.Event) {
	h.counts.Done++
	h.second(e.At).done++
	f := h.flying[e.Login]
	delete(h.flying, e.Login)
	number := e.Phone
	if number == 0 && f != nil {
		number = f.phone
	}
	if number >= 1 && number <= len(h.phones) {
		if s := h.phones[number-1]; s == Ringing || s == Answering {
			h.phones[number-1] = Idle
		}
		h.last[number-1] = h.letter(e.Outcome)
	}
	if _, known := h.outcomes[e.Outcome]; known || len(h.outcomes) < maxNames {
		h.outcomes[e.Outcome]++
	}
	if e.Wrong != "" {
		h.counts.Wrong++
		h.second(e.At).errors++
		h.errors.add(Line{At: e.At, Kind: "wrong", Phone: number, Login: e.Login, Text: short(e.Outcome + ", wanted " + e.Want + ": " + e.Wrong)})
	}
}

// letters stand for outcomes: the first for none, the others for those in names, in their order.
const letters = "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"

// letter is an outcome's; that of none where there are too many.
func (h *Hub) letter(outcome string) byte {
	i := slices.Index(h.names, outcome)
	if i < 0 {
		if len(h.names) == len(letters)-1 {
			return letters[0]
		}
		h.names = append(h.names, outcome)
		i = len(h.names) - 1
	}
	return letters[i+1]
}

func (h *Hub) trouble(e event.Event, who, step string) {
	h.counts.Errors++
	h.second(e.At).errors++
	h.errors.add(Line{At: e.At, Kind: "error", Phone: e.Phone, Login: e.Login, Text: short(fmt.Sprintf("%s %s: %s", who, step, e.Error))})
}

func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// second is that of a time of the run. A time that is long past counts as the oldest that is kept.
func (h *Hub) second(at event.Millis) *second {
	n := max(int(time.Duration(at)/time.Second), 0)
	n = max(n, int(time.Duration(h.at)/time.Second)-sparkTime+1)
	s := &h.seconds[n%sparkTime]
	if s.number != n {
		*s = second{number: n}
	}
	return s
}

// renew has the next snapshot made anew.
func (h *Hub) renew() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.madeAt = time.Time{}
	h.tell()
}

// take remembers that a person has a phone, or has it no more.
func (h *Hub) take(number int, taken bool) {
	h.mu.Lock()
	if taken {
		h.taken[number] = true
	} else {
		delete(h.taken, number)
	}
	h.mu.Unlock()
	h.renew()
}

// TakeOver takes over a phone by c; false when there is no such phone.
func (h *Hub) TakeOver(c Control, number int) bool {
	if !h.has(number) {
		return false
	}
	c.TakeOver(number)
	h.take(number, true)
	return true
}

// Release gives a phone back by c.
func (h *Hub) Release(c Control, number int) {
	c.Release(number)
	h.take(number, false)
}

func (h *Hub) has(number int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return number >= 1 && number <= len(h.phones) && h.phones[number-1] != Absent
}

// Taken are the phones that persons have.
func (h *Hub) Taken() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.taken))
}
