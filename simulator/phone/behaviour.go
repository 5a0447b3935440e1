package phone

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"countersign/mobile/wire"
)

// Behaviour decides what the person does with a ring: it returns the item to send, or "" to leave
// the ring alone. It may wait; ctx ends with the phone.
type Behaviour func(ctx context.Context, p *Phone, r Ring) (item string, err error)

// Approve taps the item that the browser shows, or types the number that it shows. In mode accept_deny it needs no screen, and
// where the phone shows a code it approves and puts the code on the screen's desk, for the browser to be typed into.
func Approve(s *Screen) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		switch {
		case r.Mode == wire.AcceptDeny:
			return wire.ItemAccept, nil
		case r.Mode.Shows():
			s.lay(r)
			return r.Code(), nil
		}
		return s.read(ctx, p, r)
	}
}

// Mistype types wrong numbers, so many, and then acts as next; where nothing is typed on the phone it acts as next at once.
func Mistype(times int, s *Screen, next Behaviour) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		if r.Wrong >= times || !r.Mode.Types() {
			return next(ctx, p, r)
		}
		return WrongNumber(s)(ctx, p, r)
	}
}

// WrongNumber taps the first item that the browser does not show, or types a number that it does not, as often as it is let. Where
// the phone shows a code it approves, and lays another code on the desk.
func WrongNumber(s *Screen) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		if r.Mode == wire.AcceptDeny {
			return wire.ItemDeny, nil
		}
		if r.Mode.Shows() {
			other := r
			other.Items = []string{bent(r.Code())}
			s.lay(other)
			return r.Code(), nil
		}
		right, err := s.read(ctx, p, r)
		if err != nil {
			return "", err
		}
		if r.Mode.Types() {
			return bent(right), nil
		}
		for _, item := range r.Items {
			if item != right {
				return item, nil
			}
		}
		return "", errors.New("phone: every item is the right one")
	}
}

// bent is another number of the same length.
func bent(number string) string {
	last := len(number) - 1
	return number[:last] + string('0'+(number[last]-'0'+1)%10)
}

// Deny taps "no, it was not me".
func Deny(context.Context, *Phone, Ring) (string, error) { return wire.ItemDeny, nil }

// Ignore lets the phone ring.
func Ignore(context.Context, *Phone, Ring) (string, error) { return "", nil }

// Report taps "no", and says that it was somebody else who asked. A phone without keys can only say no.
func Report(context.Context, *Phone, Ring) (string, error) { return ItemReport, nil }

// Delay waits on the phone's clock before it acts as next.
func Delay(d time.Duration, next Behaviour) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		if err := p.pause(ctx, d); err != nil {
			return "", err
		}
		return next(ctx, p, r)
	}
}

// Late decides as next at once, and sends the answer d after the ring's end; on a stock phone, which does not know the end, d after it
// came.
func Late(d time.Duration, next Behaviour) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		item, err := next(ctx, p, r)
		if err != nil || item == "" {
			return "", err
		}
		wait := d
		if end := r.ends(); !end.IsZero() { // which is signed in whole seconds: it is over for sure when one more has passed
			wait += end.Sub(p.o.Clock.Now()) + time.Second
		}
		if err := p.pause(ctx, wait); err != nil {
			return "", err
		}
		p.act(func(ctx context.Context) error { return p.Answer(ctx, r.TxID, item) })
		return "", nil
	}
}

// DoubleAnswer sends the answer of next in two requests at a time, as an app does that retries too soon.
func DoubleAnswer(next Behaviour) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		item, err := next(ctx, p, r)
		if err == nil && item != "" {
			p.act(func(ctx context.Context) error { return p.answerTwice(ctx, r.TxID, item) })
		}
		return "", err
	}
}

// OtherDevice has another device send the answer of next: an account of the phone other, or of this one for nil, which signs it in its
// own name. Without such an account the answer goes to the address of a device that is nobody's. The ring goes on.
func OtherDevice(other *Phone, next Behaviour) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		item, err := next(ctx, p, r)
		if err != nil || item == "" {
			return "", err
		}
		from := other
		if from == nil {
			from = p
		}
		a, found := from.other(r.Device)
		if !found {
			if a, found = p.accountOf(r); !found {
				return "", errNoAccount
			}
		}
		out, err := a.prepare(r, item)
		if err != nil {
			return "", err
		}
		if a.Device == r.Device {
			if out.Device, err = p.stranger(); err != nil {
				return "", err
			}
		}
		p.act(func(ctx context.Context) error {
			return p.step(StepAnswered, r.TxID, out.Device, func() error { return from.deliver(ctx, out) })
		})
		return "", nil
	}
}

// Replay answers the first ring as next does, and every later one by that answer.
func Replay(next Behaviour) Behaviour {
	var mu sync.Mutex
	var first string // its tx_id
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		mu.Lock()
		tx := first
		mu.Unlock()
		if tx != "" {
			earlier, _ := p.Sent(tx)
			p.act(func(ctx context.Context) error { return p.Forge(ctx, r.TxID, earlier.SelectedItem, Replayed(earlier)) })
			return "", nil
		}
		item, err := next(ctx, p, r)
		if err != nil || item == "" {
			return "", err
		}
		mu.Lock()
		first = r.TxID
		mu.Unlock()
		return item, nil
	}
}

// Screen is the browser's page as the person with the phone sees it: the browser side shows a
// number for a device, the phone side reads it; where the phone shows a code, it lays it down and the browser side takes it. The zero value is ready.
type Screen struct {
	mu      sync.Mutex
	shown   map[string]string // item by device
	desk    map[string]string // code by device
	changed chan struct{}
}

// lay puts the code that a phone shows where the browser's side finds it.
func (s *Screen) lay(r Ring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.desk == nil {
		s.desk = make(map[string]string)
	}
	s.desk[r.Device] = r.Code()
	s.signal()
}

// Code waits until the phone of a device shows a code and reads it, for browser.Options.Code. It is there until the page of the
// device is taken off.
func (s *Screen) Code(ctx context.Context, device string) (string, error) {
	for {
		s.mu.Lock()
		code := s.desk[device]
		changed := s.await()
		s.mu.Unlock()
		if code != "" {
			return code, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// signal tells whoever looks that something changed. The caller holds the lock.
func (s *Screen) signal() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// await is closed at the next change. The caller holds the lock.
func (s *Screen) await() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// Show puts the item for a device on the page; an empty one takes it off.
func (s *Screen) Show(device, item string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil {
		s.shown = make(map[string]string)
	}
	if item == "" {
		delete(s.shown, device)
		delete(s.desk, device)
	} else {
		s.shown[device] = item
	}
	s.signal()
}

// Shown is the item on the page for a device, "" if none.
func (s *Screen) Shown(device string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown[device]
}

// read waits until the page shows one of the ring's items, or the ring's time is over.
func (s *Screen) read(ctx context.Context, p *Phone, r Ring) (string, error) {
	var over <-chan time.Time
	if end := r.ends(); !end.IsZero() {
		c, stop := p.o.Clock.After(end.Sub(p.o.Clock.Now()))
		defer stop()
		over = c
	}
	for {
		item, changed := s.look(r)
		if item != "" {
			return item, nil
		}
		select {
		case <-changed:
		case <-over:
			return "", errors.New("phone: no page showed one of the numbers in time")
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (s *Screen) look(r Ring) (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for device, item := range s.shown {
		if (r.Device == "" || r.Device == device) && (slices.Contains(r.Items, item) || r.Mode.Types() && r.Mode.Fits(item)) {
			return item, nil
		}
	}
	return "", s.await()
}
