package mobile

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/api"
	"countersign/core/bus"
	"countersign/core/rbac"
	"countersign/core/secret"
	"countersign/flows"
	"countersign/flows/executor"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/userlogin"
	"countersign/mobile/wire"
	"countersign/push"
)

// loginFlow is the slug of a flow that asks for a name, a phone, and logs in.
const loginFlow = "login"

// logins serves that flow beside the phones of a bench.
type logins struct {
	*bench
	engine *flows.Engine
	site   *httptest.Server
}

func setupLogins(t *testing.T) *logins {
	t.Helper()
	l := &logins{bench: setup(t)}
	l.makeFlow()
	l.engine, l.site = l.serve(l.service)
	return l
}

// makeFlow stores the flow.
func (l *logins) makeFlow() {
	flow := uuid.New()
	l.exec(`INSERT INTO flows (flow_uuid, pbm_uuid, name, slug, title, designation) VALUES ($1, $2, 'Login', $3, 'Login', 'authentication')`,
		flow, uuid.New(), loginFlow)
	for order, stage := range []struct {
		kind     string
		settings any
	}{
		{"identificationstage", identification.Settings{UserFields: []identification.UserField{"username"}, Pretend: true}},
		{"authenticatorvalidatestage", validate.Settings{NotConfigured: validate.Deny, DeviceClasses: validate.AllClasses(), LastAuthThreshold: "seconds=0"}},
		{"userloginstage", userlogin.Settings{SessionDuration: "seconds=0", RememberOffset: "seconds=0"}},
	} {
		settings, err := json.Marshal(stage.settings)
		if err != nil {
			l.t.Fatal(err)
		}
		id := uuid.New()
		l.exec(`INSERT INTO stages (stage_uuid, kind, name, settings) VALUES ($1, $2, $2, $3)`, id, stage.kind, settings)
		l.exec(`INSERT INTO flow_bindings (fsb_uuid, pbm_uuid, target, stage, "order") VALUES ($1, $2, $3, $4, $5)`, uuid.New(), uuid.New(), flow, id, order)
	}
}

// serve adds a node that walks flows with the phones of s.
func (l *logins) serve(s *Service) (*flows.Engine, *httptest.Server) {
	keeper, err := secret.New("a-key-for-tests-of-at-least-32-characters")
	if err != nil {
		l.t.Fatal(err)
	}
	store := authenticators.NewStore(append(otherKinds(), s.Kind())...)
	kinds := []*flows.Kind{identification.Kind(s.Users), validate.Kind(store, s.Users, keeper), userlogin.Kind(s.Sessions), s.StageKind()}
	log := slog.New(slog.DiscardHandler)
	engine := flows.New(flows.Options{Pool: l.pool, Users: s.Users, Events: s.Events, Kinds: kinds, Log: log, Now: l.clock.now})
	a := api.New(api.Options{
		Log: slog.New(slog.NewTextHandler(l.t.Output(), &slog.HandlerOptions{Level: slog.LevelError})), TrustedProxies: here(),
	})
	executor.Mount(a, executor.Options{
		Engine: engine, Sessions: s.Sessions, Pool: l.pool, Kinds: kinds,
		Brand:     func(context.Context, string) (executor.Brand, error) { return executor.Brand{Title: "Brand"}, nil },
		Bearer:    func(context.Context, *http.Request) (*rbac.Actor, error) { return nil, nil }, //nolint:nilnil // no header is no caller
		Page:      func(*api.Request, *flows.Flow) {},
		ErrorPage: func(*api.Request, error) {},
	})
	handler, err := a.Handler()
	if err != nil {
		l.t.Fatal(err)
	}
	site := httptest.NewServer(handler)
	l.t.Cleanup(site.Close)
	return engine, site
}

// tab is a browser.
type tab struct {
	t      testing.TB
	site   *httptest.Server
	client *http.Client
	from   string // its address; "" is that of the test
}

// here are the addresses of tests: what comes from them may say that it comes from elsewhere.
func here() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func (l *logins) tab() *tab {
	jar, err := cookiejar.New(nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return &tab{t: l.t, site: l.site, client: &http.Client{Jar: jar}} // follows 302 with GET, as browsers do
}

// reply is a challenge, as far as these tests look at it.
type reply struct {
	Status         int
	Component      string                         `json:"component"`
	To             string                         `json:"to"`
	ErrorMessage   string                         `json:"error_message"`
	ResponseErrors map[string][]flows.ErrorDetail `json:"response_errors"`
	Devices        []struct {
		Class     string         `json:"device_class"`
		UID       string         `json:"device_uid"`
		Challenge map[string]any `json:"challenge"`
	} `json:"device_challenges"`
}

func (r reply) code(field string) string {
	if e := r.ResponseErrors[field]; len(e) > 0 {
		return e[0].Code
	}
	return ""
}

func (r reply) item(device uuid.UUID) string {
	for _, d := range r.Devices {
		if d.UID == device.String() {
			item, _ := d.Challenge["item"].(string)
			return item
		}
	}
	return ""
}

func (x *tab) send(body any) reply {
	x.t.Helper()
	method, raw := http.MethodGet, []byte(nil)
	if body != nil {
		var err error
		method = http.MethodPost
		if raw, err = json.Marshal(body); err != nil {
			x.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(x.t.Context(), method, x.site.URL+"/api/v3/flows/executor/"+loginFlow+"/?query=", bytes.NewReader(raw))
	if err != nil {
		x.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if x.from != "" {
		req.Header.Set("X-Forwarded-For", x.from)
	}
	resp, err := x.client.Do(req)
	if err != nil {
		x.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	r := reply{Status: resp.StatusCode}
	if err := json.Unmarshal(text, &r); err != nil {
		x.t.Fatalf("%d %s", resp.StatusCode, text)
	}
	return r
}

func choose(device uuid.UUID) map[string]any {
	return map[string]any{"selected_challenge": map[string]any{"device_class": Class, "device_uid": device.String(), "challenge": map[string]any{}}}
}

// begin names the user and chooses the phone.
func (x *tab) begin(name string, device uuid.UUID) reply {
	x.t.Helper()
	if r := x.send(map[string]any{"uid_field": name}); r.Component != validate.Component {
		x.t.Fatalf("after the name: %+v", r)
	}
	return x.send(choose(device))
}

// await holds a request for the answer and gives its reply.
func (x *tab) await(l *logins, device uuid.UUID) <-chan reply {
	x.t.Helper()
	return x.held(l, map[string]any{"mobile": device.String()})
}

// held sends what the server holds back, and gives its reply.
func (x *tab) held(l *logins, body any) <-chan reply {
	x.t.Helper()
	before := l.engine.Waiting()
	out := make(chan reply, 1)
	go func() { out <- x.send(body) }()
	for l.engine.Waiting() == before && len(out) == 0 {
		time.Sleep(time.Millisecond) // until the request sleeps, or came back at once
	}
	return out
}

func (l *logins) got(from <-chan reply) reply {
	l.t.Helper()
	select {
	case r := <-from:
		return r
	case <-time.After(10 * time.Second):
		l.t.Fatal("the browser was not released")
		return reply{}
	}
}

// waiting is the prompt that waits for a device.
func (l *logins) waiting(device uuid.UUID) uuid.UUID {
	return value[uuid.UUID](l.bench, `SELECT tx_id FROM mobile_transactions WHERE device = $1 AND status = 'wait'`, device)
}

func (l *logins) answer(device uuid.UUID, token, item string) int {
	status, _ := l.call(device, wire.ActionResponse, token, wire.Response{TxID: l.waiting(device).String(), SelectedItem: item})
	return status
}

func TestPhoneLetsTheLoginGoOn(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.tab()
	r := x.begin("ada", device)
	if r.code("non_field_errors") != "invalid" || len(l.push.jobs) != 1 {
		t.Fatalf("after the choice: %+v, %d pushes", r, len(l.push.jobs))
	}
	again := x.send(nil)
	if again.item(device) != r.item(device) {
		t.Errorf("a reload shows %s instead of %s", again.item(device), r.item(device))
	}
	held := x.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if r := l.got(held); r.Component != flows.ComponentRedirect || r.To != "/" {
		t.Errorf("after the answer: %+v", r)
	}
	if got := value[string](l.bench, `SELECT auth->'factors'->>0 FROM sessions WHERE user_id = $1`, l.user); got != "mobile" {
		t.Errorf("the session's factor is %q", got)
	}
	if got := value[string](l.bench, `SELECT context->'auth_method_args'->'mfa_devices'->0->>'name' FROM events WHERE action = 'login'`); got != "Ada's phone" {
		t.Errorf("the login's event names %q", got)
	}
}

// askBody is what our page sends: choice and answer at once, with the number that it shows.
func askBody(device uuid.UUID, item string) map[string]any {
	body := choose(device)
	body["selected_challenge"].(map[string]any)["challenge"] = map[string]any{"item": item}
	body["mobile"] = device.String()
	return body
}

// Choice and answer may travel together (core.md §3.3): one request asks and waits.
func TestOneRequestAsksAndWaits(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.tab()
	r := x.send(map[string]any{"uid_field": "ada"})
	if window := r.Devices[0].Challenge["answer_window"]; window != 60.0 {
		t.Errorf("the page is told of %v seconds", window)
	}
	held := x.held(l, askBody(device, r.item(device)))
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if r := l.got(held); r.Component != flows.ComponentRedirect || len(l.push.jobs) != 1 {
		t.Errorf("after the answer: %+v, %d pushes", r, len(l.push.jobs))
	}
}

// A page that shows a number which another tab has used up is told the new one before it waits: its person would look for
// the old one on the phone.
func TestPageWithAnOldNumberIsToldTheNewOne(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.tab()
	old := x.send(map[string]any{"uid_field": "ada"}).item(device)
	held := x.held(l, askBody(device, old))
	for _, item := range value[[]string](l.bench, `SELECT items FROM mobile_transactions WHERE status = 'wait'`) {
		if item != old {
			l.answer(device, token, item)
			break
		}
	}
	l.got(held)
	r := x.send(askBody(device, old)) // the other tab
	if r.item(device) == old || r.code("mobile") != "" || r.code("non_field_errors") != "invalid" {
		t.Fatalf("the old number is answered by %+v", r)
	}
	held = x.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if r := l.got(held); r.Component != flows.ComponentRedirect {
		t.Errorf("after the answer: %+v", r)
	}
}

// The phone has answered, and no browser has heard of it yet: a tab that asks in that moment gets the answer, not a new
// question.
func TestAnswerOutlivesAnotherTabsQuestion(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	for name, want := range map[string]string{"approve": flows.ComponentRedirect, "deny": flows.ComponentAccessDenied} {
		device, token := l.phone(l.makeUser(name))
		x := l.tab()
		r := x.begin(name, device)
		item := r.item(device)
		if name == "deny" {
			item = wire.ItemDeny
		}
		if status := l.answer(device, token, item); status != 204 {
			t.Fatalf("%s: %d", name, status)
		}
		if after := x.send(askBody(device, r.item(device))); after.Component != want {
			t.Errorf("%s: %+v", name, after)
		}
		if n := value[int](l.bench, `SELECT count(*) FROM mobile_transactions WHERE device = $1`, device); n != 1 {
			t.Errorf("%s: the phone was asked %d times", name, n)
		}
	}
}

// What is read ahead for the phone that an answer names is of no use for another.
func TestForeseenPhoneMustBeTheChosenOne(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, _ := l.phone(l.user)
	foreign, _ := l.phone(l.makeUser("eve"))
	l.exec(`UPDATE mobile_devices SET push_address = 'address of eve' WHERE uuid = $1`, foreign)
	x := l.tab()
	x.send(map[string]any{"uid_field": "ada"})
	body := choose(device)
	body["mobile"] = foreign.String()
	if r := x.send(body); r.code("mobile") != "invalid" {
		t.Errorf("another's phone: %+v", r)
	}
	if len(l.push.jobs) != 1 || l.push.jobs[0].Message.Address == "address of eve" || l.waiting(device) == uuid.Nil {
		t.Errorf("pushes: %+v", l.push.jobs)
	}
	if r := x.send(map[string]any{"mobile": foreign.String()}); r.code("mobile") != "invalid" || len(l.push.jobs) != 1 {
		t.Errorf("another's phone alone: %+v, %d pushes", r, len(l.push.jobs))
	}
}

// T3, T22: a wrong number ends the challenge, a denial ends the flow; neither sends anything by itself.
func TestWrongNumberAndDenialLetNobodyIn(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.tab()
	r := x.begin("ada", device)
	held := x.await(l, device)
	wrong := "000"
	for _, item := range value[[]string](l.bench, `SELECT items FROM mobile_transactions WHERE status = 'wait'`) {
		if item != r.item(device) {
			wrong = item
		}
	}
	if status := l.answer(device, token, wrong); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	after := l.got(held)
	if after.code("mobile") != "denied" || after.item(device) == r.item(device) {
		t.Errorf("after a wrong number: %+v (was %s)", after, r.item(device))
	}
	if len(l.push.jobs) != 1 {
		t.Errorf("%d pushes, want the first one alone", len(l.push.jobs))
	}
	x.send(choose(device))
	held = x.await(l, device)
	if status := l.answer(device, token, wire.ItemDeny); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentAccessDenied {
		t.Errorf("after the denial: %+v", after)
	}
	if n := value[int](l.bench, `SELECT count(*) FROM flow_plans`); n != 0 {
		t.Errorf("%d plans are left", n)
	}
	if n := value[int](l.bench, `SELECT count(*) FROM sessions WHERE user_id IS NOT NULL`); n != 0 || len(l.push.jobs) != 2 {
		t.Errorf("%d sessions, %d pushes", n, len(l.push.jobs))
	}
}

func TestNoAnswerEndsInTime(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.tab()
	r := x.begin("ada", device)
	tx := l.waiting(device)
	l.clock.move(time.Minute)
	if after := x.send(map[string]any{"mobile": device.String()}); after.code("mobile") != "invalid" {
		t.Errorf("after the window: %+v", after)
	}
	if got := value[string](l.bench, `SELECT status FROM mobile_transactions WHERE tx_id = $1`, tx); got != statusExpired {
		t.Errorf("the prompt is %s", got)
	}
	if status, _ := l.call(device, wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: r.item(device)}); status != 404 {
		t.Errorf("a late answer: %d", status)
	}
}

// A push that failed is told at once, once; the login goes on when the phone answers all the same.
func TestFailedPushIsToldToTheBrowser(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.tab()
	r := x.begin("ada", device)
	held := x.await(l, device)
	l.push.jobs[0].Report(push.Report{State: push.Failing, Reason: push.Unavailable, Attempt: 1})
	if after := l.got(held); after.code("mobile") != "internal" {
		t.Fatalf("after the failure: %+v", after)
	}
	held = x.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("after the answer: %+v", after)
	}
}

// The phone's choice among several: the prompt goes to the chosen one, and its answer alone counts.
func TestChosenPhoneIsAsked(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	first, firstToken := l.phone(l.user)
	second, secondToken := l.phone(l.user)
	x := l.tab()
	r := x.begin("ada", second)
	if len(r.Devices) != 2 {
		t.Fatalf("%d phones are offered", len(r.Devices))
	}
	held := x.await(l, second)
	if status, _ := l.call(first, wire.ActionResponse, firstToken, wire.Response{TxID: l.waiting(second).String(), SelectedItem: r.item(second)}); status != 404 {
		t.Errorf("the other phone's answer: %d", status)
	}
	if status := l.answer(second, secondToken, r.item(second)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("after the answer: %+v", after)
	}
	stranger, _ := l.phone(l.makeUser("eve"))
	if r := l.tab().begin("ada", stranger); r.code("selected_challenge") != "invalid" {
		t.Errorf("a foreign phone was taken: %+v", r)
	}
	x = l.tab()
	x.begin("ada", first)
	if r := x.send(map[string]any{"mobile": stranger.String()}); r.code("mobile") != "invalid" {
		t.Errorf("a foreign phone's name was taken: %+v", r)
	}
}

// One prompt a device is pending: a newer login of another browser takes the place of the older, which is told.
func TestNewerLoginSupersedes(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	older, newer := l.tab(), l.tab()
	older.begin("ada", device)
	old := l.waiting(device)
	held := older.await(l, device)
	r := newer.begin("ada", device)
	if after := l.got(held); after.code("mobile") != "superseded" {
		t.Errorf("the older browser: %+v", after)
	}
	if status, _ := l.call(device, wire.ActionResponse, token, wire.Response{TxID: old.String(), SelectedItem: "000"}); status != 404 {
		t.Errorf("an answer to the superseded prompt: %d", status)
	}
	held = newer.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("the newer browser: %+v", after)
	}
	if n := value[int](l.bench, `SELECT count(*) FROM sessions WHERE user_id IS NOT NULL`); n != 1 {
		t.Errorf("%d sessions are logged in, want 1", n)
	}
}

// A choice that is sent twice rings once; asked again later, the same question rings again, a few times at most.
func TestChoosingTwiceAsksOnce(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, _ := l.phone(l.user)
	x := l.tab()
	r := x.begin("ada", device)
	tx := l.waiting(device)
	x.send(choose(device))
	if len(l.push.jobs) != 1 {
		t.Errorf("%d pushes at once", len(l.push.jobs))
	}
	for range 5 {
		l.clock.move(ringGap)
		if again := x.send(choose(device)); again.item(device) != r.item(device) {
			t.Errorf("the number changed to %s", again.item(device))
		}
	}
	if len(l.push.jobs) != maxRings || l.waiting(device) != tx {
		t.Errorf("%d pushes, want %d of one prompt", len(l.push.jobs), maxRings)
	}
}

// G17: the browser comes back on another node while the phone answers on the first; nobody is lost.
func TestWaitingBrowserMayChangeNodes(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	memory := &bus.Memory{}
	firstService, firstDevices := l.node(memory.Join())
	secondService, _ := l.node(memory.Join())
	_, firstSite := l.serve(firstService)
	secondEngine, secondSite := l.serve(secondService)
	device, token := l.phone(l.user)
	x := l.tab()
	x.site = firstSite
	r := x.begin("ada", device)
	x.site = secondSite
	moved := *l
	moved.engine = secondEngine
	held := x.await(&moved, device)
	status, _ := l.callAt(firstDevices, http.MethodPost, device.String(), wire.ActionResponse, token,
		wire.Response{TxID: l.waiting(device).String(), SelectedItem: r.item(device)})
	if status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("after the answer: %+v", after)
	}
}

// T11: a phone that is removed while it is asked releases the browser at once, whichever way it went.
func TestRemovedPhoneReleasesTheBrowser(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	for name, remove := range map[string]string{
		"phone": `DELETE FROM mobile_devices WHERE user_id = $1`,
		"user":  `DELETE FROM users WHERE id = $1`,
	} {
		on, err := bus.Open(t.Context(), l.pool, bus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		service, _ := l.node(on)
		owner := l.makeUser(name)
		device, _ := l.phone(owner)
		moved := *l
		x := l.tab()
		moved.engine, x.site = l.serve(service)
		r := x.send(map[string]any{"uid_field": name})
		held := x.held(&moved, askBody(device, r.item(device)))
		l.exec(remove, owner)
		if after := l.got(held); after.code("mobile") != "denied" {
			t.Errorf("%s: %+v", name, after)
		}
	}
}

// Two tabs of one browser wait for one phone: both are let in, and one session is logged in.
func TestTwoTabsWaitForOneAnswer(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.tab()
	r := x.begin("ada", device)
	one, two := x.await(l, device), x.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	for _, held := range []<-chan reply{one, two} {
		if after := l.got(held); after.Component != flows.ComponentRedirect {
			t.Errorf("after the answer: %+v", after)
		}
	}
	if n := value[int](l.bench, `SELECT count(*) FROM events WHERE action = 'login'`); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// T6: the answer releases the login that asked, and no other session of the same user.
func TestAnswerIsOfTheSessionThatAsked(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	mine, other := l.tab(), l.tab()
	r := mine.begin("ada", device)
	if got := other.send(map[string]any{"uid_field": "ada"}); got.Component != validate.Component {
		t.Fatalf("%+v", got)
	}
	held := mine.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("the login that asked: %+v", after)
	}
	if after := other.send(nil); after.Component != validate.Component {
		t.Errorf("the other login: %+v", after)
	}
}

// A request that still has the cookie from before the login is sent on, without access and without a cookie that would
// take the place of the new one; later it is a stranger's.
func TestOldCookieAfterLoginBeginsNothing(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.tab()
	r := x.begin("ada", device)
	site, err := url.Parse(l.site.URL)
	if err != nil {
		t.Fatal(err)
	}
	old := x.client.Jar.Cookies(site)
	held := x.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	l.got(held)
	ask := func() (component string, cookies int) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.site.URL+"/api/v3/flows/executor/"+loginFlow+"/?query=", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range old {
			req.AddCookie(c)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got reply
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		return got.Component, len(resp.Cookies())
	}
	if component, cookies := ask(); component != flows.ComponentRedirect || cookies != 0 {
		t.Errorf("right after the login: %s, %d cookies", component, cookies)
	}
	l.clock.move(11 * time.Second)
	if component, cookies := ask(); component != identification.Component || cookies != 1 {
		t.Errorf("later: %s, %d cookies", component, cookies)
	}
}
