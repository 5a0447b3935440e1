package app_test

import (
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pquerna/otp/totp"

	"countersign/cmd/app"
	"countersign/core/dbtest"
	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

const (
	keyA = "the-first-server-key-of-over-32-characters"
	keyB = "the-second-server-key-of-over-32-characters"

	mfaComponent = "ak-stage-authenticator-validate"
	doneFlow     = "xak-flow-redirect"
	smsAuth      = "the-name-at-the-sms-provider"
	smsPassword  = "the-password-at-the-sms-provider"
	duoSecret    = "the-secret-of-the-duo-application"
	duoAdmin     = "the-secret-of-the-duo-admin-application"
	words        = "four words make passwords"
	numberOne    = "+447700900123"
	numberTwo    = "+447700900456"
	numberThree  = "+447700900789"
)

// gateway is a provider of text messages.
type gateway struct {
	*httptest.Server
	mu    sync.Mutex
	codes map[string]string // the last one, by number
	auth  string            // of the last request
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{codes: map[string]string{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var in struct{ To, Body string }
		_ = json.Unmarshal(raw, &in)
		name, password, _ := r.BasicAuth()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.codes[in.To], g.auth = in.Body, name+"/"+password
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) code(number string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.codes[number]
}

// world is an installation in which one of each kind was set up, and the servers that run on it one after the other.
type world struct {
	t       *testing.T
	pool    *pgxpool.Pool
	address string
	push    func(*app.Config)
	node    *node
	gateway *gateway

	screen   *phone.Screen
	phone    *phone.Phone
	account  phone.Account
	seed     string   // of totp, in base32
	codes    []string // of static that are left
	token    string   // of the API
	appPass  string
	duoStage string
	users    map[string]string // their pk
}

// serve starts a server with these keys, in the place of the one before.
func (w *world) serve(keys ...string) {
	w.t.Helper()
	if w.node != nil {
		w.node.stop()
		select {
		case err := <-w.node.ended:
			w.node.ended <- err // for the clean-up
		case <-time.After(patience):
			w.t.Fatal("the server does not end")
		}
	}
	w.node = start(w.t, func(c *app.Config) {
		c.Database.URL, c.Listen, c.SecretKey, c.OldSecretKeys = w.pool.Config().ConnString(), w.address, keys[0], keys[1:]
		w.push(c)
	})
}

// api makes a request as the administrator and gives the answer; it must have that status.
func (w *world) api(want int, method, path string, body any) map[string]any {
	w.t.Helper()
	a := w.node.call(method, "/api/v3"+path, adminToken, body)
	if a.status != want {
		w.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	var out map[string]any
	if a.body != "" {
		if err := json.Unmarshal([]byte(a.body), &out); err != nil {
			w.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return out
}

// walk sends an answer to a flow, nil to see what it asks, and follows it to the next challenge.
func (w *world) walk(b *browser.Browser, slug string, body map[string]any) map[string]any {
	w.t.Helper()
	method, path, payload := http.MethodPost, "/api/v3/flows/executor/"+slug+"/?query=", any(body)
	if body == nil {
		method, payload = http.MethodGet, nil
		if _, err := b.Do(w.t.Context(), http.MethodGet, "/if/flow/"+slug+"/", nil); err != nil {
			w.t.Fatal(err)
		}
	}
	for range 10 {
		r, err := b.Do(w.t.Context(), method, path, payload)
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Status == http.StatusFound {
			method, path, payload = http.MethodGet, r.Location, nil
			continue
		}
		var c map[string]any
		if err := json.Unmarshal(r.Body, &c); err != nil || r.Status != http.StatusOK {
			w.t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Body)
		}
		return c
	}
	w.t.Fatalf("flow %s: too many redirects", slug)
	return nil
}

// login goes to the second factor, or to the end where none is asked.
func (w *world) login(b *browser.Browser, user, password string) map[string]any {
	w.t.Helper()
	const flow = "default-authentication-flow"
	w.walk(b, flow, nil)
	w.walk(b, flow, map[string]any{"uid_field": user})
	return w.walk(b, flow, map[string]any{"password": password})
}

// factor answers the second factor.
func (w *world) factor(b *browser.Browser, body map[string]any) map[string]any {
	w.t.Helper()
	return w.walk(b, "default-authentication-flow", body)
}

// enrolled gives a browser in which a user is logged in without a second factor, at the beginning of a set-up flow.
func (w *world) setUp(user, slug string) (*browser.Browser, map[string]any) {
	w.t.Helper()
	b := w.node.browser(nil)
	w.want("log in "+user, w.login(b, user, words), doneFlow)
	return b, w.walk(b, slug, nil)
}

func (w *world) want(what string, c map[string]any, component string) {
	w.t.Helper()
	if c["component"] != component {
		w.t.Errorf("%s: got %v, want %s", what, c, component)
	}
}

// flow adds a set-up flow of one stage and gives the stage's pk.
func (w *world) flow(slug, kind string, stage map[string]any) string {
	w.t.Helper()
	f := w.api(201, "POST", "/flows/instances/", map[string]any{
		"name": slug, "slug": slug, "title": slug, "designation": "stage_configuration", "authentication": "require_authenticated",
	})
	stage["name"] = slug
	s := w.api(201, "POST", "/stages/authenticator/"+kind+"/", stage)
	w.api(201, "POST", "/flows/bindings/", map[string]any{"target": f["pk"], "stage": s["pk"], "order": 0})
	return s["pk"].(string)
}

// code is what the authenticator app shows. The server has forgotten which it used: a test has no half minutes to wait.
func (w *world) code() string {
	w.t.Helper()
	w.exec(`UPDATE totp_devices SET last_step = -1`)
	c, err := totp.GenerateCode(w.seed, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// newWorld sets up one of each kind with key A. Each has a user of its own, named like the kind.
func newWorld(t *testing.T, edit func(*app.Config)) *world {
	t.Helper()
	w := &world{t: t, pool: dbtest.Pool(t), address: freeAddress(t), gateway: newGateway(t), users: map[string]string{}}
	w.push = func(c *app.Config) {
		fcm := c.Push.FCM // that of the first server: the phone's address is known there
		w.push = func(c *app.Config) { c.Push.FCM = fcm; edit(c) }
		edit(c)
	}
	w.serve(keyA)

	w.screen = &phone.Screen{}
	w.phone, w.account = w.node.enrolledAs(phone.Options{Behaviour: phone.Approve(w.screen), Signs: true, Verifies: true})
	for _, name := range []string{"totp", "static", "sms", "verified", "other", "duo", "app", "drafts", "visitor", "returner"} {
		u := w.api(201, "POST", "/core/users/", map[string]any{"username": name, "name": name})
		w.users[name] = fmt.Sprint(u["pk"])
		w.api(204, "POST", "/core/users/"+w.users[name]+"/set_password/", map[string]any{"password": words})
	}

	w.api(201, "POST", "/core/tokens/", map[string]any{"identifier": "machine", "intent": "api"})
	w.token = w.api(200, "GET", "/core/tokens/machine/view_key/", nil)["key"].(string)
	w.api(201, "POST", "/core/tokens/", map[string]any{"identifier": "mail", "intent": "app_password", "user": w.users["app"]})
	w.appPass = w.api(200, "GET", "/core/tokens/mail/view_key/", nil)["key"].(string)

	const totpFlow, staticFlow = "default-authenticator-totp-setup", "default-authenticator-static-setup"
	b, page := w.setUp("totp", totpFlow)
	config, err := url.Parse(page["config_url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	w.seed = config.Query().Get("secret")
	w.want("set up totp", w.walk(b, totpFlow, map[string]any{"code": w.code()}), doneFlow)

	b, page = w.setUp("static", staticFlow)
	for _, c := range page["codes"].([]any) {
		w.codes = append(w.codes, c.(string))
	}
	w.want("set up static", w.walk(b, staticFlow, map[string]any{}), doneFlow)

	sms := map[string]any{
		"provider": "generic", "from_number": "Countersign", "account_sid": w.gateway.URL, "auth": smsAuth, "auth_password": smsPassword, "auth_type": "basic",
	}
	w.flow("sms", "sms", sms)
	sms["verify_only"] = true
	w.flow("sms-verify", "sms", sms)
	for user, of := range map[string][2]string{"sms": {"sms", numberOne}, "verified": {"sms-verify", numberTwo}} {
		slug, number := of[0], of[1]
		b, _ = w.setUp(user, slug)
		w.walk(b, slug, map[string]any{"phone_number": number})
		w.want("set up sms", w.walk(b, slug, map[string]any{"code": w.gateway.code(number)}), doneFlow)
	}

	w.duoStage = w.flow("duo", "duo", map[string]any{
		"client_id": "DI", "client_secret": duoSecret, "api_hostname": "127.0.0.1:1", "admin_integration_key": "DA", "admin_secret_key": duoAdmin,
	})
	w.api(204, "POST", "/stages/authenticator/duo/"+w.duoStage+"/import_device_manual/", map[string]any{"duo_user_id": "DU1", "username": "duo"})
	return w
}

// works goes through everything that a change of keys must not end.
func (w *world) works(phase string) {
	t := w.t
	t.Helper()
	n := w.node
	w.exec(`UPDATE sms_codes SET created = created - interval '2 hours'`) // as time goes by

	if a := n.call("GET", "/api/v3/core/users/me/", w.token, nil); a.status != 200 {
		t.Errorf("%s: the token of the API: %d %s", phase, a.status, a.body)
	}
	for name, key := range map[string]string{"machine": w.token, "mail": w.appPass} {
		if got := w.api(200, "GET", "/core/tokens/"+name+"/view_key/", nil)["key"]; got != key {
			t.Errorf("%s: the key of %s is shown as %v", phase, name, got)
		}
	}
	w.want(phase+": the app password", w.login(n.browser(nil), "app", w.appPass), doneFlow)

	if err := w.phone.CheckIn(t.Context()); err != nil {
		t.Errorf("%s: the phone checks in: %v", phase, err)
	}
	if r, err := n.browser(w.screen.Show).Login(t.Context(), "akadmin", adminPassword); err != nil || r.Outcome != browser.Approved {
		t.Errorf("%s: a login with the phone: %v %+v", phase, err, r)
	}

	b := n.browser(nil)
	w.want(phase+": totp is asked", w.login(b, "totp", words), mfaComponent)
	w.want(phase+": totp", w.factor(b, map[string]any{"code": w.code()}), doneFlow)

	b = n.browser(nil)
	w.want(phase+": static is asked", w.login(b, "static", words), mfaComponent)
	w.want(phase+": static", w.factor(b, map[string]any{"code": w.codes[0]}), doneFlow)
	w.codes = w.codes[1:]

	b = n.browser(nil)
	offer := w.login(b, "sms", words)["device_challenges"].([]any)[0].(map[string]any)
	w.factor(b, map[string]any{"selected_challenge": offer})
	if w.gateway.auth != smsAuth+"/"+smsPassword {
		t.Errorf("%s: the provider was sent %q", phase, w.gateway.auth)
	}
	w.want(phase+": sms", w.factor(b, map[string]any{"code": w.gateway.code(numberOne)}), doneFlow)
	if got := w.api(200, "GET", "/authenticators/admin/sms/?page_size=100", nil); !strings.Contains(fmt.Sprint(got), numberOne) {
		t.Errorf("%s: the numbers are %v", phase, got)
	}

	if text := w.duoFault(); !strings.Contains(text, "connect") {
		t.Errorf("%s: Duo is not asked: %s", phase, text)
	}
}

// duoFault is why Duo cannot be reached, as the newest event of a login tells it. Nobody listens at the stage's address, so
// it is the connection, unless the secret does not open.
func (w *world) duoFault() string {
	w.t.Helper()
	w.exec(`DELETE FROM duo_pushes`)
	b := w.node.browser(nil)
	offer := w.login(b, "duo", words)["device_challenges"].([]any)[0].(map[string]any)
	w.factor(b, map[string]any{"selected_challenge": offer})
	w.factor(b, map[string]any{"duo": offer["device_uid"]})
	var text string
	err := w.pool.QueryRow(w.t.Context(), `SELECT context->>'message' FROM events WHERE action = 'configuration_error' ORDER BY created DESC LIMIT 1`).Scan(&text)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// me asks who is logged in, by the session alone.
func (w *world) me(b *browser.Browser) int {
	w.t.Helper()
	r, err := b.Do(w.t.Context(), "GET", "/api/v3/core/users/me/", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Status
}

// taken tells whether the number that was verified is refused to another user.
func (w *world) taken() bool {
	w.t.Helper()
	b, _ := w.setUp("other", "sms-verify")
	c := w.walk(b, "sms-verify", map[string]any{"phone_number": numberTwo})
	return strings.Contains(fmt.Sprint(c["response_errors"]), "Invalid phone number")
}

// rawSeed is the seed as bytes.
func (w *world) rawSeed() string {
	w.t.Helper()
	raw, err := base32.StdEncoding.DecodeString(w.seed)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}
