package engine

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/event"
	"countersign/simulator/fault"
	"countersign/simulator/maker"
	"countersign/simulator/phone"
	"countersign/simulator/scenario"
)

// provision makes the run's people, each with an enrolled phone. On an error the phones made so far are in r.people and still
// to be closed.
func (r *run) provision(ctx context.Context) error {
	for _, g := range r.s.Phones {
		for range g.Count {
			r.people = append(r.people, r.newPerson(len(r.people)+1, g))
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(provisioners)
	for _, p := range r.people {
		group.Go(func() error {
			err := r.enrol(ctx, p)
			e := event.Event{Kind: event.PhoneEnrolled, Phone: p.number, Name: p.group.Name, At: r.at(r.clock.Now())}
			if err != nil {
				e.Error = err.Error()
				r.take(e)
				return fmt.Errorf("provision %s: %w", p.name, err)
			}
			r.take(e)
			r.tally.add(countPhones, 1)
			return nil
		})
	}
	return group.Wait()
}

// newPerson makes a person of a group with a phone that is switched on and knows no server.
func (r *run) newPerson(number int, g scenario.Phones) *person {
	p := &person{number: number, name: fmt.Sprintf("%s%05d", r.o.Prefix, number), secret: "Simulated-phone-4711", group: g}
	o := phone.Options{
		Behaviour: p.behave, Stock: g.Kind == "stock", Clock: r.clock, OnStep: func(s phone.Step) { r.heard(p, s) },
		Signs: g.Kind == "signing" || g.Kind == "verifying" || g.Kind == "passkey", Verifies: g.Kind == "verifying" || g.Kind == "passkey",
		Passkey: g.Kind == "passkey", Attests: maker.Fault(g.Attests), Maker: r.maker,
		Info: wire.Info{AppVersion: g.App, Platform: wire.Platform(g.Platform)},
		HTTP: &http.Client{Transport: witness{r.hop("phone", number), p}},
		Skew: g.Skew, Fetch: phone.Fetch(g.Learns), Rand: bytesOf(r.o.Seed, "phone", number),
	}
	if r.target.push != nil && g.Learns == string(phone.ByPush) {
		o.Push = fault.NewSource(&r.board, r.target.push, r.clock, rng(r.o.Seed, "delivery", number))
	}
	p.phone = phone.New(o)
	return p
}

// hop is the transport of one phone or browser.
func (r *run) hop(name string, whose int) http.RoundTripper {
	if len(r.s.Faults) == 0 {
		return r.target.transport
	}
	return fault.NewTransport(&r.board, name, r.target.transport, r.clock, rng(r.o.Seed, name, whose))
}

func (r *run) enrol(ctx context.Context, p *person) error {
	id, err := r.target.admin.Create(ctx, p.name, p.secret)
	p.id = id
	if err != nil {
		return err
	}
	b, err := r.browser(p, scenario.Browser{Page: true}, r.target.transport)
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

// leave switches the phones off and, unless they are to stay or the server goes anyway, deletes the users.
func (r *run) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(provisioners)
	for _, p := range r.people {
		group.Go(func() error {
			p.phone.Close()
			if p.id == 0 || r.o.Keep || !r.target.lasting {
				return nil
			}
			return r.target.admin.Remove(ctx, p.id)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("remove users: %w", err)
	}
	return nil
}

// browser makes a browser of a person.
func (r *run) browser(p *person, how scenario.Browser, transport http.RoundTripper) (*browser.Browser, error) {
	return browser.New(browser.Options{
		Base: r.target.base, Transport: transport, Clock: r.clock, LoginFlow: r.s.Target.LoginFlow, SetupFlow: r.s.Target.SetupFlow,
		NoPage: !how.Page, Reconnect: how.Reconnect, OnItem: p.screen.Show, Code: p.screen.Code,
		OnStep: func(s browser.Step) {
			if onStep := p.onStep.Load(); onStep != nil {
				(*onStep)(s)
			}
		},
		OnPushFailed: func(string) {
			if p.group.OpensApp && !p.lost.Load() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				// What it finds, or does not, shows in the login's outcome.
				_ = p.phone.Refresh(ctx)
			}
		},
	})
}
