package mobile

import (
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"countersign/core/secret"
	"countersign/mobile/wire"
	"countersign/push"
)

// withChannels has the server offer these channels; webpush takes all but one address.
func withChannels(b *bench) {
	b.service.Channels = []Channel{
		{PushOffer: wire.PushOffer{Channel: wire.ChannelFCM}},
		{PushOffer: wire.PushOffer{Channel: wire.ChannelWebPush, VAPIDPublicKey: "the-public-key"}, Check: func(address string) error {
			if strings.Contains(address, "http://") {
				return errors.New("the endpoint must be an https URL")
			}
			return nil
		}},
	}
}

func subscribed(endpoint string) wire.PushKey {
	return wire.PushKey{FirebaseKey: endpoint, Channel: wire.ChannelWebPush, Subscription: &wire.Subscription{
		Endpoint: endpoint, Keys: wire.SubscriptionKeys{
			P256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", Auth: "BTBZMqHH6r4Tts7J_aSIgg",
		},
	}}
}

// T9, G14: the phone chooses its channel; the choice is stored with the address and told, and what is wrong changes nothing.
func TestPhoneChoosesItsChannel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	withChannels(b)
	device, token := b.phone(b.user)
	for _, c := range []struct {
		name      string
		body      any
		status    int
		field     string
		channel   string
		address   string
		announced int // events that say that pushes go elsewhere
	}{
		{"of the contract", wire.PushKey{FirebaseKey: "one"}, 204, "", "fcm", "one", 0},
		{"none on offer", wire.PushKey{FirebaseKey: "two", Channel: wire.ChannelAPNs}, 400, "channel", "fcm", "one", 0},
		{"unknown", map[string]any{"firebase_key": "two", "channel": "pigeon"}, 400, "channel", "fcm", "one", 0},
		{"no subscription", wire.PushKey{FirebaseKey: "two", Channel: wire.ChannelWebPush}, 400, "subscription", "fcm", "one", 0},
		{"half a subscription", map[string]any{"firebase_key": "https://x/", "channel": "webpush", "subscription": map[string]any{"endpoint": "https://x/"}}, 400, "keys", "fcm", "one", 0},
		{"in the clear", subscribed("http://push.example/1"), 400, "endpoint", "fcm", "one", 0},
		{"webpush", subscribed("https://push.example/1"), 204, "", "webpush", subscribed("https://push.example/1").Address(), 1},
		{"the same again", subscribed("https://push.example/1"), 204, "", "webpush", subscribed("https://push.example/1").Address(), 1},
		{"none", wire.PushKey{FirebaseKey: "-", Channel: wire.ChannelNone}, 204, "", "none", "", 2},
		{"back", wire.PushKey{FirebaseKey: "three", Channel: wire.ChannelFCM}, 204, "", "fcm", "three", 2},
	} {
		status, reply := b.call(device, wire.ActionPushKey, token, c.body)
		if status != c.status || !strings.Contains(string(reply), c.field) {
			t.Errorf("%s: %d %s", c.name, status, reply)
		}
		channel := value[string](b, `SELECT push_channel FROM mobile_devices WHERE uuid = $1`, device)
		address := value[string](b, `SELECT coalesce(push_address, '') FROM mobile_devices WHERE uuid = $1`, device)
		if channel != c.channel || address != c.address {
			t.Errorf("%s: stored %s %q, want %s %q", c.name, channel, address, c.channel, c.address)
		}
		if n := value[int](b, `SELECT count(*) FROM events WHERE context->>'push_address' = 'replaced'`); n != c.announced {
			t.Errorf("%s: %d events tell of a new address, want %d", c.name, n, c.announced)
		}
	}
}

// A browser gives more than a server needs: what it says beyond the subscription is passed over.
func TestSubscriptionAsBrowsersGiveIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	withChannels(b)
	device, token := b.phone(b.user)
	body := `{"firebase_key": "https://push.example/1", "channel": "webpush", "subscription": {"endpoint": "https://push.example/1", "expirationTime": null,
		"keys": {"auth": "BTBZMqHH6r4Tts7J_aSIgg", "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"}}}`
	if status, reply := b.call(device, wire.ActionPushKey, token, []byte(body)); status != 204 {
		t.Fatalf("%d %s", status, reply)
	}
	if got := value[string](b, `SELECT push_address FROM mobile_devices WHERE uuid = $1`, device); got != subscribed("https://push.example/1").Address() {
		t.Errorf("stored %s", got)
	}
}

// G14: the gateway of the stage names the relay, from the moment at which the phone says that it has one.
func TestStageNamesTheRelay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.service.Channels = []Channel{{
		PushOffer: wire.PushOffer{Channel: wire.ChannelRelay}, Address: func(gateway, given string) string { return gateway + "|" + given },
	}}
	device, token := b.phone(b.user)
	stored := func() string {
		t.Helper()
		if status, reply := b.call(device, wire.ActionPushKey, token, wire.PushKey{FirebaseKey: "handle", Channel: wire.ChannelRelay}); status != 204 {
			t.Fatalf("%d %s", status, reply)
		}
		return value[string](b, `SELECT push_address FROM mobile_devices WHERE uuid = $1`, device)
	}
	if got := stored(); got != "|handle" {
		t.Errorf("without a stage: %s", got)
	}
	stage := uuid.New()
	b.exec(`INSERT INTO stages (stage_uuid, name, kind, settings) VALUES ($1, 'phone', 'authenticatormobilestage', '{"cgw_endpoint": "relay.example:8443"}')`, stage)
	b.exec(`UPDATE mobile_devices SET stage = $2 WHERE uuid = $1`, device, stage)
	if got := stored(); got != "relay.example:8443|handle" {
		t.Errorf("with a stage: %s", got)
	}
}

func TestChannelsOnOffer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	withChannels(b)
	status, reply, err := request(t.Context(), b.server.URL+"/api/v3"+actionChannels, http.MethodGet, "", nil)
	if err != nil || status != 200 {
		t.Fatalf("%d %s, %v", status, reply, err)
	}
	var got wire.PushOffers
	if err := json.Unmarshal(reply, &got); err != nil {
		t.Fatal(err)
	}
	want := []wire.PushOffer{{Channel: "fcm"}, {Channel: "webpush", VAPIDPublicKey: "the-public-key"}, {Channel: "none"}}
	if len(got.Channels) != len(want) {
		t.Fatalf("%s", reply)
	}
	for i := range want {
		if got.Channels[i] != want[i] {
			t.Errorf("offer %d: %+v", i, got.Channels[i])
		}
	}
}

// G14: a phone that asks by itself gets no push, and the browser that waits is told to have its app opened.
func TestPhoneThatAsksByItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dispatcher, err := push.New(nil, push.Options{})
	if err != nil {
		t.Fatal(err)
	}
	device, token := b.phone(b.user)
	if status, reply := b.call(device, wire.ActionPushKey, token, wire.PushKey{FirebaseKey: "-", Channel: wire.ChannelNone}); status != 204 {
		t.Fatalf("%d %s", status, reply)
	}
	tx := b.ask(device, b.user, b.service.Bus.Node())
	job := b.service.job(&target{device: device, userID: b.user, channel: "none"}, prompt{id: tx, expires: b.clock.now().Add(1 << 40)}, "Brand")
	heard := make(chan push.Report, 1)
	job.Report = func(r push.Report) { heard <- r }
	dispatcher.Dispatch(job)
	if r := <-heard; r.Reason != push.NoPush || !r.Final {
		t.Errorf("reported %+v", r)
	}
}

// One key for all nodes, sealed, made once; another secret key does not open it.
func TestChannelKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keys := make([]*ecdsa.PrivateKey, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, err := ChannelKey(t.Context(), b.pool, b.service.Keeper, "webpush")
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = key
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k == nil || !k.Equal(keys[0]) {
			t.Fatal("the nodes have keys of their own")
		}
	}
	if other, err := ChannelKey(t.Context(), b.pool, b.service.Keeper, "relay"); err != nil || other.Equal(keys[0]) {
		t.Errorf("two channels share a key: %v", err)
	}
	stranger, err := secret.New("another-key-for-tests-of-32-characters-or-more")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ChannelKey(t.Context(), b.pool, stranger, "webpush"); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("with another secret key: %v", err)
	}
	b.exec(`UPDATE push_keys SET channel = 'elsewhere' WHERE channel = 'webpush'`)
	if _, err := ChannelKey(t.Context(), b.pool, b.service.Keeper, "elsewhere"); !errors.Is(err, secret.ErrTampered) {
		t.Errorf("a key that was moved to another row: %v", err)
	}
}
