package fcm

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Delivery is what became of an accepted message.
type Delivery string

// The deliveries.
const (
	Stored    Delivery = "stored"    // waits for the phone to connect
	Dozing    Delivery = "dozing"    // waits for the phone to wake
	Delivered Delivery = "delivered" // given to at least one connected phone
	Expired   Delivery = "expired"   // time to live over before the phone connected
	Collapsed Delivery = "collapsed" // replaced by a newer one with its collapse key
	Dropped   Delivery = "dropped"   // too many stored, phone not reading, or address gone
	Lost      Delivery = "lost"      // on command
	Validated Delivery = "validated" // validate_only
	NoDevice  Delivery = "no_device" // topic or condition: checked only
)

// Record is one call of messages:send.
type Record struct {
	Seq       uint64            `json:"seq"` // from 1, without gaps
	Time      time.Time         `json:"time"`
	Target    string            `json:"target,omitempty"`  // "token", "fid", "topic" or "condition"
	Address   string            `json:"address,omitempty"` // the target's value
	Status    int               `json:"status"`            // HTTP; 0 when cut or hung
	Error     Code              `json:"error,omitempty"`
	Name      string            `json:"name,omitempty"` // of an accepted message
	DryRun    bool              `json:"validate_only,omitempty"`
	Delivery  Delivery          `json:"delivery,omitempty"`
	Demoted   bool              `json:"demoted,omitempty"` // priority high, taken as normal
	Delivered time.Time         `json:"delivered,omitzero"`
	Protocol  string            `json:"protocol"`          // "HTTP/1.1" or "HTTP/2.0"
	Headers   map[string]string `json:"headers,omitempty"` // the SDK's marks
	Request   json.RawMessage   `json:"request,omitempty"` // the body, if it was JSON
	Leaks     []string          `json:"leaks,omitempty"`   // what of an accepted message must not be in a push: see package leak
}

// Filter selects records; zero fields select all.
type Filter struct {
	Address string
	After   uint64 // records with a greater Seq
	Limit   int    // the newest so many
}

// Forbid names texts that must not be in any message: names of users, numbers, secrets. Records tell of them.
func (d *Double) Forbid(texts ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forbidden = append(d.forbidden, texts...)
}

// history is a ring of records. Its owner's lock guards it.
type history struct {
	ring    []*Record
	next    uint64 // seq of the next record
	changed chan struct{}
}

func newHistory(size int) history {
	return history{ring: make([]*Record, size), next: 1, changed: make(chan struct{})}
}

func (h *history) add(r *Record) {
	r.Seq = h.next
	h.ring[h.next%uint64(len(h.ring))] = r
	h.next++
}

// signal wakes whoever awaits a change.
func (h *history) signal() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *history) clear() {
	clear(h.ring)
	h.signal()
}

// list copies what f selects.
func (h *history) list(f Filter) []Record {
	out := []Record{}
	for seq := h.next - min(h.next-1, uint64(len(h.ring))); seq < h.next; seq++ {
		r := h.ring[seq%uint64(len(h.ring))]
		if r == nil || seq <= f.After || f.Address != "" && r.Address != f.Address {
			continue
		}
		out = append(out, *r)
	}
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[len(out)-f.Limit:]
	}
	return out
}

// sdkHeaders are those by which a send tells which SDK made it.
// The list is read only.
var sdkHeaders = [...]string{"X-Firebase-Client", "X-Goog-Api-Format-Version", "X-Goog-Api-Client", "User-Agent"}

func (d *Double) newRecord(r *http.Request, now time.Time) *Record {
	rec := &Record{Time: now, Protocol: r.Proto, Headers: make(map[string]string, len(sdkHeaders))}
	for _, name := range sdkHeaders {
		if value := r.Header.Get(name); value != "" {
			rec.Headers[name] = value
		}
	}
	return rec
}

// conclude records a refused send.
func (d *Double) conclude(v verdict, code Code) {
	rule, _ := code.rule()
	v.record.Status, v.record.Error = rule.http, code
	d.mu.Lock()
	d.log.add(v.record)
	d.log.signal()
	d.mu.Unlock()
	d.o.Log.Info("push refused", "target", v.to.kind, "error", code)
}

// History returns the sends that f selects, oldest first.
func (d *Double) History(f Filter) []Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	return d.log.list(f)
}

// expire marks the stored messages whose time is over.
func (d *Double) expire() {
	now := d.o.Clock.Now()
	for _, box := range d.addresses {
		keep := box.stored[:0]
		for _, m := range box.stored {
			if m.Expires.Before(now) {
				m.record.Delivery = Expired
			} else {
				keep = append(keep, m)
			}
		}
		clear(box.stored[len(keep):])
		box.stored = keep
	}
}

// Await returns the first send, remembered or to come, for which match is true.
func (d *Double) Await(ctx context.Context, match func(Record) bool) (Record, error) {
	for {
		d.mu.Lock()
		records, changed := d.log.list(Filter{}), d.log.changed
		d.mu.Unlock()
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

// SetScript says what the next sends to address meet. The address need not be registered yet.
func (d *Double) SetScript(address string, s Script) error {
	if !validAddress(address) {
		return ErrAddress
	}
	if err := s.validate(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	box, err := d.open(address)
	if err != nil {
		return err
	}
	box.script = s
	return nil
}

// SetConditions says what every send meets from now on.
func (d *Double) SetConditions(c Conditions) error {
	if err := c.validate(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conditions = c
	d.quota = bucket{}
	for _, box := range d.addresses {
		box.quotas = nil
		d.release(box, false) // if phones do not doze any more
	}
	d.log.signal()
	return nil
}

// Reset forgets history, scripts, stored messages, conditions and the state of phones. Addresses, connected phones and
// bearer tokens stay.
func (d *Double) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conditions = Conditions{}
	d.quota = bucket{}
	for _, box := range d.addresses {
		box.script, box.stored, box.device, box.unseen, box.quotas = Script{}, nil, Device{}, nil, nil
	}
	d.log.clear()
}
