package fcm

import (
	"maps"
	"time"
)

const (
	demotionWindow = 7 * 24 * time.Hour
	maxUnseen      = 1000 // remembered of a device
)

// Device is the state of the phone behind an address, as far as it decides when a message arrives.
type Device struct {
	// Doze is Android's sleep: only what is of priority high arrives, all else waits until the phone wakes, or for a window of
	// maintenance.
	Doze bool `json:"doze"`
	// Demoted has priority high count as normal, whatever the messages before led to.
	Demoted bool `json:"demoted"`
}

// SetDevice says in what state the phone of an address is. The address need not be registered yet. A phone that wakes gets what waited.
func (d *Double) SetDevice(address string, v Device) error {
	if !validAddress(address) {
		return ErrAddress
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	box, err := d.open(address)
	if err != nil {
		return err
	}
	box.device = v
	d.release(box, false)
	d.log.signal()
	return nil
}

// Maintain gives a sleeping phone its window of maintenance: it gets what waited, if it is connected, and sleeps on.
func (d *Double) Maintain(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if box := d.addresses[address]; box != nil {
		d.release(box, true)
		d.log.signal()
	}
}

// Shown says that a message led to something that the person saw. One with a title or text does so by itself: the system shows it.
func (d *Double) Shown(address, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if box := d.addresses[address]; box != nil {
		delete(box.unseen, id)
	}
}

// dozes tells whether the phone sleeps. The caller holds the lock.
func (d *Double) dozes(box *mailbox) bool { return box.device.Doze || d.conditions.Doze }

// demotes tells whether priority high counts as normal. The caller holds the lock.
func (d *Double) demotes(box *mailbox, now time.Time) bool {
	maps.DeleteFunc(box.unseen, func(_ string, came time.Time) bool { return now.Sub(came) >= demotionWindow })
	return box.device.Demoted || d.conditions.DemoteAfter > 0 && len(box.unseen) >= d.conditions.DemoteAfter
}

// delivered remembers a message that has to lead to something seen.
func (b *mailbox) delivered(m Message, now time.Time) {
	if !m.High || m.Title != "" || m.Body != "" || len(b.unseen) >= maxUnseen {
		return
	}
	if b.unseen == nil {
		b.unseen = map[string]time.Time{}
	}
	b.unseen[m.ID] = now
}

// release brings what is stored to the connected phones, in order: all of it to one that is awake, or in a window of maintenance, and
// only what is of priority high to one that sleeps. The caller holds the lock.
func (d *Double) release(box *mailbox, maintenance bool) {
	now := d.o.Clock.Now()
	kept := box.stored[:0]
	for _, m := range box.stored {
		switch {
		case m.Expires.Before(now):
			m.record.Delivery = Expired
		case len(box.subs) == 0, d.dozes(box) && !maintenance && !m.High:
			kept = append(kept, m)
		default:
			d.give(box, m.Message, m.record, 1)
		}
	}
	clear(box.stored[len(kept):])
	box.stored = kept
}
