package mobile

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/api"
	"countersign/core/event"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
	"countersign/mobile/wire"
)

// desk is a user's browser on the set-up page, and the API that phones call.
type desk struct {
	*bench
	flow *flowtest.Bench
	page *flowtest.Browser
}

func setupDesk(t testing.TB) *desk {
	t.Helper()
	var s *Service
	f := flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind {
		kind, service := enrolService(t, b)
		s = service
		return []*flows.Kind{kind}
	})
	a := api.New(api.Options{Schemes: []api.Scheme{{Name: "authentik"}, Scheme()}})
	s.Mount(a)
	handler, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{flow: f, bench: &bench{t: t, pool: f.Pool, service: s, push: &pushes{}, clock: &clock{t: f.Clock.Now()}, server: httptest.NewServer(handler)}}
	t.Cleanup(d.server.Close)
	f.Flow(t, "setup", nil, flowtest.Step{Kind: "authenticatormobilestage", Settings: Settings{Mode: wire.NumberMatching3, Accepted: AcceptSigned}})
	u := usertest.Add(t, f.Users, "ann", "")
	d.user, d.page = u.ID, f.Browser("setup")
	d.page.LogIn(t, u)
	return d
}

// scan is a phone that reads the code of the link; its keys are its own.
func (d *desk) scan(page flowtest.Page) (*hand, wire.Binding, error) {
	d.t.Helper()
	code, _ := page.JSON["code"].(string)
	status, p, text, _ := d.redeem(code)
	if status != 200 {
		return nil, wire.Binding{}, &scanError{status, text}
	}
	h := &hand{bench: d.bench, server: d.server, device: uuid.MustParse(p.Device), token: p.Token, signer: newSigner(d.t)}
	reply, err := h.callIn(&wire.EnrollmentKeys{Possession: d.jwk(h.signer.Key)})
	if err != nil {
		d.t.Fatal(err)
	}
	if reply.Status != wire.Waiting {
		d.t.Errorf("the phone is told %q", reply.Status)
	}
	return h, wire.Binding{Device: p.Device, TokenHash: wire.HashToken(p.Token), Possession: h.signer.Thumbprint, Server: h.known.Thumbprint, Salt: reply.Salt}, nil
}

type scanError struct {
	status int
	text   string
}

func (e *scanError) Error() string { return e.text }

// tries makes a request with the phone's token and a good proof.
func (h *hand) tries(method, action string, body []byte) int {
	h.t.Helper()
	h.nonce = h.service.nonce(h.service.Now().Unix() / 60)
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url(action), strings.NewReader(string(body)))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "DPoP "+h.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(wire.ProofHeader, h.prove(method, h.url(action), body))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func shownOn(page flowtest.Page) string {
	text, _ := page.JSON["fingerprint"].(string)
	return text
}

// T18, G9: a phone with keys is active once its owner has compared the fingerprint, which both sides computed by themselves.
func TestPhoneIsActiveOnceItsFingerprintIsCompared(t *testing.T) {
	t.Parallel()
	d := setupDesk(t)
	first := d.page.Get(t).Want(t, Component)
	if link, _ := first.JSON["link"].(string); !strings.HasSuffix(link, "if/phone/#"+first.JSON["code"].(string)) || first.JSON["qr_link"] == nil {
		t.Errorf("the page has no link: %s", first)
	}
	phone, binding, err := d.scan(first)
	if err != nil {
		t.Fatal(err)
	}
	own, err := binding.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	page := d.page.Get(t).Want(t, Component)
	if shownOn(page) != own || page.JSON["progress"] != "called_in" || page.JSON["device_name"] != "Ada's phone" || page.JSON["link"] != nil {
		t.Fatalf("the phone shows %q, the page %s", own, page)
	}
	// Until then its token opens next to nothing.
	for action, want := range map[string]int{wire.ActionStatus: 200, wire.ActionPushKey: 403, wire.ActionCheckIn: 403, wire.ActionPending: 403, wire.ActionResponse: 403, wire.ActionTicket: 403} {
		method, body := http.MethodPost, []byte(`{}`)
		switch action {
		case wire.ActionPending:
			method, body = http.MethodGet, nil
		case wire.ActionStatus, wire.ActionTicket:
			body = nil
		case wire.ActionPushKey:
			body = []byte(`{"firebase_key":"address"}`)
		case wire.ActionCheckIn:
			body = []byte(`{"platform":"android","os_version":"14","model":"Pixel","hostname":"Ada's phone","app_version":"1.0","others":{}}`)
		case wire.ActionResponse:
			body = []byte(`{"tx_id":"` + uuid.NewString() + `","selected_item":"11"}`)
		}
		if status := phone.tries(method, action, body); status != want {
			t.Errorf("%s before the comparison: %d", action, status)
		}
	}
	for _, wrong := range []string{"000 000 000", "x", own[:len(own)-1]} {
		if p := d.page.Post(t, map[string]any{"fingerprint": wrong}).Want(t, Component); p.JSON["response_errors"] == nil {
			t.Errorf("%q is taken: %s", wrong, p)
		}
	}
	if p := d.page.Post(t, map[string]any{}).Want(t, Component); shownOn(p) != own {
		t.Errorf("an empty answer: %s", p)
	}
	if n := value[int](d.bench, `SELECT count(*) FROM mobile_devices WHERE confirmed`); n != 0 {
		t.Fatal("active without a comparison")
	}
	if p := d.page.Post(t, map[string]any{"fingerprint": strings.ReplaceAll(own, " ", "")}); p.Component == Component {
		t.Fatalf("the right one: %s", p)
	}
	if status := phone.tries(http.MethodGet, wire.ActionPending, nil); status != 200 {
		t.Errorf("pending after it: %d", status)
	}
	if n := value[int](d.bench, `SELECT count(*) FROM events WHERE action = $1 AND context->'model'->>'pk' = replace($2::text, '-', '')`, event.ModelCreated, phone.device.String()); n != 1 {
		t.Errorf("%d events of it", n)
	}
}

// T18: who enrols first with a key of their own is seen: the owner's phone is refused, and what the page shows is not on it. No
// ends it within the same request, and nothing of it is left.
func TestEnrolmentRaceIsLost(t *testing.T) {
	t.Parallel()
	d := setupDesk(t)
	first := d.page.Get(t).Want(t, Component)
	thief, _, err := d.scan(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.scan(first); err == nil {
		t.Fatal("the owner's phone enrolled by a code that was used")
	}
	page := d.page.Get(t).Want(t, Component)
	stale := shownOn(page)
	if n := value[int](d.bench, `SELECT count(*) FROM events WHERE action = $1`, actionContested); n != 1 {
		t.Errorf("%d events that the code came twice", n)
	}
	again := d.page.Post(t, map[string]any{"matches": false}).Want(t, Component)
	if again.JSON["code"] == nil || again.JSON["code"] == first.JSON["code"] || again.JSON["progress"] != "shown" {
		t.Fatalf("no new code: %s", again)
	}
	if status := thief.tries(http.MethodPost, wire.ActionStatus, nil); status != 403 {
		t.Errorf("the thief's token after it: %d", status)
	}
	if n := value[int](d.bench, `SELECT count(*) FROM mobile_devices WHERE uuid = $1`, thief.device); n != 0 {
		t.Error("the thief's device is still there")
	}
	if n := value[int](d.bench, `SELECT count(*) FROM events WHERE action = $1 AND "user"->>'username' = 'ann'`, actionDisowned); n != 1 {
		t.Errorf("%d events of the refusal", n)
	}
	// The owner enrols; a confirmation of what was shown before does nothing.
	owner, binding, err := d.scan(again)
	if err != nil {
		t.Fatal(err)
	}
	if p := d.page.Post(t, map[string]any{"fingerprint": stale}).Want(t, Component); p.JSON["response_errors"] == nil {
		t.Errorf("the thief's fingerprint is taken for the owner's: %s", p)
	}
	own, err := binding.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	if p := d.page.Post(t, map[string]any{"fingerprint": own}); p.Component == Component {
		t.Errorf("the owner's own: %s", p)
	}
	if status := owner.tries(http.MethodGet, wire.ActionPending, nil); status != 200 {
		t.Errorf("the owner's phone: %d", status)
	}
}

// T18: a fingerprint that nobody compares in time ends its phone; refusing a code that was redeemed ends the redeemer.
func TestEnrolmentThatNobodyConfirmsEnds(t *testing.T) {
	t.Parallel()
	d := setupDesk(t)
	phone, _, err := d.scan(d.page.Get(t))
	if err != nil {
		t.Fatal(err)
	}
	shown := shownOn(d.page.Get(t))
	d.flow.Clock.Advance(enrollmentWindow + time.Second)
	if p := d.page.Post(t, map[string]any{"fingerprint": shown}).Want(t, Component); p.JSON["progress"] != "shown" {
		t.Errorf("late: %s", p)
	}
	if n := value[int](d.bench, `SELECT count(*) FROM mobile_devices WHERE uuid = $1`, phone.device); n != 0 {
		t.Error("the phone that nobody confirmed is still there")
	}
	page := d.page.Get(t)
	_, p, text, _ := d.redeem(page.JSON["code"].(string))
	if p.Token == "" {
		t.Fatal(text)
	}
	if got := d.page.Get(t); got.JSON["progress"] != "opened" || got.JSON["code"] != nil {
		t.Errorf("after the code was used: %s", got)
	}
	d.page.Post(t, map[string]any{"matches": false}).Want(t, Component)
	h := &hand{bench: d.bench, server: d.server, device: uuid.MustParse(p.Device), token: p.Token, signer: newSigner(t)}
	if _, err := h.callIn(&wire.EnrollmentKeys{Possession: d.jwk(h.signer.Key)}); err == nil {
		t.Error("who redeemed the code still enrols")
	}
}
