package wire_test

import (
	"slices"
	"strings"
	"testing"

	"countersign/mobile/wire"
)

func subscription() *wire.Subscription {
	return &wire.Subscription{Endpoint: "https://push.example/abc", Keys: wire.SubscriptionKeys{
		P256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", // RFC 8291 §5
		Auth:   "BTBZMqHH6r4Tts7J_aSIgg",
	}}
}

func TestPushKey(t *testing.T) {
	t.Parallel()
	with := func(edit func(*wire.PushKey)) wire.PushKey {
		k := wire.PushKey{FirebaseKey: "https://push.example/abc", Channel: wire.ChannelWebPush, Subscription: subscription()}
		edit(&k)
		return k
	}
	for name, c := range map[string]struct {
		key    wire.PushKey
		fields string
	}{
		"of the contract":        {wire.PushKey{FirebaseKey: "token"}, ""},
		"fcm":                    {wire.PushKey{FirebaseKey: "token", Channel: wire.ChannelFCM}, ""},
		"none":                   {wire.PushKey{FirebaseKey: "-", Channel: wire.ChannelNone}, ""},
		"webpush":                {with(func(*wire.PushKey) {}), ""},
		"unifiedpush":            {with(func(k *wire.PushKey) { k.Channel = wire.ChannelUnifiedPush }), ""},
		"blank":                  {wire.PushKey{Channel: wire.ChannelNone}, "firebase_key"},
		"unknown":                {wire.PushKey{FirebaseKey: "x", Channel: "pigeon"}, "channel"},
		"no subscription":        {wire.PushKey{FirebaseKey: "x", Channel: wire.ChannelWebPush}, "subscription"},
		"subscription with fcm":  {wire.PushKey{FirebaseKey: "x", Subscription: subscription()}, "subscription"},
		"subscription with none": {wire.PushKey{FirebaseKey: "x", Channel: wire.ChannelNone, Subscription: subscription()}, "subscription"},
		"another key":            {with(func(k *wire.PushKey) { k.FirebaseKey = "https://push.example/x" }), "firebase_key"},
		"no endpoint": {with(func(k *wire.PushKey) {
			k.FirebaseKey, k.Subscription.Endpoint = "x", ""
		}), "subscription.endpoint,firebase_key"},
		"long endpoint": {with(func(k *wire.PushKey) {
			k.Subscription.Endpoint += strings.Repeat("x", wire.MaxEndpoint)
			k.FirebaseKey = k.Subscription.Endpoint
		}), "subscription.endpoint"},
		"file": {with(func(k *wire.PushKey) {
			k.Subscription.Endpoint = "file:///etc/passwd"
			k.FirebaseKey = "file:///etc/passwd"
		}), "subscription.endpoint"},
		"with a user":  {with(func(k *wire.PushKey) { k.Subscription.Endpoint = "https://u@x/"; k.FirebaseKey = "https://u@x/" }), "subscription.endpoint"},
		"no keys":      {with(func(k *wire.PushKey) { k.Subscription.Keys = wire.SubscriptionKeys{} }), "subscription.keys.p256dh,subscription.keys.auth"},
		"off curve":    {with(func(k *wire.PushKey) { k.Subscription.Keys.P256dh = k.Subscription.Keys.P256dh[:86] + "8" }), "subscription.keys.p256dh"},
		"short secret": {with(func(k *wire.PushKey) { k.Subscription.Keys.Auth = "AAAA" }), "subscription.keys.auth"},
		"padded":       {with(func(k *wire.PushKey) { k.Subscription.Keys.Auth += "==" }), "subscription.keys.auth"},
	} {
		var fields []string
		for _, v := range c.key.Validate() {
			if !slices.Contains(fields, v.Field) {
				fields = append(fields, v.Field)
			}
			if v.Code == "" || v.Text == "" {
				t.Errorf("%s: %+v", name, v)
			}
		}
		if got := strings.Join(fields, ","); got != c.fields {
			t.Errorf("%s: %q is wrong, want %q", name, got, c.fields)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for want, k := range map[string]wire.PushKey{
		"token": {FirebaseKey: "token"},
		"":      {FirebaseKey: "-", Channel: wire.ChannelNone},
		`{"endpoint":"https://push.example/abc","keys":{"p256dh":"` + subscription().Keys.P256dh + `","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`: {
			FirebaseKey: "https://push.example/abc", Channel: wire.ChannelUnifiedPush, Subscription: subscription(),
		},
	} {
		if got := k.Address(); got != want {
			t.Errorf("address %s, want %s", got, want)
		}
	}
}
