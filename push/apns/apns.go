package apns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"countersign/push"
)

// Name is the channel's name.
const Name = "apns"

// Apple's services: for apps from the store, and for those that a developer built.
const (
	Production  = "https://api.push.apple.com"
	Development = "https://api.sandbox.push.apple.com"
)

const (
	maxAnswer  = 4 << 10 // bytes that are read of an answer
	maxPayload = 4096    // bytes
	// category is the notification category that the app registers (core.md §4.6).
	category = "cat_authentik_push_authorization"
)

// Config says whose app is sent to, and by which key.
type Config struct {
	Key   string // the text of the .p8 file, a secret
	KeyID string // its name at Apple, ten characters
	Team  string // the developer team's, ten characters
	Topic string // the app's bundle id
	URL   string // default Production

	Transport http.RoundTripper // default: one of its own, HTTP/2, with the environment's proxy
	Now       func() time.Time  // default time.Now
}

// Channel sends through APNs.
type Channel struct {
	base, topic string
	tokens      *tokens
	client      *http.Client
	now         func() time.Time
}

var _ push.Channel = (*Channel)(nil)

// New makes the channel without calling anybody. Its errors show nothing of the key.
func New(c Config) (*Channel, error) {
	if c.URL == "" {
		c.URL = Production
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "https" {
		return nil, errors.New("apns: the URL is not an https URL")
	}
	for name, value := range map[string]string{"key_id": c.KeyID, "team": c.Team, "topic": c.Topic} {
		if value == "" || strings.ContainsAny(value, " \t\r\n") {
			return nil, fmt.Errorf("apns: %s is missing or has spaces", name)
		}
	}
	key, err := parseKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("apns: %w", err)
	}
	t, err := newTokens(key, c.KeyID, c.Team, c.Now)
	if err != nil {
		return nil, fmt.Errorf("apns: %w", err)
	}
	if c.Transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.ForceAttemptHTTP2, own.TLSHandshakeTimeout = true, 5*time.Second
		c.Transport = own
	}
	return &Channel{
		base: strings.TrimRight(c.URL, "/"), topic: c.Topic, tokens: t, now: c.Now,
		client: &http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// Name is "apns".
func (c *Channel) Name() string { return Name }

// addressForm is a device token: bytes in hexadecimal digits, of which Apple promises no length.
var addressForm = regexp.MustCompile(`^([0-9A-Fa-f]{2}){8,100}$`)

// CheckAddress says what is wrong with a device token.
func (c *Channel) CheckAddress(address string) error {
	if !addressForm.MatchString(address) {
		return errors.New("a device token is 16 to 200 hexadecimal digits")
	}
	return nil
}

// Send makes one attempt, or two when the first found the provider token expired. Its error is a *push.Error by the table in
// the package comment.
func (c *Channel) Send(ctx context.Context, m push.Message) error {
	if m.Address == "" {
		return &push.Error{Reason: push.NoAddress, Permanent: true}
	}
	if m.TTL < 0 {
		return &push.Error{Reason: push.Expired, Permanent: true}
	}
	if err := c.CheckAddress(m.Address); err != nil {
		return &push.Error{Reason: push.InvalidAddress, Permanent: true, Cause: err}
	}
	body, err := payload(m)
	if err != nil {
		return &push.Error{Reason: push.BadMessage, Permanent: true, Cause: push.Redact(err, m.Address)}
	}
	token, _, err := c.tokens.get("")
	for {
		if err != nil {
			return &push.Error{Reason: push.Credentials, Permanent: true, Cause: push.Redact(err, m.Address)}
		}
		said, failed := c.attempt(ctx, m, body, token)
		if failed == nil || said != "ExpiredProviderToken" {
			return failed
		}
		var fresh bool
		if token, fresh, err = c.tokens.get(token); err == nil && !fresh {
			return failed
		}
	}
}

// Check asks Apple whether it would take a message from us, and is nil when it knows our key and topic. It sends nothing:
// the address is nobody's, about which Apple is expected to complain.
func (c *Channel) Check(ctx context.Context) error {
	err := c.Send(ctx, push.Message{Address: strings.Repeat("0", 64), Title: "Check"})
	var e *push.Error
	if errors.As(err, &e) && e.Reason.Dead() {
		return nil
	}
	return err
}

// payload is the message as an Apple phone takes it: an alert that may break through a Focus, and that the app may complete
// before it is shown.
func payload(m push.Message) ([]byte, error) {
	doc := map[string]any{}
	for k, v := range m.Data {
		doc[k] = v
	}
	doc["aps"] = map[string]any{
		"alert": map[string]string{"title": m.Title, "body": m.Body},
		"sound": "default", "category": category, "mutable-content": 1, "interruption-level": "time-sensitive",
	}
	text, err := json.Marshal(doc)
	if err == nil && len(text) > maxPayload {
		err = fmt.Errorf("the payload has %d bytes, at most %d are taken", len(text), maxPayload)
	}
	return text, err
}

// attempt sends once. said is the reason in Apple's words.
func (c *Channel) attempt(ctx context.Context, m push.Message, body []byte, token string) (said string, failed error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/3/device/"+strings.ToLower(m.Address), bytes.NewReader(body))
	if err != nil {
		return "", &push.Error{Reason: push.BadMessage, Permanent: true, Cause: errors.New("the request cannot be made")}
	}
	r.Header.Set("Authorization", "bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Apns-Topic", c.topic)
	r.Header.Set("Apns-Push-Type", "alert")
	r.Header.Set("Apns-Priority", "10")
	expiration := "0" // now or never
	if ttl := m.TTL.Truncate(time.Second); ttl > 0 {
		expiration = strconv.FormatInt(c.now().Add(ttl).Unix(), 10)
	}
	r.Header.Set("Apns-Expiration", expiration)
	if m.CollapseKey != "" {
		r.Header.Set("Apns-Collapse-Id", m.CollapseKey)
	}
	secrets := []string{m.Address, strings.ToLower(m.Address), token}
	resp, err := c.client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return "", &push.Error{Reason: push.Timeout, Cause: push.Redact(ctx.Err())}
		}
		var named *url.Error // it repeats the address
		if errors.As(err, &named) {
			err = named.Err
		}
		return "", &push.Error{Reason: push.Unavailable, Cause: push.Redact(err, secrets...)}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the connection serves again
		return "", nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what is cut off is no reason
	var answer struct {
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(text, &answer) // what is not JSON has no reason
	e := &push.Error{Reason: reason(resp.StatusCode, answer.Reason), RetryAfter: push.RetryAfter(resp.Header, c.now())}
	e.Permanent = e.Reason.Permanent()
	e.Cause = push.Redact(errors.New("apns: "+resp.Status+" "+answer.Reason), secrets...)
	return answer.Reason, e
}

// reason is the table in the package comment.
func reason(status int, said string) push.Reason {
	switch said {
	case "Unregistered", "ExpiredToken":
		return push.Unregistered
	case "BadDeviceToken":
		return push.InvalidAddress
	case "DeviceTokenNotForTopic":
		return push.SenderMismatch
	case "BadTopic", "TopicDisallowed", "MissingTopic":
		return push.Credentials
	}
	switch {
	case status == http.StatusGone:
		return push.Unregistered
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return push.Credentials
	case status == http.StatusTooManyRequests:
		return push.Quota
	case status == http.StatusInternalServerError:
		return push.Internal
	case status >= 500, status == http.StatusRequestTimeout, status < 400: // a redirection: whoever answers is not Apple
		return push.Unavailable
	}
	return push.BadMessage
}
