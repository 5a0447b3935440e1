package apns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"countersign/push"
	"countersign/push/pushtest"
)

const device = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"

// apple is a stand-in for APNs.
type apple struct {
	t      testing.TB
	server *httptest.Server
	key    *ecdsa.PrivateKey

	mu      sync.Mutex
	say     []reply // one after the other; the last one stays
	pause   time.Duration
	hanging chan struct{}
	sent    [][]byte
	seen    []http.Header
	proto   int
}

type reply struct {
	status int
	reason string
}

func newApple(t testing.TB) *apple {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &apple{t: t, key: key, say: []reply{{status: 200}}}
	a.server = httptest.NewUnstartedServer(a)
	a.server.EnableHTTP2 = true
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	return a
}

func (a *apple) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	headers := map[string]string{}
	for name := range r.Header {
		if strings.HasPrefix(name, "Apns-") {
			headers[name] = r.Header.Get(name)
		}
	}
	doc, _ := json.Marshal(map[string]any{"to": strings.TrimPrefix(r.URL.Path, "/3/device/"), "payload": json.RawMessage(body), "headers": headers})
	a.mu.Lock()
	a.sent, a.seen, a.proto = append(a.sent, doc), append(a.seen, r.Header), r.ProtoMajor
	say, hanging, pause := a.say[0], a.hanging, a.pause
	if len(a.say) > 1 {
		a.say = a.say[1:]
	}
	a.mu.Unlock()
	if hanging != nil {
		hanging <- struct{}{}
		<-r.Context().Done()
		return
	}
	if pause > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(pause.Seconds())))
	}
	w.WriteHeader(say.status)
	if say.status != 200 {
		_ = json.NewEncoder(w).Encode(map[string]string{"reason": say.reason, "about": r.URL.Path})
	}
}

func (a *apple) answer(all ...reply) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.say = all
}

func (a *apple) pem() string {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (a *apple) channel(edit func(*Config)) *Channel {
	a.t.Helper()
	c := Config{Key: a.pem(), KeyID: "ABC123DEFG", Team: "DEF123GHIJ", Topic: "org.example.app", URL: a.server.URL, Transport: a.server.Client().Transport}
	if edit != nil {
		edit(&c)
	}
	made, err := New(c)
	if err != nil {
		a.t.Fatal(err)
	}
	return made
}

func reasonOf(err error) push.Reason {
	var e *push.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func message() push.Message {
	return push.Message{Address: device, Title: "Login request", Body: "Open the app", Data: map[string]string{"kind": "wake"}, TTL: time.Minute}
}

// T13, G14: nothing but the message and the fixed words of Apple's protocol crosses the wire, and every promise of a channel holds.
func TestSuite(t *testing.T) {
	t.Parallel()
	words := map[push.Reason]reply{
		"": {200, ""}, push.Unregistered: {410, "Unregistered"}, push.InvalidAddress: {400, "BadDeviceToken"},
		push.BadMessage: {413, "PayloadTooLarge"}, push.SenderMismatch: {400, "DeviceTokenNotForTopic"},
		push.Credentials: {403, "InvalidProviderToken"}, push.Quota: {429, "TooManyRequests"},
		push.Unavailable: {503, "ServiceUnavailable"}, push.Internal: {500, "InternalServerError"},
	}
	var all []push.Reason
	for r := range words {
		if r != "" {
			all = append(all, r)
		}
	}
	fixed := map[string]string{
		"payload.aps.sound": "default", "payload.aps.category": category, "payload.aps.mutable-content": "1",
		"payload.aps.interruption-level": "time-sensitive", "headers.Apns-Push-Type": "alert", "headers.Apns-Priority": "10",
		"headers.Apns-Topic": "org.example.app", "headers.Apns-Expiration": "1700000060",
	}
	pushtest.Run(t, func(t *testing.T) pushtest.Fixture {
		a := newApple(t)
		c := a.channel(func(c *Config) { c.Now = func() time.Time { return time.Unix(1_700_000_000, 0) } })
		return pushtest.Fixture{
			Channel: c, Address: device, Reasons: all, Secrets: []string{strings.SplitN(a.pem(), "\n", 3)[1], "bearer"},
			Answer: func(r push.Reason, pause time.Duration) {
				a.answer(words[r])
				a.mu.Lock()
				defer a.mu.Unlock()
				a.pause = pause
			},
			Hang: func() <-chan struct{} {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.hanging = make(chan struct{}, 32)
				return a.hanging
			},
			Sent: func() [][]byte {
				a.mu.Lock()
				defer a.mu.Unlock()
				return append([][]byte(nil), a.sent...)
			},
			Fixed: func(path, value string) bool { return fixed[path] == value },
		}
	})
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	a := newApple(t)
	c := a.channel(nil)
	for _, one := range []struct {
		reply
		want push.Reason
	}{
		{reply{400, "BadTopic"}, push.Credentials}, {reply{400, "TopicDisallowed"}, push.Credentials}, {reply{400, "BadExpirationDate"}, push.BadMessage},
		{reply{404, "BadPath"}, push.BadMessage}, {reply{410, "ExpiredToken"}, push.Unregistered}, {reply{410, ""}, push.Unregistered},
		{reply{403, "BadEnvironmentKeyInToken"}, push.Credentials}, {reply{429, "TooManyProviderTokenUpdates"}, push.Quota},
		{reply{503, "Shutdown"}, push.Unavailable}, {reply{502, ""}, push.Unavailable}, {reply{302, ""}, push.Unavailable},
	} {
		a.answer(one.reply)
		if got := reasonOf(c.Send(t.Context(), message())); got != one.want {
			t.Errorf("%d %s is %q, want %q", one.status, one.reason, got, one.want)
		}
	}
	if a.proto != 2 {
		t.Errorf("spoke HTTP/%d, Apple takes HTTP/2 alone", a.proto)
	}
}

// The provider token is made by the key, names key and team, serves for 50 minutes, and is replaced once when Apple calls it
// expired, but never more often than Apple lets one.
func TestToken(t *testing.T) {
	t.Parallel()
	a := newApple(t)
	now := time.Unix(1_700_000_000, 0)
	c := a.channel(func(c *Config) { c.Now = func() time.Time { return now } })
	send := func() (token string, err error) {
		err = c.Send(t.Context(), message())
		return strings.TrimPrefix(a.seen[len(a.seen)-1].Get("Authorization"), "bearer "), err
	}
	first, err := send()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(first, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := parsed.Claims(&a.key.PublicKey, &claims); err != nil || claims["iss"] != "DEF123GHIJ" || claims["iat"] != float64(now.Unix()) || len(claims) != 2 {
		t.Errorf("claims %v, %v", claims, err)
	}
	if parsed.Headers[0].KeyID != "ABC123DEFG" {
		t.Errorf("key id %q", parsed.Headers[0].KeyID)
	}
	expired := reply{403, "ExpiredProviderToken"}
	a.answer(expired, reply{200, ""})
	now = now.Add(tokenRest - time.Second)
	if token, err := send(); reasonOf(err) != push.Credentials || token != first || len(a.sent) != 2 {
		t.Errorf("too soon for a new token: %v, %d sends", err, len(a.sent))
	}
	a.answer(expired, reply{200, ""})
	now = now.Add(2 * time.Second)
	second, err := send()
	if err != nil || second == first || len(a.sent) != 4 {
		t.Errorf("an expired token was not replaced: %v, %d sends", err, len(a.sent))
	}
	a.answer(expired)
	if _, err := send(); reasonOf(err) != push.Credentials || len(a.sent) != 5 {
		t.Errorf("an expired token again: %v, %d sends", err, len(a.sent))
	}
	a.answer(reply{200, ""})
	now = now.Add(tokenLife)
	if third, err := send(); err != nil || third == second {
		t.Errorf("an old token is used up to its end: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	a := newApple(t)
	c := a.channel(nil)
	for _, one := range []struct {
		reply
		good bool
	}{{reply{400, "BadDeviceToken"}, true}, {reply{403, "InvalidProviderToken"}, false}, {reply{400, "TopicDisallowed"}, false}} {
		a.answer(one.reply)
		if err := c.Check(t.Context()); (err == nil) != one.good {
			t.Errorf("%s: %v", one.reason, err)
		}
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	a := newApple(t)
	c := a.channel(nil)
	for _, address := range []string{"short", strings.Repeat("x", 64), device + "0", "../" + device, device + "/../x"} {
		m := message()
		m.Address = address
		if got := reasonOf(c.Send(t.Context(), m)); got != push.InvalidAddress {
			t.Errorf("%q: %q", address, got)
		}
	}
	long := message()
	long.Body = strings.Repeat("x", maxPayload)
	if got := reasonOf(c.Send(t.Context(), long)); got != push.BadMessage || len(a.sent) > 0 {
		t.Errorf("a long message: %q", got)
	}
	for name, edit := range map[string]func(*Config){
		"no key":     func(c *Config) { c.Key = "" },
		"no PEM":     func(c *Config) { c.Key = "secret" },
		"no PKCS8":   func(c *Config) { c.Key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n" },
		"no key id":  func(c *Config) { c.KeyID = "" },
		"no team":    func(c *Config) { c.Team = "" },
		"no topic":   func(c *Config) { c.Topic = "" },
		"plain HTTP": func(c *Config) { c.URL = "http://api.push.apple.com" },
	} {
		good := Config{Key: a.pem(), KeyID: "K", Team: "T", Topic: "x"}
		edit(&good)
		if _, err := New(good); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
