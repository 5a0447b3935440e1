package phone

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"countersign/mobile/wire"
)

// keys are those of one account. A real phone keeps the private ones in its hardware.
type keys struct {
	possession, verification *wire.Signer        // verification may be nil
	passkey                  *wire.Authenticator // in place of verification
	server                   wire.Key            // by which the phone knows its server

	mu    sync.Mutex
	nonce string // the server's last
}

// newKeys makes what the options ask for, for the server with that base URL.
func newKeys(o Options, server string) (*keys, error) {
	k := &keys{}
	var err error
	if k.possession, err = newSigner(); err != nil || !o.Verifies {
		return k, err
	}
	if k.verification, err = newSigner(); err == nil && o.Passkey {
		k.passkey, k.verification = &wire.Authenticator{Signer: k.verification, Site: wire.SiteOf(server)}, nil
	}
	return k, err
}

// fingerprint is what the phone shows after an enrolment by a token: from its own keys and the server's.
func (k *keys) fingerprint(device, token, salt string) (string, error) {
	b := wire.Binding{Device: device, Token: token, Possession: k.possession.Thumbprint, Server: k.server.Thumbprint, Salt: salt}
	switch {
	case k.passkey != nil:
		b.Verification = k.passkey.Signer.Thumbprint
	case k.verification != nil:
		b.Verification = k.verification.Thumbprint
	}
	return b.Fingerprint()
}

func newSigner() (*wire.Signer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return wire.NewSigner(private)
}

// prove adds the proof of the possession key to a request, with the token bound to it once there is one.
func (k *keys) prove(r *http.Request, action string, body []byte, token string, now time.Time) error {
	k.mu.Lock()
	nonce := k.nonce
	k.mu.Unlock()
	proof, err := k.possession.Prove(wire.Request{Method: r.Method, URL: r.URL.String(), Body: body, Token: token}, nonce, now)
	if err != nil {
		return err
	}
	r.Header.Set(wire.ProofHeader, proof)
	if action != wire.ActionEnrol {
		r.Header.Set("Authorization", wire.ProofScheme+" "+token)
	}
	return nil
}

// remember takes the nonce of a reply, and tells whether the request is to be tried again with it.
func (k *keys) remember(res *http.Response) (stale bool) {
	nonce := res.Header.Get(wire.NonceHeader)
	if nonce == "" {
		return false
	}
	k.mu.Lock()
	k.nonce = nonce
	k.mu.Unlock()
	return res.StatusCode == http.StatusUnauthorized && strings.Contains(res.Header.Get("WWW-Authenticate"), "use_dpop_nonce")
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

// enrol takes the account's token, and brings its keys if it has some.
func (p *Phone) enrol(ctx context.Context, a Account, reply *wire.EnrollmentCallback) error {
	body := wire.Enrollment{DeviceUID: a.UID, Info: p.o.Info}
	if a.keys != nil {
		brought, err := a.keys.public(a.Server+wire.Path(a.Device, wire.ActionEnrol), a.token, p.o.Clock.Now())
		if err != nil {
			return err
		}
		if err := p.attest(a.keys, a, brought); err != nil {
			return err
		}
		body.Keys = brought
	}
	return p.call(ctx, a, wire.ActionEnrol, body, reply)
}
