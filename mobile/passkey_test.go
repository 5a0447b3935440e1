package mobile

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"
	"github.com/google/uuid"

	"countersign/flows"
	"countersign/mobile/wire"
)

// browsing is a phone that is a web page and comes with a passkey; make makes the registration.
func (b *bench) browsing(owner int, stage uuid.UUID, make func(h *hand, challenge []byte) wire.PasskeyRegistration) (*hand, error) {
	b.t.Helper()
	invitation := b.invited(owner, stage)
	h := &hand{bench: b, server: b.server, device: uuid.MustParse(invitation.Device), token: invitation.Token, signer: newSigner(b.t)}
	h.passkey = &wire.Authenticator{Signer: newSigner(b.t), Site: wire.SiteOf(b.server.URL)}
	registration := make(h, wire.PasskeyChallenge(h.token, h.signer.Thumbprint))
	return h, h.enrol(&wire.EnrollmentKeys{Possession: b.jwk(h.signer.Key), Passkey: &registration})
}

func created(h *hand, challenge []byte) wire.PasskeyRegistration {
	h.t.Helper()
	out, err := h.passkey.Create(challenge)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// T12, T15: an answer of a phone's possession key counts as its owner's where the phone's passkey asserts just this answer, and
// never otherwise.
func TestPasskeyStandsForTheOwner(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	stage := l.demanding(AcceptVerified)
	h, err := l.browsing(l.user, stage, created)
	if err != nil {
		t.Fatal(err)
	}
	h.passkey.Counter = 1
	tab := l.tab()
	r := tab.send(map[string]any{"uid_field": "ada"})
	item := r.item(h.device)
	held := tab.held(l, askBody(h.device, item))
	good := h.response(item)
	refused := func(name string, r wire.Response) {
		t.Helper()
		if status, text := h.respond(r); status != 400 || !strings.Contains(text, `"user_verification"`) && !strings.Contains(text, `"signed_answer"`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	bare := good
	bare.Verification = nil
	refused("the possession key alone", bare)
	bare.Verification = &wire.PasskeyAssertion{}
	refused("nothing", bare)
	other := *h
	other.passkey = &wire.Authenticator{Signer: newSigner(t), Site: h.passkey.Site}
	bare.Verification = other.asserts(good.Signed)
	refused("another passkey", bare)
	bare.Verification = h.asserts(good.Signed + "A")
	refused("of another answer", bare)
	for name, f := range map[string]func(*wire.Authenticator){
		"another origin": func(a *wire.Authenticator) { a.Site.Origin = "https://login.evil" },
		"another rp":     func(a *wire.Authenticator) { a.Site.RP = "login.evil" },
		"unverified":     func(a *wire.Authenticator) { a.Unproven = true },
	} {
		one := *h.passkey
		f(&one)
		other.passkey = &one
		bare.Verification = other.asserts(good.Signed)
		refused(name, bare)
	}
	// The passkey signs no answers itself.
	direct := good
	direct.Verification = nil
	asked, err := l.service.asked(t.Context(), h.token, uuid.MustParse(good.TxID))
	if err != nil {
		t.Fatal(err)
	}
	server := h.server.URL + "/"
	digest, err := asked.prompt.Digest(server, h.device.String())
	if err != nil {
		t.Fatal(err)
	}
	direct.Signed, err = h.passkey.SignAnswer(wire.Answer{
		Server: server, Device: h.device.String(), TxID: good.TxID, Digest: digest, Verb: wire.Approve, Item: item, Expires: asked.prompt.Expires,
	}, wire.UseVerification)
	if err != nil {
		t.Fatal(err)
	}
	refused("a JWS of the passkey's key", direct)

	if n := value[int](l.bench, `SELECT count(*) FROM mobile_transactions WHERE status <> 'wait'`); n != 0 {
		t.Fatal("the question was answered")
	}
	if status, text := h.respond(good); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	if r := l.got(held); r.Component != flows.ComponentRedirect {
		t.Errorf("after the answer: %+v", r)
	}
	got := value[string](l.bench, `SELECT x.signed || ' ' || k.passkey_counter || ' ' || (e.context->>'signed') FROM mobile_transactions x, mobile_keys k, events e
		WHERE k.use = 'user_verification' AND e.action = $1`, actionApproved)
	if got != "user_verification 1 user_verification" {
		t.Errorf("stored: %s", got)
	}
	verified := value[*bool](l.bench, `SELECT (auth->'args'->'mfa_devices'->0->>'user_verified')::boolean FROM sessions WHERE user_id = $1`, l.user)
	if verified == nil || !*verified {
		t.Error("the session says nothing of it")
	}

	// A counter that went back ends the trust, and somebody hears of it. A refusal needs no finger.
	tab = l.tab()
	r = tab.begin("ada", h.device)
	h.passkey.Counter = 1
	refused("an old counter", h.response(r.item(h.device)))
	if n := value[int](l.bench, `SELECT count(*) FROM events WHERE action = 'suspicious_request' AND context->>'thumbprint' = $1`, h.passkey.Thumbprint); n != 1 {
		t.Errorf("%d events of a copied passkey", n)
	}
	if status, text := h.answers(wire.ItemDeny); status != 204 {
		t.Errorf("a refusal: %d %s", status, text)
	}
}

// A passkey is made for the enrolment that it comes to.
func TestEnrolmentRefusesBadPasskeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stage := b.demanding(AcceptVerified)
	altered := func(f func(*wire.Authenticator)) func(*hand, []byte) wire.PasskeyRegistration {
		return func(h *hand, challenge []byte) wire.PasskeyRegistration {
			f(h.passkey)
			return created(h, challenge)
		}
	}
	rsa := func(h *hand, challenge []byte) wire.PasskeyRegistration {
		return virtually(h, virtualwebauthn.KeyTypeRSA, challenge)
	}
	for name, make := range map[string]func(*hand, []byte) wire.PasskeyRegistration{
		"another token": func(h *hand, _ []byte) wire.PasskeyRegistration {
			return created(h, wire.PasskeyChallenge("token", h.signer.Thumbprint))
		},
		"another phone": func(h *hand, _ []byte) wire.PasskeyRegistration {
			return created(h, wire.PasskeyChallenge(h.token, h.passkey.Thumbprint))
		},
		"another origin":  altered(func(a *wire.Authenticator) { a.Site.Origin = "https://login.evil" }),
		"another rp":      altered(func(a *wire.Authenticator) { a.Site.RP = "login.evil" }),
		"unverified":      altered(func(a *wire.Authenticator) { a.Unproven = true }),
		"nobody there":    altered(func(a *wire.Authenticator) { a.Absent = true }),
		"the first again": func(h *hand, c []byte) wire.PasskeyRegistration { h.passkey.Signer = h.signer; return created(h, c) },
		"RSA":             rsa,
		"nothing":         func(*hand, []byte) wire.PasskeyRegistration { return wire.PasskeyRegistration{} },
		"no base64url": func(*hand, []byte) wire.PasskeyRegistration {
			return wire.PasskeyRegistration{ClientData: "!", Attestation: "!"}
		},
		"an assertion's": func(h *hand, c []byte) wire.PasskeyRegistration {
			out := created(h, c)
			assertion, err := h.passkey.Get(c)
			if err != nil {
				t.Fatal(err)
			}
			out.ClientData = assertion.ClientData
			return out
		},
	} {
		if _, err := b.browsing(b.user, stage, make); err == nil || !strings.Contains(err.Error(), "keys.user_verification_passkey") && !strings.Contains(err.Error(), `"user_verification_passkey"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_keys`); n != 0 {
		t.Errorf("%d keys are stored", n)
	}
	// Both kinds of second key are one too many.
	invitation := b.invited(b.user, stage)
	h := &hand{bench: b, server: b.server, device: uuid.MustParse(invitation.Device), token: invitation.Token, signer: newSigner(t)}
	if err := h.enrol(&wire.EnrollmentKeys{Possession: b.jwk(h.signer.Key), UserVerification: b.jwk(newSigner(t).Key), Passkey: &wire.PasskeyRegistration{}}); err == nil {
		t.Error("two second keys")
	}
}

// virtually has an authenticator that others wrote make a passkey.
func virtually(h *hand, kind virtualwebauthn.KeyType, challenge []byte) wire.PasskeyRegistration {
	h.t.Helper()
	at := wire.SiteOf(h.server.URL)
	const whole = 77 // bytes of a COSE key on P-256
	credential := virtualwebauthn.NewCredential(kind)
	for kind == virtualwebauthn.KeyTypeEC2 && len(credential.Key.AttestationData()) < whole { // it drops leading zeros, which RFC 9053 §7.1.1 forbids
		credential = virtualwebauthn.NewCredential(kind)
	}
	text := virtualwebauthn.CreateAttestationResponse(virtualwebauthn.RelyingParty{ID: at.RP, Origin: at.Origin}, virtualwebauthn.NewAuthenticator(),
		credential, virtualwebauthn.AttestationOptions{Challenge: challenge})
	var reply struct {
		Response struct {
			Client      string `json:"clientDataJSON"`
			Attestation string `json:"attestationObject"`
		} `json:"response"`
	}
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		h.t.Fatal(err)
	}
	return wire.PasskeyRegistration{ClientData: reply.Response.Client, Attestation: reply.Response.Attestation}
}

// What authenticators of others make is read as ours is.
func TestForeignPasskey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.browsing(b.user, b.demanding(AcceptVerified), func(h *hand, challenge []byte) wire.PasskeyRegistration {
		return virtually(h, virtualwebauthn.KeyTypeEC2, challenge)
	})
	if err != nil {
		t.Error(err)
	}
}

// The published examples of registrations hold, as far as CBOR goes.
func TestPasskeyVectors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("wire/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Key          wire.Key                  `json:"key"`
		Registration *wire.PasskeyRegistration `json:"registration"`
		Server       string                    `json:"server"`
		Token        string                    `json:"token"`
		Possession   string                    `json:"possession_thumbprint"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range all {
		if v.Registration == nil {
			continue
		}
		n++
		p, err := bringPasskey(*v.Registration, v.Token, wire.Key{Thumbprint: v.Possession}, wire.SiteOf(v.Server))
		if err != nil || p.Thumbprint != v.Key.Thumbprint || p.RP != "login.example" {
			t.Errorf("%+v %v", p, err)
		}
	}
	if n != 2 {
		t.Errorf("%d examples", n)
	}
}

// FuzzBringPasskey holds that no bytes of a browser end the server.
func FuzzBringPasskey(f *testing.F) {
	a := wire.Authenticator{Signer: newSigner(f), Site: wire.SiteOf("https://login.example/")}
	possession := newSigner(f).Key
	good, err := a.Create(wire.PasskeyChallenge("token", possession.Thumbprint))
	if err != nil {
		f.Fatal(err)
	}
	object, err := base64.RawURLEncoding.DecodeString(good.Attestation)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(object)
	f.Fuzz(func(t *testing.T, object []byte) {
		good := good
		good.Attestation = base64.RawURLEncoding.EncodeToString(object)
		p, err := bringPasskey(good, "token", possession, a.Site)
		if err == nil && (p.RP != "login.example" || p.Thumbprint == "") {
			t.Errorf("%+v", p)
		}
	})
}
