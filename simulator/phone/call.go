package phone

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"countersign/mobile/wire"
)

const maxReply = 64 << 10

// StatusError is a reply other than success.
type StatusError struct {
	Status int    // HTTP
	Body   string // at most 200 bytes

	Refusal wire.Refusal // of a 400
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Body) }

func statusError(status int, body []byte) error {
	var refusal wire.Refusal
	if status == http.StatusBadRequest {
		refusal = wire.ParseRefusal(body)
	}
	if len(body) > 200 {
		body = body[:200]
	}
	return &StatusError{Status: status, Body: string(bytes.TrimSpace(body)), Refusal: refusal}
}

// Call makes one device operation with the account's token and returns what came back, of whatever
// status: for tests of replies that a well-behaved phone does not provoke. body is marshalled
// unless it is a []byte, which goes out as it is; nil sends none.
func (p *Phone) Call(ctx context.Context, a Account, method, action string, body any) (int, []byte, error) {
	return p.callHeld(ctx, a, method, action, nil, body)
}

// callHeld is Call with a query, with which the server holds the reply; nil for none.
func (p *Phone) callHeld(ctx context.Context, a Account, method, action string, query url.Values, body any) (int, []byte, error) {
	var text []byte
	if body != nil {
		var raw bool
		if text, raw = body.([]byte); !raw {
			var err error
			if text, err = json.Marshal(body); err != nil {
				return 0, nil, err
			}
		}
	}
	status, reply, stale, err := p.send(ctx, a, method, action, query, text)
	if stale && err == nil { // the server's nonce was not known, or is over: now it is known
		status, reply, _, err = p.send(ctx, a, method, action, query, text)
	}
	return status, reply, err
}

// request is one with the account's credentials.
func (p *Phone) request(ctx context.Context, a Account, method, action string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.Server+wire.Path(a.Device, action), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.keys == nil {
		return req, nil
	}
	return req, a.keys.prove(req, action, body, a.token, p.o.Clock.Now())
}

// send is one try. stale says that the proof needs the nonce that came with the reply. A request with a query is held by the server.
func (p *Phone) send(ctx context.Context, a Account, method, action string, query url.Values, body []byte) (status int, reply []byte, stale bool, err error) {
	ctx, done, err := p.online(ctx)
	if err != nil {
		return 0, nil, false, err
	}
	defer done()
	if query == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callLimit)
		defer cancel()
	}
	req, err := p.request(ctx, a, method, action, body)
	if err != nil {
		return 0, nil, false, err
	}
	client := *p.o.HTTP
	if query != nil {
		req.URL.RawQuery, client.Timeout = query.Encode(), 0
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, false, err
	}
	defer res.Body.Close()
	if a.keys != nil {
		stale = a.keys.remember(res)
	}
	reply, err = io.ReadAll(io.LimitReader(res.Body, maxReply))
	return res.StatusCode, reply, stale, err
}

// call is Call for an operation that must succeed.
func (p *Phone) call(ctx context.Context, a Account, action string, body, into any) error {
	status, reply, err := p.Call(ctx, a, http.MethodPost, action, body)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return statusError(status, reply)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(reply, into)
}

// redeem exchanges a code for the text of a QR code.
func (p *Phone) redeem(ctx context.Context, server, code string) ([]byte, error) {
	text, err := json.Marshal(wire.Redeem{Code: code})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	ctx, done, err := p.online(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+wire.RedeemPath, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.o.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, statusError(res.StatusCode, reply)
	}
	return reply, nil
}
