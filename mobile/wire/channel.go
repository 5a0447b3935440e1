package wire

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
)

// PushChannel is a way by which a phone can be rung.
type PushChannel string

// The channels.
const (
	ChannelFCM         PushChannel = "fcm"         // Firebase Cloud Messaging, by registration token
	ChannelFID         PushChannel = "fcm:fid"     // the same, by Firebase installation id
	ChannelAPNs        PushChannel = "apns"        // Apple's service, without Firebase
	ChannelWebPush     PushChannel = "webpush"     // a browser (RFC 8030, RFC 8291)
	ChannelUnifiedPush PushChannel = "unifiedpush" // an app, by a distributor that the person chose
	ChannelRelay       PushChannel = "relay"       // a relay that wakes the app on the server's behalf
	ChannelNone        PushChannel = "none"        // no pushes: the phone asks by itself
)

// Enum lists the channels for the API document.
func (PushChannel) Enum() []string {
	return []string{
		string(ChannelFCM), string(ChannelFID), string(ChannelAPNs), string(ChannelWebPush), string(ChannelUnifiedPush),
		string(ChannelRelay), string(ChannelNone),
	}
}

// SchemaName is the component's name in the API document.
func (PushChannel) SchemaName() string { return "PushChannelEnum" }

// Subscribes reports whether an address of the channel is a [Subscription] rather than a text.
func (c PushChannel) Subscribes() bool { return c == ChannelWebPush || c == ChannelUnifiedPush }

// MaxEndpoint is the longest endpoint of a subscription, in bytes (UnifiedPush).
const MaxEndpoint = 1000

// Subscription is what a browser, or an app's UnifiedPush connector, got from its push service. Its endpoint is a secret.
type Subscription struct {
	Endpoint string           `json:"endpoint" api:"required"` // http or https URL of at most [MaxEndpoint] bytes
	Keys     SubscriptionKeys `json:"keys" api:"required"`
}

// SchemaName is the component's name in the API document.
func (Subscription) SchemaName() string { return "MobileDevicePushSubscription" }

// SubscriptionKeys are what messages are encrypted with (RFC 8291), both in base64url without padding.
type SubscriptionKeys struct {
	P256dh string `json:"p256dh" api:"required"` // a point on P-256, uncompressed: 65 bytes
	Auth   string `json:"auth" api:"required"`   // 16 bytes
}

// SchemaName is the component's name in the API document.
func (SubscriptionKeys) SchemaName() string { return "MobileDevicePushSubscriptionKeys" }

// authBytes is the length of [SubscriptionKeys].Auth (RFC 8291 §3.2).
const authBytes = 16

// Validate returns what is wrong with s, nil if nothing is.
func (s Subscription) Validate() []Violation {
	var v violations
	u, err := url.Parse(s.Endpoint)
	switch {
	case s.Endpoint == "":
		v.add("endpoint", "blank", "This field may not be blank.")
	case len(s.Endpoint) > MaxEndpoint:
		v.add("endpoint", "max_length", "Ensure this field has no more than "+strconv.Itoa(MaxEndpoint)+" bytes.")
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.Opaque != "", u.User != nil, u.Fragment != "":
		v.add("endpoint", "invalid", "Must be the https URL that the push service gave.")
	}
	point, err := base64.RawURLEncoding.Strict().DecodeString(s.Keys.P256dh)
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(point)
	}
	if err != nil {
		v.add("keys.p256dh", "invalid", "Must be a point on P-256, 65 bytes in base64url without padding.")
	}
	if auth, err := base64.RawURLEncoding.Strict().DecodeString(s.Keys.Auth); err != nil || len(auth) != authBytes {
		v.add("keys.auth", "invalid", "Must be 16 bytes in base64url without padding.")
	}
	return v
}

// PushKey is the body of set_notification_key: by which channel the phone is rung, and where.
type PushKey struct {
	// FirebaseKey is the address as text, 1 to [MaxAddress] characters: with fcm the registration token, with "fcm:fid" the
	// installation id, with apns the device token in hexadecimal digits, with relay the relay's handle, with webpush and
	// unifiedpush the endpoint of the subscription once more, and with none anything, which is not kept.
	FirebaseKey string `json:"firebase_key" api:"required" doc:"The address as text: by channel the registration token, the installation id, the device token, the relay's handle, or the subscription's endpoint."`

	Channel      PushChannel   `json:"channel,omitempty" doc:"By what the phone is rung; fcm when left out."`
	Subscription *Subscription `json:"subscription,omitempty" doc:"With webpush and unifiedpush: what the push service gave."`
}

// SchemaName is the component's name in the API document.
func (PushKey) SchemaName() string { return "MobileDeviceSetPushKey" }

// Validate returns what is wrong with k, nil if nothing is. Fields of the subscription are named "subscription.…".
func (k PushKey) Validate() []Violation {
	var v violations
	v.text("firebase_key", k.FirebaseKey, MaxAddress)
	if k.Channel != "" {
		v.choice("channel", string(k.Channel), k.Channel.Enum())
	}
	switch {
	case k.Channel.Subscribes() && k.Subscription == nil:
		v.add("subscription", "required", "This field is required.")
	case k.Channel.Subscribes():
		for _, one := range k.Subscription.Validate() {
			one.Field = "subscription." + one.Field
			v = append(v, one)
		}
		if k.FirebaseKey != k.Subscription.Endpoint && k.FirebaseKey != "" {
			v.add("firebase_key", "invalid", "Must be the endpoint of the subscription.")
		}
	case k.Subscription != nil:
		v.add("subscription", "invalid", "Only webpush and unifiedpush have subscriptions.")
	}
	return v
}

// Address is the address as the channel takes it: the subscription as JSON, or the text; "" with none.
func (k PushKey) Address() string {
	switch {
	case k.Channel == ChannelNone:
		return ""
	case k.Channel.Subscribes():
		text, err := json.Marshal(k.Subscription)
		if err != nil {
			panic(err) // texts always have a JSON form
		}
		return string(text)
	}
	return k.FirebaseKey
}

// PushOffer is a channel that a server has, with what a phone needs to use it.
type PushOffer struct {
	Channel PushChannel `json:"channel" api:"required"`
	// VAPIDPublicKey is what to subscribe with, for webpush and unifiedpush: a point on P-256, uncompressed, base64url.
	VAPIDPublicKey string `json:"vapid_public_key,omitempty" doc:"What to subscribe with: the applicationServerKey, base64url."`
	// RelayInstance is whom a relay has to make the phone's handle for, for relay.
	RelayInstance string `json:"relay_instance,omitempty" doc:"The instance for which a relay has to make the handle."`
}

// SchemaName is the component's name in the API document.
func (PushOffer) SchemaName() string { return "MobileDevicePushChannel" }

// PushOffers is the reply to push_channels.
type PushOffers struct {
	Channels []PushOffer `json:"channels" api:"required"` // in the order in which a server would choose
}

// SchemaName is the component's name in the API document.
func (PushOffers) SchemaName() string { return "MobileDevicePushChannels" }
