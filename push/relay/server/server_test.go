package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/push"
	"countersign/push/pushtest"
	"countersign/push/relay"
)

var (
	keyOld = bytes.Repeat([]byte{1}, 32)
	keyNew = bytes.Repeat([]byte{2}, 32)
)

// house is a relay with a provider in memory, and one instance that it knows.
type house struct {
	t        *testing.T
	provider *pushtest.Channel
	server   *Server
	http     *httptest.Server
	key      *ecdsa.PrivateKey
	signer   *relay.Signer
	ticket   string
	now      func() time.Time
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newHouse(t *testing.T, edit func(*Options)) *house {
	t.Helper()
	h := &house{t: t, provider: pushtest.New("fcm"), key: newKey(t), now: time.Now}
	o := Options{Channels: []push.Channel{h.provider}, Keys: [][]byte{keyNew, keyOld}, Now: func() time.Time { return h.now() }}
	if edit != nil {
		edit(&o)
	}
	var err error
	if h.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	h.http = httptest.NewTLSServer(h.server)
	t.Cleanup(h.http.Close)
	if h.signer, err = relay.NewSigner(h.key); err != nil {
		t.Fatal(err)
	}
	if h.ticket, err = Ticket(o.Keys, h.signer.Instance(), "tests", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return h
}

// channel is the instance's own.
func (h *house) channel(edit func(*relay.Config)) *relay.Channel {
	h.t.Helper()
	c := relay.Config{URL: h.http.URL, Ticket: h.ticket, Key: h.key, Transport: h.http.Client().Transport}
	if edit != nil {
		edit(&c)
	}
	made, err := relay.New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return made
}

// post makes a request and gives status, header and reason.
func (h *house) post(path, authorization string, body []byte) (int, http.Header, relay.Refusal) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.http.URL+path, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	res, err := h.http.Client().Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	var said relay.Refusal
	_ = json.NewDecoder(res.Body).Decode(&said)
	return res.StatusCode, res.Header, said
}

// handle has the relay make one for an instance.
func (h *house) handle(instance, address string) string {
	h.t.Helper()
	text, err := json.Marshal(relay.NewHandle{Channel: "fcm", Address: address, Instance: instance})
	if err != nil {
		h.t.Fatal(err)
	}
	res, err := h.http.Client().Post(h.http.URL+relay.PathHandles, "application/json", bytes.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	var out relay.Handle
	if err := json.Unmarshal(raw, &out); err != nil || res.StatusCode != http.StatusOK {
		h.t.Fatalf("make a handle: %d %s", res.StatusCode, raw)
	}
	return out.Handle
}

const address = "the-registration-token-of-a-phone"

func message(to string) push.Message {
	return push.Message{
		Address: to, Title: "Ada's bank", Body: "ada logs in to bank.example", Data: map[string]string{"kind": "wake", "tx_id": "0190d3b1-7c5e-7000-8000-00000000abcd"},
		TTL: 50 * time.Second, CollapseKey: "0190d3b1-device",
	}
}

func reasonOf(err error) push.Reason {
	var e *push.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// T13, G14: the relay rings the phone, and of what the server wanted to say it sees, and passes on, nothing.
func TestWake(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	var seen bytes.Buffer
	c := h.channel(func(c *relay.Config) { c.Transport = recorder{c.Transport, &seen} })
	handle := h.handle(h.signer.Instance(), address)
	if err := c.Send(t.Context(), message(handle)); err != nil {
		t.Fatal(err)
	}
	m := h.provider.Next(t)
	if m.Address != address || m.Title != title || m.Body != body || m.TTL != 50*time.Second || m.Data["kind"] != "wake" || len(m.Data) != 3 || len(m.CollapseKey) != 32 {
		t.Errorf("the provider got %+v", m)
	}
	said := fmt.Sprint(m) + seen.String()
	for _, secret := range []string{"Ada", "ada", "bank", "0190d3b1"} {
		if strings.Contains(said, secret) {
			t.Errorf("%q crosses the wire: %s", secret, said)
		}
	}
	if strings.Contains(seen.String(), address) || strings.Contains(handle, address) {
		t.Error("the server sees the phone's address")
	}
	if err := c.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if err := h.channel(func(c *relay.Config) { c.Ticket = "" }).Check(t.Context()); reasonOf(err) != push.Credentials {
		t.Errorf("check without a ticket: %v", err)
	}
}

// recorder keeps what a channel sends.
type recorder struct {
	base http.RoundTripper
	to   *bytes.Buffer
}

func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(r.to, req.URL, req.Header, string(text))
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(bytes.NewReader(text))
	return r.base.RoundTrip(req)
}

// G14: whoever is not the instance that a handle was made for rings nobody, whatever they caught on the way.
func TestAbuse(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	own := h.signer.Instance()
	good, err := json.Marshal(relay.Wake{Handle: h.handle(own, address), TTL: 60})
	if err != nil {
		t.Fatal(err)
	}
	thiefKey := newKey(t)
	thief, err := relay.NewSigner(thiefKey)
	if err != nil {
		t.Fatal(err)
	}
	thiefTicket, err := Ticket([][]byte{keyNew}, thief.Instance(), "thief", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	over, err := Ticket([][]byte{keyNew}, own, "late", time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := Ticket([][]byte{bytes.Repeat([]byte{9}, 32)}, own, "of another relay", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	prove := func(s *relay.Signer, host, ticket string, body []byte, at time.Time) string {
		t.Helper()
		p, err := s.Prove(host, body, ticket, at)
		if err != nil {
			t.Fatal(err)
		}
		return relay.Scheme + " " + p
	}
	const host = "127.0.0.1"
	now := time.Now()
	once := prove(h.signer, host, h.ticket, good, now)
	if status, _, said := h.post(relay.PathWakes, once, good); status != http.StatusAccepted {
		t.Fatalf("a good wake-up: %d %+v", status, said)
	}
	tampered := bytes.Replace(good, []byte(`"handle":"`), []byte(`"handle":"A`), 1)
	other, err := json.Marshal(relay.Wake{Handle: h.handle(own, "another-phone"), TTL: 60})
	if err != nil {
		t.Fatal(err)
	}
	long := append(bytes.TrimSuffix(good, []byte("}")), []byte(`,"x":"`+strings.Repeat("x", maxBody)+`"}`)...)
	forever := bytes.Replace(good, []byte(`"ttl":60`), []byte(`"ttl":86400`), 1)
	signature := strings.LastIndexByte(once, '.')
	for name, c := range map[string]struct {
		authorization string
		body          []byte
		status        int
		reason        push.Reason
	}{
		"no proof":            {"", good, 401, push.Credentials},
		"another scheme":      {strings.Replace(once, relay.Scheme, "Bearer", 1), good, 401, push.Credentials},
		"a replay":            {once, good, 401, push.Credentials},
		"another body":        {prove(h.signer, host, h.ticket, good, now), other, 401, push.Credentials},
		"another relay":       {prove(h.signer, "relay.example", h.ticket, good, now), good, 401, push.Credentials},
		"an old proof":        {prove(h.signer, host, h.ticket, good, now.Add(-3*time.Minute)), good, 401, push.Credentials},
		"a proof to come":     {prove(h.signer, host, h.ticket, good, now.Add(3*time.Minute)), good, 401, push.Credentials},
		"no signature":        {once[:signature+1], good, 401, push.Credentials},
		"alg none":            {relay.Scheme + " eyJhbGciOiJub25lIn0." + strings.Split(once, ".")[1] + ".", good, 401, push.Credentials},
		"no ticket":           {prove(h.signer, host, "", good, now), good, 401, push.Credentials},
		"a stolen ticket":     {prove(thief, host, h.ticket, good, now), good, 401, push.Credentials},
		"a ticket that ended": {prove(h.signer, host, over, good, now), good, 401, push.Credentials},
		"of another relay":    {prove(h.signer, host, foreign, good, now), good, 401, push.Credentials},
		"a stolen handle":     {prove(thief, host, thiefTicket, good, now), good, 410, push.InvalidAddress},
		"a tampered handle":   {prove(h.signer, host, h.ticket, tampered, now), tampered, 410, push.InvalidAddress},
		"oversize":            {prove(h.signer, host, h.ticket, long, now), long, 413, push.BadMessage},
		"no JSON":             {prove(h.signer, host, h.ticket, []byte("x"), now), []byte("x"), 400, push.BadMessage},
		"a day to live":       {prove(h.signer, host, h.ticket, forever, now), forever, 400, push.BadMessage},
	} {
		if status, _, said := h.post(relay.PathWakes, c.authorization, c.body); status != c.status || said.Reason != c.reason {
			t.Errorf("%s: %d %+v, want %d %s", name, status, said, c.status, c.reason)
		}
	}
	if n := len(h.provider.Sent()); n != 1 {
		t.Errorf("the phone was rung %d times, want once", n)
	}
}

// G14: limits for each instance, each phone and each network, with the time after which to come again.
func TestLimits(t *testing.T) {
	t.Parallel()
	start := time.Now()
	now := start
	h := newHouse(t, func(o *Options) {
		o.PerHandle, o.PerInstance, o.PerNetwork = Limit{6, 2}, Limit{60, 5}, Limit{1, 8}
	})
	h.now = func() time.Time { return now }
	c := h.channel(func(c *relay.Config) { c.Now = h.now })
	send := func(handle string) (push.Reason, time.Duration) {
		err := c.Send(t.Context(), message(handle))
		var e *push.Error
		if errors.As(err, &e) {
			return e.Reason, e.RetryAfter
		}
		return "", 0
	}
	own := h.signer.Instance()
	first := h.handle(own, "phone-1")
	again := h.handle(own, "phone-1") // another handle of one phone gives no more
	for i, handle := range []string{first, again} {
		if reason, _ := send(handle); reason != "" {
			t.Fatalf("wake-up %d: %s", i, reason)
		}
	}
	if reason, after := send(first); reason != push.Quota || after <= 0 || after > 10*time.Second {
		t.Errorf("over the phone's limit: %s, after %v", reason, after)
	}
	for i := range 2 {
		if reason, _ := send(h.handle(own, fmt.Sprint("phone-", i+2))); reason != "" {
			t.Errorf("another phone: %s", reason)
		}
	}
	if reason, after := send(h.handle(own, "phone-9")); reason != push.Quota || after != time.Second {
		t.Errorf("over the instance's limit: %s, after %v", reason, after)
	}
	now = start.Add(10 * time.Second)
	if reason, _ := send(first); reason != "" {
		t.Errorf("when the time has passed: %s", reason)
	}
	for range 3 {
		h.handle(own, "phone-1")
	}
	status, header, said := h.post(relay.PathHandles, "", []byte(`{}`))
	if status != 429 || header.Get("Retry-After") == "" || said.Reason != push.Quota {
		t.Errorf("over the network's limit: %d %v %+v", status, header, said)
	}
}

// What the provider says reaches the server as its reason.
func TestReasons(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.PerHandle = Limit{600, 600} })
	c := h.channel(nil)
	handle := h.handle(h.signer.Instance(), address)
	for reason, want := range map[push.Reason]push.Reason{
		push.Unregistered: push.Unregistered, push.InvalidAddress: push.InvalidAddress, push.BadMessage: push.BadMessage,
		push.Credentials: push.Credentials, push.SenderMismatch: push.SenderMismatch, push.Quota: push.Quota,
		push.Unavailable: push.Unavailable, push.Internal: push.Internal, push.Timeout: push.Unavailable,
	} {
		h.provider.Script(pushtest.FailFor(reason, 7*time.Second))
		err := c.Send(t.Context(), message(handle))
		var e *push.Error
		if !errors.As(err, &e) || e.Reason != want || e.RetryAfter != 7*time.Second || e.Permanent != want.Permanent() {
			t.Errorf("%s: %+v", reason, err)
		}
	}
}

// G14: as many wake-ups wait as there is room for; the others are told to come again, and none is lost when there is room.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Workers, o.Queue, o.PerHandle = 1, 1, Limit{600, 600} })
	begun, end := make(chan struct{}, 10), make(chan struct{})
	h.provider.Otherwise(func(ctx context.Context, _ push.Message) error {
		begun <- struct{}{}
		select {
		case <-end:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	c := h.channel(nil)
	handle := h.handle(h.signer.Instance(), address)
	results := make(chan error, 2)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { results <- c.Send(t.Context(), message(handle)) })
	}
	<-begun
	for len(h.server.waiting) < 2 {
		time.Sleep(time.Millisecond)
	}
	err := c.Send(t.Context(), message(handle))
	var e *push.Error
	if !errors.As(err, &e) || e.Reason != push.Unavailable || e.RetryAfter != time.Second {
		t.Errorf("the third: %v", err)
	}
	close(end)
	wg.Wait()
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("one that waited: %v", err)
		}
	}
}

func TestAdmission(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Open = true })
	handle := h.handle(h.signer.Instance(), address)
	if err := h.channel(func(c *relay.Config) { c.Ticket = "" }).Send(t.Context(), message(handle)); err != nil {
		t.Errorf("an open relay: %v", err)
	}
	if err := h.channel(func(c *relay.Config) { c.Ticket = "nonsense" }).Send(t.Context(), message(handle)); reasonOf(err) != push.Credentials {
		t.Errorf("a bad ticket at an open relay: %v", err)
	}
	h.server.o.Revoked = []string{h.signer.Instance()}
	if err := h.channel(nil).Send(t.Context(), message(handle)); reasonOf(err) != push.Credentials {
		t.Errorf("an instance that was put out: %v", err)
	}
	if _, err := Ticket([][]byte{keyNew}, "short", "x", time.Now()); err == nil {
		t.Error("a ticket for no instance")
	}
}

// What was sealed with the key before opens while that is among the keys.
func TestRotation(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Keys = [][]byte{keyNew, keyOld} })
	old, err := newSealer([][]byte{keyOld})
	if err != nil {
		t.Fatal(err)
	}
	handle, err := old.seal(target{"fcm", address}, handlePurpose(h.signer.Instance()))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.channel(nil).Send(t.Context(), message(handle)); err != nil {
		t.Errorf("a handle of the old key: %v", err)
	}
	h.server.seal = h.server.seal[:1]
	if err := h.channel(nil).Send(t.Context(), message(handle)); reasonOf(err) != push.InvalidAddress {
		t.Errorf("without the old key: %v", err)
	}
}

func TestHandlesRefuseBadInput(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	own := h.signer.Instance()
	for name, in := range map[string]any{
		"nothing":       map[string]any{},
		"a list":        []int{1},
		"no channel":    relay.NewHandle{Address: "x", Instance: own},
		"none of ours":  relay.NewHandle{Channel: "apns", Address: "x", Instance: own},
		"no address":    relay.NewHandle{Channel: "fcm", Instance: own},
		"long address":  relay.NewHandle{Channel: "fcm", Address: strings.Repeat("x", maxAddress+1), Instance: own},
		"no instance":   relay.NewHandle{Channel: "fcm", Address: "x"},
		"half instance": relay.NewHandle{Channel: "fcm", Address: "x", Instance: own[:20]},
	} {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, said := h.post(relay.PathHandles, "", text); status != 400 || said.Reason != push.BadMessage || said.Detail == "" {
			t.Errorf("%s: %d %+v", name, status, said)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for from, c := range map[string][2]string{
		"192.0.2.1:5":       {"203.0.113.9", "192.0.2.1"}, // no proxy of ours: what it says of others does not count
		"127.0.0.1:5":       {"198.51.100.1, 203.0.113.9", "203.0.113.9"},
		"127.0.0.2:5":       {"", "127.0.0.2"},
		"[2001:db8::1:2]:5": {"", "2001:db8::/64"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = from
		if c[0] != "" {
			r.Header.Set("X-Forwarded-For", c[0])
		}
		if got := h.server.network(r); got != c[1] {
			t.Errorf("from %s by %q: %s, want %s", from, c[0], got, c[1])
		}
	}
}

func TestSeenAndBucketsAreBounded(t *testing.T) {
	t.Parallel()
	s, now := newSeen(time.Minute, 2), time.Now()
	for i, want := range []struct {
		id          string
		after       time.Duration
		fresh, room bool
	}{
		{"a", 0, true, true}, {"a", 0, false, true}, {"b", 0, true, true}, {"c", 0, true, false},
		{"a", 61 * time.Second, false, true}, {"c", 61 * time.Second, true, true}, {"a", 3 * time.Minute, true, true},
	} {
		if fresh, room := s.first(want.id, now.Add(want.after)); fresh != want.fresh || room != want.room {
			t.Errorf("%d: %s is fresh %v, room %v", i, want.id, fresh, room)
		}
	}
	b := newBuckets(Limit{60, 1})
	for i := range maxBuckets {
		b.take(fmt.Sprint(i), now)
	}
	if b.take("one more", now) == 0 {
		t.Error("there is no end of names")
	}
	if b.take("one more", now.Add(2*time.Second)) != 0 || len(b.all) > 1 {
		t.Errorf("those that rested are kept: %d", len(b.all))
	}
}
