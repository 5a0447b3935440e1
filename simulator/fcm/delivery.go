package fcm

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

const (
	maxAddresses    = 200_000
	maxStored       = 100 // a device with more waiting loses them all, as in the original
	maxCollapseKeys = 4   // kept for one device
	subscriberRoom  = 16
)

// ErrAddress says that an address is malformed.
var ErrAddress = errors.New("fcm double: malformed address: 8 to 4096 letters, digits and :_-.%~")

// mailbox is one registered address.
type mailbox struct {
	dead   bool // unregistered: sends get 404
	script Script
	stored []storedMessage
	subs   map[*subscriber]struct{}
	device Device
	unseen map[string]time.Time // messages of priority high that showed nothing yet, by id: when they came
	quotas []bucket             // of the address, in the order of Conditions.DeviceQuotas
}

type storedMessage struct {
	Message
	record *Record
}

type subscriber struct{ c chan Message }

func (b *mailbox) disconnect() {
	for s := range b.subs {
		close(s.c)
	}
	clear(b.subs)
}

// Register makes an address known, so that sends to it are accepted. An empty address asks for a
// fresh one, as a newly installed app does. Registering a dead address revives it.
func (d *Double) Register(_ context.Context, address string) (string, error) {
	if address == "" {
		raw := make([]byte, 90)
		rand.Read(raw)
		text := base64.RawURLEncoding.EncodeToString(raw)
		address = text[:11] + ":" + text[11:]
	}
	if !validAddress(address) {
		return "", ErrAddress
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.open(address)
	return address, err
}

// open returns the live mailbox of address, making it if need be. The caller holds the lock.
func (d *Double) open(address string) (*mailbox, error) {
	box := d.addresses[address]
	if box == nil {
		if len(d.addresses) >= maxAddresses {
			return nil, fmt.Errorf("fcm double: more than %d addresses", maxAddresses)
		}
		box = &mailbox{subs: make(map[*subscriber]struct{})}
		d.addresses[address] = box
	}
	box.dead = false
	return box, nil
}

// Unregister makes an address dead, as deleting the app does: sends to it get 404 UNREGISTERED, its
// stored messages are gone and its phones are disconnected.
func (d *Double) Unregister(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	box := d.addresses[address]
	if box == nil {
		return
	}
	*box = mailbox{dead: true, subs: box.subs}
	box.disconnect()
}

// Subscribe connects a phone to its address, registering it: stored messages that live arrive
// first, in order, then new ones. The channel closes when ctx ends, the address is unregistered or
// the double closed. Two phones on one address both receive. A phone that leaves 16 messages
// unread loses the next ones.
func (d *Double) Subscribe(ctx context.Context, address string) (<-chan Message, error) {
	if !validAddress(address) {
		return nil, ErrAddress
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isClosed() {
		return nil, errors.New("fcm double: closed")
	}
	box, err := d.open(address)
	if err != nil {
		return nil, err
	}
	s := &subscriber{c: make(chan Message, subscriberRoom+len(box.stored))}
	box.subs[s] = struct{}{}
	d.release(box, false)
	d.log.signal()
	context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if _, connected := box.subs[s]; connected {
			delete(box.subs, s)
			close(s.c)
		}
	})
	return s.c, nil
}

// deliver records an accepted send and brings the message on its way.
func (d *Double) deliver(v verdict) {
	v.record.Status = 200
	d.mu.Lock()
	d.log.add(v.record)
	switch {
	case v.record.DryRun:
		v.record.Delivery = Validated
	case !v.to.device():
		v.record.Delivery = NoDevice
	case v.step.Lose:
		v.record.Delivery = Lost
	case v.delay > 0 && !d.isClosed():
		v.record.Delivery = Stored
		d.late.Add(1) // under the lock that Close takes before it waits
		go func() {
			defer d.late.Done()
			if d.wait(context.Background(), v.delay) {
				d.mu.Lock()
				d.hand(v)
				d.mu.Unlock()
			}
		}()
	default:
		d.hand(v)
	}
	d.log.signal()
	delivery := v.record.Delivery
	d.mu.Unlock()
	d.o.Log.Info("push accepted", "target", v.to.kind, "delivery", delivery)
}

// hand gives the message to the connected phones, or stores it. The caller holds the lock.
func (d *Double) hand(v verdict) {
	defer d.log.signal()
	now := d.o.Clock.Now()
	box := d.addresses[v.to.value]
	if box == nil || box.dead {
		v.record.Delivery = Dropped
		return
	}
	if v.message.Expires.Before(now) {
		v.record.Delivery = Expired
		return
	}
	if v.message.High && d.demotes(box, now) {
		v.message.High, v.message.Demoted, v.record.Demoted = false, true, true
	}
	sleeps := d.dozes(box) && !v.message.High
	if len(box.subs) == 0 || sleeps {
		d.store(box, v, now)
		if sleeps && v.record.Delivery == Stored {
			v.record.Delivery = Dozing
		}
		return
	}
	copies := 1
	if v.step.Twice {
		copies = 2
	}
	d.give(box, v.message, v.record, copies)
}

// give gives a message to the connected phones. The caller holds the lock.
func (d *Double) give(box *mailbox, m Message, record *Record, copies int) {
	now := d.o.Clock.Now()
	record.Delivery = Dropped
	for s := range box.subs {
		for range copies {
			select {
			case s.c <- m:
				record.Delivery, record.Delivered = Delivered, now
			default: // the phone does not read: it loses this one
			}
		}
	}
	if record.Delivery == Delivered {
		box.delivered(m, now)
	}
}

func (d *Double) store(box *mailbox, v verdict, now time.Time) {
	if !v.message.Expires.After(now) {
		v.record.Delivery = Expired // a time to live of 0: now or never
		return
	}
	keep := box.stored[:0]
	keys := map[string]bool{}
	for _, m := range box.stored {
		switch {
		case m.Expires.Before(now):
			m.record.Delivery = Expired
		case m.CollapseKey != "" && m.CollapseKey == v.message.CollapseKey:
			m.record.Delivery = Collapsed
		default:
			keys[m.CollapseKey] = true
			keep = append(keep, m)
		}
	}
	delete(keys, "")
	box.stored = keep
	if v.message.CollapseKey != "" && len(keys) >= maxCollapseKeys {
		d.dropOldestKey(box)
	}
	if len(box.stored) >= maxStored {
		for _, m := range box.stored {
			m.record.Delivery = Dropped
		}
		box.stored = nil
	}
	box.stored = append(box.stored, storedMessage{v.message, v.record})
	v.record.Delivery = Stored
}

// dropOldestKey makes room for a fifth collapse key. Which of the four is kept is not promised by
// the original; here the newest three are.
func (d *Double) dropOldestKey(box *mailbox) {
	for i, m := range box.stored {
		if m.CollapseKey != "" {
			m.record.Delivery = Dropped
			box.stored = append(box.stored[:i], box.stored[i+1:]...)
			return
		}
	}
}
