package mobile

import (
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/bus"
	"countersign/mobile/wire"
)

// transfer makes a request about the phone's transfer and reads the reply.
func (h *hand) transfer(method, action string, body any) (wire.Transfer, int, string) {
	h.t.Helper()
	h.nonce = h.service.nonce(h.clock.now().Unix() / 60)
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			h.t.Fatal(err)
		}
	}
	status, text, err := h.do(method, action, raw)
	var out wire.Transfer
	if err != nil || status == 200 && json.Unmarshal([]byte(text), &out) != nil {
		h.t.Fatal(err, text)
	}
	return out, status, text
}

// do makes a proved request of any method.
func (h *hand) do(method, action string, body []byte) (int, string, error) {
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url(action)+h.query, strings.NewReader(string(body)))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "DPoP "+h.token)
	req.Header.Set(wire.ProofHeader, h.prove(method, h.url(action), body))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// offer begins a transfer and gives the new phone, which has scanned the code.
func (h *hand) offer() *hand {
	h.t.Helper()
	out, status, text := h.transfer(http.MethodPost, wire.ActionTransfer, struct{}{})
	if status != 200 || out.State != wire.TransferOffered || out.Payload == nil {
		h.t.Fatalf("begin: %d %s", status, text)
	}
	return &hand{bench: h.bench, server: h.server, device: uuid.MustParse(out.Payload.Device), token: out.Payload.Token, signer: newSigner(h.t), moves: true}
}

// takes enrols the new phone.
func (h *hand) takes(verifies bool) error {
	h.t.Helper()
	keys := &wire.EnrollmentKeys{Possession: h.jwk(h.signer.Key)}
	if verifies {
		h.verifier = newSigner(h.t)
		keys.UserVerification = h.jwk(h.verifier.Key)
		keys.VerificationProof = h.proofOf(h.verifier, wire.ActionEnrol, h.signer.Thumbprint)
	}
	return h.enrol(keys)
}

// approval endorses what the old phone sees.
func (h *hand) approval(seen wire.Transfer, atFirstUse bool) wire.Approval {
	h.t.Helper()
	in := wire.Approval{AtFirstUse: atFirstUse}
	in.Endorsement, in.Verification = h.endorses(wire.Endorsement{
		Act: wire.ActTransfer, Server: h.server.URL + "/", Device: h.device.String(), For: seen.Device, Possession: seen.Possession, Verification: seen.Verification,
	})
	return in
}

// good tells whether a phone is one of the account.
func (h *hand) good() bool {
	h.t.Helper()
	status, _ := h.operate(wire.ActionCheckIn, info())
	return status == 204
}

// T9: the old phone invites and approves the new one; both are good for a day, and then the new one.
func TestTransfer(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	old, err := l.signing(l.user, l.demanding(AcceptVerified), true)
	if err != nil {
		t.Fatal(err)
	}
	if out, _, _ := old.transfer(http.MethodGet, wire.ActionTransfer, nil); out.State != wire.TransferNone {
		t.Errorf("before: %+v", out)
	}
	young := old.offer()
	seen := make(chan wire.Transfer)
	go func() {
		waits := *old
		waits.query = "?wait=20"
		out, _, _ := waits.transfer(http.MethodGet, wire.ActionTransfer, nil)
		seen <- out
	}()
	for l.service.waiters.count(young.device) == 0 {
		runtime.Gosched()
	}
	if err := young.takes(true); err != nil {
		t.Fatal(err)
	}
	arrived := <-seen
	if arrived.State != wire.TransferArrived || arrived.Name != "Ada's phone" {
		t.Errorf("%+v", arrived)
	}
	if digits, err := arrived.Binding(old.known.Thumbprint).Fingerprint(); err != nil || digits != young.fingerprint {
		t.Errorf("the old phone shows %q, the new one %q, %v", digits, young.fingerprint, err)
	}
	if young.good() {
		t.Error("a phone that nobody approved is good")
	}
	if status, text := young.operate(wire.ActionStatus, nil); status != 200 || !strings.Contains(text, "waiting") {
		t.Errorf("the new phone asks: %d %s", status, text)
	}
	// Twice, as when the reply is lost.
	for range 2 {
		out, status, text := old.transfer(http.MethodPost, wire.ActionApprove, old.approval(arrived, false))
		if status != 200 || out.State != wire.TransferApproved || !out.Expires.Equal(l.clock.now().Add(24*time.Hour)) {
			t.Fatalf("approve: %d %s", status, text)
		}
	}
	if status, text := young.operate(wire.ActionStatus, nil); status != 200 || !strings.Contains(text, "success") {
		t.Errorf("the new phone asks: %d %s", status, text)
	}
	if !old.good() || !young.good() {
		t.Error("within the overlap both are good")
	}
	if _, status, text := old.transfer(http.MethodPost, wire.ActionTransfer, struct{}{}); status != 400 {
		t.Errorf("another transfer: %d %s", status, text)
	}
	if n := value[int](l.bench, `SELECT count(*) FROM events WHERE action = 'model_created' AND context->'instead_of'->>'name' = 'Ada''s phone'`); n != 1 {
		t.Errorf("%d events of the new phone", n)
	}
	l.clock.move(24*time.Hour - time.Second)
	l.collects()
	if !old.good() {
		t.Error("the old phone went too early")
	}
	l.clock.move(time.Second)
	l.collects()
	if old.good() || !young.good() {
		t.Error("after the overlap the new one is good, and nothing else")
	}
	if n := value[int](l.bench, `SELECT count(*) FROM events WHERE action = 'model_deleted' AND "user"->>'username' = 'ada'`); n != 1 {
		t.Errorf("%d events of the old phone", n)
	}
	if n := value[int](l.bench, `SELECT count(*) FROM mobile_transfers`); n != 0 {
		t.Errorf("%d transfers are left", n)
	}
}

// T18: the same keys do not show the same digits again, so that none can be looked for that show those of others.
func TestTransferDigitsCannotBeForeseen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, err := b.signing(b.user, b.demanding(AcceptSigned), false)
	if err != nil {
		t.Fatal(err)
	}
	keys := newSigner(t)
	seen := map[string]bool{}
	for range 3 { // each offer ends the one before
		young := old.offer()
		young.signer = keys
		if err := young.takes(false); err != nil {
			t.Fatal(err)
		}
		arrived, _, _ := old.transfer(http.MethodGet, wire.ActionTransfer, nil)
		arrived.Device, arrived.TokenHash = "", "" // that differ anyway
		digits, err := arrived.Binding(old.known.Thumbprint).Fingerprint()
		if err != nil || arrived.Possession != keys.Thumbprint || seen[digits] {
			t.Errorf("%+v shows %q (%v) after %v", arrived, digits, err, seen)
		}
		seen[digits] = true
	}
}

func (b *bench) collects() {
	b.t.Helper()
	if err := b.service.CleanUp(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// Where the person chooses so, the old phone goes with the first login that the new one approves.
func TestTransferAtFirstUse(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	old, err := l.signing(l.user, l.demanding(AcceptVerified), true)
	if err != nil {
		t.Fatal(err)
	}
	young := old.offer()
	if err := young.takes(true); err != nil {
		t.Fatal(err)
	}
	seen, _, _ := old.transfer(http.MethodGet, wire.ActionTransfer, nil)
	if _, status, text := old.transfer(http.MethodPost, wire.ActionApprove, old.approval(seen, true)); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	for _, x := range []struct{ item, status string }{{"11", "wrong"}, {wire.ItemDeny, "deny"}} {
		tx := l.ask(young.device, l.user, l.service.Bus.Node())
		if status, text := young.answers(x.item); status != 204 || value[string](l.bench, `SELECT status FROM mobile_transactions WHERE tx_id = $1`, tx) != x.status {
			t.Fatalf("%d %s", status, text)
		}
	}
	if !old.good() {
		t.Error("a login that was not approved removed the old phone")
	}
	l.ask(young.device, l.user, l.service.Bus.Node())
	if status, text := young.answers("22"); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	if old.good() || !young.good() {
		t.Error("after the first approval the new one is good, and nothing else")
	}
}

// Whatever is lost on the way, one phone works at least, and nothing is half open for long.
func TestTransferSurvivesLoss(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(old *hand) *hand{
		"after the offer": func(old *hand) *hand { return old.offer() },
		"after the arrival": func(old *hand) *hand {
			young := old.offer()
			if err := young.takes(true); err != nil {
				old.t.Fatal(err)
			}
			return young
		},
		"the reply to the enrolment": func(old *hand) *hand {
			young := old.offer()
			token := young.token
			if err := young.takes(true); err != nil {
				old.t.Fatal(err)
			}
			young.token = token // the one-time token does not serve again
			if err := young.takes(true); err == nil {
				old.t.Error("the one-time token served twice")
			}
			return young
		},
		"begun again": func(old *hand) *hand {
			young := old.offer()
			if err := young.takes(true); err != nil {
				old.t.Fatal(err)
			}
			old.offer()
			return young
		},
		"given up": func(old *hand) *hand {
			young := old.offer()
			if err := young.takes(true); err != nil {
				old.t.Fatal(err)
			}
			for range 2 {
				if _, status, text := old.transfer(http.MethodDelete, wire.ActionTransfer, nil); status != 204 {
					old.t.Errorf("give up: %d %s", status, text)
				}
			}
			return young
		},
	} {
		b := setup(t)
		old, err := b.signing(b.user, b.demanding(AcceptVerified), true)
		if err != nil {
			t.Fatal(err)
		}
		young := lost(old)
		if !old.good() || young.good() {
			t.Errorf("%s: the old phone has to be good, and the new one not", name)
		}
		b.clock.move(2*enrollmentWindow + time.Second)
		b.collects()
		if n := value[int](b, `SELECT count(*) FROM mobile_devices`) + value[int](b, `SELECT count(*) FROM mobile_transfers`) + value[int](b, `SELECT count(*) FROM mobile_tokens`); n != 2 {
			t.Errorf("%s: something is left of it: %d", name, n)
		}
		// And the next try works.
		again := old.offer()
		if err := again.takes(true); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		seen, _, _ := old.transfer(http.MethodGet, wire.ActionTransfer, nil)
		if _, status, text := old.transfer(http.MethodPost, wire.ActionApprove, old.approval(seen, false)); status != 200 || !again.good() {
			t.Errorf("%s: the next try: %d %s", name, status, text)
		}
	}
}

// T15, T18: nobody but the old phone's owner approves, and only the keys that both screens show.
func TestTransferRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stage := b.demanding(AcceptVerified)
	old, err := b.signing(b.user, stage, true)
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.signing(b.makeUser("eve"), stage, true)
	if err != nil {
		t.Fatal(err)
	}
	young := old.offer()
	if _, status, text := old.transfer(http.MethodPost, wire.ActionApprove, old.approval(wire.Transfer{Device: young.device.String()}, false)); status != 400 {
		t.Errorf("before it arrived: %d %s", status, text)
	}
	if err := young.takes(false); err == nil {
		t.Error("a new phone without the second key")
	}
	if status, text := b.call(young.device, wire.ActionEnrol, young.token, wire.Enrollment{DeviceUID: uuid.NewString(), Info: info()}); status != 400 {
		t.Errorf("a stock phone: %d %s", status, text)
	}
	if err := young.takes(true); err != nil {
		t.Fatal(err)
	}
	seen, _, _ := old.transfer(http.MethodGet, wire.ActionTransfer, nil)
	change := func(f func(*wire.Transfer)) wire.Approval {
		other := seen
		f(&other)
		return old.approval(other, false)
	}
	thief := *old
	thief.verifier = nil
	foreign := *other
	foreign.device = old.device
	for name, in := range map[string]wire.Approval{
		"the possession key":     thief.approval(seen, false),
		"another phone":          foreign.approval(seen, false),
		"itself":                 young.approval(seen, false),
		"nothing":                {},
		"another device":         change(func(t *wire.Transfer) { t.Device = other.device.String() }),
		"another key":            change(func(t *wire.Transfer) { t.Possession = other.signer.Thumbprint }),
		"another second key":     change(func(t *wire.Transfer) { t.Verification = other.verifier.Thumbprint }),
		"without the second key": change(func(t *wire.Transfer) { t.Verification = "" }),
	} {
		if _, status, text := old.transfer(http.MethodPost, wire.ActionApprove, in); status != 400 {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for _, action := range []string{wire.ActionApprove, wire.ActionTransfer, wire.ActionRotate, wire.ActionPushKey} {
		if status, _ := young.operate(action, young.approval(seen, false)); status != 403 {
			t.Errorf("the new phone calls %s: %d", action, status)
		}
	}
	if _, status, _ := other.transfer(http.MethodPost, wire.ActionApprove, other.approval(seen, false)); status != 400 {
		t.Errorf("another user's phone: %d", status)
	}
	// Too late.
	b.clock.move(enrollmentWindow)
	if _, status, text := old.transfer(http.MethodPost, wire.ActionApprove, old.approval(seen, false)); status != 400 {
		t.Errorf("too late: %d %s", status, text)
	}
	if young.good() {
		t.Error("it is good all the same")
	}
	stock, token := b.phone(b.user)
	if status, text := b.call(stock, wire.ActionTransfer, token, struct{}{}); status != 400 {
		t.Errorf("a stock phone offers: %d %s", status, text)
	}
}

// T11: whoever removes the old phone, or its user, removes what it offered, at once and on every node; and whoever removes the
// new one leaves the old one as it was.
func TestRemovalEndsTransfer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, second := b.node(bus.NewMemory())
	for name, sql := range map[string]string{"device": `DELETE FROM mobile_devices WHERE uuid = $1`, "user": `DELETE FROM users WHERE id = (SELECT user_id FROM mobile_devices WHERE uuid = $1)`} {
		old, err := b.signing(b.makeUser(name), b.demanding(AcceptSigned), false)
		if err != nil {
			t.Fatal(err)
		}
		offered := old.offer()
		arrived := *offered
		if err := arrived.takes(false); err != nil {
			t.Fatal(err)
		}
		b.exec(sql, old.device)
		for _, h := range []*hand{old, offered, &arrived} {
			elsewhere := *h
			elsewhere.server = second
			if status, _ := elsewhere.operate(wire.ActionStatus, nil); status != 403 {
				t.Errorf("%s: on the other node: %d", name, status)
			}
		}
		if n := value[int](b, `SELECT count(*) FROM mobile_devices`) + value[int](b, `SELECT count(*) FROM mobile_tokens`); n != 0 {
			t.Errorf("%s: %d are left", name, n)
		}
	}
	old, err := b.signing(b.user, b.demanding(AcceptSigned), false)
	if err != nil {
		t.Fatal(err)
	}
	young := old.offer()
	if err := young.takes(false); err != nil {
		t.Fatal(err)
	}
	seen, _, _ := old.transfer(http.MethodGet, wire.ActionTransfer, nil)
	if _, status, text := old.transfer(http.MethodPost, wire.ActionApprove, old.approval(seen, false)); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	b.exec(`DELETE FROM mobile_devices WHERE uuid = $1`, young.device)
	b.clock.move(48 * time.Hour)
	b.collects()
	if !old.good() {
		t.Error("the old phone went though the new one is gone")
	}
}

// T17: for a time after its keys or its push address changed, a phone is not asked where only its owner may approve.
func TestCooldown(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	for name, change := range map[string]func(h *hand){
		"keys": func(h *hand) {
			next := h.renewed(true, false)
			if status, text := h.operate(wire.ActionRotate, h.rotation(next)); status != 204 || !next.good() {
				t.Fatalf("%d %s", status, text)
			}
		},
		"address": func(h *hand) {
			for _, address := range []string{"first", "second"} {
				if status, text := h.operate(wire.ActionPushKey, wire.PushKey{FirebaseKey: address}); status != 204 {
					t.Fatalf("%d %s", status, text)
				}
			}
		},
	} {
		for _, level := range []Accepted{AcceptSigned, AcceptVerified} {
			who := name + string(level)
			stage := l.demanding(level)
			l.exec(`UPDATE stages SET settings = settings || '{"cooldown": "hours=2"}' WHERE stage_uuid = $1`, stage)
			h, err := l.signing(l.makeUser(who), stage, true)
			if err != nil {
				t.Fatal(err)
			}
			asks := func() string {
				tab := l.tab()
				tab.begin(who, h.device)
				return value[string](l.bench, `SELECT count(*)::text FROM mobile_transactions WHERE device = $1`, h.device)
			}
			change(h)
			want := map[Accepted]string{AcceptSigned: "1", AcceptVerified: "0"}[level]
			if got := asks(); got != want {
				t.Errorf("%s, %s: asked %s times, want %s", name, level, got, want)
			}
			if level == AcceptVerified {
				l.clock.move(2 * time.Hour)
				if got := asks(); got != "1" {
					t.Errorf("%s: after the cool-down: asked %s times", name, got)
				}
			}
		}
	}
}
