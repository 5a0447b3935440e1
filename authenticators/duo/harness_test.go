package duo

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/user"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

const (
	clientID, clientSecret = "DIXXXXXXXXXXXXXXXXXX", "client-secret-word"
	adminKey, adminSecret  = "DIYYYYYYYYYYYYYYYYYY", "admin-secret-word"
)

// asked is one request that Duo got, its signature checked.
type asked struct {
	Path   string
	Params url.Values
}

// cloud plays Duo's service.
type cloud struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex
	got     []asked
	mode    string                 // what becomes of pushes: allow, deny, timeout, bypass, or "" for when answer is called
	pushes  map[string]chan string // transactions that wait for answer
	codes   map[string]string      // activation code → status of the enrolment
	fail    map[string]int         // path → HTTP status
	users   []map[string]any       // of the Admin API
	strict  bool                   // refuses a second enrolment of one name
	names   map[string]bool
	hold    time.Duration // after which auth_status says "waiting"
	waiting chan string   // gets the transaction of every auth_status that begins to wait
}

func newCloud(t testing.TB) *cloud {
	t.Helper()
	c := &cloud{
		t: t, mode: "allow", pushes: map[string]chan string{}, codes: map[string]string{}, fail: map[string]int{}, names: map[string]bool{},
		hold: time.Minute, waiting: make(chan string, 1000),
	}
	c.Server = httptest.NewTLSServer(c)
	t.Cleanup(func() {
		c.CloseClientConnections()
		c.Close()
	})
	return c
}

func (c *cloud) host() string { return strings.TrimPrefix(c.URL, "https://") }

// set changes how the cloud behaves.
func (c *cloud) set(fn func(c *cloud)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(c)
}

// calls are the requests for a path.
func (c *cloud) calls(path string) []asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []asked
	for _, a := range c.got {
		if a.Path == path {
			out = append(out, a)
		}
	}
	return out
}

// encode is RFC 3986, as Duo's documentation of a signature asks for.
func encode(s string) string {
	var b strings.Builder
	for _, x := range []byte(s) {
		switch {
		case x >= 'a' && x <= 'z', x >= 'A' && x <= 'Z', x >= '0' && x <= '9', strings.IndexByte("_.~-", x) >= 0:
			b.WriteByte(x)
		default:
			fmt.Fprintf(&b, "%%%02X", x)
		}
	}
	return b.String()
}

// signed checks a request as Duo's documentation describes it: HMAC over date, method, host, path and sorted parameters,
// one a line.
func signed(r *http.Request, params url.Values, key, secret string) bool {
	date, err := time.Parse(time.RFC1123Z, r.Header.Get("Date"))
	if err != nil || time.Since(date).Abs() > 5*time.Minute {
		return false
	}
	var pairs []string
	for name, values := range params {
		for _, v := range values {
			pairs = append(pairs, encode(name)+"="+encode(v))
		}
	}
	slices.Sort(pairs)
	mac := hmac.New(sha512.New, []byte(secret))
	_, _ = io.WriteString(mac, strings.Join([]string{r.Header.Get("Date"), r.Method, strings.ToLower(r.Host), r.URL.Path, strings.Join(pairs, "&")}, "\n"))
	name, signature, ok := r.BasicAuth()
	return ok && name == key && hmac.Equal([]byte(signature), []byte(hex.EncodeToString(mac.Sum(nil))))
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	params, err := url.ParseQuery(string(raw))
	if r.Method == http.MethodGet {
		params, err = r.URL.Query(), nil
	}
	key, secret := clientID, clientSecret
	if strings.HasPrefix(r.URL.Path, "/admin/") {
		key, secret = adminKey, adminSecret
	}
	if err != nil || !signed(r, params, key, secret) {
		refuse(w, http.StatusUnauthorized, 40103, "Invalid signature in request credentials", "")
		return
	}
	c.mu.Lock()
	c.got = append(c.got, asked{r.URL.Path, params})
	status := c.fail[r.URL.Path]
	c.mu.Unlock()
	if status != 0 {
		refuse(w, status, status*100+1, "The service is broken", "on purpose")
		return
	}
	switch r.URL.Path {
	case "/auth/v2/enroll":
		c.enroll(w, params)
	case "/auth/v2/enroll_status":
		c.mu.Lock()
		defer c.mu.Unlock()
		reply(w, c.codes[params.Get("activation_code")])
	case "/auth/v2/auth":
		c.auth(w, params)
	case "/auth/v2/auth_status":
		c.authStatus(w, r, params.Get("txid"))
	case "/admin/v1/users":
		c.list(w, params)
	default:
		refuse(w, http.StatusNotFound, 40401, "Resource not found", "")
	}
}

func reply(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"stat": "OK", "response": v})
}

func refuse(w http.ResponseWriter, status, code int, message, detail string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"stat": "FAIL", "code": code, "message": message, "message_detail": detail})
}

func (c *cloud) enroll(w http.ResponseWriter, params url.Values) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := params.Get("username")
	if c.strict && c.names[name] {
		refuse(w, http.StatusBadRequest, 40002, "Invalid request parameters", "username already exists")
		return
	}
	c.names[name] = true
	n := len(c.codes)
	code := fmt.Sprintf("duo://%020d-ZHVvLnRlc3Q", n)
	c.codes[code] = statusWaiting
	reply(w, map[string]any{
		"activation_barcode": "https://" + c.host() + "/frame/qr?value=" + url.QueryEscape(code), "activation_code": code,
		"expiration": time.Now().Unix() + 86400, "user_id": fmt.Sprintf("DU%018d", n), "username": name,
	})
}

func words(mode string) map[string]any {
	result := "deny"
	if mode == "allow" || mode == "bypass" {
		result = "allow"
	}
	return map[string]any{"result": result, "status": mode, "status_msg": "It is " + mode + "."}
}

func (c *cloud) auth(w http.ResponseWriter, params url.Values) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == "bypass" {
		reply(w, words(c.mode))
		return
	}
	tx := fmt.Sprintf("%08d-tx", len(c.pushes))
	c.pushes[tx] = make(chan string, 1)
	if c.mode != "" {
		c.pushes[tx] <- c.mode
	}
	reply(w, map[string]any{"txid": tx})
}

// answer is the person's, to the newest push.
func (c *cloud) answer(mode string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushes[fmt.Sprintf("%08d-tx", len(c.pushes)-1)] <- mode
}

func (c *cloud) authStatus(w http.ResponseWriter, r *http.Request, tx string) {
	c.mu.Lock()
	push, hold := c.pushes[tx], c.hold
	c.mu.Unlock()
	if push == nil {
		refuse(w, http.StatusBadRequest, 40002, "Invalid request parameters", "txid")
		return
	}
	c.waiting <- tx
	select {
	case mode := <-push:
		push <- mode // it stays so
		reply(w, words(mode))
	case <-time.After(hold):
		reply(w, map[string]any{"result": "waiting", "status": "pushed", "status_msg": "Pushed a login request to your phone..."})
	case <-r.Context().Done():
	}
}

func (c *cloud) list(w http.ResponseWriter, params url.Values) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var offset, limit int
	_, _ = fmt.Sscan(params.Get("offset"), &offset)
	_, _ = fmt.Sscan(params.Get("limit"), &limit)
	end := min(offset+limit, len(c.users))
	metadata := map[string]any{"total_objects": len(c.users)}
	if end < len(c.users) {
		metadata["next_offset"] = end
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"stat": "OK", "response": c.users[min(offset, end):end], "metadata": metadata})
}

// activate is the person scanning the newest code.
func (c *cloud) activate(status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for code := range c.codes {
		c.codes[code] = status
	}
}

func (c *cloud) service(b *flowtest.Bench) *Service {
	return New(Options{
		Pool: b.Pool, Keeper: b.Keeper, Events: b.Events, Sessions: b.Sessions, Now: b.Clock.Now, Transport: c.Client().Transport,
	})
}

// settings are as they stand in a row that was written by hand: the secrets are not sealed.
func (c *cloud) settings() Settings {
	return Settings{
		ClientID: clientID, ClientSecret: clientSecret, APIHostname: c.host(), AdminIntegrationKey: adminKey, AdminSecretKey: adminSecret,
	}
}

// clouds are those of a suite's benches.
type clouds struct {
	mu sync.Mutex
	m  map[*flowtest.Bench]*cloud
}

func (f *clouds) of(t testing.TB, b *flowtest.Bench) *cloud {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = map[*flowtest.Bench]*cloud{}
	}
	if f.m[b] == nil {
		f.m[b] = newCloud(t)
	}
	return f.m[b]
}

// bench is a server with a cloud, a set-up flow and a login flow.
type bench struct {
	*flowtest.Bench
	cloud   *cloud
	service *Service
	stage   uuid.UUID
	passed  *flowtest.Marker
}

const (
	setupSlug  = "setup"
	loginSlug  = "login"
	markerName = "marker"
)

func setUp(t testing.TB) *bench {
	t.Helper()
	b := &bench{cloud: newCloud(t), passed: &flowtest.Marker{}}
	b.Bench = flowtest.New(t, func(fb *flowtest.Bench) []*flows.Kind {
		b.service = b.cloud.service(fb)
		store := authenticators.NewStore(b.service.Kind())
		return []*flows.Kind{b.service.StageKind(), validate.Kind(store, fb.Users, fb.Keeper), b.passed.Kind(markerName)}
	})
	b.stage = b.Stage(t, kindName, b.cloud.settings())
	b.Flow(t, setupSlug, nil, flowtest.Step{Stage: b.stage}, flowtest.Step{Kind: markerName})
	b.Flow(t, loginSlug, nil, flowtest.Step{Kind: "authenticatorvalidatestage", Settings: map[string]any{
		"not_configured_action": "deny", "device_classes": []string{"duo"}, "last_auth_threshold": "seconds=0",
	}}, flowtest.Step{Kind: markerName})
	return b
}

func (b *bench) user(t testing.TB, name string) *user.User { return usertest.Add(t, b.Users, name, "") }

// start plans a flow for a user in a browser of its own.
func (b *bench) start(t testing.TB, slug string, u *user.User) *flowtest.Browser {
	t.Helper()
	br := b.Browser(slug)
	b.Start(t, br, slug, flows.Context{PendingUser: u.ID})
	return br
}

// device makes one of a user, as an import would.
func (b *bench) device(t testing.TB, u *user.User) (id int) {
	t.Helper()
	err := b.Direct.QueryRow(t.Context(), `INSERT INTO duo_devices (user_id, stage, name, confirmed, duo_user_id) VALUES ($1, $2, 'My Duo', true, $3) RETURNING id`,
		u.ID, b.stage, "DU"+u.Username).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (b *bench) events(t testing.TB, action string) int {
	t.Helper()
	return b.Count(t, `SELECT count(*) FROM events WHERE action = $1 AND app = $2`, action, app)
}

// eventually waits for something to become true.
func eventually(t testing.TB, what string, true func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !true() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
