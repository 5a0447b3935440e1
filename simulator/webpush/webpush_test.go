package webpush

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"countersign/mobile/wire"
)

// sender is whoever sends, with a key.
type sender struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	public string
}

func newSender(t *testing.T) *sender {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return &sender{t: t, key: key, public: base64.RawURLEncoding.EncodeToString(point)}
}

func (s *sender) header(claims map[string]any) string {
	s.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return "vapid t=" + text + ", k=" + s.public
}

// Each rule of the RFCs, broken, has its status, and nothing is delivered.
func TestRules(t *testing.T) {
	t.Parallel()
	d := New(Options{})
	server := httptest.NewServer(d)
	defer server.Close()
	d.SetBase(server.URL)
	me, stranger := newSender(t), newSender(t)
	s, err := d.NewSubscription(me.public)
	if err != nil {
		t.Fatal(err)
	}
	exp := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := me.header(map[string]any{"aud": server.URL, "exp": exp(time.Hour), "sub": "mailto:x@example.org"})
	for name, c := range map[string]struct {
		status int
		header map[string]string
		body   int
	}{
		"good":                 {201, nil, 100},
		"no authorization":     {401, map[string]string{"Authorization": ""}, 100},
		"another scheme":       {401, map[string]string{"Authorization": "Bearer x"}, 100},
		"another audience":     {401, map[string]string{"Authorization": me.header(map[string]any{"aud": "https://push.example", "exp": exp(time.Hour)})}, 100},
		"over":                 {401, map[string]string{"Authorization": me.header(map[string]any{"aud": server.URL, "exp": exp(-time.Minute)})}, 100},
		"more than a day":      {401, map[string]string{"Authorization": me.header(map[string]any{"aud": server.URL, "exp": exp(25 * time.Hour)})}, 100},
		"a contact of no kind": {401, map[string]string{"Authorization": me.header(map[string]any{"aud": server.URL, "exp": exp(time.Hour), "sub": "x@example.org"})}, 100},
		"another's signature":  {401, map[string]string{"Authorization": strings.Replace(good, me.public, stranger.public, 1)}, 100},
		"another sender":       {403, map[string]string{"Authorization": stranger.header(map[string]any{"aud": server.URL, "exp": exp(time.Hour)})}, 100},
		"no TTL":               {400, map[string]string{"TTL": ""}, 100},
		"a negative TTL":       {400, map[string]string{"TTL": "-1"}, 100},
		"an unknown urgency":   {400, map[string]string{"Urgency": "urgent"}, 100},
		"a long topic":         {400, map[string]string{"Topic": strings.Repeat("x", 33)}, 100},
		"a topic with a dot":   {400, map[string]string{"Topic": "a.b"}, 100},
		"another encoding":     {415, map[string]string{"Content-Encoding": "aesgcm"}, 100},
		"too large":            {413, nil, 4097},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint, bytes.NewReader(make([]byte, c.body)))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{"Authorization": good, "TTL": "60", "Content-Encoding": "aes128gcm"} {
			r.Header.Set(k, v)
		}
		for k, v := range c.header {
			r.Header.Del(k)
			if v != "" {
				r.Header.Set(k, v)
			}
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, c.status)
		}
	}
	if n := d.Stored(ID(s)); n != 0 {
		t.Errorf("%d messages that nobody can read are stored", n)
	}
	for _, r := range d.History() {
		if r.Status == 201 && len(r.Leaks) == 0 {
			t.Error("a body that is not encrypted to the subscription passes for a good one")
		}
	}
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	d := New(Options{})
	server := httptest.NewServer(d)
	defer server.Close()
	res, err := http.Post(server.URL+"/-/subscriptions", "application/json", strings.NewReader(`{"application_server_key": "k"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		t.Errorf("made: %d", res.StatusCode)
	}
	s, err := d.NewSubscription("")
	if err != nil {
		t.Fatal(err)
	}
	if wrong := s.Validate(); len(wrong) > 0 || !strings.HasPrefix(s.Endpoint, server.URL+"/push/") {
		t.Errorf("%+v: %v", s, wrong)
	}
	address, err := d.Register(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if k := d.PushKey(address); k.Channel != wire.ChannelWebPush || len(k.Validate()) > 0 {
		t.Errorf("told as %+v: %v", k, k.Validate())
	}
}

// The server behind a UnifiedPush distributor says by GET what it is, may want a key, and takes no empty message.
func TestUnifiedPush(t *testing.T) {
	t.Parallel()
	d := New(Options{Channel: wire.ChannelUnifiedPush, NeedKey: true})
	server := httptest.NewServer(d)
	defer server.Close()
	for key, status := range map[string]int{"": http.StatusBadRequest, "k": http.StatusCreated} {
		res, err := http.Post(server.URL+"/-/subscriptions", "application/json", strings.NewReader(`{"application_server_key": "`+key+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("an app that brings the key %q: %d", key, res.StatusCode)
		}
	}
	me := newSender(t)
	s, err := d.NewSubscription(me.public)
	if err != nil || len(s.Endpoint) > wire.MaxEndpoint {
		t.Fatalf("%+v %v", s, err)
	}
	res, err := http.Get(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var found struct{ UnifiedPush struct{ Version int } }
	err = json.NewDecoder(res.Body).Decode(&found)
	res.Body.Close()
	if err != nil || found.UnifiedPush.Version != 1 {
		t.Errorf("%+v %v", found, err)
	}
	post := func(body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Endpoint, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", me.header(map[string]any{"aud": server.URL, "exp": time.Now().Add(time.Hour).Unix()}))
		r.Header.Set("TTL", "60")
		r.Header.Set("Content-Encoding", "aes128gcm")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if none, some := post(""), post("x"); none != http.StatusBadRequest || some != http.StatusCreated {
		t.Errorf("no byte: %d, one: %d", none, some)
	}
	d.Unregister(ID(s))
	if gone := post("x"); gone != http.StatusGone {
		t.Errorf("an app that is gone: %d", gone)
	}
	if got := d.PushKey(`{"endpoint":"` + s.Endpoint + `"}`); got.Channel != wire.ChannelUnifiedPush {
		t.Errorf("told as %+v", got)
	}
	// A service for browsers has nothing to say by GET.
	other := New(Options{})
	plain := httptest.NewServer(other)
	defer plain.Close()
	if res, err = http.Get(plain.URL + "/push/x"); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a browser's endpoint by GET: %d", res.StatusCode)
	}
}
