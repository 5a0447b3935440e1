package load

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

const provisioners = 8

// person is a user with a phone.
type person struct {
	id     int
	name   string
	secret string
	screen phone.Screen
	phone  *phone.Phone
	plan   atomic.Pointer[plan]
}

// plan is what a person will do in one login, and what was done.
type plan struct {
	kind   Kind
	tapped atomic.Pointer[tap]
}

type tap struct {
	item string
	at   time.Time
}

// behave is the phone's behaviour: the current plan's.
func (p *person) behave(ctx context.Context, ph *phone.Phone, r phone.Ring) (string, error) {
	current := p.plan.Load()
	if current == nil {
		return "", nil
	}
	item, err := current.kind.behaviour(&p.screen)(ctx, ph, r)
	if err == nil && item != "" {
		current.tapped.Store(&tap{item, ph.Now()})
	}
	return item, err
}

// provision makes the run's people, each with an enrolled phone. On an error the phones made so far
// are in r.people and still to be closed.
func (r *run) provision(ctx context.Context) error {
	r.people = make([]*person, r.o.Phones)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(provisioners)
	var done atomic.Int64
	for i := range r.people {
		p := &person{name: fmt.Sprintf("%s%05d", r.o.Prefix, i), secret: r.o.Password}
		p.phone = phone.New(phone.Options{
			Push: r.o.Push, Behaviour: p.behave, Stock: r.o.Stock, HTTP: &http.Client{Transport: r.transport, Timeout: callLimit},
			Clock: r.o.Clock, OnStep: r.phoneStep,
		})
		r.people[i] = p
		group.Go(func() error {
			if err := r.enrol(ctx, p); err != nil {
				return fmt.Errorf("provision %s: %w", p.name, err)
			}
			if n := done.Add(1); n%100 == 0 || int(n) == r.o.Phones {
				r.o.Progress(fmt.Sprintf("%d of %d phones enrolled", n, r.o.Phones))
			}
			return nil
		})
	}
	return group.Wait()
}

func (r *run) enrol(ctx context.Context, p *person) error {
	id, err := r.admin.Create(ctx, p.name, p.secret)
	p.id = id
	if err != nil {
		return err
	}
	b, err := r.browser(ctx, p, nil)
	if err != nil {
		return err
	}
	result, err := b.Login(ctx, p.name, p.secret)
	if err != nil {
		return err
	}
	if result.Outcome != browser.NoPhone {
		return fmt.Errorf("first login: %s: %s", result.Outcome, result.Detail)
	}
	device, err := b.EnrolPhone(ctx, func(ctx context.Context, qr []byte) (string, error) {
		account, err := p.phone.EnrolFromQR(ctx, qr)
		return account.Fingerprint, err
	})
	if err != nil {
		return err
	}
	return p.phone.Settle(ctx, device)
}

// leave switches the phones off and, unless they are to stay, deletes the users.
func (r *run) leave(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(provisioners)
	for _, p := range r.people {
		group.Go(func() error {
			p.phone.Close()
			if p.id == 0 || r.o.Keep {
				return nil
			}
			return r.admin.Remove(ctx, p.id)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("remove users: %w", err)
	}
	return nil
}
