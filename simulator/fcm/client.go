package fcm

import (
	"bufio"
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

	"countersign/simulator/clock"
)

const (
	reconnectAfter = time.Second
	maxEvent       = 1 << 20
)

// Client reaches a double in another process: it registers addresses and receives messages as
// [Double.Register] and [Double.Subscribe] do.
type Client struct {
	Base  string       // "http://127.0.0.1:9099"
	HTTP  *http.Client // must not limit the time of a whole request
	Clock clock.Clock  // default the wall clock
}

// Register makes an address known; empty asks for a fresh one.
func (c *Client) Register(ctx context.Context, address string) (string, error) {
	body, err := json.Marshal(map[string]string{"address": address})
	if err != nil {
		return "", err
	}
	var out struct{ Address string }
	if err := c.call(ctx, http.MethodPost, "/-/addresses", body, &out); err != nil {
		return "", fmt.Errorf("register push address: %w", err)
	}
	return out.Address, nil
}

// SetScript is [Double.SetScript] at a distance.
func (c *Client) SetScript(ctx context.Context, address string, s Script) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPut, "/-/addresses/"+url.PathEscape(address)+"/script", body, nil)
}

// SetDevice is [Double.SetDevice] at a distance.
func (c *Client) SetDevice(ctx context.Context, address string, v Device) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPut, "/-/addresses/"+url.PathEscape(address)+"/device", body, nil)
}

// SetConditions is [Double.SetConditions] at a distance.
func (c *Client) SetConditions(ctx context.Context, conditions Conditions) error {
	body, err := json.Marshal(conditions)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPut, "/-/conditions", body, nil)
}

// History is [Double.History] at a distance.
func (c *Client) History(ctx context.Context, f Filter) ([]Record, error) {
	query := url.Values{"address": {f.Address}, "after": {fmt.Sprint(f.After)}, "limit": {fmt.Sprint(f.Limit)}}
	var out struct{ Records []Record }
	err := c.call(ctx, http.MethodGet, "/-/history?"+query.Encode(), nil, &out)
	return out.Records, err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, bytes.TrimSpace(text))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// Subscribe connects a phone to its address. The first connection must succeed; later ones are
// tried again every second until ctx ends, which closes the channel.
func (c *Client) Subscribe(ctx context.Context, address string) (<-chan Message, error) {
	stream, err := c.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	timing := c.Clock
	if timing == nil {
		timing = clock.Wall{}
	}
	out := make(chan Message)
	go func() {
		defer close(out)
		for {
			c.receive(ctx, stream, out)
			stream.Close()
			for {
				again, stop := timing.After(reconnectAfter)
				select {
				case <-again:
				case <-ctx.Done():
					stop()
					return
				}
				if stream, err = c.connect(ctx, address); err == nil {
					break
				}
			}
		}
	}()
	return out, nil
}

func (c *Client) connect(ctx context.Context, address string) (io.ReadCloser, error) {
	target := strings.TrimSuffix(c.Base, "/") + "/-/addresses/" + url.PathEscape(address) + "/messages"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("connect to push service: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, errors.New("connect to push service: " + res.Status)
	}
	return res.Body, nil
}

// receive passes on messages until the stream breaks.
func (c *Client) receive(ctx context.Context, stream io.Reader, out chan<- Message) {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		data, found := strings.CutPrefix(lines.Text(), "data: ")
		if !found {
			continue
		}
		var m Message
		if json.Unmarshal([]byte(data), &m) != nil {
			continue
		}
		select {
		case out <- m:
		case <-ctx.Done():
			return
		}
	}
}
