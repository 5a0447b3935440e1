package sms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// SendTimeout is the longest that a person waits for a provider.
	SendTimeout   = 8 * time.Second
	twilioURL     = "https://api.twilio.com"
	maxReply      = 64 << 10 // bytes of a provider's answer that are read
	maxReported   = 1 << 10  // bytes of it that an event shows
	maxRedirects  = 3
	maxSends      = 64 // messages on their way at once, on one node
	maxIdle       = 8
	agent         = "countersign"
	brandInText   = 40 // characters of the brand's title in a message: all of it is to fit into 160
	domainInText  = 60
	handshakeTime = 5 * time.Second
)

// message is one text message.
type message struct {
	To   Number
	Code string
	Text string
}

// refusal is a provider's answer other than a success.
type refusal struct {
	Status int    // HTTP
	Detail string // as much as may be shown to an administrator
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the provider answered %d: %s", r.Status, r.Detail)
}

// errBusy says that too many messages wait for their provider on this node.
var errBusy = errors.New("too many messages are on their way")

// newClient makes a client that follows redirects within the host that the settings name, and to no other: a message
// holds a code, and its request a password.
func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: handshakeTime, MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle,
			IdleConnTimeout: time.Minute, ResponseHeaderTimeout: SendTimeout, MaxResponseHeaderBytes: maxReply, ForceAttemptHTTP2: true,
		}
	}
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			first := via[0].URL
			if len(via) > maxRedirects || next.URL.Host != first.Host || next.URL.Scheme != first.Scheme {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// send hands a message to the provider and waits for its word, SendTimeout at most.
func (s *Service) send(ctx context.Context, a account, m message) error {
	select {
	case s.sending <- struct{}{}:
		defer func() { <-s.sending }()
	default:
		return errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, s.SendTimeout)
	defer cancel()
	req, err := s.request(ctx, a, m)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("User-Agent", agent)
	resp, err := s.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL may hold a secret
		}
		return fmt.Errorf("reach the provider: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if resp.StatusCode/100 == 2 {
		return nil // taken, whatever became of the rest of the answer
	}
	if err != nil {
		return fmt.Errorf("read the provider's answer: %w", err)
	}
	return &refusal{Status: resp.StatusCode, Detail: reported(body, a, m)}
}

func (s *Service) request(ctx context.Context, a account, m message) (*http.Request, error) {
	if a.Provider == Twilio {
		to := strings.TrimSuffix(s.TwilioURL, "/") + "/2010-04-01/Accounts/" + url.PathEscape(a.AccountSID) + "/Messages.json"
		form := url.Values{"To": {string(m.To)}, "From": {a.FromNumber}, "Body": {m.Text}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(a.AccountSID, a.auth)
		return req, nil
	}
	payload, err := json.Marshal(struct{ From, To, Body, Message string }{a.FromNumber, string(m.To), m.Code, m.Text})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.AccountSID, bytes.NewReader(payload))
	if err != nil {
		return nil, errors.New("the URL of the provider is not valid") // the error would show it
	}
	req.Header.Set("Content-Type", "application/json")
	if a.AuthType == Bearer {
		req.Header.Set("Authorization", "Bearer "+a.auth)
	} else {
		req.SetBasicAuth(a.auth, a.password)
	}
	return req, nil
}

// reported is what an administrator may see of an answer, in which a provider may repeat what it was sent.
func reported(body []byte, a account, m message) string {
	text := string(body)
	var twilio struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if a.Provider == Twilio && json.Unmarshal(body, &twilio) == nil && twilio.Message != "" {
		text = fmt.Sprintf("%s (Twilio error %d)", twilio.Message, twilio.Code)
	}
	// The longer ones first: a short secret may be a part of a longer one.
	for _, private := range []string{m.Text, a.auth, a.password, string(m.To), strings.TrimPrefix(string(m.To), "+"), m.Code} {
		if private != "" {
			text = strings.ReplaceAll(text, private, Mask)
		}
	}
	return clip(strings.ToValidUTF8(text, "�"), maxReported)
}

// text is the message: short, and with the last line by which phones fill the code in on our page and on no other
// (WICG, origin-bound one-time codes).
func text(brand, host, code string) string {
	brand = clip(strings.Join(strings.Fields(brand), " "), brandInText)
	out := "Use this code to sign in: " + code
	if brand != "" {
		out = "Use this code to sign in to " + brand + ": " + code
	}
	name, _, _ := strings.Cut(host, ":")
	if strings.Contains(name, ".") && len(name) <= domainInText && strings.Trim(name, "0123456789.") != "" {
		out += "\n\n@" + name + " #" + code
	}
	return out
}

// clip cuts a text to so many bytes, at a character's border.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}
