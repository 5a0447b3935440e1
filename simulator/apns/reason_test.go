package apns

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"countersign/simulator/clock"
	"countersign/simulator/fcm"
	"countersign/simulator/inbox"
)

const alert = `{"aps":{"alert":{"title":"T","body":"B"}},"v":"1","kind":"wake","tx_id":"0190d3b1-7c5e-7000-8000-00000000abcd"}`

// service is a double under a virtual clock, with a phone, and somebody who sends to it.
type service struct {
	*Double
	t     *testing.T
	clock *clock.Virtual
	url   string
	http  *http.Client
	phone string
}

func serve(t *testing.T, o Options) *service {
	t.Helper()
	v := clock.NewVirtual(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
	o.Clock = v
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(d)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	phone, err := d.Register(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return &service{d, t, v, server.URL, server.Client(), phone}
}

// reply is what the service says.
type reply struct {
	status    int
	id        string
	after     string
	Reason    string
	Timestamp int64
}

func (s *service) send(method, path string, headers map[string]string) reply {
	s.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, new(jose.SignerOptions).WithHeader("kid", s.KeyID()))
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{"iss": s.Team(), "iat": s.clock.Now().Unix()}).Serialize()
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(alert))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "bearer "+token)
	r.Header.Set("Apns-Topic", s.Topic())
	r.Header.Set("Apns-Push-Type", "alert")
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	res, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	out := reply{status: res.StatusCode, id: res.Header.Get("Apns-Id"), after: res.Header.Get("Retry-After")}
	if res.StatusCode != http.StatusOK {
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

func (s *service) push(headers map[string]string) reply {
	s.t.Helper()
	return s.send(http.MethodPost, "/3/device/"+s.phone, headers)
}

// Every reason of Apple's table comes on command: for the next send, for each send, and for each send to one device.
func TestEveryReasonInEveryWay(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{})
	if len(Reasons()) != 32 {
		t.Errorf("%d reasons", len(Reasons()))
	}
	for _, reason := range Reasons() {
		status, known := reason.Status()
		check := func(way string) {
			t.Helper()
			if got := s.push(nil); got.status != status || got.Reason != string(reason) || !known {
				t.Errorf("%s, %s: %+v", reason, way, got)
			}
		}
		fault := inbox.Fault{Reason: string(reason), RetryAfter: fcm.Duration(3 * time.Second)}
		s.Fail(fault)
		check("once")
		s.FailAlways(&fault)
		check("always")
		s.FailAlways(nil)
		s.FailAddress(s.phone, &fault)
		check("by device")
		s.FailAddress(s.phone, nil)
		if got := s.push(nil); got.status != http.StatusOK {
			t.Errorf("after %s: %+v", reason, got)
		}
	}
	s.Fail(inbox.Fault{Reason: string(TooManyRequests), RetryAfter: fcm.Duration(3 * time.Second)})
	if got := s.push(nil); got.after != "3" {
		t.Errorf("Retry-After: %+v", got)
	}
	if _, known := Reason("Tired").Status(); known {
		t.Error("a word that is none is known")
	}
}

func TestPathsAndIDs(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{})
	for path, want := range map[string]Reason{"/3/device/": MissingDeviceToken, "/2/device/x": BadPath} {
		if got := s.send(http.MethodPost, path, nil); got.Reason != string(want) {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := s.send(http.MethodGet, "/3/device/"+s.phone, nil); got.Reason != string(MethodNotAllowed) || got.status != 405 {
		t.Errorf("GET: %+v", got)
	}
	const id = "0190D3B1-7C5E-7000-8000-00000000ABCD"
	if got := s.push(map[string]string{"Apns-Id": id}); got.id != id {
		t.Errorf("the id: %+v", got)
	}
	if got := s.push(nil); len(got.id) != len(id) {
		t.Errorf("an id of the service's own: %+v", got)
	}
	for what, c := range map[string]struct {
		headers map[string]string
		want    Reason
	}{
		"an id that is none":      {map[string]string{"Apns-Id": "7"}, BadMessageID},
		"an urgent background":    {map[string]string{"Apns-Push-Type": "background", "Apns-Priority": "10"}, BadPriority},
		"a priority that is none": {map[string]string{"Apns-Priority": "2"}, BadPriority},
	} {
		if got := s.push(c.headers); got.Reason != string(c.want) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	// A device whose app is gone says since when.
	at := s.clock.Now()
	s.Unregister(s.phone)
	s.clock.Advance(time.Minute)
	if got := s.push(nil); got.status != http.StatusGone || got.Reason != string(Unregistered) || got.Timestamp != at.UnixMilli() {
		t.Errorf("%+v, not since %d", got, at.UnixMilli())
	}
}

// What waits for a phone that is offline: the newest alone, as long as its expiration lets it; 0 is now or never.
func TestExpirationAndTheNewest(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]bool{"the newest": false, "all": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, Options{KeepAll: keep})
			in := func(d time.Duration) string { return strconv.FormatInt(s.clock.Now().Add(d).Unix(), 10) }
			for _, headers := range []map[string]string{
				{"Apns-Expiration": in(time.Hour), "Apns-Collapse-Id": "a"},
				{"Apns-Expiration": in(2 * time.Hour), "Apns-Collapse-Id": "a"},
				{"Apns-Expiration": in(time.Minute), "Apns-Collapse-Id": "b"},
				{"Apns-Expiration": "0"},
			} {
				if got := s.push(headers); got.status != http.StatusOK {
					t.Fatalf("%v: %+v", headers, got)
				}
			}
			want := 1
			if keep {
				want = 2
			}
			if n := s.Stored(s.phone); n != want {
				t.Errorf("%d are stored, not %d", n, want)
			}
			s.clock.Advance(2 * time.Minute)
			got, err := s.Subscribe(t.Context(), s.phone)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(got); n != want-1 { // that of b is over
				t.Errorf("%d arrive", n)
			}
			// One without an expiration is stored for 30 days, and rings a phone that is there at once.
			if s.push(nil); len(got) != want {
				t.Error("a connected phone does not ring")
			}
		})
	}
}

func TestKeySurvivesARestart(t *testing.T) {
	t.Parallel()
	first, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := first.Key()
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(Options{Key: text})
	if err != nil || !again.key.Equal(first.key) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := New(Options{Key: bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestControlsGiveAddresses(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{})
	res, err := s.http.Post(s.url+"/-/addresses", "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct{ Address string }
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("%s %v", res.Status, err)
	}
	if known, _ := s.Known(got.Address); !known || len(got.Address) != 64 {
		t.Errorf("%q", got.Address)
	}
}
