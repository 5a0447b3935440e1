package phone

import (
	"slices"
	"time"
)

// The names of steps.
const (
	StepEnrolled  = "enrolled"
	StepAddress   = "address_told"
	StepTransfer  = "transfer"
	StepRotated   = "keys_rotated"
	StepCheckedIn = "checked_in"
	StepReceived  = "push_received" // Took: since the push service accepted it
	StepMissed    = "push_missed"   // no network, or the app was killed
	StepConnected = "socket_opened"
	StepHungUp    = "hung_up" // by the server, or on the way: a poll, or a socket
	StepDisplayed = "displayed"
	StepFetched   = "fetched"
	StepRang      = "rang"
	StepDecided   = "decided"
	StepAnswered  = "answered"
	StepDuplicate = "duplicate"
	StepNothing   = "nothing_pending"
	StepIgnored   = "ignored"
)

// Step is one thing the phone did.
type Step struct {
	At     time.Time     `json:"at"` // when it ended
	Name   string        `json:"name"`
	TxID   string        `json:"tx_id,omitempty"`
	Device string        `json:"device,omitempty"`
	Detail string        `json:"detail,omitempty"`
	Took   time.Duration `json:"took,omitempty"` // of a call: until the reply was read
	Error  string        `json:"error,omitempty"`
}

// Timeline is what the phone did, oldest first; it remembers the last 1000 steps.
func (p *Phone) Timeline() []Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.steps)
}

func (p *Phone) note(s Step) {
	s.At = p.o.Clock.Now()
	p.mu.Lock()
	if len(p.steps) >= maxSteps {
		p.steps = slices.Delete(p.steps, 0, maxSteps/10)
	}
	p.steps = append(p.steps, s)
	p.signal()
	p.mu.Unlock()
	if p.o.OnStep != nil {
		p.o.OnStep(s)
	}
	p.o.Log.Debug("phone", "step", s.Name, "tx", s.TxID, "device", s.Device, "detail", s.Detail, "took", s.Took, "error", s.Error)
}

// step does one thing and notes it with its time.
func (p *Phone) step(name, tx, device string, do func() error) error {
	began := p.o.Clock.Now()
	err := do()
	s := Step{Name: name, TxID: tx, Device: device, Took: p.o.Clock.Now().Sub(began)}
	if err != nil {
		s.Error = err.Error()
	}
	p.note(s)
	return err
}
