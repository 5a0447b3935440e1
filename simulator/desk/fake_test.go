package desk_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/event"
	"countersign/simulator/phone"
)

// fake is a run that only remembers what it was told.
type fake struct {
	mu     sync.Mutex
	paused bool
	said   []string
	rings  map[int][]phone.Ring
}

func (f *fake) say(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func (f *fake) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.said)
}

func (f *fake) set(paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = paused
}

func (f *fake) Pause()             { f.set(true); f.say("pause") }
func (f *fake) Resume()            { f.set(false); f.say("resume") }
func (f *fake) Step()              { f.say("step") }
func (f *fake) TakeOver(phone int) { f.say("take %d", phone) }
func (f *fake) Release(phone int)  { f.say("release %d", phone) }

func (f *fake) Paused() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.paused
}

func (f *fake) Ring(number int) []phone.Ring {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rings[number])
}

func (f *fake) Answer(number int, tx, item string) error {
	f.say("answer %d %s %s", number, tx, item)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rings[number] {
		if r := &f.rings[number][i]; r.TxID == tx {
			r.State, r.Answer, r.Ended = phone.Answered, item, time.Now()
			return nil
		}
	}
	return errors.New("no such ring")
}

func (f *fake) ring(number int, tx string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rings == nil {
		f.rings = map[int][]phone.Ring{}
	}
	f.rings[number] = append([]phone.Ring{{
		TxID: tx, Mode: wire.NumberMatching2, Items: []string{"17", "42", "63"}, State: phone.Ringing, Received: time.Now(),
		Context: wire.Context{Application: "Payroll"}, Expires: time.Now().Add(time.Minute),
	}}, f.rings[number]...)
}

const second = event.Millis(time.Second)

// started is the begin of a run with so many phones.
func started(phones, logins int) []event.Event {
	out := []event.Event{{Kind: event.RunBegun, At: -second, Header: &event.Header{
		Format: event.Format, Scenario: "morning", Seed: 7, Phones: phones, Logins: logins, Spec: []byte(`{"secret":"plan"}`),
	}}}
	for p := range phones {
		out = append(out, event.Event{Kind: event.PhoneEnrolled, At: -second, Phone: p + 1})
	}
	return append(out, event.Event{Kind: event.RunStarted})
}
