package inbox

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"countersign/simulator/clock"
	"countersign/simulator/fcm"
)

const (
	maxAddresses = 100_000
	maxStored    = 100 // for one address; the oldest goes
	maxFaults    = 1000
	room         = 16 // messages that a connected phone may leave unread
)

// Fault is what one send meets instead of success.
type Fault struct {
	Status     int          `json:"status,omitempty"`     // of the answer; 0 with Hang and Reset
	Reason     string       `json:"reason,omitempty"`     // the body's, where the protocol has one
	RetryAfter fcm.Duration `json:"retry_after,omitzero"` // in whole seconds
	Hang       bool         `json:"hang,omitempty"`       // no answer until the client gives up
	Reset      bool         `json:"reset,omitempty"`      // the connection is cut
	Lose       bool         `json:"lose,omitempty"`       // accepted, never delivered
}

// Record is one send.
type Record struct {
	Seq     uint64            `json:"seq"` // from 1, without gaps
	Time    time.Time         `json:"time"`
	Address string            `json:"address,omitempty"`
	Status  int               `json:"status"` // of the answer; 0 when cut or hung
	Reason  string            `json:"reason,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Plain   string            `json:"plain,omitempty"` // the message, decrypted
	Leaks   []string          `json:"leaks,omitempty"` // what of it must not be in a push
}

// Box is the service's state. It is safe for concurrent use.
type Box struct {
	clock   clock.Clock
	history int

	mu        sync.Mutex
	addresses map[string]*address
	faults    []Fault
	always    *Fault
	records   []Record
	seq       uint64
	changed   chan struct{}
	forbidden []string
}

type address struct {
	dead   bool
	fault  *Fault // what every send to it meets
	died   time.Time
	stored []stored
	phones map[chan fcm.Message]struct{}
}

type stored struct {
	fcm.Message
	key string
}

// New makes a box that remembers that many sends, 2000 for 0; a nil clock is the wall's.
func New(c clock.Clock, history int) *Box {
	if c == nil {
		c = clock.Wall{}
	}
	if history <= 0 {
		history = 2000
	}
	return &Box{clock: c, history: history, addresses: map[string]*address{}, changed: make(chan struct{})}
}

// Now is the time of the box's clock.
func (b *Box) Now() time.Time { return b.clock.Now() }

// Open makes an address known, also one that was dead.
func (b *Box) Open(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.addresses[name]; a != nil {
		a.dead, a.died = false, time.Time{}
		return nil
	}
	if len(b.addresses) >= maxAddresses {
		return errors.New("push double: too many addresses")
	}
	b.addresses[name] = &address{phones: map[chan fcm.Message]struct{}{}}
	return nil
}

// Unregister makes an address dead, as deleting the app does; its phones are disconnected.
func (b *Box) Unregister(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.addresses[name]; a != nil {
		a.dead, a.stored, a.died = true, nil, b.clock.Now()
		for phone := range a.phones {
			close(phone)
		}
		clear(a.phones)
	}
}

// Known reports whether messages to the address are taken; Dead whether it once was known.
func (b *Box) Known(name string) (known, dead bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.addresses[name]
	return a != nil && !a.dead, a != nil && a.dead
}

// Died is when an address was made dead; the zero time where it was not.
func (b *Box) Died(name string) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.addresses[name]; a != nil {
		return a.died
	}
	return time.Time{}
}

// Subscribe connects a phone: what is stored comes first. The channel closes with ctx or when the address dies. A phone that
// leaves 16 messages unread loses the next ones.
func (b *Box) Subscribe(ctx context.Context, name string) (<-chan fcm.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.addresses[name]
	if a == nil || a.dead {
		return nil, errors.New("push double: unknown address")
	}
	phone := make(chan fcm.Message, room+len(a.stored))
	for _, m := range a.stored {
		if b.clock.Now().Before(m.Expires) {
			phone <- m.Message
		}
	}
	a.stored = nil
	a.phones[phone] = struct{}{}
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, connected := a.phones[phone]; connected {
			delete(a.phones, phone)
			close(phone)
		}
	})
	return phone, nil
}

// Fail has the next sends meet these faults, one each.
func (b *Box) Fail(faults ...Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, faults...)
	if len(b.faults) > maxFaults {
		b.faults = b.faults[:maxFaults]
	}
}

// FailAlways has every send meet the fault that meets none of Fail's; nil ends that.
func (b *Box) FailAlways(f *Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.always = f
}

// FailAddress has every send to an address meet a fault; nil ends that.
func (b *Box) FailAddress(name string, f *Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.addresses[name]; a != nil {
		a.fault = f
	}
}

// Next takes the fault of a send to an address; nil for success. The address's own comes first.
func (b *Box) Next(name string) *Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.addresses[name]; a != nil && a.fault != nil {
		return a.fault
	}
	if len(b.faults) > 0 {
		f := b.faults[0]
		b.faults = b.faults[1:]
		return &f
	}
	return b.always
}

// Deliver brings an accepted message to the phones of an address, or stores it in place of one with the same key.
func (b *Box) Deliver(name, key string, m fcm.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.addresses[name]
	if a == nil || a.dead {
		return
	}
	m.ID, m.Sent = rand.Text(), b.clock.Now()
	if len(a.phones) > 0 {
		for phone := range a.phones {
			select {
			case phone <- m:
			default: // it does not read
			}
		}
		return
	}
	if !m.Sent.Before(m.Expires) {
		return // now or never
	}
	kept := a.stored[:0]
	for _, old := range a.stored {
		if (key == "" || old.key != key) && m.Sent.Before(old.Expires) {
			kept = append(kept, old)
		}
	}
	if len(kept) >= maxStored {
		kept = kept[1:]
	}
	a.stored = append(kept, stored{m, key})
}

// Stored is how many messages wait for a phone of the address.
func (b *Box) Stored(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.addresses[name]; a != nil {
		return len(a.stored)
	}
	return 0
}

// Note remembers a send.
func (b *Box) Note(r Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	r.Seq, r.Time = b.seq, b.clock.Now()
	if len(b.records) >= b.history {
		b.records = b.records[1:]
	}
	b.records = append(b.records, r)
	close(b.changed)
	b.changed = make(chan struct{})
}

// History is the sends, oldest first.
func (b *Box) History() []Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Record{}, b.records...)
}

// Await is the first send, remembered or to come, for which match is true.
func (b *Box) Await(ctx context.Context, match func(Record) bool) (Record, error) {
	for {
		b.mu.Lock()
		records, changed := append([]Record{}, b.records...), b.changed
		b.mu.Unlock()
		for _, r := range records {
			if match(r) {
				return r, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Record{}, ctx.Err()
		}
	}
}

// Reset forgets history, faults and stored messages; addresses and phones stay.
func (b *Box) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults, b.always, b.records = nil, nil, nil
	for _, a := range b.addresses {
		a.stored, a.fault = nil, nil
	}
}
