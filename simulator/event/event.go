package event

import (
	"encoding/json"
	"slices"
	"time"
)

// Kind says what a line tells.
type Kind string

// The kinds.
const (
	// RunBegun is the first line, and holds the Header.
	RunBegun Kind = "run_begun"
	// PhoneEnrolled tells that a phone is ready, or by Error that it is not.
	PhoneEnrolled Kind = "phone_enrolled"
	// RunStarted tells that all phones are ready: time 0.
	RunStarted Kind = "run_started"
	// LoginDue tells that a login should begin now. Name is what its person will do, Want the outcome that is right.
	LoginDue Kind = "login_due"
	// BrowserStep is one exchange of the login page with the server: Name, Took, Error.
	BrowserStep Kind = "browser_step"
	// PhoneStep is one thing that the phone did: Name, Took, Error, Text.
	PhoneStep Kind = "phone_step"
	// LoginEnded has Outcome, Want, Took since it was due, Queued, Text with the server's words and Wrong.
	LoginEnded Kind = "login_ended"
	// FaultOn tells that the fault called Name begins; Text describes it.
	FaultOn Kind = "fault_on"
	// FaultOff tells that it ends.
	FaultOff Kind = "fault_off"
	// World is an act upon the servers, such as the kill of a node: Name, Text, Error.
	World Kind = "world"
	// Sample holds gauges in Values, once a second of the wall clock: see the Gauge constants.
	Sample Kind = "sample"
	// Check is an assertion's result: Name, Passed, Text.
	Check Kind = "check"
	// Threshold is a threshold's result: Name ("login_duration: p(95)<500"), Passed, Text with the value found.
	Threshold Kind = "threshold"
	// RunEnded is the last line; Text says why: "done", "interrupted", "target unreachable: …", "aborted: …".
	RunEnded Kind = "run_ended"
)

// act is the part of a run that a line belongs to: before, during and after the logins.
func (k Kind) act() int {
	switch k {
	case RunBegun:
		return 0
	case PhoneEnrolled:
		return 1
	case RunStarted:
		return 2
	case Check:
		return 4
	case Threshold:
		return 5
	case RunEnded:
		return 6
	}
	return 3
}

// actor orders what the two sides of one login did at one instant.
func (k Kind) actor() int {
	switch k {
	case BrowserStep:
		return 1
	case PhoneStep:
		return 2
	case LoginEnded:
		return 3
	}
	return 0
}

// turn is the place of a phone's step among those of one instant; all others are in the order in which they came.
func (e Event) turn() int {
	if e.Kind != PhoneStep {
		return 0
	}
	return slices.Index([]string{"push_received", "duplicate", "fetched", "nothing_pending", "rang", "decided", "answered"}, e.Name)
}

// The gauges of a Sample.
const (
	GaugeFlying     = "logins_in_flight"
	GaugeRinging    = "phones_ringing"
	GaugeLag        = "lag_ms"     // by how much the simulator itself was late with an arrival, the most since the last sample
	GaugeCPU        = "cpu"        // of the simulator, in cores, since the last sample
	GaugeMemory     = "rss_mib"    // of the simulator
	GaugeGoroutines = "goroutines" // of the simulator
	GaugeServerCPU  = "server_cpu"
	GaugeServerRSS  = "server_rss_mib"
	GaugeServerGo   = "server_goroutines"
	GaugeHeap       = "heap_mib"        // what lives in the simulator, in a soak
	GaugeServerHeap = "server_heap_mib" // at which the servers' collectors set out next, in a soak: in step with what lives there
)

// The names of a PhoneStep that are the run's own; the others are package phone's.
const (
	// StepOffline tells that the phone was switched off, was lost, or has no network.
	StepOffline = "offline"
	// StepOnline tells that it is back.
	StepOnline = "online"
)

// Millis is a duration that is written as milliseconds with at most three decimals.
type Millis time.Duration

// MarshalJSON writes 1.25 for 1,250 µs.
func (m Millis) MarshalJSON() ([]byte, error) {
	return json.Marshal(float64(time.Duration(m).Microseconds()) / 1000)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Millis) UnmarshalJSON(text []byte) error {
	var v float64
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	*m = Millis(v * float64(time.Millisecond))
	return nil
}

// Event is one line. Zero fields are left out.
type Event struct {
	At      Millis             `json:"at"`
	Kind    Kind               `json:"kind"`
	Login   int                `json:"login,omitempty"` // from 1, in the order in which they were due
	Phone   int                `json:"phone,omitempty"` // from 1
	Name    string             `json:"name,omitempty"`
	Took    Millis             `json:"took,omitempty"`
	Queued  Millis             `json:"queued,omitempty"` // of Took: until the login began, as no user was free
	Outcome string             `json:"outcome,omitempty"`
	Want    string             `json:"want,omitempty"`
	Wrong   string             `json:"wrong,omitempty"` // why a login's end is wrong; "" is right
	Passed  bool               `json:"passed,omitempty"`
	Text    string             `json:"text,omitempty"`
	Error   string             `json:"error,omitempty"`
	Values  map[string]float64 `json:"values,omitempty"`
	Header  *Header            `json:"header,omitempty"`
}

// Header is what a run needs to be run again.
type Header struct {
	Format   int             `json:"format"` // of the log: 1
	Scenario string          `json:"scenario"`
	About    string          `json:"about,omitempty"`
	Seed     uint64          `json:"seed"`
	Clock    string          `json:"clock"`            // wall, virtual
	Server   string          `json:"server,omitempty"` // URL
	Started  time.Time       `json:"started"`          // a fixed time under the virtual clock
	Version  string          `json:"version,omitempty"`
	Phones   int             `json:"phones"`
	Logins   int             `json:"logins,omitempty"`  // that will be due; 0: as many as the time gives
	Lasts    Millis          `json:"lasts,omitempty"`   // for how long logins will be due; 0: unknown
	Command  string          `json:"command,omitempty"` // that runs it again, with its seed
	Spec     json.RawMessage `json:"spec,omitempty"`    // the scenario as it was resolved
}

// Format is the version of the log that this package writes.
const Format = 1

// Sink takes events, by several goroutines at once. It must not block for long: a run waits for it.
type Sink interface {
	Take(Event)
}

// Sinks hands each event to all of them.
type Sinks []Sink

// Take hands e on.
func (s Sinks) Take(e Event) {
	for _, one := range s {
		one.Take(e)
	}
}
