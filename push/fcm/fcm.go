package fcm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	firebase "firebase.google.com/go/v4"
	"firebase.google.com/go/v4/messaging"
	"google.golang.org/api/option"

	"countersign/push"
)

// The names of the channels: by registration token, and by Firebase installation id.
const (
	Name             = "fcm"
	NameInstallation = "fcm:fid"
)

// installationForm is a Firebase installation id: 17 bytes in base64url, of which the first four bits are 0111.
var installationForm = regexp.MustCompile(`^[cdef][A-Za-z0-9_-]{21}$`)

// DefaultBaseURL is Google's own service.
const DefaultBaseURL = "https://fcm.googleapis.com/v1"

// Config says which Firebase project sends, and where FCM is. One of the two credentials is needed.
type Config struct {
	// CredentialsFile and CredentialsJSON are the key of a service account in Google's JSON form, as a path or as the
	// text itself, which is a secret. Its token_uri is where access tokens come from.
	CredentialsFile string
	CredentialsJSON []byte

	Project string // the Firebase project id; default: that of the credentials
	BaseURL string // up to and with the version; default DefaultBaseURL

	Transport http.RoundTripper // for both URLs; default: one of its own, with the environment's proxy
	Now       func() time.Time  // default time.Now
}

// Channel sends through FCM.
type Channel struct {
	client *messaging.Client
	tokens *tokens
	now    func() time.Time

	installations bool // addresses are installation ids
}

var _ push.Channel = (*Channel)(nil)

// New makes the channel without calling anybody. It fails when the credentials cannot be read, are not those of a
// service account, or a URL is not absolute; the error shows nothing of the credentials. Check says whether they are
// any good.
func New(c Config) (*Channel, error) {
	key, err := c.key()
	if err != nil {
		return nil, fmt.Errorf("fcm credentials: %w", err)
	}
	if c.Project == "" {
		c.Project = key.project
	}
	if c.Project == "" || strings.ContainsAny(c.Project, "/?#% ") {
		return nil, errors.New("fcm: no usable project id, neither in the settings nor in the credentials")
	}
	if c.BaseURL == "" {
		c.BaseURL = DefaultBaseURL
	}
	if err := absolute(c.BaseURL); err != nil {
		return nil, fmt.Errorf("fcm base URL: %w", err)
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	t := newTokens(key.jwt, c.Transport, c.Now)
	ctx := context.Background() // for the SDK's looking up of credentials, which ours replace
	app, err := firebase.NewApp(ctx, &firebase.Config{ProjectID: c.Project},
		option.WithEndpoint(strings.TrimRight(c.BaseURL, "/")),
		option.WithHTTPClient(&http.Client{Transport: &wire{base: c.Transport, tokens: t}, CheckRedirect: noRedirect}),
	)
	if err != nil {
		return nil, fmt.Errorf("fcm: %w", err)
	}
	client, err := app.Messaging(ctx)
	if err != nil {
		return nil, fmt.Errorf("fcm: %w", err)
	}
	return &Channel{client: client, tokens: t, now: c.Now}, nil
}

func (c Config) key() (*key, error) {
	switch {
	case len(c.CredentialsJSON) > 0 && c.CredentialsFile != "":
		return nil, errors.New("both a file and the text are given")
	case len(c.CredentialsJSON) > 0:
		return parseKey(c.CredentialsJSON)
	case c.CredentialsFile != "":
		text, err := os.ReadFile(c.CredentialsFile)
		if err != nil {
			return nil, err
		}
		return parseKey(text)
	}
	return nil, errors.New("neither a file nor the text is given")
}

func absolute(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return errors.New("not an absolute http or https URL")
	}
	return nil
}

// Installations is the channel to the same project whose addresses are Firebase installation ids.
func (c *Channel) Installations() *Channel {
	other := *c
	other.installations = true
	return &other
}

// Name is "fcm", or "fcm:fid" with installation ids.
func (c *Channel) Name() string {
	if c.installations {
		return NameInstallation
	}
	return Name
}

// CheckAddress says what is wrong with an address; a registration token is Google's alone to judge.
func (c *Channel) CheckAddress(address string) error {
	if c.installations && !installationForm.MatchString(address) {
		return errors.New("a Firebase installation id is 22 characters of base64url that begin with c, d, e or f")
	}
	return nil
}

// Send makes one attempt, or two when the first found the access token refused. Its error is a *push.Error by the
// table in the package comment.
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
	return c.call(ctx, m, c.client.Send)
}

// Check asks FCM whether it would take a message from us, and is nil when it knows our key and project. It sends
// nothing: the request is marked validate_only, and its address is nobody's, about which FCM is expected to complain.
func (c *Channel) Check(ctx context.Context) error {
	if _, err := c.tokens.get(ctx, ""); err != nil {
		return c.failure(ctx, err)
	}
	err := c.call(ctx, push.Message{Address: "countersign-check", Title: "Check"}, c.client.SendDryRun)
	var e *push.Error
	if errors.As(err, &e) && (e.Reason.Dead() || e.Reason == push.SenderMismatch) {
		return nil
	}
	return err
}

// call makes one attempt with the SDK. See the package comment for the context.
func (c *Channel) call(
	ctx context.Context, m push.Message, send func(context.Context, *messaging.Message) (string, error),
) error {
	once, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	within := context.WithValue(once, stopKey{}, stop)
	if c.installations {
		within = context.WithValue(within, installationKey{}, true)
	}
	id, err := send(within, c.message(m))
	if once.Err() != nil && ctx.Err() == nil {
		err = context.Cause(once)
	}
	if err == nil && id == "" {
		err = errNoID
	}
	if err != nil {
		return c.failure(ctx, err, m.Address)
	}
	return nil
}
