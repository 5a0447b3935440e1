package phone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"countersign/mobile/wire"
)

// ItemReport is an answer that says no, and that it was not the user who asked; of phones that sign.
const ItemReport = "report"

// errNoAccount is of a ring for which the phone has no account.
var errNoAccount = errors.New("phone: no account for this ring")

// Attempt is one answer before it goes out: what the phone would send of itself. A [Malice] bends it.
type Attempt struct {
	Account  Account // by whose token and keys it is sent
	Device   string  // in its path
	Ring     Ring
	Response wire.Response
}

// Prepare makes the answer item to a ring and does not send it. A stock phone with several accounts takes the first.
func (p *Phone) Prepare(tx, item string) (*Attempt, error) {
	r, found := p.Ring(tx)
	if !found {
		return nil, errors.New("phone: no such ring")
	}
	a, found := p.accountOf(r)
	if !found {
		return nil, errNoAccount
	}
	return a.prepare(r, item)
}

// accountOf is the first account that a ring can be of.
func (p *Phone) accountOf(r Ring) (Account, bool) {
	for _, a := range p.Accounts() {
		if r.Device == "" || r.Device == a.Device {
			return a, true
		}
	}
	return Account{}, false
}

// stranger is the UUID of a device that nobody has.
func (p *Phone) stranger() (string, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(p.o.Rand, b); err != nil {
		return "", fmt.Errorf("name a device: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4 of RFC 9562 §5.4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// Send sends an attempt and returns what came back, of whatever status. The ring is left as it is; see [Phone.Forge].
func (p *Phone) Send(ctx context.Context, a *Attempt) (status int, reply []byte, err error) {
	to := a.Account
	to.Device = a.Device
	return p.Call(ctx, to, http.MethodPost, wire.ActionResponse, a.Response)
}

// deliver is Send, with an error for all but success, and remembers on the ring what went out.
func (p *Phone) deliver(ctx context.Context, a *Attempt) error {
	p.mu.Lock()
	if kept := p.find(a.Ring.TxID); kept != nil {
		kept.sent = a.Response
	}
	p.mu.Unlock()
	status, reply, err := p.Send(ctx, a)
	if err == nil && (status < 200 || status > 299) {
		err = statusError(status, reply)
	}
	return err
}

// Sent is the last answer that went out to a ring, as it was bent, if it was; false if there is none.
func (p *Phone) Sent(tx string) (wire.Response, bool) {
	r, _ := p.Ring(tx)
	return r.sent, r.sent.TxID != ""
}

// prepare makes the answer of an account, signed by its keys if it has some.
func (a Account) prepare(r Ring, item string) (*Attempt, error) {
	out := &Attempt{Account: a, Device: a.Device, Ring: r, Response: wire.Response{TxID: r.TxID, SelectedItem: item}}
	if item == ItemReport {
		out.Response.SelectedItem = wire.ItemDeny
	}
	if a.keys == nil || a.keys.gone() {
		return out, nil
	}
	var err error
	out.Response.Signed, out.Response.Verification, err = a.keys.answer(a, r, item)
	return out, err
}

// answer signs what the person chose: an approval by the key that asked for their finger, or with its assertion, if the phone
// has it.
func (k *keys) answer(a Account, r Ring, item string) (signed string, _ *wire.PasskeyAssertion, err error) {
	answer := wire.Answer{Server: a.Server, Device: a.Device, TxID: r.TxID, Digest: r.digest, Verb: wire.Approve, Item: item, Expires: r.Expires}
	if item == wire.ItemDeny {
		answer.Verb, answer.Item = wire.Deny, ""
	}
	if item == ItemReport {
		answer.Verb, answer.Item = wire.Report, ""
	}
	if answer.Verb == wire.Approve && k.verification != nil {
		signed, err = k.verification.SignAnswer(answer, wire.UseVerification)
		return signed, nil, err
	}
	signed, err = k.possession.SignAnswer(answer, wire.UsePossession)
	if err != nil || answer.Verb != wire.Approve || k.passkey == nil {
		return signed, nil, err
	}
	assertion, err := k.passkey.Get(wire.AnswerChallenge(signed))
	return signed, &assertion, err
}

// Answer sends item, one of the ring's, a number that was typed, [wire.ItemDeny] or [ItemReport], whatever the ring's state: the
// server is the judge. A 404 is a [StatusError] and makes the ring Gone. So is a wrong number that was typed, which leaves the ring
// as it is while there are tries left, and makes it Failed with the last one.
func (p *Phone) Answer(ctx context.Context, tx, item string) error {
	return p.settle(tx, item, func(r Ring) error {
		err := errNoAccount
		for _, a := range p.Accounts() { // a ring without an account is offered to each until one knows it
			if r.Device != "" && r.Device != a.Device {
				continue
			}
			var out *Attempt
			if out, err = a.prepare(r, item); err != nil {
				return err
			}
			err = p.deliver(ctx, out)
			var status *StatusError
			if !errors.As(err, &status) || status.Status != http.StatusNotFound {
				return err
			}
		}
		return err
	})
}

// Forge sends the answer item to a ring as each malice in turn has bent it. The ring ends as with [Phone.Answer].
func (p *Phone) Forge(ctx context.Context, tx, item string, malice ...Malice) error {
	return p.settle(tx, item, func(Ring) error {
		out, err := p.Prepare(tx, item)
		for _, bend := range malice {
			if err == nil {
				err = bend(out)
			}
		}
		if err != nil {
			return err
		}
		return p.deliver(ctx, out)
	})
}

// answerTwice sends one answer in two requests at a time: the better reply is the ring's.
func (p *Phone) answerTwice(ctx context.Context, tx, item string) error {
	return p.settle(tx, item, func(Ring) error {
		out, err := p.Prepare(tx, item)
		if err != nil {
			return err
		}
		var both [2]error
		var sending sync.WaitGroup
		for i := range both {
			sending.Go(func() { both[i] = p.deliver(ctx, out) })
		}
		sending.Wait()
		if both[0] == nil {
			return nil
		}
		return both[1]
	})
}

// settle answers a ring by do, and sets the ring's state by what came of it.
func (p *Phone) settle(tx, item string, do func(Ring) error) error {
	r, found := p.Ring(tx)
	if !found {
		return errors.New("phone: no such ring")
	}
	err := p.step(StepAnswered, tx, r.Device, func() error { return do(r) })
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

// act answers a ring for a behaviour, by one of the functions above: the outcome is in the ring and in the timeline.
func (p *Phone) act(do func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(p.ctx, callLimit)
	defer cancel()
	_ = do(ctx)
}

// other is an account of the phone that is not the device's; false if there is none.
func (p *Phone) other(device string) (Account, bool) {
	accounts := p.Accounts()
	i := slices.IndexFunc(accounts, func(a Account) bool { return a.Device != device })
	if i < 0 {
		return Account{}, false
	}
	return accounts[i], true
}
