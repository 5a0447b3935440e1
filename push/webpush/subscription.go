package webpush

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// MaxEndpoint is the longest endpoint, in bytes (UnifiedPush).
const MaxEndpoint = 1000

// authSize is the length of a subscription's secret, in bytes (RFC 8291 §3.2).
const authSize = 16

// Subscription is where a browser, or an app by UnifiedPush, is reached, and the key that its messages are encrypted to.
// Its endpoint is a capability: a secret.
type Subscription struct {
	Endpoint string
	url      *url.URL
	key      *ecdh.PublicKey
	auth     []byte
}

// Parse reads the JSON form that browsers give a subscription: {"endpoint", "keys": {"p256dh", "auth"}}. Its errors show
// nothing of it.
func Parse(address string) (Subscription, error) {
	var in struct {
		Endpoint string `json:"endpoint"`
		Keys     struct {
			Key  string `json:"p256dh"`
			Auth string `json:"auth"`
		} `json:"keys"`
	}
	if json.Unmarshal([]byte(address), &in) != nil {
		return Subscription{}, errors.New("the subscription is not JSON")
	}
	s := Subscription{Endpoint: in.Endpoint}
	var err error
	if s.url, err = url.Parse(in.Endpoint); err != nil || len(in.Endpoint) > MaxEndpoint || s.url.Host == "" || s.url.Opaque != "" ||
		s.url.User != nil || s.url.Fragment != "" || s.url.Scheme != "https" && s.url.Scheme != "http" {
		return Subscription{}, errors.New("the endpoint is not an absolute URL of at most 1000 bytes")
	}
	point, err := base64.RawURLEncoding.DecodeString(in.Keys.Key)
	if err == nil {
		s.key, err = ecdh.P256().NewPublicKey(point)
	}
	if err != nil {
		return Subscription{}, errors.New("the key is not a point on P-256")
	}
	if s.auth, err = base64.RawURLEncoding.DecodeString(in.Keys.Auth); err != nil || len(s.auth) != authSize {
		return Subscription{}, errors.New("the secret is not 16 bytes in base64url")
	}
	return s, nil
}

// origin is that of the endpoint (RFC 6454 §6.2): whom a token is made out to.
func (s Subscription) origin() string {
	host := strings.ToLower(s.url.Host)
	for scheme, port := range map[string]string{"https": ":443", "http": ":80"} {
		if s.url.Scheme == scheme {
			host = strings.TrimSuffix(host, port)
		}
	}
	return s.url.Scheme + "://" + host
}

// secrets are the texts that must not show. A path too short to be a secret is none: it would blot out more than itself.
func (s Subscription) secrets(address string) []string {
	all := []string{address, s.Endpoint, s.url.RequestURI(), s.url.Path, base64.RawURLEncoding.EncodeToString(s.auth)}
	return slices.DeleteFunc(all, func(one string) bool { return len(one) < 8 })
}
