package fcm

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// maxAnswer is the most that is read of an answer, in bytes. FCM's are a few hundred.
const maxAnswer = 64 << 10

// stopKey is the context key of the function that ends the SDK's loop of retries.
type stopKey struct{}

// installationKey is the context key of a send whose target is an installation id.
type installationKey struct{}

// wire is the transport below the SDK: it adds the access token and keeps the SDK from retrying.
type wire struct {
	base   http.RoundTripper
	tokens *tokens
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Context().Value(installationKey{}) != nil {
		var err error
		if r, err = toInstallation(r); err != nil {
			return nil, err
		}
	}
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

// toInstallation is the request with its target as "fid" in place of "token", which is all that this version of the SDK has.
func toInstallation(r *http.Request) (*http.Request, error) {
	text, err := io.ReadAll(r.Body)
	_ = r.Body.Close() // read to its end
	if err != nil {
		return nil, err
	}
	var doc, message map[string]json.RawMessage
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(doc["message"], &message); err != nil {
		return nil, err
	}
	message["fid"] = message["token"]
	delete(message, "token")
	if doc["message"], err = json.Marshal(message); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(doc); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	r.Body, err = r.GetBody()
	r.ContentLength = int64(len(text))
	return r, err
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
