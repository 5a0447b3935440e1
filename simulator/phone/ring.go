package phone

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/fcm"
)

// State is where a ring stands.
type State string

// The states of a ring; all but Ringing are final.
const (
	Ringing  State = "ringing"
	Answered State = "answered" // the server took the answer
	Gone     State = "gone"     // the server no longer waits: answered elsewhere, superseded or over
	Expired  State = "expired"  // time ran out on the phone
	Failed   State = "failed"   // the answer did not get through
)

// Ring is one prompt on the phone.
type Ring struct {
	TxID        string            `json:"tx_id"`
	Device      string            `json:"device"` // the account's; empty on a stock phone with several accounts
	Server      string            `json:"server"`
	Mode        wire.Mode         `json:"mode"`
	Items       []string          `json:"items"`
	Transaction *wire.Transaction `json:"transaction,omitempty"` // what is to be approved, as it was signed; nil: a login
	Context     wire.Context      `json:"context"`               // zero on a stock phone
	Title       string            `json:"title,omitempty"`
	Body        string            `json:"body,omitempty"`
	Created     time.Time         `json:"created,omitzero"`
	Received    time.Time         `json:"received"`
	Expires     time.Time         `json:"expires,omitzero"` // zero: unknown, on a stock phone
	State       State             `json:"state"`
	Answer      string            `json:"answer,omitempty"`
	Wrong       int               `json:"wrong,omitempty"` // numbers that the server said were typed wrong
	Ended       time.Time         `json:"ended,omitzero"`
	Error       string            `json:"error,omitempty"`

	serial uint64
	digest string        // of what was signed by the server
	sent   wire.Response // the last answer that went out
}

// Code is what the phone shows for the person to type in the browser, "" where it shows none.
func (r Ring) Code() string {
	if r.Mode.Shows() && len(r.Items) == 1 {
		return r.Items[0]
	}
	return ""
}

// receive handles pushes, a few at a time, until the connection ends.
func (p *Phone) receive(messages <-chan fcm.Message) {
	for m := range messages {
		select {
		case p.handling <- struct{}{}:
		case <-p.ctx.Done():
			return
		}
		handle := func() {
			defer func() { <-p.handling }()
			p.arrive(m)
		}
		if !p.spawn(handle) {
			return
		}
	}
}

// arrive handles a push that came to the phone, as its network and its battery let it.
func (p *Phone) arrive(m fcm.Message) {
	late, ok := p.reaches(m)
	if ok && late > 0 {
		if p.pause(p.ctx, late) != nil {
			return
		}
		_, ok = p.reaches(m)
	}
	if !ok {
		p.note(Step{Name: StepMissed, TxID: m.Data["tx_id"]})
		return
	}
	p.pushed(m)
}

// pushed handles one push message.
func (p *Phone) pushed(m fcm.Message) {
	push, err := wire.ParsePush(m.Data)
	if err != nil {
		p.note(Step{Name: StepIgnored, Detail: err.Error()})
		return
	}
	p.note(Step{Name: StepReceived, TxID: push.TxID, Detail: string(push.Kind), Took: p.o.Clock.Now().Sub(m.Sent)})
	switch {
	case push.Kind == wire.Challenge:
		r := Ring{TxID: push.TxID, Mode: push.Mode, Items: push.Items, Title: m.Title, Body: m.Body}
		if accounts := p.Accounts(); len(accounts) == 1 {
			r.Device, r.Server = accounts[0].Device, accounts[0].Server
		}
		p.ring(r)
	case p.o.Stock:
		p.note(Step{Name: StepIgnored, TxID: push.TxID, Detail: "a stock phone cannot fetch"})
	case !p.claim(push.TxID):
		p.note(Step{Name: StepDuplicate, TxID: push.TxID})
	default:
		p.wake(push.TxID)
		p.mu.Lock()
		delete(p.waking, push.TxID)
		p.mu.Unlock()
	}
}

// wake fetches the prompt that a push announced. The push does not say whose it is, so that each
// account is asked until one has it.
func (p *Phone) wake(tx string) {
	ctx, cancel := context.WithTimeout(p.ctx, callLimit)
	defer cancel()
	for _, a := range p.Accounts() {
		fresh, list, err := p.fetch(ctx, a, nil)
		if err != nil {
			continue // noted; another account may still have it
		}
		for _, r := range fresh {
			p.behave(r)
		}
		if among(list, tx) {
			return
		}
	}
	p.note(Step{Name: StepNothing, TxID: tx})
}

// Refresh fetches the pending prompts of every account, as a person does who opens the app because
// no push came. Behaviours see what it finds. It returns the last error.
func (p *Phone) Refresh(ctx context.Context) error {
	var failed error
	for _, a := range p.Accounts() {
		fresh, _, err := p.fetch(ctx, a, nil)
		if err != nil {
			failed = err
		}
		p.behaveAll(fresh)
	}
	return failed
}

// fetch gets an account's pending prompts and puts the new ones on the phone.
func (p *Phone) fetch(ctx context.Context, a Account, query url.Values) (fresh []Ring, list []wire.Prompt, err error) {
	before := p.newest() // a ring that comes while the reply is on its way is not judged by it
	err = p.step(StepFetched, "", a.Device, func() error {
		status, body, err := p.callHeld(ctx, a, http.MethodGet, wire.ActionPending, query, nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return statusError(status, body)
		}
		pending, err := wire.ParsePending(body)
		list = pending.Pending
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return p.take(a, before, list), list, nil
}

// newest is the serial of the last ring.
func (p *Phone) newest() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.serial
}

// among tells whether a prompt is on a list.
func among(list []wire.Prompt, tx string) bool {
	return slices.ContainsFunc(list, func(one wire.Prompt) bool { return one.TxID == tx })
}

// take puts the new ones of an account's pending prompts on the phone. Rings up to the serial before that are no longer pending are
// over.
func (p *Phone) take(a Account, before uint64, list []wire.Prompt) (fresh []Ring) {
	p.mu.Lock()
	for _, r := range p.rings {
		if r.Device == a.Device && r.State == Ringing && r.serial <= before && !among(list, r.TxID) {
			r.State, r.Ended = Gone, p.o.Clock.Now()
		}
	}
	p.signal()
	p.mu.Unlock()
	for _, one := range list {
		digest := ""
		if a.keys != nil {
			signed := one
			var err error
			if one, digest, err = a.keys.server.CheckPrompt(signed.Challenge, a.Server, a.Device); err != nil {
				p.note(Step{Name: StepIgnored, TxID: signed.TxID, Device: a.Device, Detail: err.Error()})
				continue
			}
		}
		r := Ring{
			TxID: one.TxID, Device: a.Device, Server: a.Server, Mode: one.Mode, Items: one.Items,
			Context: one.Context, Transaction: one.Transaction, Created: one.Created, Expires: one.Expires, digest: digest,
		}
		if p.add(&r) {
			fresh = append(fresh, r)
		}
	}
	return fresh
}

// behaveAll lets the behaviour have rings, beside the caller.
func (p *Phone) behaveAll(fresh []Ring) {
	for _, r := range fresh {
		p.spawn(func() { p.behave(r) })
	}
}

// ring puts one prompt on the phone and lets the behaviour have it.
func (p *Phone) ring(r Ring) {
	if !p.add(&r) {
		p.note(Step{Name: StepDuplicate, TxID: r.TxID})
		return
	}
	p.behave(r)
}

// add remembers r as ringing; false when the phone has it already.
func (p *Phone) add(r *Ring) bool {
	r.Received, r.State = p.o.Clock.Now(), Ringing
	p.mu.Lock()
	if p.find(r.TxID) != nil {
		p.mu.Unlock()
		return false
	}
	if len(p.rings) >= maxRings {
		p.rings = slices.Delete(p.rings, 0, 1)
	}
	p.serial++
	r.serial = p.serial
	kept := *r
	p.rings = append(p.rings, &kept)
	p.signal()
	p.mu.Unlock()
	p.note(Step{Name: StepRang, TxID: r.TxID, Device: r.Device})
	return true
}

// behave shows a ring and lets the behaviour have it.
func (p *Phone) behave(r Ring) {
	if p.o.Receipts && !p.o.Stock {
		p.act(func(ctx context.Context) error { return p.display(ctx, r) })
	}
	p.mu.Lock()
	decide := p.behaviour
	p.mu.Unlock()
	if decide == nil {
		return
	}
	for range maxTries {
		item, err := decide(p.ctx, p, r)
		if err != nil {
			p.note(Step{Name: StepDecided, TxID: r.TxID, Device: r.Device, Error: err.Error()})
			return
		}
		if item == "" {
			return
		}
		p.note(Step{Name: StepDecided, TxID: r.TxID, Device: r.Device, Detail: item})
		if now, found := p.Ring(r.TxID); !found || now.State != Ringing {
			return
		}
		p.act(func(ctx context.Context) error { return p.Answer(ctx, r.TxID, item) })
		var found bool
		if r, found = p.Ring(r.TxID); !found || r.State != Ringing {
			return
		}
	}
}

// display tells the server that a ring is on the screen.
func (p *Phone) display(ctx context.Context, r Ring) error {
	a, found := p.accountOf(r)
	if !found {
		return errNoAccount
	}
	return p.step(StepDisplayed, r.TxID, r.Device, func() error { return p.call(ctx, a, wire.ActionDisplayed, wire.Displayed{TxID: r.TxID}, nil) })
}

// maxTries is more numbers than any server lets be typed wrong.
const maxTries = 10

// Rings are the prompts the phone remembers, newest first.
func (p *Phone) Rings() []Ring {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Ring, 0, len(p.rings))
	for _, r := range slices.Backward(p.rings) {
		p.expire(r)
		out = append(out, *r)
	}
	return out
}

// Ring returns the prompt tx.
func (p *Phone) Ring(tx string) (Ring, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.find(tx)
	if r == nil {
		return Ring{}, false
	}
	p.expire(r)
	return *r, true
}

// ends is when a ring is over by the phone's clock, zero if that is unknown. A clock by which the ring came before it was made, or
// after its end, is wrong, and then the ring has its whole time from when it came.
func (r Ring) ends() time.Time {
	if r.Created.IsZero() || !r.Received.Before(r.Created) && r.Received.Before(r.Expires) {
		return r.Expires
	}
	return r.Received.Add(r.Expires.Sub(r.Created))
}

// expire ends a ring whose time is over. The caller holds the lock.
func (p *Phone) expire(r *Ring) {
	end := r.ends()
	if r.State == Ringing && !end.IsZero() && !p.o.Clock.Now().Before(end) {
		r.State, r.Ended = Expired, end
	}
}

func (p *Phone) find(tx string) *Ring {
	for _, r := range slices.Backward(p.rings) {
		if r.TxID == tx {
			return r
		}
	}
	return nil
}

// claim takes the push for a prompt; false when the phone has the prompt, or fetches it already: a push may come twice at once.
func (p *Phone) claim(tx string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.find(tx) != nil || p.waking[tx] {
		return false
	}
	if p.waking == nil {
		p.waking = map[string]bool{}
	}
	p.waking[tx] = true
	return true
}

// AwaitRing returns the newest ring, present or to come, for which match is true.
func (p *Phone) AwaitRing(ctx context.Context, match func(Ring) bool) (Ring, error) {
	for {
		changed := p.Changed()
		for _, r := range p.Rings() {
			if match(r) {
				return r, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Ring{}, ctx.Err()
		}
	}
}
