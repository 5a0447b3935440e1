package phone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"countersign/mobile/wire"
)

// Offer begins to move an account to another phone, and gives the text of the QR code for it.
func (p *Phone) Offer(ctx context.Context, device string) ([]byte, error) {
	t, err := p.OfferTransfer(ctx, device)
	if err != nil {
		return nil, err
	}
	return json.Marshal(t.Payload)
}

// OfferTransfer is Offer, with all that the old phone may show: the payload, the link, its picture and its code.
func (p *Phone) OfferTransfer(ctx context.Context, device string) (wire.Transfer, error) {
	t, err := p.transfer(ctx, device, http.MethodPost, wire.ActionTransfer, nil, struct{}{})
	if err == nil && t.Payload == nil {
		err = errors.New("phone: the server offers nothing")
	}
	return t, err
}

// Arrived is the new phone, once it has taken the offer, and the fingerprint that is on both screens: this one makes it from the keys
// that it is about to vouch for. The server holds each look.
func (p *Phone) Arrived(ctx context.Context, device string) (seen wire.Transfer, fingerprint string, err error) {
	a, err := p.signing(device)
	if err != nil {
		return seen, "", err
	}
	for {
		seen, err = p.transfer(ctx, device, http.MethodGet, wire.ActionTransfer, hold, nil)
		if err != nil || seen.State != wire.TransferOffered {
			break
		}
		if err := p.pause(ctx, time.Second); err != nil {
			return seen, "", err
		}
	}
	if err != nil || seen.State != wire.TransferArrived {
		return seen, "", err
	}
	fingerprint, err = seen.Binding(a.keys.server.Thumbprint).Fingerprint()
	return seen, fingerprint, err
}

// hold has the server hold a look at what other people do.
var hold = url.Values{"wait": {"25"}}

// Move is an account on its way to another phone.
type Move struct {
	wire.Transfer
	Fingerprint string `json:"fingerprint,omitempty"` // to compare, once the new phone has come
	Error       string `json:"error,omitempty"`       // why it broke off

	give context.CancelFunc // up waiting for the new phone
}

// moveLimit is longer than any server keeps an offer.
const moveLimit = 15 * time.Minute

// StartMove offers an account and waits beside the caller for the new phone: Account.Move tells how far it is.
func (p *Phone) StartMove(ctx context.Context, device string) error {
	offered, err := p.OfferTransfer(ctx, device)
	if err != nil {
		return err
	}
	waiting, give := context.WithTimeout(p.ctx, moveLimit)
	begun := &Move{Transfer: offered, give: give}
	p.setMove(device, nil, begun)
	p.spawn(func() {
		defer give()
		next := &Move{}
		var err error
		if next.Transfer, next.Fingerprint, err = p.Arrived(waiting, device); err != nil {
			next.Error = err.Error()
		}
		p.setMove(device, begun, next)
	})
	return nil
}

// setMove changes how far a move is, unless it is no longer where it was; was nil stands for wherever.
func (p *Phone) setMove(device string, was, is *Move) {
	p.change(device, func(a *Account) {
		if was != nil && a.Move != was {
			return
		}
		if a.Move != nil && a.Move.give != nil {
			a.Move.give()
		}
		a.Move = is
	})
}

// FinishMove approves the new phone that came, whose fingerprint the person has compared.
func (p *Phone) FinishMove(ctx context.Context, device string) error {
	a, _ := p.accountOf(Ring{Device: device})
	was := a.Move
	if was == nil || was.State != wire.TransferArrived {
		return errors.New("phone: no new phone has come")
	}
	if err := p.Hand(ctx, device, was.Transfer, true); err != nil {
		return err
	}
	is := *was
	is.State = wire.TransferApproved
	p.setMove(device, was, &is)
	return nil
}

// StopMove gives a move up, or puts away what became of it.
func (p *Phone) StopMove(ctx context.Context, device string) error {
	a, _ := p.accountOf(Ring{Device: device})
	was := a.Move
	if was == nil {
		return nil
	}
	p.setMove(device, was, nil)
	if was.Error != "" || was.State == wire.TransferApproved || was.State == wire.TransferNone {
		return nil
	}
	return p.Withdraw(ctx, device)
}

// Hand approves the new phone, whose fingerprint the person has compared. This one is removed when that one has approved a login,
// or else after the stage's overlap.
func (p *Phone) Hand(ctx context.Context, device string, seen wire.Transfer, atFirstUse bool) error {
	a, err := p.signing(device)
	if err != nil {
		return err
	}
	in := wire.Approval{AtFirstUse: atFirstUse}
	in.Endorsement, in.Verification, err = a.keys.endorse(wire.Endorsement{
		Act: wire.ActTransfer, Server: a.Server, Device: a.Device, For: seen.Device, Possession: seen.Possession, Verification: seen.Verification,
	})
	if err != nil {
		return err
	}
	_, err = p.transfer(ctx, device, http.MethodPost, wire.ActionApprove, nil, in)
	return err
}

// Withdraw gives up the move.
func (p *Phone) Withdraw(ctx context.Context, device string) error {
	_, err := p.transfer(ctx, device, http.MethodDelete, wire.ActionTransfer, nil, nil)
	return err
}

func (p *Phone) transfer(ctx context.Context, device, method, action string, query url.Values, body any) (wire.Transfer, error) {
	var t wire.Transfer
	a, err := p.signing(device)
	if err != nil {
		return t, err
	}
	err = p.step(StepTransfer, "", device, func() error {
		status, reply, err := p.callHeld(ctx, a, method, action, query, body)
		switch {
		case err != nil:
			return err
		case status == http.StatusNoContent:
			return nil
		case status != http.StatusOK:
			return statusError(status, reply)
		}
		return json.Unmarshal(reply, &t)
	})
	if err != nil {
		return t, fmt.Errorf("transfer: %w", err)
	}
	return t, nil
}

// Settle waits until whoever has to has confirmed an account whose Fingerprint is on the screen, and then tells the server all
// about the phone. It has nothing to do for an account that nobody has to confirm. Errors: the account was refused, or given up.
func (p *Phone) Settle(ctx context.Context, device string) error {
	if a, found := p.accountOf(Ring{Device: device}); found && a.Confirmed {
		return nil
	}
	a, err := p.signing(device)
	if err != nil {
		return err
	}
	for {
		var reply wire.EnrollmentStatus
		status, text, err := p.callHeld(ctx, a, http.MethodPost, wire.ActionStatus, hold, struct{}{})
		if err == nil && status != http.StatusOK {
			err = statusError(status, text)
			p.change(device, func(a *Account) { a.Refused = err.Error() })
		}
		if err == nil {
			err = json.Unmarshal(text, &reply)
		}
		if err != nil {
			return fmt.Errorf("wait for confirmation: %w", err)
		}
		if reply.Status == wire.Success {
			break
		}
		if err := p.pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return p.begin(ctx, a)
}

// SettleLater does what Settle does beside the caller.
func (p *Phone) SettleLater(device string) {
	p.spawn(func() {
		if err := p.Settle(p.ctx, device); err != nil {
			p.o.Log.Warn("the account was not confirmed", "device", device, "error", err)
		}
	})
}

// pause waits on the phone's clock.
func (p *Phone) pause(ctx context.Context, d time.Duration) error {
	over, stop := p.o.Clock.After(d)
	defer stop()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
