package phone

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"countersign/mobile/wire"
)

// keys are those of one account. A real phone keeps the private ones in its hardware.
type keys struct {
	possession, verification *signer             // verification may be nil
	passkey                  *wire.Authenticator // in place of verification
	server                   wire.Key            // by which the phone knows its server
	random                   io.Reader           // of further keys

	mu    sync.Mutex
	nonce string // the server's last
	lost  bool   // the keys are out of reach: nothing can be proved or signed
}

// newKeys makes what the options ask for, for the server with that base URL.
func newKeys(o Options, server string) (*keys, error) {
	k := &keys{random: o.Rand}
	var err error
	if k.possession, err = newSigner(o.Rand); err != nil || !o.Verifies {
		return k, err
	}
	if k.verification, err = newSigner(o.Rand); err == nil && o.Passkey {
		k.passkey, k.verification = &wire.Authenticator{Signer: k.verification.Signer, Site: wire.SiteOf(server)}, nil
	}
	return k, err
}

// fingerprint is what the phone shows after an enrolment by a token: from its own keys and the server's.
func (k *keys) fingerprint(device, token, salt string) (string, error) {
	b := wire.Binding{Device: device, TokenHash: wire.HashToken(token), Possession: k.possession.Thumbprint, Server: k.server.Thumbprint, Salt: salt}
	switch {
	case k.passkey != nil:
		b.Verification = k.passkey.Signer.Thumbprint
	case k.verification != nil:
		b.Verification = k.verification.Thumbprint
	}
	return b.Fingerprint()
}

// signer is a key with its private half, for what no key in hardware would sign.
type signer struct {
	*wire.Signer
	private steady
}

// steady is a key whose signatures follow from what is signed (RFC 6979), so that a run can be repeated.
type steady struct{ *ecdsa.PrivateKey }

// Sign takes no randomness.
func (k steady) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(nil, digest, o)
}

// newSigner makes a key of the randomness that it is given, and of nothing else: ecdsa.GenerateKey takes its own.
func newSigner(random io.Reader) (*signer, error) {
	for range maxDraws {
		scalar := make([]byte, 32)
		if _, err := io.ReadFull(random, scalar); err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
		if err != nil { // no number below the order of the curve, which hardly ever happens
			continue
		}
		signs, err := wire.NewSigner(steady{private})
		return &signer{signs, steady{private}}, err
	}
	return nil, errors.New("make key: the randomness gives none")
}

const maxDraws = 100

// gone tells whether the keys are out of reach.
func (k *keys) gone() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost
}

// prove adds the proof of the possession key to a request, with the token bound to it once there is one.
func (k *keys) prove(r *http.Request, action string, body []byte, token string, now time.Time) error {
	if k.gone() { // the app that came back from a backup still has its token
		return nil
	}
	proof, err := k.possession.Prove(wire.Request{Method: r.Method, URL: r.URL.String(), Body: body, Token: token}, k.lastNonce(), now)
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

// enrol takes the account's token, and brings its keys if it has some.
func (p *Phone) enrol(ctx context.Context, a Account, reply *wire.EnrollmentCallback) error {
	body := wire.Enrollment{DeviceUID: a.UID, Info: p.Info()}
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
