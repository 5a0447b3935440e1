package mobile

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators/validate"
	"countersign/core/api"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/flows"
	"countersign/mobile/wire"
)

// reporting enrols a phone by a stage with actions.
func (b *bench) reporting(actions ...ReportAction) *hand {
	b.t.Helper()
	h := b.byHand(b.user)
	settings, err := json.Marshal(Settings{Mode: wire.NumberMatching3, Accepted: AcceptSigned, Reports: actions, ReportBlock: "minutes=30"})
	if err != nil {
		b.t.Fatal(err)
	}
	stage := uuid.New()
	b.exec(`INSERT INTO stages (stage_uuid, kind, name, settings) VALUES ($1, 'authenticatormobilestage', $2, $3)`, stage, stage.String(), settings)
	b.exec(`UPDATE mobile_devices SET stage = $2 WHERE uuid = $1`, h.device, stage)
	return h
}

// loggedIn stores a session.
func (b *bench) loggedIn(owner int) (id uuid.UUID) {
	b.t.Helper()
	id = uuid.New()
	b.exec(`INSERT INTO sessions (session_uuid, key_hash, user_id, expires) VALUES ($1, $2, $3, $4)`, id, id[:], owner, b.clock.now().Add(time.Hour))
	return id
}

// report has the phone say of a new prompt, which a session asked, that it was not its owner's.
func (h *hand) report(session uuid.UUID) (tx uuid.UUID) {
	h.t.Helper()
	tx = h.ask(h.device, h.user, h.service.Bus.Node())
	h.exec(`UPDATE mobile_transactions SET session = $2 WHERE tx_id = $1`, tx, session)
	h.nonce = h.service.nonce(h.clock.now().Unix() / 60)
	body := h.signedResponse(tx, wire.Report, wire.ItemDeny)
	if status, text, _ := h.send(wire.ActionResponse, "DPoP "+h.token, h.prove("POST", h.url(wire.ActionResponse), body), body); status != 204 {
		h.t.Fatalf("%d %s", status, text)
	}
	return tx
}

// effects are what the latest report set off, as its event says.
func (b *bench) effects() string {
	return value[string](b, `SELECT context->>'effects' FROM events WHERE action = 'suspicious_request' ORDER BY created DESC, event_uuid DESC LIMIT 1`)
}

// T9, G6: a report sets off what the stage says, once, in the transaction of the answer.
func TestReportHasTheChosenEffects(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		actions  []ReportAction
		effects  string
		sessions int // of the user, of three
		blocked  bool
		active   bool
		mails    bool
	}{
		"event alone":     {[]ReportAction{ReportEvent}, `[]`, 3, false, true, false},
		"nothing":         {[]ReportAction{}, `[]`, 3, false, true, false},
		"the session":     {[]ReportAction{ReportSession, ReportMail}, `["end_session", "mail"]`, 2, false, true, true},
		"all sessions":    {[]ReportAction{ReportSession, ReportSessions}, `["end_all_sessions"]`, 0, false, true, false},
		"no more pushes":  {[]ReportAction{ReportBlockPush}, `["block_push"]`, 3, true, true, false},
		"a locked user":   {[]ReportAction{ReportLock}, `["end_all_sessions", "lock"]`, 0, false, false, false},
		"all of it":       {[]ReportAction{ReportEvent, ReportSession, ReportSessions, ReportBlockPush, ReportLock, ReportMail}, `["end_all_sessions", "lock", "block_push", "mail"]`, 0, true, false, true},
		"a stage of old":  {nil, `["end_session", "mail"]`, 2, false, true, true},
		"unknown actions": {[]ReportAction{"explode"}, `[]`, 3, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.reporting(c.actions...)
			if c.actions == nil {
				b.exec(`UPDATE stages SET settings = settings - 'report_actions' - 'report_block_push'`)
			}
			eve := b.makeUser("eve")
			b.loggedIn(eve)
			mine := b.loggedIn(b.user)
			b.loggedIn(b.user)
			b.loggedIn(b.user)
			h.report(mine)
			if got := b.effects(); got != c.effects {
				t.Errorf("effects %s, want %s", got, c.effects)
			}
			if n := value[int](b, `SELECT count(*) FROM sessions WHERE user_id = $1`, b.user); n != c.sessions {
				t.Errorf("%d sessions are left, want %d", n, c.sessions)
			}
			if n := value[int](b, `SELECT count(*) FROM sessions WHERE user_id = $1`, eve); n != 1 {
				t.Error("another's session ended")
			}
			if blocked := value[bool](b, `SELECT EXISTS (SELECT FROM mobile_blocks WHERE user_id = $1 AND until = $2)`, b.user, b.clock.now().Add(30*time.Minute)); blocked != c.blocked {
				t.Errorf("blocked: %v", blocked)
			}
			if active := value[bool](b, `SELECT is_active FROM users WHERE id = $1`, b.user); active != c.active {
				t.Errorf("active: %v", active)
			}
			if mails := value[bool](b, `SELECT context->>'suspicion' IS NOT NULL FROM events WHERE action = 'suspicious_request'`); mails != c.mails {
				t.Errorf("mails: %v", mails)
			}
			if n := value[int](b, `SELECT count(*) FROM events WHERE action = 'suspicious_request' AND ("user"->>'pk')::int = $1`, b.user); n != 1 {
				t.Errorf("%d events", n)
			}
		})
	}
}

// G6: of the same report a hundred times, one has effects.
func TestReportCountsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reporting(ReportBlockPush, ReportMail)
	tx := b.ask(h.device, b.user, b.service.Bus.Node())
	body := h.signedResponse(tx, wire.Report, wire.ItemDeny)
	proofs := make([]string, 20)
	for i := range proofs {
		proofs[i] = h.prove("POST", h.url(wire.ActionResponse), body)
	}
	var all sync.WaitGroup
	for _, p := range proofs {
		all.Go(func() { h.send(wire.ActionResponse, "DPoP "+h.token, p, body) })
	}
	all.Wait()
	if n := value[int](b, `SELECT count(*) FROM events WHERE action = 'suspicious_request'`); n != 1 {
		t.Errorf("%d reports count", n)
	}
}

// G6, T8: whoever has the phone in hand cannot keep its owner out by reports: after three in a day only the event is written.
func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reporting(ReportSessions, ReportMail)
	for i := range 5 {
		b.clock.move(time.Hour)
		b.loggedIn(b.user)
		h.report(uuid.Nil)
		left := value[int](b, `SELECT count(*) FROM sessions WHERE user_id = $1`, b.user)
		if want := max(0, i-2); left != want {
			t.Errorf("after %d reports %d sessions are left, want %d", i+1, left, want)
		}
	}
	if n := value[int](b, `SELECT count(*) FROM events WHERE action = 'suspicious_request' AND context ? 'limited' AND NOT context ? 'suspicion'`); n != 2 {
		t.Errorf("%d reports are bounded, want 2", n)
	}
	b.clock.move(22 * time.Hour)
	h.report(uuid.Nil)
	if got := b.effects(); got != `["end_all_sessions", "mail"]` {
		t.Errorf("a day later: %s", got)
	}
}

// G6, T8: while pushes are blocked the page says why and until when, the owner's known browser is spared unless it was the one that
// asked, and an administrator lifts it all.
func TestBlockIsToldSparedAndLifted(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	admin := l.admin()
	phone, token := l.phone(l.user)
	own := l.at("192.0.2.7")
	if err := l.logsIn(own, phone, token); err != nil {
		t.Fatal(err)
	}
	h := l.reporting(ReportBlockPush, ReportLock)
	h.report(uuid.Nil)
	if status, list := admin("GET", "blocks/?user=999999", ""); status != 200 || list != "[]" {
		t.Errorf("of another user: %d %s", status, list)
	}
	if status, _ := admin("POST", "unblock/", `{"user": 999999}`); status != 400 {
		t.Errorf("nobody is unblocked: %d", status)
	}
	lists := func() (all []Block) {
		status, text := admin("GET", "blocks/", "")
		if err := json.Unmarshal([]byte(text), &all); status != 200 || err != nil {
			t.Fatalf("%d %s", status, text)
		}
		return all
	}
	if all := lists(); len(all) != 1 || !all[0].Locked || all[0].User != l.user || all[0].BlockedUntil == nil || all[0].Device != h.device || all[0].Username != "ada" {
		t.Errorf("in force: %+v", all)
	}
	l.exec(`UPDATE users SET is_active = true`) // by hand: the lock is lifted, the block is not
	r := l.at("192.0.2.7").begin("ada", phone)
	if r.code("mobile") != "throttled" || r.shown(phone)["paused_reason"] != "reported" || r.shown(phone)["paused_until"] != l.clock.now().Add(30*time.Minute).Format(time.RFC3339) {
		t.Errorf("a browser is told %+v", r)
	}
	own = own.later(l, "203.0.113.1")
	if err := l.logsIn(own, phone, token); err != nil {
		t.Errorf("the owner's browser: %v", err)
	}
	l.exec(`UPDATE mobile_blocks SET everywhere = true`)
	if r := own.later(l, "203.0.113.1").begin("ada", phone); r.code("mobile") != "throttled" {
		t.Errorf("the browser that asked: %+v", r)
	}
	l.exec(`UPDATE users SET is_active = false WHERE id = $1`, l.user)
	for range 2 {
		if status, text := admin("POST", "unblock/", `{"user": `+jsonOf(t, l.user)+`}`); status != 204 {
			t.Errorf("unblock: %d %s", status, text)
		}
	}
	if all := lists(); len(all) != 0 || !value[bool](l.bench, `SELECT is_active FROM users WHERE id = $1`, l.user) {
		t.Errorf("still in force: %+v", all)
	}
	if n := value[int](l.bench, `SELECT count(*) FROM events WHERE action = 'custom_mobile_unblocked'`); n != 1 {
		t.Errorf("%d events of the undo", n)
	}
	if r := l.at("192.0.2.7").begin("ada", phone); r.code("mobile") != "" {
		t.Errorf("after the undo: %+v", r)
	}
}

// An account that an administrator made inactive is not opened by lifting a block, and nobody else may lift one.
func TestUnblockOpensOnlyWhatAReportLocked(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	h := l.reporting(ReportBlockPush)
	h.report(uuid.Nil)
	l.exec(`UPDATE users SET is_active = false WHERE id = $1`, l.user)
	body := `{"user": ` + jsonOf(t, l.user) + `}`
	if status, _ := l.admin()("POST", "unblock/", body); status != 204 || value[bool](l.bench, `SELECT is_active FROM users WHERE id = $1`, l.user) {
		t.Errorf("%d, and the account is open", status)
	}
	if status, _ := l.as(&rbac.Actor{ID: l.user})("POST", "unblock/", body); status != 403 {
		t.Errorf("a user lifts a block: %d", status)
	}
	if status, _ := l.as(&rbac.Actor{ID: l.user})("GET", "blocks/", ""); status != 403 {
		t.Errorf("a user lists blocks: %d", status)
	}
}

// T7, T8: lifting also forgets how often the phone rang in vain.
func TestUnblockForgetsRings(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	phone, _ := l.phone(l.user)
	ask := func() string {
		l.clock.move(time.Minute)
		return l.at("198.51.100.1").begin("ada", phone).code("mobile")
	}
	for range 3 {
		if code := ask(); code != "" {
			t.Fatal(code)
		}
	}
	if code := ask(); code != "throttled" {
		t.Fatalf("a fourth time: %q", code)
	}
	if status, _ := l.admin()("POST", "unblock/", `{"user": `+jsonOf(t, l.user)+`}`); status != 204 {
		t.Fatal(status)
	}
	if code := ask(); code != "" {
		t.Errorf("after the undo: %q", code)
	}
}

func TestReportSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for block, ok := range map[string]bool{"hours=1": true, "days=7": true, "seconds=59": false, "days=8": false, "": false, "soon": false} {
		err := Settings{ReportBlock: block}.checkReports()
		if (err == nil) != ok {
			t.Errorf("%q: %v", block, err)
		}
		if err != nil && fault.As(err).Fields["report_block_push"] == nil {
			t.Errorf("%q: %+v", block, err)
		}
	}
}

// T23: an approval says whether the phone is in the browser's network; where the stage is strict one from elsewhere lets nobody in
// without a passkey.
func TestPhoneInAnotherNetwork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		action  validate.NetworkMismatch
		browser string // "" is that of the phone
		passes  bool
		events  int
	}{
		"same":                     {validate.MismatchStepUp, "", true, 0},
		"a neighbour":              {validate.MismatchStepUp, "127.0.0.77", true, 0},
		"ignored":                  {validate.MismatchIgnore, "198.51.100.1", true, 0},
		"an event":                 {validate.MismatchEvent, "198.51.100.1", true, 1},
		"a stage of old":           {"", "198.51.100.1", true, 1},
		"strict, without passkeys": {validate.MismatchStepUp, "198.51.100.1", false, 1},
		"strict, IPv6":             {validate.MismatchStepUp, "2001:db8::1", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := setupLogins(t)
			l.exec(`UPDATE stages SET settings = settings || jsonb_build_object('on_network_mismatch', $1::text) WHERE kind = 'authenticatorvalidatestage'`, string(c.action))
			l.exec(`UPDATE users SET attributes = '{"code": true}'`)
			device, token := l.phone(l.user)
			x := l.at(c.browser)
			r := x.begin("ada", device)
			held := x.await(l, device)
			if status := l.answer(device, token, r.item(device)); status != 204 {
				t.Fatalf("answer: %d", status)
			}
			after := l.got(held)
			if (after.Component == flows.ComponentRedirect) != c.passes {
				t.Errorf("got %+v", after)
			}
			if !c.passes && after.Component != flows.ComponentAccessDenied {
				t.Errorf("got %+v", after)
			}
			if n := value[int](l.bench, `SELECT count(*) FROM events WHERE action = 'custom_network_mismatch'`); n != c.events {
				t.Errorf("%d events, want %d", n, c.events)
			}
			same := c.browser == "" || c.browser == "127.0.0.77"
			if got := value[bool](l.bench, `SELECT same_network FROM mobile_transactions`); got != same {
				t.Errorf("same network: %v", got)
			}
			if got := value[bool](l.bench, `SELECT (context->>'same_network')::boolean FROM events WHERE action = 'custom_mobile_approved'`); got != same {
				t.Errorf("the event says %v", got)
			}
			if c.passes && value[bool](l.bench, `SELECT (auth->'args'->'mfa_devices'->0->>'same_network')::boolean FROM sessions WHERE user_id = $1`, l.user) != same {
				t.Error("the session says something else")
			}
		})
	}
}

// T23: where the stage is strict, an approval from another network asks for a passkey, and nothing else will do from then on.
func TestPhoneInAnotherNetworkStepsUp(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	l.exec(`UPDATE stages SET settings = settings || '{"on_network_mismatch": "step_up"}' WHERE kind = 'authenticatorvalidatestage'`)
	l.exec(`UPDATE users SET attributes = '{"code": true, "passkey": true}'`)
	device, token := l.phone(l.user)
	x := l.at("198.51.100.1")
	r := x.begin("ada", device)
	held := x.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	after := l.got(held)
	if after.code("mobile") != "network_mismatch" || len(after.Devices) != 1 || after.Devices[0].Class != "webauthn" {
		t.Fatalf("got %+v", after)
	}
	if again := x.send(map[string]any{"mobile": device.String()}); again.code("mobile") != "invalid" {
		t.Errorf("the phone again: %+v", again)
	}
	if again := x.send(choose(device)); again.code("selected_challenge") != "invalid" || len(l.push.jobs) != 1 {
		t.Errorf("the phone anew: %+v", again)
	}
	if again := x.send(map[string]any{"code": "right"}); again.code("code") != "invalid" {
		t.Errorf("a code: %+v", again)
	}
	l.exec(`UPDATE stages SET settings = settings || '{"device_classes": ["mobile", "static"]}' WHERE kind = 'authenticatorvalidatestage'`)
	if again := x.send(nil); again.Component != flows.ComponentAccessDenied {
		t.Errorf("with passkeys forbidden meanwhile: %+v", again)
	}
	l.exec(`UPDATE stages SET settings = settings || '{"device_classes": ["mobile", "webauthn"]}' WHERE kind = 'authenticatorvalidatestage'`)
	l.clock.move(time.Minute)
	x = l.at("198.51.100.1")
	r = x.begin("ada", device)
	held = x.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.code("mobile") != "network_mismatch" {
		t.Fatalf("got %+v", after)
	}
	if after := x.send(map[string]any{"webauthn": map[string]any{"is": "right"}}); after.Component != flows.ComponentRedirect {
		t.Errorf("with a passkey: %+v", after)
	}
	if got := value[string](l.bench, `SELECT auth->>'factors' FROM sessions WHERE user_id = $1`, l.user); got != `["webauthn"]` {
		t.Errorf("the session's factors: %s", got)
	}
}

// admin calls operations of administrators below /authenticators/admin/mobile/.
func (b *bench) admin() func(method, path, body string) (int, string) {
	return b.as(&rbac.Actor{ID: b.makeUser("root"), Superuser: true})
}

// as is the same for anybody.
func (b *bench) as(a *rbac.Actor) func(method, path, body string) (int, string) {
	b.t.Helper()
	a.Via = rbac.ViaToken
	x := api.New(api.Options{Authenticators: []api.Authenticator{func(context.Context, *http.Request) (*rbac.Actor, error) { return a, nil }}})
	b.service.MountBlocks(x)
	handler, err := x.Handler()
	if err != nil {
		b.t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	b.t.Cleanup(server.Close)
	return func(method, path, body string) (int, string) {
		b.t.Helper()
		var raw any
		if method == http.MethodPost {
			raw = []byte(body)
		}
		status, text, err := request(b.t.Context(), server.URL+"/api/v3/authenticators/admin/mobile/"+path, method, "", raw)
		if err != nil {
			b.t.Fatal(err)
		}
		return status, string(text)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
