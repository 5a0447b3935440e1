package duo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	duoapi "github.com/duosecurity/duo_api_golang"
	"github.com/duosecurity/duo_api_golang/admin"
	"github.com/duosecurity/duo_api_golang/authapi"
)

const (
	callTimeout  = 10 * time.Second // of one call to Duo that does not wait for a person
	maxReply     = 4 << 20          // bytes of Duo's answer that are read
	agent        = "countersign"
	maxIdle      = 16
	headerLimit  = 64 << 10
	tlsHandshake = 5 * time.Second
)

// errBusy is Duo's "too many requests". The library would sleep and try again, for a minute and deaf to everything.
var errBusy = errors.New("duo takes no more requests for now (429)")

// apiError is Duo's word for a request that failed.
type apiError struct {
	Code    int
	Message string
}

func (e *apiError) Error() string { return fmt.Sprintf("Duo answered %d: %s", e.Code, e.Message) }

// newTransport is the library's own, which trusts the certificates of Duo and no others, with limits.
func newTransport() http.RoundTripper {
	var out http.RoundTripper
	duoapi.NewDuoApi("", "", "", agent, duoapi.SetTransport(func(t *http.Transport) {
		t.TLSHandshakeTimeout, t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = tlsHandshake, maxIdle, maxIdle, time.Minute
		t.MaxResponseHeaderBytes, t.ForceAttemptHTTP2 = headerLimit, true
		out = t
	}))
	return out
}

// bound carries a context into requests, for the library knows none, and bounds what comes back.
type bound struct {
	ctx  context.Context //nolint:containedctx // it lives as long as one call
	next http.RoundTripper
}

// RoundTrip sends a request under the context.
func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r.WithContext(b.ctx))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		_ = resp.Body.Close()
		return nil, errBusy
	}
	resp.Body = limited{io.LimitReader(resp.Body, maxReply), resp.Body}
	return resp, nil
}

type limited struct {
	io.Reader
	io.Closer
}

// api makes the library's client for calls under ctx. A redirect is never followed: a signature is for one host.
func (s *Service) api(ctx context.Context, host, key, secret string) duoapi.DuoApi {
	a := duoapi.NewDuoApi(key, secret, host, agent, duoapi.SetTransport(func(t *http.Transport) { t.DisableKeepAlives = true }))
	a.SetCustomHTTPClient(&http.Client{
		Transport:     bound{ctx, s.Transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	return *a
}

// auth is the Auth API of a stage under ctx.
func (s *Service) auth(ctx context.Context, st *Stage) (*authapi.AuthApi, error) {
	o, err := open(s.Keeper, st.id, st.settings)
	if err != nil {
		return nil, err
	}
	return authapi.NewAuthApi(s.api(ctx, o.APIHostname, o.ClientID, o.ClientSecret)), nil
}

// admin is the Admin API of a stage under ctx; nil where none is configured.
func (s *Service) admin(ctx context.Context, st *Stage) (*admin.Client, error) {
	o, err := open(s.Keeper, st.id, st.settings)
	if err != nil || o.AdminIntegrationKey == "" || o.AdminSecretKey == "" {
		return nil, err
	}
	return admin.New(s.api(ctx, o.APIHostname, o.AdminIntegrationKey, o.AdminSecretKey)), nil
}

// outcome is the error of a call: what the library gives, or what Duo says of a request that failed.
func outcome(stat duoapi.StatResult, err error) error {
	var u *url.Error
	stat.SyncCode() // the Admin API's calls leave it out
	switch {
	case errors.As(err, &u):
		return fmt.Errorf("reach Duo: %w", u.Err)
	case err != nil:
		return fmt.Errorf("read Duo's answer: %w", err)
	case stat.Stat == "OK":
		return nil
	}
	e := &apiError{Message: "no reason given"}
	if stat.Code != nil {
		e.Code = int(*stat.Code)
	}
	if stat.Message != nil {
		e.Message = *stat.Message
		if stat.Message_Detail != nil && *stat.Message_Detail != "" {
			e.Message += ": " + *stat.Message_Detail
		}
	}
	e.Message = clip(e.Message, maxText)
	return e
}

// clip cuts a text to so many bytes.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
