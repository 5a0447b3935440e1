package phone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"countersign/mobile/wire"
)

// RotateKeys gives an account new keys of the kinds that it has, and uses them once, so that the old ones are void. When it
// fails the account goes on with the old ones.
func (p *Phone) RotateKeys(ctx context.Context, device string) error {
	a, err := p.signing(device)
	if err != nil {
		return err
	}
	next, err := newKeys(p.o, a.Server)
	if err != nil {
		return err
	}
	next.server, next.nonce = a.keys.server, a.keys.lastNonce()
	err = p.step(StepRotated, "", device, func() error {
		in, err := a.rotation(next, p)
		if err != nil {
			return err
		}
		if err := p.call(ctx, a, wire.ActionRotate, in, nil); err != nil {
			return err
		}
		renewed := a
		renewed.keys = next
		return p.call(ctx, renewed, wire.ActionCheckIn, p.Info(), nil)
	})
	if err != nil {
		return fmt.Errorf("rotate keys: %w", err)
	}
	p.change(device, func(a *Account) { a.keys = next })
	return nil
}

// signing is an account that has keys.
func (p *Phone) signing(device string) (Account, error) {
	for _, a := range p.Accounts() {
		if a.Device == device && a.keys != nil {
			return a, nil
		}
	}
	return Account{}, errors.New("phone: no account of that device has keys")
}

func (k *keys) lastNonce() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.nonce
}

// rotation is what brings the next keys in place of those of the account.
func (a Account) rotation(next *keys, p *Phone) (wire.Rotation, error) {
	var in wire.Rotation
	url, now := a.Server+wire.Path(a.Device, wire.ActionRotate), p.o.Clock.Now()
	brought, err := next.public(url, a.token, now)
	if err != nil {
		return in, err
	}
	if err := p.attest(next, a, brought); err != nil {
		return in, err
	}
	in.Keys = *brought
	in.PossessionProof, err = next.possession.Prove(wire.Request{
		Method: http.MethodPost, URL: url, Body: []byte(a.keys.possession.Thumbprint), Token: a.token,
	}, "", now)
	if err != nil || next.second() == "" {
		return in, err
	}
	in.Endorsement, in.Verification, err = a.keys.endorse(wire.Endorsement{
		Act: wire.ActRotate, Server: a.Server, Device: a.Device, For: a.Device, Possession: next.possession.Thumbprint, Verification: next.second(),
	})
	return in, err
}

// second is the thumbprint of the key that stands for the owner's finger, "" for none.
func (k *keys) second() string {
	switch {
	case k.passkey != nil:
		return k.passkey.Thumbprint
	case k.verification != nil:
		return k.verification.Thumbprint
	}
	return ""
}

// endorse signs an endorsement by the best of the keys.
func (k *keys) endorse(e wire.Endorsement) (jws string, _ *wire.PasskeyAssertion, err error) {
	if k.verification != nil {
		jws, err = k.verification.SignEndorsement(e, wire.UseVerification)
		return jws, nil, err
	}
	jws, err = k.possession.SignEndorsement(e, wire.UsePossession)
	if err != nil || k.passkey == nil {
		return jws, nil, err
	}
	assertion, err := k.passkey.Get(wire.AnswerChallenge(jws))
	return jws, &assertion, err
}

// public are the public keys as a request to a URL brings them, with the proof of the second one.
func (k *keys) public(url, token string, now time.Time) (*wire.EnrollmentKeys, error) {
	possession, err := json.Marshal(k.possession.Key)
	if err != nil {
		return nil, err
	}
	out := &wire.EnrollmentKeys{Possession: possession}
	if k.passkey != nil {
		registration, err := k.passkey.Create(wire.PasskeyChallenge(token, k.possession.Thumbprint))
		out.Passkey = &registration
		return out, err
	}
	if k.verification == nil {
		return out, nil
	}
	if out.UserVerification, err = json.Marshal(k.verification.Key); err != nil {
		return nil, err
	}
	out.VerificationProof, err = k.verification.Prove(wire.Request{
		Method: http.MethodPost, URL: url, Body: []byte(k.possession.Thumbprint), Token: token,
	}, "", now)
	return out, err
}
