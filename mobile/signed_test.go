package mobile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/bus"
	"countersign/flows"
	"countersign/mobile/wire"
)

// demanding stores a stage of phones with a level and gives its key.
func (b *bench) demanding(level Accepted) uuid.UUID {
	b.t.Helper()
	return b.stage(Settings{Mode: wire.NumberMatching3, Accepted: level})
}

// stage stores a stage of phones and gives its key.
func (b *bench) stage(set Settings) uuid.UUID {
	b.t.Helper()
	id := uuid.New()
	settings, err := json.Marshal(set)
	if err != nil {
		b.t.Fatal(err)
	}
	b.exec(`INSERT INTO stages (stage_uuid, kind, name, settings) VALUES ($1, 'authenticatormobilestage', $2, $3)`, id, id.String(), settings)
	return id
}

// invited starts an enrolment by a stage and gives what the QR code holds.
func (b *bench) invited(owner int, stage uuid.UUID) wire.Payload {
	b.t.Helper()
	device, token := b.enrolling(owner)
	b.exec(`UPDATE mobile_devices SET stage = $2 WHERE uuid = $1`, device, stage)
	return wire.Payload{URL: b.server.URL + "/", Device: device.String(), Token: token}
}

// signing enrols a phone that signs, over HTTP.
func (b *bench) signing(owner int, stage uuid.UUID, verifies bool) (*hand, error) {
	b.t.Helper()
	return b.bringing(owner, stage, verifies, nil)
}

// bringing enrols a phone that signs, with what edit makes of the keys that it brings.
func (b *bench) bringing(owner int, stage uuid.UUID, verifies bool, edit func(*hand, *wire.EnrollmentKeys)) (*hand, error) {
	b.t.Helper()
	invitation := b.invited(owner, stage)
	h := &hand{bench: b, server: b.server, device: uuid.MustParse(invitation.Device), token: invitation.Token, signer: newSigner(b.t)}
	keys := &wire.EnrollmentKeys{Possession: b.jwk(h.signer.Key)}
	if verifies {
		h.verifier = newSigner(b.t)
		keys.UserVerification = b.jwk(h.verifier.Key)
		proof, err := h.verifier.Prove(wire.Request{Method: "POST", URL: h.url(wire.ActionEnrol), Body: []byte(h.signer.Thumbprint), Token: h.token}, "", b.clock.now())
		if err != nil {
			b.t.Fatal(err)
		}
		keys.VerificationProof = proof
	}
	if edit != nil {
		edit(h, keys)
	}
	return h, h.enrol(keys)
}

// enrol brings keys to the enrolment whose one-time token h has, and has the owner recognise the phone.
func (h *hand) enrol(keys *wire.EnrollmentKeys) error {
	h.t.Helper()
	if _, err := h.callIn(keys); err != nil || h.moves { // which an old phone approves
		return err
	}
	h.exec(`UPDATE mobile_devices SET confirmed = true WHERE uuid = $1`, h.device)
	h.exec(`UPDATE mobile_tokens SET purpose = 'device', expires = NULL WHERE device = $1`, h.device)
	h.exec(`DELETE FROM mobile_enrollments WHERE device = $1`, h.device)
	return nil
}

// callIn brings keys to the enrolment whose one-time token h has.
func (h *hand) callIn(keys *wire.EnrollmentKeys) (reply wire.EnrollmentCallback, err error) {
	h.t.Helper()
	body, err := json.Marshal(wire.Enrollment{DeviceUID: uuid.NewString(), Info: info().WithFetch(), Keys: keys})
	if err != nil {
		h.t.Fatal(err)
	}
	enrol := func() (int, string, http.Header) {
		return h.send(wire.ActionEnrol, "Bearer "+h.token, h.prove("POST", h.url(wire.ActionEnrol), body), body)
	}
	status, text, header := enrol()
	if status == 401 && strings.Contains(header.Get("WWW-Authenticate"), "use_dpop_nonce") {
		h.nonce = header.Get(wire.NonceHeader)
		status, text, _ = enrol()
	}
	if status != 200 {
		return reply, fmt.Errorf("%d %s", status, text)
	}
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		h.t.Fatal(err)
	}
	if h.known, err = wire.ParseKey(reply.ServerKey); err != nil {
		return reply, err
	}
	b := wire.Binding{Device: h.device.String(), TokenHash: wire.HashToken(h.token), Possession: h.signer.Thumbprint, Server: h.known.Thumbprint, Salt: reply.Salt}
	switch {
	case h.verifier != nil:
		b.Verification = h.verifier.Thumbprint
	case h.passkey != nil:
		b.Verification = h.passkey.Thumbprint
	}
	h.token = reply.Token
	h.fingerprint, err = b.Fingerprint()
	return reply, err
}

func (b *bench) jwk(k wire.Key) json.RawMessage {
	b.t.Helper()
	text, err := json.Marshal(k)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

func newSigner(t testing.TB) *wire.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := wire.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answers has the phone fetch what waits, check who asks, and answer it by its best key.
func (h *hand) answers(item string) (status int, text string) {
	h.t.Helper()
	return h.respond(h.response(item))
}

// response is the body of the phone's answer to what waits.
func (h *hand) response(item string) wire.Response {
	h.t.Helper()
	h.nonce = h.service.nonce(h.clock.now().Unix() / 60)
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.url(wire.ActionPending), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "DPoP "+h.token)
	req.Header.Set(wire.ProofHeader, h.prove("GET", h.url(wire.ActionPending), nil))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	list, err := wire.ParsePending(raw)
	if err != nil || len(list.Pending) != 1 {
		h.t.Fatalf("%d %s %v", res.StatusCode, raw, err)
	}
	server := h.server.URL + "/"
	p, digest, err := h.known.CheckPrompt(list.Pending[0].Challenge, server, h.device.String())
	if err != nil || p.TxID != list.Pending[0].TxID || p.Context != list.Pending[0].Context {
		h.t.Fatalf("the server's challenge: %+v %v", p, err)
	}
	a := wire.Answer{Server: server, Device: h.device.String(), TxID: p.TxID, Digest: digest, Verb: wire.Approve, Item: item, Expires: p.Expires}
	signer, use := h.signer, wire.UsePossession
	if item == wire.ItemDeny {
		a.Verb, a.Item = wire.Deny, ""
	} else if h.verifier != nil {
		signer, use = h.verifier, wire.UseVerification
	}
	signed, err := signer.SignAnswer(a, use)
	if err != nil {
		h.t.Fatal(err)
	}
	r := wire.Response{TxID: p.TxID, SelectedItem: item, Signed: signed}
	if h.passkey != nil && a.Verb == wire.Approve {
		r.Verification = h.asserts(signed)
	}
	return r
}

// asserts has the phone's passkey stand for an answer.
func (h *hand) asserts(signed string) *wire.PasskeyAssertion {
	h.t.Helper()
	assertion, err := h.passkey.Get(wire.AnswerChallenge(signed))
	if err != nil {
		h.t.Fatal(err)
	}
	return &assertion
}

// respond sends an answer.
func (h *hand) respond(r wire.Response) (status int, text string) {
	h.t.Helper()
	body, err := json.Marshal(r)
	if err != nil {
		h.t.Fatal(err)
	}
	status, text, _ = h.send(wire.ActionResponse, "DPoP "+h.token, h.prove("POST", h.url(wire.ActionResponse), body), body)
	return status, text
}

// T12, T15: what a login says of its phone is what the phone proved.
func TestSignedAnswerLetsTheLoginGoOn(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	for name, x := range map[string]struct {
		level    Accepted
		verifies bool
		signed   string
	}{
		"possession":   {AcceptSigned, false, "possession"},
		"verification": {AcceptVerified, true, "user_verification"},
		"more":         {AcceptBearer, true, "user_verification"},
	} {
		owner := l.makeUser(name)
		p, err := l.signing(owner, l.demanding(x.level), x.verifies)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		device := p.device
		tab := l.tab()
		r := tab.send(map[string]any{"uid_field": name})
		held := tab.held(l, askBody(device, r.item(device)))
		if status, text := p.answers(r.item(device)); status != 204 {
			t.Fatalf("%s: %d %s", name, status, text)
		}
		if r := l.got(held); r.Component != flows.ComponentRedirect {
			t.Errorf("%s: after the answer: %+v", name, r)
		}
		if got := value[string](l.bench, `SELECT signed FROM mobile_transactions WHERE device = $1`, device); got != x.signed {
			t.Errorf("%s: signed by %s", name, got)
		}
		verified := value[*bool](l.bench, `SELECT (auth->'args'->'mfa_devices'->0->>'user_verified')::boolean FROM sessions WHERE user_id = $1`, owner)
		if verified == nil || *verified != x.verifies {
			t.Errorf("%s: the session says of its user's verification %v", name, verified)
		}
		if got := value[string](l.bench, `SELECT context->>'signed' FROM events WHERE action = $1 AND "user"->>'username' = $2`, actionApproved, name); got != x.signed {
			t.Errorf("%s: the event says %s", name, got)
		}
	}
}

// A stage that asks for more than a phone can do neither takes it, nor its answers, but lets it say no.
func TestStageDemandsSignatures(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	for _, level := range []Accepted{AcceptSigned, AcceptVerified} {
		invitation := l.invited(l.user, l.demanding(level))
		status, reply := l.callAt(l.server, "POST", invitation.Device, wire.ActionEnrol, invitation.Token, wire.Enrollment{DeviceUID: uuid.NewString(), Info: info()})
		if status != 400 || !strings.Contains(string(reply), `"keys"`) {
			t.Errorf("%s: a stock phone: %d %s", level, status, reply)
		}
	}
	if _, err := l.signing(l.user, l.demanding(AcceptVerified), false); err == nil || !strings.Contains(err.Error(), "user_verification") {
		t.Errorf("a phone with one key: %v", err)
	}
	if n := value[int](l.bench, `SELECT count(*) FROM mobile_devices WHERE confirmed`); n != 0 {
		t.Errorf("%d phones were added", n)
	}

	// The stage asks for more after the phones are there.
	stage := l.demanding(AcceptBearer)
	stock, token := l.phone(l.user)
	l.exec(`UPDATE mobile_devices SET stage = $2 WHERE uuid = $1`, stock, stage)
	one, err := l.signing(l.user, stage, false)
	if err != nil {
		t.Fatal(err)
	}
	device := one.device
	l.exec(`UPDATE stages SET settings = settings || '{"accepted_answers": "signed_user_verified"}' WHERE stage_uuid = $1`, stage)
	for range 2 {
		tab := l.tab()
		r := tab.begin("ada", stock)
		if status := l.answer(stock, token, r.item(stock)); status != 403 {
			t.Errorf("a stock phone's answer: %d", status)
		}
		l.clock.move(5 * time.Minute)
	}
	tab := l.tab()
	r := tab.send(map[string]any{"uid_field": "ada"})
	held := tab.held(l, askBody(device, r.item(device)))
	if status, text := one.answers(r.item(device)); status != 400 || !strings.Contains(text, "signed_answer") {
		t.Errorf("a possession key's answer: %d %s", status, text)
	}
	if status, text := one.answers(wire.ItemDeny); status != 204 {
		t.Errorf("a refusal: %d %s", status, text)
	}
	if after := l.got(held); after.Component != flows.ComponentAccessDenied {
		t.Errorf("after the refusal: %+v", after)
	}
}

// hand is a phone whose requests are made by hand.
type hand struct {
	*bench
	server   *httptest.Server
	device   uuid.UUID
	token    string
	signer   *wire.Signer
	known    wire.Key // the server's
	nonce    string
	verifier *wire.Signer // nil: none
	passkey  *wire.Authenticator

	query       string // of requests that are not POST
	moves       bool   // it takes the place of another phone
	fingerprint string // that the phone shows
	host        string // that the requests name; "" is the server's own
}

// byHand enrols a phone that signs and gives its keys away.
func (b *bench) byHand(owner int) *hand {
	b.t.Helper()
	h := &hand{bench: b, server: b.server, signer: newSigner(b.t)}
	h.device, h.token = b.phone(owner)
	b.exec(`UPDATE mobile_devices SET signs = true WHERE uuid = $1`, h.device)
	b.exec(`INSERT INTO mobile_keys (thumbprint, device, use, jwk) VALUES ($1, $2, 'possession', $3)`, h.signer.Thumbprint, h.device, string(b.jwk(h.signer.Key)))
	h.nonce = b.service.nonce(b.clock.now().Unix() / 60)
	return h
}

func (h *hand) url(action string) string {
	return h.server.URL + "/" + wire.Path(h.device.String(), action)
}

func (h *hand) prove(method, url string, body []byte) string {
	h.t.Helper()
	proof, err := h.signer.Prove(wire.Request{Method: method, URL: url, Body: body, Token: h.token}, h.nonce, h.clock.now())
	if err != nil {
		h.t.Fatal(err)
	}
	return proof
}

// send makes a request with the headers as they are given.
func (h *hand) send(action, authorization, proof string, body []byte) (int, string, http.Header) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url(action), bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Host = h.host
	req.Header.Set("Authorization", authorization)
	if proof != "" {
		req.Header.Set(wire.ProofHeader, proof)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

// signedResponse is the body of a good answer to a prompt.
func (h *hand) signedResponse(tx uuid.UUID, verb wire.Verb, item string) []byte {
	h.t.Helper()
	asked, err := h.service.asked(h.t.Context(), h.token, tx)
	if err != nil || asked == nil {
		h.t.Fatal(asked, err)
	}
	server := h.server.URL + "/"
	digest, err := asked.prompt.Digest(server, h.device.String())
	if err != nil {
		h.t.Fatal(err)
	}
	a := wire.Answer{Server: server, Device: h.device.String(), TxID: tx.String(), Digest: digest, Verb: verb, Item: item, Expires: asked.prompt.Expires}
	if verb != wire.Approve {
		a.Item = ""
	}
	signed, err := h.signer.SignAnswer(a, wire.UsePossession)
	if err != nil {
		h.t.Fatal(err)
	}
	body, err := json.Marshal(wire.Response{TxID: tx.String(), SelectedItem: item, Signed: signed})
	if err != nil {
		h.t.Fatal(err)
	}
	return body
}

// T17: a new push address needs a proof of just this request, by the phone's key, made with a nonce of the server, once.
func TestPushAddressNeedsAProof(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h, other := b.byHand(b.user), b.byHand(b.user)
	body := []byte(`{"firebase_key":"mine"}`)
	url := h.url(wire.ActionPushKey)
	good := h.prove("POST", url, body)
	stale := *h
	stale.nonce = b.service.nonce(b.clock.now().Unix()/60 - nonceLife - 1)
	foreign := *h
	foreign.signer = other.signer
	nobody := *h
	nobody.token = "nobody"
	for name, x := range map[string]struct {
		authorization, proof string
		body                 []byte
		status               int
		says                 string
	}{
		"a token alone":          {"Bearer " + h.token, "", body, 403, ""},
		"a token with a proof":   {"Bearer " + h.token, good, body, 403, ""},
		"no proof":               {"DPoP " + h.token, "", body, 401, "invalid_dpop_proof"},
		"another body":           {"DPoP " + h.token, good, []byte(`{"firebase_key":"thine"}`), 401, "invalid_dpop_proof"},
		"another's token":        {"DPoP " + other.token, good, body, 401, "invalid_dpop_proof"},
		"another's key":          {"DPoP " + h.token, foreign.prove("POST", url, body), body, 401, "invalid_dpop_proof"},
		"another method":         {"DPoP " + h.token, h.prove("GET", url, body), body, 401, "invalid_dpop_proof"},
		"another operation":      {"DPoP " + h.token, h.prove("POST", h.url(wire.ActionCheckIn), body), body, 401, "invalid_dpop_proof"},
		"another server":         {"DPoP " + h.token, h.prove("POST", strings.Replace(url, "127.0.0.1", "evil.example", 1), body), body, 401, "invalid_dpop_proof"},
		"an old nonce":           {"DPoP " + h.token, stale.prove("POST", url, body), body, 401, "use_dpop_nonce"},
		"nonsense":               {"DPoP " + h.token, "e30.e30.e30", body, 401, "invalid_dpop_proof"},
		"a proof of no one's":    {"DPoP nobody", good, body, 401, "invalid_dpop_proof"},
		"a token that is no one": {"DPoP nobody", nobody.prove("POST", url, body), body, 403, ""},
	} {
		status, text, header := h.send(wire.ActionPushKey, x.authorization, x.proof, x.body)
		if status != x.status || !strings.Contains(header.Get("WWW-Authenticate"), x.says) || x.says != "" && header.Get(wire.NonceHeader) == "" {
			t.Errorf("%s: %d %s %v", name, status, text, header)
		}
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_devices WHERE push_address IN ('mine', 'thine')`); n != 0 {
		t.Fatal("an address was set")
	}
	if status, text, _ := h.send(wire.ActionPushKey, "DPoP "+h.token, good, body); status != 204 {
		t.Fatalf("a good proof: %d %s", status, text)
	}
	// On another node too.
	_, second := b.node(bus.NewMemory())
	for _, server := range []*httptest.Server{b.server, second} {
		again := *h
		again.server, again.host = server, strings.TrimPrefix(b.server.URL, "http://")
		if status, text, _ := again.send(wire.ActionPushKey, "DPoP "+h.token, good, body); status != 401 || !strings.Contains(text, "used before") {
			t.Errorf("a proof that was used: %d %s", status, text)
		}
	}
	b.clock.move((nonceLife + 3) * time.Minute)
	if err := b.service.CleanUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_proofs`); n != 0 {
		t.Errorf("%d proofs are kept", n)
	}
	if status, _, _ := h.send(wire.ActionPushKey, "DPoP "+h.token, good, body); status != 401 {
		t.Errorf("a proof that was forgotten: %d", status)
	}
}

// T14: nobody's private key gets in.
func TestEnrolmentRefusesBadKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.byHand(b.user)
	jwk := b.jwk(h.signer.Key)
	for name, x := range map[string]struct{ possession, verification, field string }{
		"private":       {strings.Replace(string(jwk), "{", `{"d":"AAAA",`, 1), "", "possession"},
		"symmetric":     {`{"kty":"oct","k":"c2VjcmV0"}`, "", "possession"},
		"null":          {`null`, "", "possession"},
		"a second copy": {string(jwk), string(jwk), "user_verification"},
		"bad second":    {string(jwk), `{"kty":"oct","k":"c2VjcmV0"}`, "user_verification"},
	} {
		invitation := b.invited(b.user, b.demanding(AcceptBearer))
		h.device, h.token = uuid.MustParse(invitation.Device), invitation.Token
		e := wire.Enrollment{DeviceUID: name, Info: info(), Keys: &wire.EnrollmentKeys{Possession: json.RawMessage(x.possession)}}
		if x.verification != "" {
			e.Keys.UserVerification = json.RawMessage(x.verification)
		}
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		status, text, _ := h.send(wire.ActionEnrol, "Bearer "+h.token, h.prove("POST", h.url(wire.ActionEnrol), body), body)
		if status != 400 || !strings.Contains(text, x.field) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_keys`); n != 1 {
		t.Errorf("%d keys are stored", n)
	}
}

// T5: a hundred good answers at once, on two nodes, each with a proof of its own: one counts.
func TestHundredSignedAnswersCountOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, second := b.node(bus.NewMemory())
	h := b.byHand(b.user)
	tx := b.ask(h.device, b.user, b.service.Bus.Node())
	statuses := make(chan int, 100)
	var all sync.WaitGroup
	for i := range 100 {
		one := *h
		if i%2 == 1 {
			one.server = second
		}
		body := one.signedResponse(tx, wire.Approve, "22")
		proof := one.prove("POST", one.url(wire.ActionResponse), body)
		all.Go(func() {
			status, _, _ := one.send(wire.ActionResponse, "DPoP "+one.token, proof, body)
			statuses <- status
		})
	}
	all.Wait()
	close(statuses)
	got := map[int]int{}
	for s := range statuses {
		got[s]++
	}
	if got[204] != 1 || got[404] != 99 {
		t.Errorf("statuses %v", got)
	}
	if n := value[int](b, `SELECT count(*) FROM events WHERE action = $1`, actionApproved); n != 1 {
		t.Errorf("%d events", n)
	}
}

// T6: of two live logins each takes the answer that was signed for it, and no part of the other's.
func TestSignedAnswersCannotBeSwapped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.byHand(b.user), b.byHand(b.makeUser("eve"))
	first, second := b.ask(one.device, b.user, b.service.Bus.Node()), b.ask(two.device, value[int](b, `SELECT id FROM users WHERE username = 'eve'`), b.service.Bus.Node())
	mine, theirs := one.signedResponse(first, wire.Approve, "22"), two.signedResponse(second, wire.Approve, "22")
	var a, c wire.Response
	if json.Unmarshal(mine, &a) != nil || json.Unmarshal(theirs, &c) != nil {
		t.Fatal("bodies")
	}
	bodies := map[string]any{
		"another's whole answer":      c,
		"another's signature":         wire.Response{TxID: a.TxID, SelectedItem: "22", Signed: c.Signed},
		"another's transaction":       wire.Response{TxID: c.TxID, SelectedItem: "22", Signed: a.Signed},
		"another item than is signed": wire.Response{TxID: a.TxID, SelectedItem: "11", Signed: a.Signed},
		"deny though approve":         wire.Response{TxID: a.TxID, SelectedItem: wire.ItemDeny, Signed: a.Signed},
		"no signature":                wire.Response{TxID: a.TxID, SelectedItem: "22"},
	}
	for name, body := range bodies {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		status, text, _ := one.send(wire.ActionResponse, "DPoP "+one.token, one.prove("POST", one.url(wire.ActionResponse), raw), raw)
		if status != 400 && status != 404 {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_transactions WHERE status = 'wait'`); n != 2 {
		t.Errorf("%d still wait", n)
	}
	// What was signed for the prompt as it was is not good for it as it is.
	b.exec(`UPDATE mobile_transactions SET context = context || '{"ip": "203.0.113.9"}' WHERE tx_id = $1`, first)
	if status, text, _ := one.send(wire.ActionResponse, "DPoP "+one.token, one.prove("POST", one.url(wire.ActionResponse), mine), mine); status != 400 {
		t.Errorf("something else was shown: %d %s", status, text)
	}
	if status, text, _ := two.send(wire.ActionResponse, "DPoP "+two.token, two.prove("POST", two.url(wire.ActionResponse), theirs), theirs); status != 204 {
		t.Errorf("the good one: %d %s", status, text)
	}
}

// "It was somebody else" is a denial, and the event says more of it.
func TestReport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.byHand(b.user)
	body := h.signedResponse(b.ask(h.device, b.user, b.service.Bus.Node()), wire.Report, wire.ItemDeny)
	if status, text, _ := h.send(wire.ActionResponse, "DPoP "+h.token, h.prove("POST", h.url(wire.ActionResponse), body), body); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	got := value[string](b, `SELECT x.status || ' ' || (e.context->>'reported') FROM mobile_transactions x, events e WHERE e.action = 'login_failed'`)
	if got != "deny true" {
		t.Errorf("a report is %s", got)
	}
}

// T4: a good signature does not outlive the question.
func TestSignedAnswerComesInTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.byHand(b.user)
	body := h.signedResponse(b.ask(h.device, b.user, b.service.Bus.Node()), wire.Approve, "22")
	b.clock.move(time.Minute)
	if status, text, _ := h.send(wire.ActionResponse, "DPoP "+h.token, h.prove("POST", h.url(wire.ActionResponse), body), body); status != 404 {
		t.Errorf("a second late: %d %s", status, text)
	}
}
