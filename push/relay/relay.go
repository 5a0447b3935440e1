package relay

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"countersign/push"
)

// Name is the channel's name.
const Name = "relay"

// The operations of a relay.
const (
	PathWakes   = "/relay/v1/wakes"
	PathHandles = "/relay/v1/handles"
)

const (
	maxAnswer = 4 << 10
	// MaxHandle is the longest handle, in characters.
	MaxHandle = 2048
)

// Wake is the body of a wake-up.
type Wake struct {
	Handle   string `json:"handle"`
	TTL      int64  `json:"ttl"`                // seconds that it is good for; 0 is now or never
	Collapse string `json:"collapse,omitempty"` // replaces an earlier one of the same; 32 characters of base64url
}

// NewHandle is the body by which a phone gets a handle.
type NewHandle struct {
	Channel  string `json:"channel"`  // that the relay has: "fcm", "fcm:fid" or "apns"
	Address  string `json:"address"`  // of the phone there
	Instance string `json:"instance"` // which server may use it: relay_instance of its push_channels
}

// Handle is the reply to it.
type Handle struct {
	Handle string `json:"handle"`
}

// Refusal is the body of an answer that is not 2xx.
type Refusal struct {
	Reason push.Reason `json:"reason"`
	Detail string      `json:"detail,omitempty"` // for people
}

// Config is what the channel needs.
type Config struct {
	URL    string            // of the relay of addresses that name none, as https://relay.example; may be empty
	Ticket string            // the relay's permission, a secret; empty with an open relay
	Key    *ecdsa.PrivateKey // of this instance

	Transport http.RoundTripper // default: one of its own, with the environment's proxy
	Now       func() time.Time  // default time.Now
}

// Channel sends wake-ups to relays.
type Channel struct {
	base, ticket string
	signer       *Signer
	client       *http.Client
	now          func() time.Time
}

var _ push.Channel = (*Channel)(nil)

// New makes the channel without calling anybody.
func New(c Config) (*Channel, error) {
	if c.URL != "" {
		if u, err := url.Parse(c.URL); err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return nil, errors.New("relay: the URL is not one like https://relay.example")
		}
	}
	signer, err := NewSigner(c.Key)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost, own.TLSHandshakeTimeout = own.MaxIdleConns, 5*time.Second
		c.Transport = own
	}
	return &Channel{
		base: strings.TrimRight(c.URL, "/"), ticket: c.Ticket, signer: signer, now: c.Now,
		client: &http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// Name is "relay".
func (c *Channel) Name() string { return Name }

// Instance is the name by which relays know this server.
func (c *Channel) Instance() string { return c.signer.Instance() }

var (
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?$`)
	handleForm = regexp.MustCompile(`^[A-Za-z0-9_-]{32,}$`)
)

// Address is how the channel takes a handle of the relay at that host, with a port or without; of that of Config.URL for
// "localhost", which is what stages say that need none, and for what is no host, as "" and "-".
func Address(host, handle string) string {
	if host == "localhost" || !hostForm.MatchString(host) {
		return handle
	}
	return host + "/" + handle
}

// split takes an address apart.
func (c *Channel) split(address string) (base, handle string, err error) {
	base, handle = c.base, address
	if host, rest, named := strings.Cut(address, "/"); named {
		if !hostForm.MatchString(host) {
			return "", "", errors.New("the relay is no host")
		}
		base, handle = "https://"+host, rest
	}
	switch {
	case len(handle) > MaxHandle || !handleForm.MatchString(handle):
		return "", "", errors.New("that is no handle of a relay")
	case base == "":
		return "", "", errors.New("there is no relay for it: neither does the stage name one in cgw_endpoint, nor the server in push.relay.url")
	}
	return base, handle, nil
}

// CheckAddress says what is wrong with an address.
func (c *Channel) CheckAddress(address string) error {
	_, _, err := c.split(address)
	return err
}

// Send makes one attempt. Of the message the relay gets the handle, the time to live and a hash of the collapse key.
func (c *Channel) Send(ctx context.Context, m push.Message) error {
	if m.Address == "" {
		return &push.Error{Reason: push.NoAddress, Permanent: true}
	}
	if m.TTL < 0 {
		return &push.Error{Reason: push.Expired, Permanent: true}
	}
	base, handle, err := c.split(m.Address)
	if err != nil {
		return &push.Error{Reason: push.InvalidAddress, Permanent: true, Cause: err}
	}
	wake := Wake{Handle: handle, TTL: int64(m.TTL / time.Second)}
	if m.CollapseKey != "" {
		wake.Collapse = collapse(m.CollapseKey)
	}
	body, err := json.Marshal(wake)
	if err != nil {
		return &push.Error{Reason: push.BadMessage, Permanent: true, Cause: errors.New("the wake-up has no JSON form")}
	}
	return c.post(ctx, base, body, m.Address, handle)
}

// collapse hides the key, which is the device's name here.
func collapse(key string) string {
	sum := sha256.Sum256([]byte("countersign relay collapse\x00" + key))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

func (c *Channel) post(ctx context.Context, base string, body []byte, secrets ...string) error {
	ticket := ""
	if base == c.base { // another relay has no use for it
		ticket = c.ticket
	}
	secrets = append(secrets, c.ticket)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+PathWakes, bytes.NewReader(body))
	if err != nil {
		return &push.Error{Reason: push.InvalidAddress, Permanent: true, Cause: errors.New("the relay's address cannot be called")}
	}
	proof, err := c.signer.Prove(r.URL.Hostname(), body, ticket, c.now())
	if err != nil {
		return &push.Error{Reason: push.Credentials, Permanent: true, Cause: push.Redact(err, secrets...)}
	}
	r.Header.Set("Authorization", Scheme+" "+proof)
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return &push.Error{Reason: push.Timeout, Cause: push.Redact(ctx.Err())}
		}
		return &push.Error{Reason: push.Unavailable, Cause: push.Redact(err, secrets...)}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what is cut off says less; the status counts
	if resp.StatusCode == http.StatusAccepted {
		return nil
	}
	var said Refusal
	_ = json.Unmarshal(text, &said) // what is not JSON says nothing
	e := &push.Error{Reason: reason(resp.StatusCode, said.Reason), RetryAfter: push.RetryAfter(resp.Header, c.now())}
	e.Permanent = e.Reason.Permanent()
	e.Cause = push.Redact(errors.New("relay: "+resp.Status+" "+string(said.Reason)+" "+said.Detail), secrets...)
	return e
}

// reason is the relay's, if it is one that a provider can give, or what the status says.
func reason(status int, said push.Reason) push.Reason {
	switch said {
	case push.Unregistered, push.InvalidAddress, push.BadMessage, push.SenderMismatch, push.Credentials, push.Quota, push.Unavailable, push.Internal:
		return said
	}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound:
		return push.Credentials
	case status == http.StatusTooManyRequests:
		return push.Quota
	case status >= 500, status < 400: // a redirection: whoever answers is no relay
		return push.Unavailable
	}
	return push.BadMessage
}

// Check asks the relay of Config.URL whether it knows us: a wake-up of a handle that is nobody's has to be refused as such.
func (c *Channel) Check(ctx context.Context) error {
	if c.base == "" {
		return nil
	}
	err := c.Send(ctx, push.Message{Address: strings.Repeat("A", 64)})
	var e *push.Error
	if errors.As(err, &e) && e.Reason.Dead() {
		return nil
	}
	return err
}
