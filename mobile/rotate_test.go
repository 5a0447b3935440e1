package mobile

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"countersign/mobile/wire"
)

// operate makes a request with a fresh nonce and proof, and gives status and text.
func (h *hand) operate(action string, body any) (int, string) {
	h.t.Helper()
	h.nonce = h.service.nonce(h.clock.now().Unix() / 60)
	raw, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	status, text, _ := h.send(action, "DPoP "+h.token, h.prove(http.MethodPost, h.url(action), raw), raw)
	return status, text
}

// proofOf is a proof by another key than the one that makes the request, over a thumbprint.
func (h *hand) proofOf(key *wire.Signer, action, thumbprint string) string {
	h.t.Helper()
	proof, err := key.Prove(wire.Request{Method: http.MethodPost, URL: h.url(action), Body: []byte(thumbprint), Token: h.token}, "", h.clock.now())
	if err != nil {
		h.t.Fatal(err)
	}
	return proof
}

// rotation are new keys for h, which next holds; the second changes too where next has one.
func (h *hand) rotation(next *hand) wire.Rotation {
	h.t.Helper()
	in := wire.Rotation{Keys: wire.EnrollmentKeys{Possession: h.jwk(next.signer.Key)}}
	in.PossessionProof = h.proofOf(next.signer, wire.ActionRotate, h.signer.Thumbprint)
	e := wire.Endorsement{
		Act: wire.ActRotate, Server: h.server.URL + "/", Device: h.device.String(), For: h.device.String(), Possession: next.signer.Thumbprint,
	}
	switch {
	case next.verifier != nil:
		in.Keys.UserVerification = h.jwk(next.verifier.Key)
		in.Keys.VerificationProof = h.proofOf(next.verifier, wire.ActionRotate, next.signer.Thumbprint)
		e.Verification = next.verifier.Thumbprint
	case next.passkey != nil:
		registration := created(next, wire.PasskeyChallenge(h.token, next.signer.Thumbprint))
		in.Keys.Passkey, e.Verification = &registration, next.passkey.Thumbprint
	default:
		return in
	}
	in.Endorsement, in.Verification = h.endorses(e)
	return in
}

// endorses signs an endorsement by the phone's best key.
func (h *hand) endorses(e wire.Endorsement) (string, *wire.PasskeyAssertion) {
	h.t.Helper()
	signer, use := h.signer, wire.UsePossession
	if h.verifier != nil {
		signer, use = h.verifier, wire.UseVerification
	}
	jws, err := signer.SignEndorsement(e, use)
	if err != nil {
		h.t.Fatal(err)
	}
	if h.passkey == nil {
		return jws, nil
	}
	return jws, h.asserts(jws)
}

// renewed is the phone with new keys in its store.
func (h *hand) renewed(verifier, passkey bool) *hand {
	next := *h
	next.signer, next.verifier, next.passkey = newSigner(h.t), nil, nil
	if verifier {
		next.verifier = newSigner(h.t)
	}
	if passkey {
		next.passkey = &wire.Authenticator{Signer: newSigner(h.t), Site: wire.SiteOf(h.server.URL)}
	}
	return &next
}

// T9: a phone changes its keys; whatever is lost on the way, it has keys that are good; and its owner hears of it.
func TestRotation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h, err := b.signing(b.user, b.demanding(AcceptVerified), true)
	if err != nil {
		t.Fatal(err)
	}
	// The phone loses the new keys before it used them: the old ones go on, also when the time of the new ones is over.
	lost := h.renewed(true, false)
	if status, text := h.operate(wire.ActionRotate, h.rotation(lost)); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := h.operate(wire.ActionCheckIn, info()); status != 204 {
		t.Errorf("the old key while the new one waits: %d %s", status, text)
	}
	b.clock.move(rotationWindow)
	if status, _ := lost.operate(wire.ActionCheckIn, info()); status != 401 {
		t.Errorf("new keys after their time: %d", status)
	}
	if status, text := h.operate(wire.ActionCheckIn, info()); status != 204 {
		t.Errorf("the old key after that: %d %s", status, text)
	}

	// It loses the reply, and sends the same again.
	next := h.renewed(true, false)
	in := h.rotation(next)
	for range 3 {
		if status, text := h.operate(wire.ActionRotate, in); status != 204 {
			t.Fatalf("again: %d %s", status, text)
		}
	}
	if n := value[int](b, `SELECT count(*) FROM events WHERE context->>'new_thumbprint' = $1`, next.signer.Thumbprint); n != 1 {
		t.Errorf("%d events of one rotation", n)
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_devices WHERE changed IS NOT NULL`); n != 0 {
		t.Error("the keys count as changed before they are used")
	}
	// The first use, which may be an answer, ends the old ones.
	tx := b.ask(h.device, b.user, b.service.Bus.Node())
	if status, text := next.answers("22"); status != 204 {
		t.Fatalf("an answer by the new keys: %d %s", status, text)
	}
	if got := value[string](b, `SELECT status || ' ' || signed FROM mobile_transactions WHERE tx_id = $1`, tx); got != "accept user_verification" {
		t.Errorf("the answer is %s", got)
	}
	if status, _ := h.operate(wire.ActionCheckIn, info()); status != 401 {
		t.Errorf("the old key after the new one was used: %d", status)
	}
	if status, _ := h.operate(wire.ActionRotate, h.rotation(lost)); status != 401 {
		t.Errorf("a rotation by the old key: %d", status)
	}
	if status, text := next.operate(wire.ActionCheckIn, info()); status != 204 {
		t.Errorf("the new key: %d %s", status, text)
	}
	if n := value[int](b, `SELECT count(*) FROM events WHERE context->>'signing_with' = 'replaced' AND context->>'thumbprint' = $1`, next.signer.Thumbprint); n != 1 {
		t.Errorf("%d events of the change", n)
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_keys WHERE device = $1`, h.device); n != 2 {
		t.Errorf("%d keys", n)
	}

	// The possession key alone, and then a passkey in place of the second.
	alone := next.renewed(false, false)
	alone.verifier = nil
	if status, text := next.operate(wire.ActionRotate, next.rotation(alone)); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	alone.verifier = next.verifier
	if status, text := alone.operate(wire.ActionCheckIn, info()); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	web := alone.renewed(false, true)
	if status, text := alone.operate(wire.ActionRotate, alone.rotation(web)); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	last := web.renewed(true, false)
	if status, text := web.operate(wire.ActionRotate, web.rotation(last)); status != 204 {
		t.Fatalf("from a passkey: %d %s", status, text)
	}
	if status, text := last.operate(wire.ActionCheckIn, info()); status != 204 {
		t.Errorf("%d %s", status, text)
	}
}

// G16: a phone that asks by itself may use its new keys for the first time by asking, and keeps them.
func TestAskingUsesNewKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h, err := b.signing(b.user, b.demanding(AcceptVerified), true)
	if err != nil {
		t.Fatal(err)
	}
	next := h.renewed(true, false)
	if status, text := h.operate(wire.ActionRotate, h.rotation(next)); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	if status := next.tries(http.MethodGet, wire.ActionPending, nil); status != http.StatusOK {
		t.Fatalf("asking with the new keys: %d", status)
	}
	b.clock.move(rotationWindow)
	next.nonce = b.service.nonce(b.clock.now().Unix() / 60)
	if status, text := next.operate(wire.ActionCheckIn, info()); status != 204 {
		t.Errorf("the new keys later: %d %s", status, text)
	}
}

// T15: whoever has the possession key alone makes himself no owner, and nobody's else's key gets in.
func TestRotationRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stage := b.demanding(AcceptSigned)
	h, err := b.signing(b.user, stage, true)
	if err != nil {
		t.Fatal(err)
	}
	one, err := b.signing(b.user, stage, false)
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.signing(b.makeUser("eve"), stage, true)
	if err != nil {
		t.Fatal(err)
	}
	next := h.renewed(true, false)
	change := func(f func(*wire.Rotation)) wire.Rotation {
		in := h.rotation(next)
		f(&in)
		return in
	}
	endorsed := func(by *hand, f func(*wire.Endorsement)) wire.Rotation {
		return change(func(in *wire.Rotation) {
			e := wire.Endorsement{Act: wire.ActRotate, Server: h.server.URL + "/", Device: h.device.String(), For: h.device.String(), Possession: next.signer.Thumbprint, Verification: next.verifier.Thumbprint}
			f(&e)
			in.Endorsement, _ = by.endorses(e)
		})
	}
	thief := *h
	thief.verifier = nil
	for name, x := range map[string]struct {
		in    wire.Rotation
		field string
	}{
		"no endorsement":        {change(func(in *wire.Rotation) { in.Endorsement = "" }), "endorsement"},
		"by the possession key": {endorsed(&thief, func(*wire.Endorsement) {}), "endorsement"},
		"by another phone":      {endorsed(other, func(*wire.Endorsement) {}), "endorsement"},
		"of other keys":         {endorsed(h, func(e *wire.Endorsement) { e.Verification = other.verifier.Thumbprint }), "endorsement"},
		"for another device":    {endorsed(h, func(e *wire.Endorsement) { e.For = other.device.String() }), "endorsement"},
		"of a transfer":         {endorsed(h, func(e *wire.Endorsement) { e.Act = wire.ActTransfer }), "endorsement"},
		"at another server":     {endorsed(h, func(e *wire.Endorsement) { e.Server = "https://login.evil/" }), "endorsement"},
		"no proof":              {change(func(in *wire.Rotation) { in.PossessionProof = "" }), "possession_proof"},
		"another's proof": {change(func(in *wire.Rotation) {
			in.PossessionProof = h.proofOf(other.signer, wire.ActionRotate, h.signer.Thumbprint)
		}), "possession_proof"},
		"proof over another key": {change(func(in *wire.Rotation) {
			in.PossessionProof = h.proofOf(next.signer, wire.ActionRotate, other.signer.Thumbprint)
		}), "possession_proof"},
		"the same key":           {change(func(in *wire.Rotation) { in.Keys.Possession = h.jwk(h.signer.Key) }), "possession"},
		"a private key":          {change(func(in *wire.Rotation) { in.Keys.Possession = []byte(`{"kty":"oct","k":"c2VjcmV0"}`) }), "possession"},
		"no proof of the second": {change(func(in *wire.Rotation) { in.Keys.VerificationProof = "" }), "user_verification_proof"},
		"two second keys":        {change(func(in *wire.Rotation) { in.Keys.Passkey = &wire.PasskeyRegistration{} }), "user_verification_passkey"},
	} {
		if status, text := h.operate(wire.ActionRotate, x.in); status != 400 || !strings.Contains(text, x.field) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, text := one.operate(wire.ActionRotate, one.rotation(one.renewed(true, false))); status != 400 || !strings.Contains(text, "cannot add") {
		t.Errorf("a phone with one key: %d %s", status, text)
	}
	taken := one.renewed(false, false)
	taken.signer = other.signer
	if status, text := one.operate(wire.ActionRotate, one.rotation(taken)); status != 400 || !strings.Contains(text, "in use") {
		t.Errorf("another's key: %d %s", status, text)
	}
	if status, _, _ := h.send(wire.ActionRotate, "Bearer "+h.token, "", []byte(`{}`)); status != 403 {
		t.Errorf("a token alone: %d", status)
	}
	stock, token := b.phone(b.user)
	if status, text := b.call(stock, wire.ActionRotate, token, h.rotation(next)); status != 400 {
		t.Errorf("a stock phone: %d %s", status, text)
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_keys WHERE pending_until IS NOT NULL`); n != 0 {
		t.Errorf("%d keys wait", n)
	}
}

// T11: a phone that was removed takes its new keys along, before and after their first use.
func TestRemovedPhoneHasNoNewKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h, err := b.signing(b.user, b.demanding(AcceptSigned), false)
	if err != nil {
		t.Fatal(err)
	}
	next := h.renewed(false, false)
	if status, text := h.operate(wire.ActionRotate, h.rotation(next)); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	b.exec(`DELETE FROM mobile_devices WHERE uuid = $1`, h.device)
	for _, one := range []*hand{h, next} {
		if status, _ := one.operate(wire.ActionCheckIn, info()); status != 403 {
			t.Errorf("after the removal: %d", status)
		}
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_keys`); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// Of two requests that are the new key's first, at once, both pass.
func TestRotationTakesPlaceOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h, err := b.signing(b.user, b.demanding(AcceptSigned), false)
	if err != nil {
		t.Fatal(err)
	}
	next := h.renewed(false, false)
	if status, text := h.operate(wire.ActionRotate, h.rotation(next)); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	got := make(chan bool, 8)
	for range cap(got) {
		go func() {
			adopted, err := b.service.adopt(t.Context(), h.device, next.signer.Thumbprint)
			got <- adopted && err == nil
		}()
	}
	for range cap(got) {
		if !<-got {
			t.Error("a request was refused")
		}
	}
	if n := value[int](b, `SELECT count(*) FROM events WHERE context->>'signing_with' = 'replaced'`); n != 1 {
		t.Errorf("%d events", n)
	}
	if adopted, err := b.service.adopt(t.Context(), uuid.New(), next.signer.Thumbprint); err == nil || adopted {
		t.Error("a device that is none")
	}
}
