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

// Approve taps the item that the browser shows. In mode accept_deny it needs no screen.
func Approve(s *Screen) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		if r.Mode == wire.AcceptDeny {
			return wire.ItemAccept, nil
		}
		return s.read(ctx, p, r)
	}
}

// WrongNumber taps the first item that the browser does not show.
func WrongNumber(s *Screen) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		if r.Mode == wire.AcceptDeny {
			return wire.ItemDeny, nil
		}
		right, err := s.read(ctx, p, r)
		if err != nil {
			return "", err
		}
		for _, item := range r.Items {
			if item != right {
				return item, nil
			}
		}
		return "", errors.New("phone: every item is the right one")
	}
}

// Deny taps "no, it was not me".
func Deny(context.Context, *Phone, Ring) (string, error) { return wire.ItemDeny, nil }

// Ignore lets the phone ring.
func Ignore(context.Context, *Phone, Ring) (string, error) { return "", nil }

// Delay waits on the phone's clock before it acts as next.
func Delay(d time.Duration, next Behaviour) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		over, stop := p.o.Clock.After(d)
		defer stop()
		select {
		case <-over:
			return next(ctx, p, r)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// Screen is the browser's page as the person with the phone sees it: the browser side shows a
// number for a device, the phone side reads it. The zero value is ready.
type Screen struct {
	mu      sync.Mutex
	shown   map[string]string // item by device
	changed chan struct{}
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
	} else {
		s.shown[device] = item
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
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
	if !r.Expires.IsZero() {
		c, stop := p.o.Clock.After(r.Expires.Sub(p.o.Clock.Now()))
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
		if (r.Device == "" || r.Device == device) && slices.Contains(r.Items, item) {
			return item, nil
		}
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return "", s.changed
}
