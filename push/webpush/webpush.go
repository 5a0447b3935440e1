package webpush

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"countersign/core/egress"
	"countersign/push"
)

// The names of the channels.
const (
	Name        = "webpush"     // browsers
	UnifiedPush = "unifiedpush" // apps on phones without Google, by a distributor of the person's choice
)

// maxAnswer is the most that is read of an answer, in bytes.
const maxAnswer = 4 << 10

// Config is what a channel needs.
type Config struct {
	Name    string            // Name or UnifiedPush; default Name
	Key     *ecdsa.PrivateKey // by which push services know the sender (RFC 8292): on P-256
	Contact string            // mailto: or https: URL of who is responsible; "" for none, which Apple's service refuses

	// AllowedHosts are push services, as host or host:port, that may have private addresses and speak plain HTTP: those of
	// one's own network. All others must be https at public addresses.
	AllowedHosts []string

	Transport http.RoundTripper // default: one of its own that connects to public addresses and the allowed hosts alone
	Now       func() time.Time  // default time.Now
}

// Channel sends to push services that speak RFC 8030.
type Channel struct {
	name    string
	vapid   *vapid
	allowed egress.Hosts
	client  *http.Client
	now     func() time.Time
}

var _ push.Channel = (*Channel)(nil)

// New makes the channel without calling anybody.
func New(c Config) (*Channel, error) {
	if c.Name == "" {
		c.Name = Name
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	v, err := newVAPID(c.Key, c.Contact, c.Now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	if c.Contact != "" {
		if u, err := url.Parse(c.Contact); err != nil || u.Scheme != "mailto" && u.Scheme != "https" {
			return nil, fmt.Errorf("%s: the contact is neither a mailto: nor an https: URL", c.Name)
		}
	}
	allowed := egress.Hosts(c.AllowedHosts)
	if err := allowed.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	if c.Transport == nil {
		c.Transport = egress.Transport(allowed)
	}
	return &Channel{
		name: c.Name, vapid: v, allowed: allowed, now: c.Now,
		// A redirection would lead where the subscription does not point.
		client: &http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// Name is that of the Config.
func (c *Channel) Name() string { return c.name }

// PublicKey is what a browser or an app has to subscribe with: see the function PublicKey.
func (c *Channel) PublicKey() string { return c.vapid.public }

// CheckAddress says what is wrong with a subscription, as far as that shows without asking anybody. The text is for a person.
func (c *Channel) CheckAddress(address string) error {
	s, err := Parse(address)
	if err != nil {
		return err
	}
	return c.permits(s)
}

func (c *Channel) permits(s Subscription) error {
	host := s.url.Host
	if s.url.Port() == "" {
		host += map[string]string{"https": ":443", "http": ":80"}[s.url.Scheme]
	}
	if s.url.Scheme != "https" && !c.allowed.Has(host) {
		return errors.New("the endpoint must be an https URL")
	}
	return nil
}

// Send makes one attempt. Its error is a *push.Error by the table in the package comment.
func (c *Channel) Send(ctx context.Context, m push.Message) error {
	if m.Address == "" {
		return &push.Error{Reason: push.NoAddress, Permanent: true}
	}
	if m.TTL < 0 {
		return &push.Error{Reason: push.Expired, Permanent: true}
	}
	to, err := Parse(m.Address)
	if err == nil {
		err = c.permits(to)
	}
	if err != nil {
		return &push.Error{Reason: push.InvalidAddress, Permanent: true, Cause: err}
	}
	r, err := c.request(ctx, to, m)
	if err != nil {
		return &push.Error{Reason: push.BadMessage, Permanent: true, Cause: push.Redact(err, to.secrets(m.Address)...)}
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return c.unanswered(ctx, err, to.secrets(m.Address))
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what is cut off says less; the status counts
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	e := &push.Error{Reason: reason(resp.StatusCode), RetryAfter: push.RetryAfter(resp.Header, c.now())}
	e.Permanent = e.Reason.Permanent()
	e.Cause = push.Redact(errors.New(c.name+": "+resp.Status+" "+string(said)), to.secrets(m.Address)...)
	return e
}

// payload is what the service worker or the app finds when it has decrypted a message.
type payload struct {
	Title string            `json:"title"`
	Body  string            `json:"body"`
	Data  map[string]string `json:"data"`
}

// request encrypts the message and makes the request of RFC 8030 §5.
func (c *Channel) request(ctx context.Context, to Subscription, m push.Message) (*http.Request, error) {
	plain, err := json.Marshal(payload{m.Title, m.Body, m.Data})
	if err != nil {
		return nil, err
	}
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	body, err := encrypt(plain, padded(len(plain)), to, own, salt)
	if err != nil {
		return nil, err
	}
	authorization, err := c.vapid.authorization(to.origin())
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	r.Header.Set("Authorization", authorization)
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("Content-Encoding", "aes128gcm")
	r.Header.Set("TTL", strconv.FormatInt(int64(m.TTL/time.Second), 10)) // down: never longer than the answer window
	r.Header.Set("Urgency", "high")
	if m.CollapseKey != "" {
		r.Header.Set("Topic", topic(m.CollapseKey))
	}
	return r, nil
}

// topic makes a collapse key what RFC 8030 §5.4 takes: 32 characters of base64url.
func topic(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// unanswered is the failure of a request to which there was no answer.
func (c *Channel) unanswered(ctx context.Context, err error, secrets []string) error {
	if ctx.Err() != nil {
		return &push.Error{Reason: push.Timeout, Cause: push.Redact(ctx.Err())}
	}
	reason := push.Unavailable
	if errors.Is(err, egress.ErrPrivate) {
		reason = push.InvalidAddress
	}
	var named *url.Error // it repeats the endpoint
	if errors.As(err, &named) {
		err = named.Err
	}
	return &push.Error{Reason: reason, Permanent: reason.Permanent(), Cause: push.Redact(err, secrets...)}
}

// reason is the table in the package comment.
func reason(status int) push.Reason {
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return push.Unregistered
	case http.StatusUnauthorized:
		return push.Credentials
	case http.StatusForbidden:
		return push.SenderMismatch
	case http.StatusTooManyRequests:
		return push.Quota
	case http.StatusRequestTimeout:
		return push.Unavailable
	case http.StatusInternalServerError:
		return push.Internal
	}
	switch {
	case status >= 500:
		return push.Unavailable
	case status >= 400:
		return push.BadMessage
	}
	return push.InvalidAddress // a redirection: this is no push service
}
