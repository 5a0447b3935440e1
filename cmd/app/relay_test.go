package app_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/mobile/wire"
	"countersign/push"
	pushfcm "countersign/push/fcm"
	"countersign/push/relay"
	"countersign/push/relay/server"
	"countersign/simulator/browser"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
)

// relayed is a phone that has a relay make a handle of its address at Google.
type relayed struct {
	*fcm.Double
	t        *testing.T
	client   *http.Client
	relay    string
	instance func() string
}

// PushKey asks the relay for a handle, as an app does with every new address.
func (r relayed) PushKey(address string) wire.PushKey {
	r.t.Helper()
	text, err := json.Marshal(relay.NewHandle{Channel: "fcm", Address: address, Instance: r.instance()})
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := r.client.Post(r.relay+relay.PathHandles, "application/json", bytes.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var made relay.Handle
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil || res.StatusCode != http.StatusOK {
		r.t.Fatalf("make a handle: %d %v", res.StatusCode, err)
	}
	return wire.PushKey{FirebaseKey: made.Handle, Channel: wire.ChannelRelay}
}

// T13, G14: a server without credentials rings a phone through a relay, which has them, and neither the relay nor Google gets
// to see who logs in, where, or what the phone is asked; the server never sees the phone's address.
func TestLoginByRelay(t *testing.T) {
	t.Parallel()
	double, err := fcm.New(fcm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	google := httptest.NewServer(double)
	t.Cleanup(google.Close)
	t.Cleanup(double.Close)
	credentials, err := double.ServiceAccount(google.URL)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := pushfcm.New(pushfcm.Config{CredentialsJSON: credentials, BaseURL: google.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	keys := [][]byte{bytes.Repeat([]byte{7}, 32)}
	handler, err := server.New(server.Options{Channels: []push.Channel{provider}, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	station := httptest.NewTLSServer(handler)
	t.Cleanup(station.Close)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := relay.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := server.Ticket(keys, signer.Instance(), "tests", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	channel, err := relay.New(relay.Config{URL: station.URL, Ticket: ticket, Key: key, Transport: station.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	n := startWith(t, func(c *app.Config) { c.Push.FCM.Credentials = "" }, func(o *app.Options) { o.Channel = channel })
	instance := func() string {
		var offers wire.PushOffers
		a := n.call(http.MethodGet, "/api/v3/authenticators/mobile/push_channels/", "", nil)
		if err := json.Unmarshal([]byte(a.body), &offers); err != nil {
			t.Fatalf("push channels: %d %s", a.status, a.body)
		}
		for _, o := range offers.Channels {
			if o.Channel == wire.ChannelRelay {
				return o.RelayInstance
			}
		}
		t.Fatalf("no relay on offer: %s", a.body)
		return ""
	}
	screen := &phone.Screen{}
	n.enrolledAs(phone.Options{
		Push: relayed{double, t, station.Client(), station.URL, instance}, Behaviour: phone.Approve(screen), Signs: true, Verifies: true,
	})
	result, err := n.browser(screen.Show).Login(t.Context(), "akadmin", adminPassword)
	if err != nil || result.Outcome != browser.Approved {
		t.Fatalf("log in: %v %+v", err, result)
	}
	sent := double.History(fcm.Filter{})
	if len(sent) != 1 {
		t.Fatalf("%d pushes", len(sent))
	}
	for _, secret := range []string{"akadmin", "127.0.0.1", "localhost", "authentik", "logging in"} {
		if text := strings.ReplaceAll(string(sent[0].Request), "cat_authentik_push_authorization", ""); strings.Contains(text, secret) {
			t.Errorf("Google sees %q in %s", secret, text)
		}
	}
	var stored string
	if err := n.app.Pool().QueryRow(t.Context(), `SELECT push_address FROM mobile_devices`).Scan(&stored); err != nil || strings.Contains(stored, sent[0].Address) {
		t.Errorf("the server stores %q, %v", stored, err)
	}
}

// A relay is a program without a database: it says what it lacks, admits, serves, and ends when it is told to.
func TestRelayProcess(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	without := run(t, nil, "relay", "--data-dir", dir, "--listen", freeAddress(t))
	if code := without.exit(); code != 1 || !strings.Contains(without.out.String(), "push.fcm") {
		t.Errorf("without credentials: %d %s", code, without.out)
	}
	double, err := fcm.New(fcm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	google := httptest.NewServer(double)
	t.Cleanup(google.Close)
	t.Cleanup(double.Close)
	credentials, err := double.ServiceAccount(google.URL)
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	p := run(t, []string{"COUNTERSIGN_PUSH_FCM_CREDENTIALS=" + string(credentials), "COUNTERSIGN_PUSH_FCM_URL=" + google.URL + "/v1"},
		"relay", "--data-dir", dir, "--listen", address)
	p.ready("http://" + address)

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := relay.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	admit := run(t, nil, "relay", "admit", "--data-dir", dir, "--name", "tests", signer.Instance())
	if code := admit.exit(); code != 0 {
		t.Fatalf("admit: %d %s", code, admit.out)
	}
	phoneAddress, err := double.Register(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	made := relayed{double, t, http.DefaultClient, "http://" + address, signer.Instance}.PushKey(phoneAddress)
	body, err := json.Marshal(relay.Wake{Handle: made.FirebaseKey, TTL: 60})
	if err != nil {
		t.Fatal(err)
	}
	for ticket, want := range map[string]int{strings.TrimSpace(admit.out.String()): http.StatusAccepted, "": http.StatusUnauthorized} {
		proof, err := signer.Prove("127.0.0.1", body, ticket, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+relay.PathWakes, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", relay.Scheme+" "+proof)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("a wake-up with ticket %.10q: %d, want %d", ticket, res.StatusCode, want)
		}
	}
	if status, text := get(t, "http://"+address+"/-/metrics/", ""); status != http.StatusOK || !strings.Contains(text, `countersign_relay_wakes_total{result="accepted"} 1`) {
		t.Errorf("metrics: %d %.300s", status, text)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("after SIGTERM the relay ended with %d", code)
	}
}
