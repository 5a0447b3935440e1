package phone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"countersign/mobile/wire"
)

// Offer begins to move an account to another phone, and gives the text of the QR code for it.
func (p *Phone) Offer(ctx context.Context, device string) ([]byte, error) {
	t, err := p.transfer(ctx, device, http.MethodPost, wire.ActionTransfer, struct{}{})
	if err != nil {
		return nil, err
	}
	if t.Payload == nil {
		return nil, errors.New("phone: the server offers nothing")
	}
	return json.Marshal(t.Payload)
}

// Arrived is the new phone, once it has taken the offer, and the fingerprint that is on both screens: this one makes it from the keys
// that it is about to vouch for.
func (p *Phone) Arrived(ctx context.Context, device string) (seen wire.Transfer, fingerprint string, err error) {
	a, err := p.signing(device)
	if err != nil {
		return seen, "", err
	}
	for {
		seen, err = p.transfer(ctx, device, http.MethodGet, wire.ActionTransfer, nil)
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
	_, err = p.transfer(ctx, device, http.MethodPost, wire.ActionApprove, in)
	return err
}

// Withdraw gives up the move.
func (p *Phone) Withdraw(ctx context.Context, device string) error {
	_, err := p.transfer(ctx, device, http.MethodDelete, wire.ActionTransfer, nil)
	return err
}

func (p *Phone) transfer(ctx context.Context, device, method, action string, body any) (wire.Transfer, error) {
	var t wire.Transfer
	a, err := p.signing(device)
	if err != nil {
		return t, err
	}
	err = p.step(StepTransfer, "", device, func() error {
		status, reply, err := p.Call(ctx, a, method, action, body)
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
	if i := slices.IndexFunc(p.Accounts(), func(a Account) bool { return a.Device == device }); i >= 0 && p.Accounts()[i].Fingerprint == "" {
		return nil
	}
	a, err := p.signing(device)
	if err != nil {
		return err
	}
	for {
		var reply wire.EnrollmentStatus
		if err := p.call(ctx, a, wire.ActionStatus, struct{}{}, &reply); err != nil {
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
