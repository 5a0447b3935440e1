package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/mobile/wire"
	"countersign/push"
	pushapns "countersign/push/apns"
	"countersign/push/webpush"
	"countersign/simulator/apns"
	"countersign/simulator/browser"
	"countersign/simulator/fcm"
	"countersign/simulator/inbox"
	"countersign/simulator/phone"
	webdouble "countersign/simulator/webpush"
)

// webDouble is a push service on this machine, which a server with settings takes.
func webDouble(t *testing.T, channel wire.PushChannel) (*webdouble.Double, func(*app.Config)) {
	t.Helper()
	d := webdouble.New(webdouble.Options{Channel: channel})
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.SetBase(server.URL)
	return d, func(c *app.Config) {
		c.Push.WebPush.AllowedHosts = []string{strings.TrimPrefix(server.URL, "http://")}
		c.Push.WebPush.Contact = "mailto:push@example.org"
	}
}

// key is the server's, as a browser asks for it.
func (n *node) vapidKey() string {
	n.t.Helper()
	var offers wire.PushOffers
	a := n.call(http.MethodGet, "/api/v3/authenticators/mobile/push_channels/", "", nil)
	if err := json.Unmarshal([]byte(a.body), &offers); err != nil || a.status != http.StatusOK {
		n.t.Fatalf("push channels: %d %s", a.status, a.body)
	}
	for _, o := range offers.Channels {
		if o.Channel == wire.ChannelWebPush {
			return o.VAPIDPublicKey
		}
	}
	n.t.Fatalf("no Web Push on offer: %s", a.body)
	return ""
}

// T13, G11, G14: a login rings a browser by Web Push and an app by UnifiedPush, encrypted to it, and what rings says neither
// who logs in nor which number is right. When the subscription is over its address is forgotten, and the phone still answers.
func TestLoginByWebPush(t *testing.T) {
	t.Parallel()
	for _, channel := range []wire.PushChannel{wire.ChannelWebPush, wire.ChannelUnifiedPush} {
		t.Run(string(channel), func(t *testing.T) {
			t.Parallel()
			var n *node
			d, settings := webDouble(t, channel)
			d.Bind(func() string { return n.vapidKey() })
			n = start(t, settings)
			n.ringsBy(t, d.Box, d)
			record := d.History()[0]
			if record.Headers["Urgency"] != "high" || len(record.Headers["Topic"]) != 32 {
				t.Errorf("headers %v", record.Headers)
			}
			var address string
			if err := n.app.Pool().QueryRow(t.Context(), `SELECT push_address FROM mobile_devices WHERE push_channel = $1`, string(channel)).Scan(&address); err != nil {
				t.Fatal(err)
			}
			d.Unregister(record.Address)
			n.askOnce(t, "akadmin")
			eventually(t, "the dead address is forgotten", func() bool {
				var left int
				err := n.app.Pool().QueryRow(t.Context(), `SELECT count(*) FROM mobile_devices WHERE push_address IS NOT NULL`).Scan(&left)
				return err == nil && left == 0
			})
		})
	}
}

// T13, G14: a login rings a phone through Google by either kind of address, and a stock phone gets the numbers and nothing else.
func TestLoginByFCM(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options phone.Options
		target  string
	}{
		"token": {phone.Options{}, "token"}, "stock phone": {phone.Options{Stock: true}, "token"}, "installation id": {phone.Options{Signs: true}, "fid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := start(t, nil)
			n.double.Forbid("akadmin", adminPassword)
			screen := &phone.Screen{}
			o := c.options
			o.Push, o.Behaviour = n.double, phone.Approve(screen)
			if c.target == "fid" {
				o.Push, o.Address = installation{n.double}, "cJvq4Tn3Q1u6zV9xY2wR5s"
			}
			n.enrolledAs(o)
			if result, err := n.browser(screen.Show).Login(t.Context(), "akadmin", adminPassword); err != nil || result.Outcome != browser.Approved {
				t.Fatalf("log in: %v %+v", err, result)
			}
			sent := n.double.History(fcm.Filter{})
			if len(sent) != 1 || sent[0].Target != c.target || len(sent[0].Leaks) > 0 {
				t.Errorf("sent %+v", sent)
			}
		})
	}
}

// installation is a phone whose address is a Firebase installation id.
type installation struct{ *fcm.Double }

func (installation) PushKey(address string) wire.PushKey {
	return wire.PushKey{FirebaseKey: address, Channel: wire.ChannelFID}
}

// G14: a phone that wants no pushes is asked all the same: the page is told at once to have the app opened, and nothing is sent.
func TestLoginWithoutPushes(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	screen := &phone.Screen{}
	p, _ := n.enrolledAs(phone.Options{Push: silent{n.double}, Behaviour: phone.Approve(screen), Signs: true})
	done := make(chan browser.Result, 1)
	failed := make(chan error, 1)
	go func() {
		result, err := n.browser(screen.Show).Login(t.Context(), "akadmin", adminPassword)
		failed <- err
		done <- result
	}()
	eventually(t, "the page has a reason to tell", func() bool {
		var why string
		err := n.app.Pool().QueryRow(t.Context(), `SELECT coalesce(failure, '') FROM mobile_transactions`).Scan(&why)
		return err == nil && why == string(push.NoPush)
	})
	eventually(t, "the phone finds the request", func() bool {
		if err := p.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(p.Rings()) > 0
	})
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if result := <-done; result.Outcome != browser.Approved {
		t.Errorf("log in: %+v", result)
	}
	if sent := n.double.History(fcm.Filter{}); len(sent) > 0 {
		t.Errorf("sent %+v", sent)
	}
}

// silent is a phone that asks by itself.
type silent struct{ *fcm.Double }

func (silent) PushKey(string) wire.PushKey {
	return wire.PushKey{FirebaseKey: "-", Channel: wire.ChannelNone}
}

// T13, G14: a login rings an Apple phone without Firebase.
func TestLoginByAPNs(t *testing.T) {
	t.Parallel()
	d, err := apns.New(apns.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(d)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	key, err := d.Key()
	if err != nil {
		t.Fatal(err)
	}
	channel, err := pushapns.New(pushapns.Config{
		Key: key, KeyID: d.KeyID(), Team: d.Team(), Topic: d.Topic(), URL: server.URL, Transport: server.Client().Transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.Check(t.Context()); err != nil {
		t.Errorf("the double does not know its own key: %v", err)
	}
	n := startWith(t, nil, func(o *app.Options) { o.Channel = channel })
	n.ringsBy(t, d.Box, apnsPhone{d})
	if h := d.History()[1].Headers; h["Apns-Priority"] != "10" || h["Apns-Collapse-Id"] == "" {
		t.Errorf("headers %v", h)
	}
}

// apnsPhone tells its address by the contract's field alone: the server's own channel takes it.
type apnsPhone struct{ *apns.Double }

func (apnsPhone) PushKey(address string) wire.PushKey { return wire.PushKey{FirebaseKey: address} }

// ringsBy logs in with a phone that a double rings, and looks at what it was sent.
func (n *node) ringsBy(t *testing.T, box *inbox.Box, source phone.Source) {
	t.Helper()
	screen := &phone.Screen{}
	box.Forbid("akadmin", adminPassword)
	n.enrolledAs(phone.Options{Push: source, Behaviour: phone.Approve(screen), Signs: true})
	numbers := make(chan string, 1)
	b := n.browser(func(device, item string) {
		select {
		case numbers <- item:
		default:
		}
		screen.Show(device, item)
	})
	result, err := b.Login(t.Context(), "akadmin", adminPassword)
	if err != nil || result.Outcome != browser.Approved {
		t.Fatalf("log in: %v %+v", err, result)
	}
	number := <-numbers
	sent := 0
	for _, r := range box.History() {
		if r.Status >= 300 {
			continue
		}
		sent++
		if len(r.Leaks) > 0 || strings.Contains(r.Plain, `"`+number+`"`) {
			t.Errorf("sent %s, which leaks %v; the number is %s", r.Plain, r.Leaks, number)
		}
	}
	if sent == 0 {
		t.Errorf("the double took nothing: %+v", box.History())
	}
}

// askOnce begins a login that nobody waits for.
func (n *node) askOnce(t *testing.T, user string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, _ = n.browser(nil).Login(ctx, user, adminPassword) // cut off on purpose
}

// G14: channel and double were written apart from the RFCs alone, and read them alike: each refusal has its reason, the newest
// of a topic is what a browser gets that was away, and a browser reads what was encrypted to it.
func TestWebPushAgainstTheDouble(t *testing.T) {
	t.Parallel()
	d, settings := webDouble(t, wire.ChannelWebPush)
	var c app.Config
	settings(&c)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	channel, err := webpush.New(webpush.Config{
		Key: key, Contact: "mailto:push@example.org", AllowedHosts: c.Push.WebPush.AllowedHosts, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	address := func(key string) (string, string) {
		t.Helper()
		s, err := d.NewSubscription(key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(text), webdouble.ID(s)
	}
	send := func(address string) (reason push.Reason, pause time.Duration) {
		err := channel.Send(t.Context(), push.Message{
			Address: address, Title: "T", Body: "B", TTL: time.Minute, CollapseKey: "device",
			Data: wire.Push{Kind: wire.Wake, TxID: "0190d3b1-7c5e-7000-8000-00000000abcd"}.Data(),
		})
		var e *push.Error
		if errors.As(err, &e) {
			return e.Reason, e.RetryAfter
		}
		return "", 0
	}
	good, id := address(channel.PublicKey())
	for range 2 {
		if reason, _ := send(good); reason != "" {
			t.Fatalf("a good subscription: %s: %+v", reason, d.History())
		}
	}
	if n := d.Stored(id); n != 1 {
		t.Errorf("%d messages of one topic wait, want the newest", n)
	}
	messages, err := d.Subscribe(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	if m := <-messages; m.Title != "T" || m.Body != "B" || m.Data["kind"] != "wake" || !m.High {
		t.Errorf("the browser read %+v", m)
	}
	foreign, _ := address("a-key-of-somebody-else")
	if reason, _ := send(foreign); reason != push.SenderMismatch {
		t.Errorf("a subscription of another sender: %s", reason)
	}
	if reason, _ := send(strings.Replace(good, id, "UNKNOWN-ID-OF-A-BROWSER", 1)); reason != push.Unregistered {
		t.Errorf("a subscription that never was: %s", reason)
	}
	for status, want := range map[int]push.Reason{429: push.Quota, 503: push.Unavailable, 500: push.Internal, 413: push.BadMessage} {
		d.Fail(inbox.Fault{Status: status, RetryAfter: 7e9})
		if reason, pause := send(good); reason != want || pause != 7*time.Second {
			t.Errorf("%d: %s, pause %v", status, reason, pause)
		}
	}
	d.Fail(inbox.Fault{Reset: true})
	if reason, _ := send(good); reason != push.Unavailable {
		t.Errorf("a connection that is cut: %s", reason)
	}
	d.Unregister(id)
	if reason, _ := send(good); reason != push.Unregistered {
		t.Errorf("a subscription that is over: %s", reason)
	}
	now = now.Add(-48 * time.Hour) // our clock is wrong: the token that we make is over
	behind, err := webpush.New(webpush.Config{Key: key, AllowedHosts: c.Push.WebPush.AllowedHosts, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	channel = behind
	if reason, _ := send(good); reason != push.Credentials {
		t.Errorf("with a token that is over: %s", reason)
	}
}
