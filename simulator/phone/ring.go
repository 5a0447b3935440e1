package phone

import (
	"context"
	"errors"
	"net/http"
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
	digest string // of what was signed by the server
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
			p.pushed(m)
		}
		if !p.spawn(handle) {
			return
		}
	}
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
	case p.known(push.TxID):
		p.note(Step{Name: StepDuplicate, TxID: push.TxID})
	default:
		p.wake(push.TxID)
	}
}

// wake fetches the prompt that a push announced. The push does not say whose it is, so that each
// account is asked until one has it.
func (p *Phone) wake(tx string) {
	ctx, cancel := context.WithTimeout(p.ctx, callLimit)
	defer cancel()
	for _, a := range p.Accounts() {
		fresh, found, err := p.fetch(ctx, a, tx)
		if err != nil {
			continue // noted; another account may still have it
		}
		for _, r := range fresh {
			p.behave(r)
		}
		if found {
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
		fresh, _, err := p.fetch(ctx, a, "")
		if err != nil {
			failed = err
		}
		for _, r := range fresh {
			p.spawn(func() { p.behave(r) })
		}
	}
	return failed
}

// fetch gets an account's pending prompts and puts the new ones on the phone. Rings that are no
// longer pending are over. found says whether tx is among the prompts.
func (p *Phone) fetch(ctx context.Context, a Account, tx string) (fresh []Ring, found bool, err error) {
	p.mu.Lock()
	before := p.serial // a ring that comes while the reply is on its way is not judged by it
	p.mu.Unlock()
	var list wire.Pending
	err = p.step(StepFetched, tx, a.Device, func() error {
		status, body, err := p.Call(ctx, a, http.MethodGet, wire.ActionPending, nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return statusError(status, body)
		}
		list, err = wire.ParsePending(body)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	listed := func(tx string) bool {
		return slices.ContainsFunc(list.Pending, func(one wire.Prompt) bool { return one.TxID == tx })
	}
	p.mu.Lock()
	for _, r := range p.rings {
		if r.Device == a.Device && r.State == Ringing && r.serial <= before && !listed(r.TxID) {
			r.State, r.Ended = Gone, p.o.Clock.Now()
		}
	}
	p.signal()
	p.mu.Unlock()
	for _, one := range list.Pending {
		digest := ""
		if a.keys != nil {
			signed := one
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
	return fresh, listed(tx), nil
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

func (p *Phone) behave(r Ring) {
	if p.o.Behaviour == nil {
		return
	}
	for range maxTries {
		item, err := p.o.Behaviour(p.ctx, p, r)
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
		// The outcome is in the ring and in the timeline.
		p.answer(r.TxID, item)
		var found bool
		if r, found = p.Ring(r.TxID); !found || r.State != Ringing {
			return
		}
	}
}

// maxTries is more numbers than any server lets be typed wrong.
const maxTries = 10

// answer is Answer with a limit of its own.
func (p *Phone) answer(tx, item string) {
	ctx, cancel := context.WithTimeout(p.ctx, callLimit)
	defer cancel()
	_ = p.Answer(ctx, tx, item)
}

// Answer sends item, one of the ring's, a number that was typed, or wire.ItemDeny, whatever the ring's state: the server is
// the judge. A 404 is a [StatusError] and makes the ring Gone. So is a wrong number that was typed, which leaves the ring as it
// is while there are tries left, and makes it Failed with the last one.
func (p *Phone) Answer(ctx context.Context, tx, item string) error {
	r, found := p.Ring(tx)
	if !found {
		return errors.New("phone: no such ring")
	}
	err := p.step(StepAnswered, tx, r.Device, func() error { return p.respond(ctx, r, item) })
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.find(tx)
	if kept == nil || kept.State == Answered {
		return err
	}
	kept.Answer, kept.Ended = item, p.o.Clock.Now()
	var status *StatusError
	if errors.As(err, &status) && status.Refusal.Code == wire.WrongNumber {
		kept.Wrong++
		if status.Refusal.AttemptsLeft > 0 {
			kept.Ended = time.Time{}
			p.signal()
			return err
		}
	}
	switch {
	case err == nil:
		kept.State = Answered
	case errors.As(err, &status) && status.Status == http.StatusNotFound:
		kept.State = Gone
	default:
		kept.State, kept.Error = Failed, err.Error()
	}
	p.signal()
	return err
}

// ItemReport is an answer that says no, and that it was not the user who asked; of phones that sign.
const ItemReport = "report"

// respond posts the answer; a ring without an account is offered to each until one knows it.
func (p *Phone) respond(ctx context.Context, r Ring, item string) error {
	err := errors.New("phone: no account for this ring")
	for _, a := range p.Accounts() {
		if r.Device != "" && r.Device != a.Device {
			continue
		}
		body := wire.Response{TxID: r.TxID, SelectedItem: item}
		if a.keys != nil {
			if body.Signed, body.Verification, err = a.keys.answer(a, r, item); err != nil {
				return err
			}
		}
		if item == ItemReport {
			body.SelectedItem = wire.ItemDeny
		}
		err = p.call(ctx, a, wire.ActionResponse, body, nil)
		var status *StatusError
		if !errors.As(err, &status) || status.Status != http.StatusNotFound {
			return err
		}
	}
	return err
}

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

// expire ends a ring whose time is over. The caller holds the lock.
func (p *Phone) expire(r *Ring) {
	if r.State == Ringing && !r.Expires.IsZero() && !p.o.Clock.Now().Before(r.Expires) {
		r.State, r.Ended = Expired, r.Expires
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

func (p *Phone) known(tx string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.find(tx) != nil
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
