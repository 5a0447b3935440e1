package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"countersign/simulator/clock"
)

const (
	maxReply     = 1 << 20
	maxRedirects = 10
	csrfCookie   = "authentik_csrf"
	session      = "authentik_session"
	csrfHeader   = "X-authentik-CSRF"
)

// Options of a Browser. Base is required.
type Options struct {
	Base      string            // the server's URL, "http://127.0.0.1:9000"
	Transport http.RoundTripper // default http.DefaultTransport
	Clock     clock.Clock       // default the wall clock
	UserAgent string            // default names itself
	LoginFlow string            // slug; default "default-authentication-flow"
	SetupFlow string            // slug; default "default-authenticator-mobile-setup"
	Next      string            // where to go after the login; default nowhere in particular
	NoPage    bool              // do not load the flow's page before the executor
	// Reconnect asks again for what to do next when a connection broke, as a person does who loads the page again, and goes on.
	Reconnect bool

	// OnItem is told what the page shows for a device: the number to tap, before the push goes out
	// and again when it changes; "" when the page no longer shows it. [phone.Screen.Show] fits.
	OnItem func(device, item string)
	// OnAsked is told which phone the server has asked, as the page shows it when it begins to wait for the answer.
	OnAsked func(Device)
	// OnPushFailed is told the server's words when it says that the push did not go out: a person
	// then opens the app, which [phone.Phone.Refresh] does.
	OnPushFailed func(text string)
	// Code gives the code that the phone of a device shows, where the page asks for one: each time that it does. It may wait;
	// ctx ends with the login. [phone.Screen.Code] fits. Without it such a login fails.
	Code func(ctx context.Context, device string) (string, error)
	// Pick chooses among several phones by index; default the first.
	Pick func([]Device) int
	// OnStep is called after each step.
	OnStep func(Step)
}

// Browser is one browser with its cookies. It is for one goroutine at a time.
type Browser struct {
	o    Options
	base *url.URL
	jar  *cookiejar.Jar
}

// New makes a browser without cookies.
func New(o Options) (*Browser, error) {
	base, err := url.Parse(strings.TrimSuffix(o.Base, "/") + "/")
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("browser: %q is not the URL of a server", o.Base)
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Clock == nil {
		o.Clock = clock.Wall{}
	}
	if o.UserAgent == "" {
		o.UserAgent = "Mozilla/5.0 (X11; Linux x86_64) Countersign-Simulator/1.0"
	}
	if o.LoginFlow == "" {
		o.LoginFlow = "default-authentication-flow"
	}
	if o.SetupFlow == "" {
		o.SetupFlow = "default-authenticator-mobile-setup"
	}
	if o.OnItem == nil {
		o.OnItem = func(string, string) {}
	}
	if o.OnAsked == nil {
		o.OnAsked = func(Device) {}
	}
	if o.OnPushFailed == nil {
		o.OnPushFailed = func(string) {}
	}
	if o.Pick == nil {
		o.Pick = func([]Device) int { return 0 }
	}
	if o.OnStep == nil {
		o.OnStep = func(Step) {}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &Browser{o: o, base: base, jar: jar}, nil
}

// Reply is what came back from one request.
type Reply struct {
	Status   int
	Location string // of a redirect
	Body     []byte
}

// Do makes one request with the browser's cookies and, for one that writes, the CSRF header. A
// path is taken below the server's URL; body is marshalled as JSON unless nil. Redirects are not
// followed.
func (b *Browser) Do(ctx context.Context, method, path string, body any) (Reply, error) {
	target, err := b.base.Parse(strings.TrimPrefix(path, "/"))
	if err != nil {
		return Reply{}, err
	}
	if target.Host != b.base.Host || target.Scheme != b.base.Scheme {
		return Reply{}, fmt.Errorf("browser: %s leads away from the server", path)
	}
	req, err := b.request(ctx, method, target, body)
	if err != nil {
		return Reply{}, err
	}
	res, err := b.o.Transport.RoundTrip(req)
	if err != nil {
		return Reply{}, &url.Error{Op: method, URL: target.String(), Err: err}
	}
	defer res.Body.Close()
	if set := res.Cookies(); len(set) > 0 {
		b.jar.SetCookies(target, set)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	return Reply{res.StatusCode, res.Header.Get("Location"), text}, err
}

func (b *Browser) request(ctx context.Context, method string, target *url.URL, body any) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "", reader)
	if err != nil {
		return nil, err
	}
	req.URL, req.Host = target, target.Host
	req.Header.Set("User-Agent", b.o.UserAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	writes := method != http.MethodGet && method != http.MethodHead
	if writes {
		req.Header.Set("Origin", b.base.Scheme+"://"+b.base.Host)
		req.Header.Set("Referer", b.base.String())
	}
	for _, c := range b.jar.Cookies(target) {
		req.AddCookie(c)
		if writes && c.Name == csrfCookie {
			req.Header.Set(csrfHeader, c.Value)
		}
	}
	return req, nil
}

// Cookie is the value of the server's cookie of that name, "" if there is none.
func (b *Browser) Cookie(name string) string {
	for _, c := range b.jar.Cookies(b.base) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// Restart closes the browser and opens it again: the session is gone, and what the server wanted to be remembered longer is not.
func (b *Browser) Restart() {
	b.jar.SetCookies(b.base, []*http.Cookie{{Name: session, Path: "/", MaxAge: -1}})
}

// page loads a flow's page, for the cookies that it sets.
func (b *Browser) page(ctx context.Context, slug string) error {
	path := "/if/flow/" + slug + "/"
	if b.o.Next != "" {
		path += "?" + b.query()
	}
	reply, err := b.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if reply.Status != http.StatusOK {
		return fmt.Errorf("%s answered %d", path, reply.Status)
	}
	return nil
}

// query is the query string of the page.
func (b *Browser) query() string {
	if b.o.Next == "" {
		return ""
	}
	return url.Values{"next": {b.o.Next}}.Encode()
}

func (b *Browser) executor(slug string) string {
	return "/api/v3/flows/executor/" + slug + "/?query=" + url.QueryEscape(b.query())
}

// ask sends one executor request and follows its redirects to the next challenge. moved says
// whether there was one, which is how the executor says that the stage accepted the answer.
func (b *Browser) ask(ctx context.Context, method, path string, body any) (c challenge, moved bool, err error) {
	for range maxRedirects {
		reply, err := b.Do(ctx, method, path, body)
		if err != nil {
			return challenge{}, moved, err
		}
		switch reply.Status {
		case http.StatusOK:
			err := json.Unmarshal(reply.Body, &c)
			if err == nil && c.Component == "" {
				err = errors.New("no component")
			}
			if err != nil {
				return challenge{}, moved, fmt.Errorf("read challenge: %w", err)
			}
			return c, moved, nil
		case http.StatusFound, http.StatusSeeOther:
			moved = true
			method, path, body = http.MethodGet, reply.Location, nil
		default:
			return challenge{}, moved, &StatusError{Status: reply.Status, Body: excerpt(reply.Body)}
		}
	}
	return challenge{}, moved, fmt.Errorf("more than %d redirects", maxRedirects)
}

// StatusError is a reply of the executor that is no challenge.
type StatusError struct {
	Status int
	Body   string // at most 200 bytes
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Body) }

func excerpt(body []byte) string {
	if len(body) > 200 {
		body = body[:200]
	}
	return string(bytes.TrimSpace(body))
}

// pause waits on the browser's clock.
func (b *Browser) pause(ctx context.Context, d time.Duration) error {
	c, stop := b.o.Clock.After(d)
	defer stop()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
