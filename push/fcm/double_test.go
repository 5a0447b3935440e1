package fcm

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	project = "countersign-test"
	token   = "fGx0-a-registration-token-that-nobody-may-see"
)

// double is a stand-in for Google's two services: it gives access tokens for signed assertions, and takes messages
// for those tokens or says what it is told to.
type double struct {
	*httptest.Server
	t   *testing.T
	key *rsa.PrivateKey

	mu       sync.Mutex
	say      reply             // to every message
	sayToken func(n int) reply // to the n-th request for an access token, from 1; the zero reply gives one
	expires  int               // seconds that an access token lives
	tokens   []string          // given so far; only the last is good
	requests []*http.Request   // for messages, that were let in
	sent     [][]byte          // their message objects
	reached  chan struct{}     // set: messages are not answered
	hangAt   string            // path at which requests hang instead
	end      chan struct{}     // closed at the end of the test
}

// reply is an answer: the zero reply is the good one.
type reply struct {
	status int
	header http.Header
	body   string
}

// accountKey is the service account's key, one for all tests: to make one takes long.
var accountKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func startDouble(t *testing.T) *double {
	t.Helper()
	key, err := accountKey()
	if err != nil {
		t.Fatal(err)
	}
	g := &double{t: t, key: key, expires: 3600, end: make(chan struct{}), sayToken: func(int) reply { return reply{} }}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", g.token)
	mux.HandleFunc("POST /v1/projects/"+project+"/messages:send", g.message)
	g.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		close(g.end)
		g.Close()
	})
	return g
}

// credentials is a service account's key whose token_uri is the stand-in.
func (g *double) credentials() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(g.key)
	if err != nil {
		g.t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": project, "private_key_id": "k1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "push@" + project + ".iam.gserviceaccount.com", "token_uri": g.URL + "/token",
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return text
}

// channel is a channel to the stand-in: the two URLs are all that differs from production.
func (g *double) channel(change func(*Config)) *Channel {
	g.t.Helper()
	conf := Config{CredentialsJSON: g.credentials(), BaseURL: g.URL + "/v1", Transport: g.Client().Transport}
	if change != nil {
		change(&conf)
	}
	c, err := New(conf)
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

func (g *double) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (g *double) token(w http.ResponseWriter, r *http.Request) {
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(r.PostFormValue("assertion"), claims,
		func(*jwt.Token) (any, error) { return &g.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithAudience(g.URL+"/token"), jwt.WithExpirationRequired())
	if err != nil || claims["scope"] != "https://www.googleapis.com/auth/firebase.messaging" ||
		r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		g.t.Errorf("assertion: %v, claims %v", err, claims)
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	given := fmt.Sprintf("access-token-%d", len(g.tokens)+1)
	g.tokens = append(g.tokens, given)
	say, expires := g.sayToken(len(g.tokens)), g.expires
	g.mu.Unlock()
	if g.hangs(r) || say.write(w) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, given, expires)
}

func (g *double) message(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var doc struct {
		Message json.RawMessage `json:"message"`
	}
	if err != nil || json.Unmarshal(body, &doc) != nil {
		g.t.Errorf("request %q: %v", body, err)
	}
	g.mu.Lock()
	if len(g.tokens) == 0 || r.Header.Get("Authorization") != "Bearer "+g.tokens[len(g.tokens)-1] {
		g.mu.Unlock()
		unauthenticated.write(w)
		return
	}
	g.requests = append(g.requests, r)
	g.sent = append(g.sent, doc.Message)
	say := g.say
	if strings.Contains(string(body), `"validate_only":true`) && say.status == 0 {
		say = refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token")
	}
	n := len(g.sent)
	g.mu.Unlock()
	if g.hangs(r) || say.write(w) {
		return
	}
	fmt.Fprintf(w, `{"name":"projects/%s/messages/%d"}`, project, n)
}

// hangs keeps a request at the path where requests hang until its sender, or the test, is gone.
func (g *double) hangs(r *http.Request) bool {
	g.mu.Lock()
	reached, here := g.reached, r.URL.Path == g.hangAt
	g.mu.Unlock()
	if !here {
		return false
	}
	select {
	case reached <- struct{}{}:
	default:
	}
	select {
	case <-r.Context().Done():
	case <-g.end:
	}
	return true
}

// hang makes requests at the path hang, and tells of each.
func (g *double) hang(path string) <-chan struct{} {
	reached := make(chan struct{}, 1)
	g.set(func() { g.reached, g.hangAt = reached, path })
	return reached
}

// attempts is how many messages were let in, and fetches how many access tokens were asked for.
func (g *double) attempts() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sent)
}

func (g *double) fetches() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.tokens)
}

// first is the first message that was let in, with its headers.
func (g *double) first() (string, http.Header) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return string(g.sent[0]), g.requests[0].Header
}

func (r reply) write(w http.ResponseWriter) bool {
	if r.status == 0 {
		return false
	}
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.body)
	return true
}

func (r reply) after(pause string) reply {
	r.header = http.Header{"Retry-After": {pause}}
	return r
}

// refusal is FCM's form of an error; code "" leaves out FCM's own detail. Each field becomes a violation.
func refusal(status int, name, code, text string, fields ...string) reply {
	var details []any
	if len(fields) > 0 {
		var violations []any
		for _, f := range fields {
			violations = append(violations, map[string]string{"field": f, "description": "Invalid value"})
		}
		details = append(details, map[string]any{
			"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations,
		})
	}
	if code != "" {
		details = append(details, map[string]any{
			"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code,
		})
	}
	body, err := json.Marshal(map[string]any{
		"error": map[string]any{"code": status, "status": name, "message": text, "details": details},
	})
	if err != nil {
		panic(err)
	}
	return reply{status: status, body: string(body)}
}

var unauthenticated = refusal(401, "UNAUTHENTICATED", "", "Request had invalid authentication credentials.")

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
