package fault

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"countersign/simulator/clock"
	"countersign/simulator/scenario"
)

const maxBody = 1 << 20

// Transport is an http.RoundTripper that makes its requests meet the faults of a hop.
type Transport struct {
	board *Board
	hop   string
	inner http.RoundTripper
	clock clock.Clock
	dice  *dice

	mu       sync.Mutex
	overtake chan struct{} // closed by the next request, for one that lets itself be overtaken
}

// NewTransport makes the transport of one phone or browser; rng is its own.
func NewTransport(b *Board, hop string, inner http.RoundTripper, c clock.Clock, rng *rand.Rand) *Transport {
	return &Transport{board: b, hop: hop, inner: inner, clock: c, dice: newDice(rng)}
}

// RoundTrip makes the request, or what the faults leave of it.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	met := make([]scenario.Fault, 0, 2)
	for _, f := range t.board.On(t.hop) {
		if f.Toxicity >= 1 || t.dice.luck(f.Toxicity) {
			met = append(met, f)
		}
	}
	t.pass()
	if len(met) == 0 {
		return t.inner.RoundTrip(req)
	}
	body, err := read(req)
	if err != nil {
		return nil, err
	}
	twice := false
	for _, f := range met {
		if err := pause(req.Context(), t.clock, t.dice.latency(f)+throttle(len(body), f)); err != nil {
			return nil, err
		}
		if f.Reorder > 0 && t.dice.luck(f.Reorder) {
			t.letPass(req.Context())
		}
		res, err := t.cut(req, f)
		if res != nil || err != nil {
			return res, err
		}
		twice = twice || t.dice.luck(f.Duplicate)
	}
	if twice {
		if res, err := t.send(req, body); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxBody))
			_ = res.Body.Close()
		}
	}
	res, err := t.send(req, body)
	if err != nil {
		return nil, err
	}
	return t.slow(req.Context(), res, met)
}

// cut is the end of a request that does not reach the server; nil, nil for one that does.
func (t *Transport) cut(req *http.Request, f scenario.Fault) (*http.Response, error) {
	switch {
	case f.ResetPeer:
		return nil, fmt.Errorf("%s: fault %s: %w", req.URL.Path, f.Name, syscall.ECONNRESET)
	case f.Timeout > 0:
		if err := pause(req.Context(), t.clock, f.Timeout); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: fault %s: %w", req.URL.Path, f.Name, syscall.ETIMEDOUT)
	case t.dice.luck(f.Lose):
		return nil, fmt.Errorf("%s: fault %s: %w", req.URL.Path, f.Name, io.ErrUnexpectedEOF)
	case f.Status > 0:
		header := http.Header{"Content-Type": {"text/plain"}}
		if f.RetryAfter > 0 {
			header.Set("Retry-After", strconv.FormatInt(int64((f.RetryAfter+time.Second-1)/time.Second), 10))
		}
		return &http.Response{
			StatusCode: f.Status, Status: strconv.Itoa(f.Status) + " " + http.StatusText(f.Status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: header, Body: io.NopCloser(bytes.NewReader([]byte("fault " + f.Name))), Request: req,
		}, nil
	}
	return nil, nil //nolint:nilnil // the request goes on
}

func (t *Transport) send(req *http.Request, body []byte) (*http.Response, error) {
	again := req.Clone(req.Context())
	if body != nil {
		again.Body = io.NopCloser(bytes.NewReader(body))
	}
	return t.inner.RoundTrip(again)
}

// slow reads the reply's body and gives it back at the pace of the faults.
func (t *Transport) slow(ctx context.Context, res *http.Response, met []scenario.Fault) (*http.Response, error) {
	var wait time.Duration
	for _, f := range met {
		wait += f.SlowClose
		if f.Bandwidth > 0 && res.ContentLength > 0 {
			wait += throttle(int(min(res.ContentLength, maxBody)), f)
		}
	}
	if err := pause(ctx, t.clock, wait); err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	return res, nil
}

// throttle is how long so many bytes take.
func throttle(bytes int, f scenario.Fault) time.Duration {
	if f.Bandwidth == 0 {
		return 0
	}
	return time.Duration(float64(bytes) / float64(f.Bandwidth) / 1000 * float64(time.Second))
}

// letPass waits until another request has gone by, not for ever.
func (t *Transport) letPass(ctx context.Context) {
	t.mu.Lock()
	if t.overtake == nil {
		t.overtake = make(chan struct{})
	}
	passed := t.overtake
	t.mu.Unlock()
	over, stop := t.clock.After(overtakeLimit)
	defer stop()
	select {
	case <-passed:
	case <-over:
	case <-ctx.Done():
	}
}

// pass lets those go on that waited to be overtaken.
func (t *Transport) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.overtake != nil {
		close(t.overtake)
		t.overtake = nil
	}
}

// read takes the request's body, for it may be sent twice or not at all.
func read(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer req.Body.Close()
	return io.ReadAll(io.LimitReader(req.Body, maxBody))
}
