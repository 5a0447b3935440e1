package phone_test

import (
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/maker"
	"countersign/simulator/phone"
	"countersign/simulator/standin"
)

// A phone that asks, or has a socket, needs no push, and rings for what comes and what is over.
func TestFetchWithoutPushes(t *testing.T) {
	t.Parallel()
	for _, fetch := range []phone.Fetch{phone.ByPoll, phone.BySocket} {
		for _, signs := range []bool{false, true} {
			b := setup(t, standin.Options{PushFails: true}, phone.Options{Fetch: fetch, Signs: signs})
			for range 2 {
				tx, right := b.server.Ask("ada")
				b.await(t, func(r phone.Ring) bool { return r.TxID == tx && r.State == phone.Ringing })
				newer, _ := b.server.Ask("ada")
				b.await(t, func(r phone.Ring) bool { return r.TxID == newer && r.State == phone.Ringing })
				if r := b.await(t, func(r phone.Ring) bool { return r.TxID == tx && r.State != phone.Ringing }); r.State != phone.Gone {
					t.Errorf("%s: the older ring is %+v", fetch, r)
				}
				if err := b.phone.Answer(b.ctx, newer, wire.ItemDeny); err != nil || b.server.AnswerTo(newer) != wire.ItemDeny || right == "" {
					t.Errorf("%s, signs %t: %v", fetch, signs, err)
				}
			}
		}
	}
}

// Two ways to learn of a prompt make one ring.
func TestPushAndSocketRingOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{Fetch: phone.BySocket})
	b.stepped(t, phone.StepConnected)
	b.server.Ask("ada")
	b.stepped(t, phone.StepReceived)
	b.await(t, ringing)
	if n := len(b.phone.Rings()); n != 1 {
		t.Errorf("%d rings", n)
	}
}

func TestConnectionComesBackWithTheNetwork(t *testing.T) {
	t.Parallel()
	for _, fetch := range []phone.Fetch{phone.ByPoll, phone.BySocket} {
		b := setup(t, standin.Options{PushFails: true}, phone.Options{Fetch: fetch})
		b.phone.SetNetwork(phone.Offline)
		tx, _ := b.server.Ask("ada")
		b.phone.SetNetwork(phone.Online)
		b.await(t, func(r phone.Ring) bool { return r.TxID == tx })
	}
}

// forbidden refuses what is asked of an action.
type forbidden struct {
	action string
	tries  atomic.Int32
}

func (f *forbidden) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/"+f.action+"/") {
		return http.DefaultTransport.RoundTrip(r)
	}
	f.tries.Add(1)
	return &http.Response{StatusCode: http.StatusForbidden, Status: "403 Forbidden", Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func TestPhoneThatIsSentAwayStaysAway(t *testing.T) {
	t.Parallel()
	away := &forbidden{action: wire.ActionPending}
	b := setup(t, standin.Options{}, phone.Options{Fetch: phone.ByPoll, HTTP: &http.Client{Transport: away}})
	if s := b.stepped(t, phone.StepHungUp); !strings.Contains(s.Error, "does not want") {
		t.Errorf("%+v", s)
	}
	b.phone.Close() // which waits for the phone's loops: none waits for the clock
	if n := away.tries.Load(); n != 1 {
		t.Errorf("%d tries", n)
	}
}

// A phone says that the prompt is on its screen, if it is one that does.
func TestReceipts(t *testing.T) {
	t.Parallel()
	for _, receipts := range []bool{true, false} {
		b := setup(t, standin.Options{}, phone.Options{Receipts: receipts, Signs: true, Behaviour: phone.Delay(time.Minute/2, phone.Deny)})
		tx, _ := b.server.Ask("ada")
		b.clock.Await(1) // the behaviour is at work
		if got := b.server.Displayed(tx); got != receipts {
			t.Errorf("receipts %t: displayed %t", receipts, got)
		}
	}
}

func TestMakerAttestsTheKeys(t *testing.T) {
	t.Parallel()
	m, err := maker.New()
	if err != nil {
		t.Fatal(err)
	}
	evidence := func(o phone.Options) *wire.Attestation {
		o.Signs = true
		b := setup(t, standin.Options{}, o)
		return b.server.Evidence(b.phone.Accounts()[0].Device)
	}
	if got := evidence(phone.Options{}); got != nil {
		t.Errorf("nobody attests %+v", got)
	}
	if got := evidence(phone.Options{Maker: m, Info: wire.Info{Platform: wire.IOS}}); got == nil || got.Format != wire.AppAttest || got.Object == "" {
		t.Errorf("an iPhone brings %+v", got)
	}
	issuer := func(fault maker.Fault) string {
		got := evidence(phone.Options{Maker: m, Attests: fault})
		if got == nil || got.Format != wire.AndroidKey || len(got.Chain) < 2 {
			t.Fatalf("%s: an Android phone brings %+v", fault, got)
		}
		der, err := base64.StdEncoding.DecodeString(got.Chain[0])
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Issuer.CommonName
	}
	for _, fault := range []maker.Fault{maker.Good, maker.Software, maker.Rooted} {
		if got := issuer(fault); got != "Simulated Batch" {
			t.Errorf("%s: attested by %q", fault, got)
		}
	}
	if got := issuer(maker.Revoked); got != "Simulated Leaked Batch" {
		t.Errorf("attested by %q", got)
	}
}
