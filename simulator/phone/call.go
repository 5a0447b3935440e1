package phone

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"countersign/mobile/wire"
)

const maxReply = 64 << 10

// StatusError is a reply other than success.
type StatusError struct {
	Status int    // HTTP
	Body   string // at most 200 bytes
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Body) }

func statusError(status int, body []byte) error {
	if len(body) > 200 {
		body = body[:200]
	}
	return &StatusError{Status: status, Body: string(bytes.TrimSpace(body))}
}

// Call makes one device operation with the account's token and returns what came back, of whatever
// status: for tests of replies that a well-behaved phone does not provoke. body is marshalled
// unless it is a []byte, which goes out as it is; nil sends none.
func (p *Phone) Call(ctx context.Context, a Account, method, action string, body any) (int, []byte, error) {
	var reader io.Reader
	if body != nil {
		text, raw := body.([]byte)
		if !raw {
			var err error
			if text, err = json.Marshal(body); err != nil {
				return 0, nil, err
			}
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.Server+wire.Path(a.Device, action), reader)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := p.o.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	return res.StatusCode, reply, err
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
