package webpush

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
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

func raw(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of RFC 8291 §5 with the intermediate values of its appendix A, byte by byte.
func TestVector(t *testing.T) {
	t.Parallel()
	const (
		message  = "V2hlbiBJIGdyb3cgdXAsIEkgd2FudCB0byBiZSBhIHdhdGVybWVsb24"
		sender   = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
		receiver = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
		auth     = "BTBZMqHH6r4Tts7J_aSIgg"
		salt     = "DGv6ra1nlYgDCS1FRnbzlw"
		body     = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	)
	to, err := Parse(fmt.Sprintf(`{"endpoint":"https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV","keys":{"p256dh":%q,"auth":%q}}`, receiver, auth))
	if err != nil {
		t.Fatal(err)
	}
	own, err := ecdh.P256().NewPrivateKey(raw(t, sender))
	if err != nil {
		t.Fatal(err)
	}
	got, err := encrypt(raw(t, message), 0, to, own, raw(t, salt))
	if err != nil || base64.RawURLEncoding.EncodeToString(got) != body {
		t.Errorf("encrypted %s, %v", base64.RawURLEncoding.EncodeToString(got), err)
	}
}

// browser is a push service and the browser behind it.
type browser struct {
	t      testing.TB
	server *httptest.Server
	key    *ecdh.PrivateKey
	auth   []byte

	mu      sync.Mutex
	status  int
	pause   time.Duration
	hanging chan struct{}
	sent    [][]byte
	seen    []http.Header
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	b := &browser{t: t, status: 201, auth: make([]byte, authSize)}
	var err error
	if b.key, err = ecdh.P256().GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	rand.Read(b.auth)
	b.server = httptest.NewTLSServer(b)
	t.Cleanup(b.server.Close)
	return b
}

func (b *browser) address() string {
	return fmt.Sprintf(`{"endpoint":%q,"keys":{"p256dh":%q,"auth":%q}}`, b.server.URL+"/push/of-a-browser-by-this-name",
		base64.RawURLEncoding.EncodeToString(b.key.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(b.auth))
}

func (b *browser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	plain, err := b.decrypt(body)
	if err != nil {
		w.WriteHeader(400)
		return
	}
	doc, _ := json.Marshal(map[string]any{"to": b.address(), "payload": json.RawMessage(plain), "headers": map[string]string{
		"ttl": r.Header.Get("TTL"), "urgency": r.Header.Get("Urgency"), "topic": r.Header.Get("Topic"),
		"encoding": r.Header.Get("Content-Encoding"), "type": r.Header.Get("Content-Type"),
	}})
	b.mu.Lock()
	b.sent, b.seen = append(b.sent, doc), append(b.seen, r.Header)
	status, pause, hanging := b.status, b.pause, b.hanging
	b.mu.Unlock()
	if hanging != nil {
		hanging <- struct{}{}
		<-r.Context().Done()
		return
	}
	if pause > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(pause.Seconds())))
	}
	if status == http.StatusFound {
		w.Header().Set("Location", b.server.URL+"/elsewhere")
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "about %s and %s", b.address(), r.URL.Path)
}

// decrypt is the other end of encrypt, written from RFC 8188 and 8291 alone.
func (b *browser) decrypt(body []byte) ([]byte, error) {
	if len(body) < 86 || body[20] != 65 || len(body) > 4096 {
		return nil, errors.New("no header")
	}
	salt, point := body[:16], body[21:86]
	sender, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	shared, err := b.key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	secret, _ := derive(b.auth, shared, "WebPush: info\x00"+string(b.key.PublicKey().Bytes())+string(point), 32)
	key, _ := derive(salt, secret, "Content-Encoding: aes128gcm\x00", 16)
	nonce, _ := derive(salt, secret, "Content-Encoding: nonce\x00", 12)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	open, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	record, err := open.Open(nil, nonce, body[86:], nil)
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(bytes.TrimRight(record, "\x00"), []byte{2}), nil
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// channel is one that trusts the browser's push service.
func (b *browser) channel(edit func(*Config)) *Channel {
	b.t.Helper()
	c := Config{Key: newKey(b.t), Contact: "mailto:push@example.org", Transport: b.server.Client().Transport}
	if edit != nil {
		edit(&c)
	}
	made, err := New(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return made
}

func message(address string) push.Message {
	return push.Message{
		Address: address, Title: "Login request", Body: "Open the app", Data: map[string]string{"kind": "wake"},
		TTL: 59*time.Second + 900*time.Millisecond, CollapseKey: "0190d3b1-7c5e-7000-8000-00000000abcd",
	}
}

// T13, G14: nothing but the message and the fixed words of RFC 8030 crosses the wire, and every promise of a channel holds.
func TestSuite(t *testing.T) {
	t.Parallel()
	statuses := map[push.Reason]int{
		"": 201, push.Unregistered: 410, push.BadMessage: 413, push.SenderMismatch: 403, push.Credentials: 401,
		push.Quota: 429, push.Unavailable: 503, push.Internal: 500,
	}
	var all []push.Reason
	for r := range statuses {
		if r != "" {
			all = append(all, r)
		}
	}
	for _, name := range []string{Name, UnifiedPush} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pushtest.Run(t, func(t *testing.T) pushtest.Fixture {
				b := newBrowser(t)
				fixed := map[string]string{
					"headers.ttl": "60", "headers.urgency": "high", "headers.topic": topic("collapse-4711"), "headers.encoding": "aes128gcm",
					"headers.type": "application/octet-stream",
				}
				return pushtest.Fixture{
					Channel: b.channel(func(c *Config) { c.Name = name }), Address: b.address(), Reasons: all,
					Secrets: []string{"of-a-browser-by-this-name", base64.RawURLEncoding.EncodeToString(b.auth), "vapid t="},
					Answer: func(r push.Reason, pause time.Duration) {
						b.mu.Lock()
						defer b.mu.Unlock()
						b.status, b.pause = statuses[r], pause
					},
					Hang: func() <-chan struct{} {
						b.mu.Lock()
						defer b.mu.Unlock()
						b.hanging = make(chan struct{}, 32)
						return b.hanging
					},
					Sent: func() [][]byte {
						b.mu.Lock()
						defer b.mu.Unlock()
						return append([][]byte(nil), b.sent...)
					},
					Fixed: func(path, value string) bool { return fixed[path] == value },
				}
			})
		})
	}
}

func reasonOf(err error) push.Reason {
	var e *push.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	c := b.channel(nil)
	for status, want := range map[int]push.Reason{
		200: "", 201: "", 202: "", 302: push.InvalidAddress, 400: push.BadMessage, 401: push.Credentials, 403: push.SenderMismatch,
		404: push.Unregistered, 408: push.Unavailable, 410: push.Unregistered, 413: push.BadMessage, 429: push.Quota,
		500: push.Internal, 502: push.Unavailable, 503: push.Unavailable,
	} {
		b.mu.Lock()
		b.status = status
		b.mu.Unlock()
		if got := reasonOf(c.Send(t.Context(), message(b.address()))); got != want {
			t.Errorf("%d is %q, want %q", status, got, want)
		}
	}
	if last := b.seen[len(b.seen)-1]; last.Get("TTL") != "59" {
		t.Errorf("TTL %s: longer than the window", last.Get("TTL"))
	}
	if topic := b.seen[0].Get("Topic"); len(topic) != 32 {
		t.Errorf("topic %q", topic)
	}
}

func TestMessagesOfAllLengthsLookAlike(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	c := b.channel(nil)
	length := func(m push.Message) int64 {
		r, err := c.request(t.Context(), mustParse(t, b.address()), m)
		if err != nil {
			t.Fatal(err)
		}
		return r.ContentLength
	}
	short, longer := message(b.address()), message(b.address())
	longer.Data = map[string]string{"kind": "challenge", "items": `["11","22","33"]`}
	if length(short) != length(longer) {
		t.Error("the length tells what a message says")
	}
	longest := message(b.address())
	longest.Title, longest.Body, longest.Data = "", strings.Repeat("x", MaxPlain-len(`{"title":"","body":"","data":null}`)), nil
	if n := length(longest); n != recordSize {
		t.Errorf("the longest message has %d bytes", n)
	}
	if err := c.Send(t.Context(), longest); err != nil {
		t.Errorf("the longest message: %v", err)
	}
	longest.Body += "x"
	if got := reasonOf(c.Send(t.Context(), longest)); got != push.BadMessage {
		t.Errorf("one byte more: %q", got)
	}
}

func mustParse(t testing.TB, address string) Subscription {
	t.Helper()
	s, err := Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The token is made out to the push service, ends within a day, names a contact, and is signed by the key that is published.
func TestVAPID(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key := newKey(t)
	c := b.channel(func(c *Config) { c.Key, c.Now = key, func() time.Time { return now } })
	header := func() string {
		if err := c.Send(t.Context(), message(b.address())); err != nil {
			t.Fatal(err)
		}
		return b.seen[len(b.seen)-1].Get("Authorization")
	}
	first := header()
	text, public, found := strings.Cut(strings.TrimPrefix(first, "vapid t="), ", k=")
	if !found || public != c.PublicKey() || len(raw(t, public)) != pointSize {
		t.Fatalf("authorization %q", first)
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := token.Claims(&key.PublicKey, &claims); err != nil {
		t.Fatal(err)
	}
	if claims["aud"] != b.server.URL || claims["sub"] != "mailto:push@example.org" || len(claims) != 3 {
		t.Errorf("claims %v", claims)
	}
	if left := time.Unix(int64(claims["exp"].(float64)), 0).Sub(now); left <= 0 || left > 24*time.Hour {
		t.Errorf("the token lives for %v", left)
	}
	if header() != first {
		t.Error("each message has a token of its own")
	}
	now = now.Add(tokenLife - tokenEarly)
	if header() == first {
		t.Error("an old token is used up to its end")
	}
}

func TestTokensAreBounded(t *testing.T) {
	t.Parallel()
	v, err := newVAPID(newKey(t), "", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxTokens + 10 {
		if i > 5 && i < maxTokens-5 {
			v.tokens[fmt.Sprint(i)] = token{} // without the work of signing
			continue
		}
		if _, err := v.authorization(fmt.Sprintf("https://%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(v.tokens) > maxTokens {
		t.Errorf("%d tokens are kept", len(v.tokens))
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for endpoint, want := range map[string]string{
		"https://Push.Example/x": "https://push.example", "https://push.example:443/x": "https://push.example",
		"https://push.example:8443/x": "https://push.example:8443", "http://push.example:80/": "http://push.example",
	} {
		if got := mustParse(t, strings.Replace(b.address(), b.server.URL+"/push/of-a-browser-by-this-name", endpoint, 1)).origin(); got != want {
			t.Errorf("%s: origin %s", endpoint, got)
		}
	}
}

// G14: a subscription cannot make the server call into the operator's own network.
func TestNobodyIsCalledAtPrivateAddresses(t *testing.T) {
	t.Parallel()
	called := false
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer inside.Close()
	b := newBrowser(t)
	at := func(endpoint string) string {
		return strings.Replace(b.address(), b.server.URL+"/push/of-a-browser-by-this-name", endpoint, 1)
	}
	own := b.channel(func(c *Config) { c.Transport = nil })
	_, port, _ := strings.Cut(strings.TrimPrefix(inside.URL, "http://"), ":")
	for _, endpoint := range []string{
		inside.URL + "/x", b.server.URL + "/x", "https://localhost:" + port + "/x", "https://[::1]:" + port + "/x",
		"https://[::ffff:127.0.0.1]:" + port + "/x", "https://2130706433:" + port + "/x",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := own.Send(ctx, message(at(endpoint)))
		cancel()
		// The last one need not even resolve. With the others Unavailable would be a connection that was made.
		if got := reasonOf(err); got != push.InvalidAddress && !(got == push.Unavailable && strings.Contains(endpoint, "2130706433")) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	if called || len(b.seen) > 0 {
		t.Error("a private address was called")
	}
	allowed := b.channel(func(c *Config) { c.Transport, c.AllowedHosts = nil, []string{"127.0.0.1:" + port} })
	if err := allowed.CheckAddress(at(inside.URL + "/x")); err != nil {
		t.Errorf("an allowed host: %v", err)
	}
	if err := allowed.Send(t.Context(), message(at(inside.URL+"/x"))); err != nil || !called {
		t.Errorf("an allowed host: called %v, %v", called, err)
	}
	if err := own.CheckAddress(at("http://push.example/x")); err == nil {
		t.Error("an endpoint in the clear passes")
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	good := b.address()
	endpoint := b.server.URL + "/push/of-a-browser-by-this-name"
	point, auth := base64.RawURLEncoding.EncodeToString(b.key.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(b.auth)
	off := raw(t, point)
	off[40] ^= 1
	for name, address := range map[string]string{
		"not JSON":            "token",
		"no endpoint":         strings.Replace(good, endpoint, "", 1),
		"relative":            strings.Replace(good, endpoint, "/push", 1),
		"another scheme":      strings.Replace(good, endpoint, "ftp://push.example/x", 1),
		"with a user":         strings.Replace(good, endpoint, "https://u:p@push.example/x", 1),
		"too long":            strings.Replace(good, endpoint, "https://push.example/"+strings.Repeat("x", MaxEndpoint), 1),
		"no key":              strings.Replace(good, point, "", 1),
		"a key off the curve": strings.Replace(good, point, base64.RawURLEncoding.EncodeToString(off), 1),
		"a compressed key":    strings.Replace(good, point, point[:44], 1),
		"a short secret":      strings.Replace(good, auth, auth[:20], 1),
	} {
		_, err := Parse(address)
		if err == nil {
			t.Errorf("%s passes", name)
		} else if strings.Contains(err.Error(), auth) || strings.Contains(err.Error(), "of-a-browser") {
			t.Errorf("%s: %v", name, err)
		}
		c := b.channel(nil)
		if got := reasonOf(c.Send(t.Context(), message(address))); got != push.InvalidAddress {
			t.Errorf("%s: sent with %q", name, got)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"no key":        {},
		"another curve": {Key: other},
		"contact":       {Key: newKey(t), Contact: "push@example.org"},
		"empty host":    {Key: newKey(t), AllowedHosts: []string{""}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"endpoint":"https://push.example/x","keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`)
	f.Fuzz(func(t *testing.T, address string) {
		s, err := Parse(address)
		if err != nil {
			return
		}
		if r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint, nil); err != nil || r.URL.Host == "" {
			t.Errorf("%q cannot be called: %v", s.Endpoint, err)
		}
		_ = s.origin()
	})
}
