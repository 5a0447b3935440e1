package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

	"countersign/push"
	"countersign/push/pushtest"
)

const handle = "a-handle-of-a-phone-that-nobody-else-may-have"

// station is a stand-in for a relay.
type station struct {
	*httptest.Server
	mu      sync.Mutex
	status  int
	reason  push.Reason
	pause   time.Duration
	hanging chan struct{}
	sent    [][]byte
}

func newStation(t testing.TB) *station {
	t.Helper()
	s := &station{status: http.StatusAccepted}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *station) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if _, _, err := Check(strings.TrimPrefix(r.Header.Get("Authorization"), Scheme+" "), "127.0.0.1", body, time.Now()); err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	s.sent = append(s.sent, body)
	status, reason, pause, hanging := s.status, s.reason, s.pause, s.hanging
	s.mu.Unlock()
	if hanging != nil {
		hanging <- struct{}{}
		<-r.Context().Done()
		return
	}
	if pause > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(pause.Seconds())))
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Refusal{Reason: reason, Detail: "about " + handle})
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// T13, G14: of the message nothing but the handle, the time to live and a hash goes to a relay, and every promise of a channel holds.
func TestSuite(t *testing.T) {
	t.Parallel()
	statuses := map[push.Reason]int{
		"": 202, push.Unregistered: 410, push.InvalidAddress: 410, push.BadMessage: 400, push.SenderMismatch: 502,
		push.Credentials: 401, push.Quota: 429, push.Unavailable: 503, push.Internal: 502,
	}
	var all []push.Reason
	for r := range statuses {
		if r != "" {
			all = append(all, r)
		}
	}
	pushtest.Run(t, func(t *testing.T) pushtest.Fixture {
		s := newStation(t)
		c, err := New(Config{URL: s.URL, Ticket: "the-ticket-of-this-instance", Key: newKey(t), Transport: s.Client().Transport})
		if err != nil {
			t.Fatal(err)
		}
		fixed := map[string]string{"ttl": "60", "collapse": collapse("collapse-4711")}
		return pushtest.Fixture{
			Channel: c, Address: handle, Reasons: all, Secrets: []string{"the-ticket-of-this-instance"}, Withholds: true,
			Answer: func(r push.Reason, pause time.Duration) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.status, s.reason, s.pause = statuses[r], r, pause
			},
			Hang: func() <-chan struct{} {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.hanging = make(chan struct{}, 32)
				return s.hanging
			},
			Sent: func() [][]byte {
				s.mu.Lock()
				defer s.mu.Unlock()
				return append([][]byte(nil), s.sent...)
			},
			Fixed: func(path, value string) bool { return fixed[path] == value },
		}
	})
}

// A proxy in between, or no relay at all, speaks by its status alone.
func TestStatuses(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	c, err := New(Config{URL: s.URL, Key: newKey(t), Transport: s.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]push.Reason{
		200: push.Unavailable, 302: push.Unavailable, 400: push.BadMessage, 401: push.Credentials, 403: push.Credentials, 404: push.Credentials,
		413: push.BadMessage, 429: push.Quota, 500: push.Unavailable, 502: push.Unavailable,
	} {
		s.mu.Lock()
		s.status, s.reason = status, "a-word-that-is-no-reason"
		s.mu.Unlock()
		err := c.Send(t.Context(), push.Message{Address: handle})
		var e *push.Error
		if !errors.As(err, &e) || e.Reason != want {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
	}
}

// The stage's gateway names the relay; where it names none it is the server's.
func TestAddresses(t *testing.T) {
	t.Parallel()
	with, err := New(Config{URL: "https://relay.example/", Key: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	without, err := New(Config{Key: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	for gateway, want := range map[string]string{
		"": "https://relay.example", "-": "https://relay.example", "localhost": "https://relay.example", "other.example": "https://other.example",
		"other.example:8443": "https://other.example:8443", "[::1]:8443": "https://[::1]:8443",
		"https://x.example/": "https://relay.example", "user@x.example": "https://relay.example", "x.example/path": "https://relay.example",
	} {
		base, got, err := with.split(Address(gateway, handle))
		if err != nil || base != want || got != handle {
			t.Errorf("gateway %q: %s %s, %v; want %s", gateway, base, got, err, want)
		}
		named := want != "https://relay.example"
		if err := without.CheckAddress(Address(gateway, handle)); (err == nil) != named {
			t.Errorf("gateway %q without a relay of the server's: %v", gateway, err)
		}
	}
	for _, bad := range []string{"short", "a b", handle + "!", "x.example/short", strings.Repeat("x", MaxHandle+1), "@/" + handle} {
		if err := with.CheckAddress(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	for _, bad := range []string{"http://relay.example", "relay.example", "https://relay.example/path", "https://relay.example/?x"} {
		if _, err := New(Config{URL: bad, Key: newKey(t)}); err == nil {
			t.Errorf("the relay %q passes", bad)
		}
	}
}

func FuzzCheck(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	s, err := NewSigner(key)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	good, err := s.Prove("relay.example", []byte("{}"), "ticket", now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, compact string) {
		name, _, err := Check(compact, "relay.example", []byte("{}"), now)
		if err == nil && len(name) != len(s.Instance()) {
			t.Errorf("%s is by %q", compact, name)
		}
	})
}
