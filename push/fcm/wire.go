package fcm

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// maxAnswer is the most that is read of an answer, in bytes. FCM's are a few hundred.
const maxAnswer = 64 << 10

// stopKey is the context key of the function that ends the SDK's loop of retries.
type stopKey struct{}

// wire is the transport below the SDK: it adds the access token and keeps the SDK from retrying.
type wire struct {
	base   http.RoundTripper
	tokens *tokens
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.authorized(r)
	if err != nil {
		if stop, ok := r.Context().Value(stopKey{}).(context.CancelCauseFunc); ok {
			stop(err)
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusServiceUnavailable {
		resp.StatusCode = http.StatusBadGateway // the one status that the SDK retries; see the package comment
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

// authorized sends the request with an access token, and once more with a new one when the first was refused.
func (w *wire) authorized(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	for refused := ""; ; {
		token, err := w.tokens.get(r.Context(), refused)
		if err != nil {
			return nil, err
		}
		req := r.Clone(r.Context())
		if req.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := w.base.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		// With a code of FCM's own it is not about our token, but about APNs' or Web Push's credentials.
		if refused != "" || parseAnswer(body).code != "" {
			return resp, nil
		}
		refused = token
	}
}

// newTransport is the usual transport with as many idle connections to one host as there may be workers: against
// HTTP/1.1 the default of two would open a new one for almost every message of a burst.
func newTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	t.TLSHandshakeTimeout = 5 * time.Second
	return t
}

// noRedirect keeps tokens where they belong: neither URL redirects when it is the right one.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
