package fault_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/simulator/clock"
	"countersign/simulator/fault"
	"countersign/simulator/fcm"
	"countersign/simulator/scenario"
)

func draws() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// inner counts requests and answers what they brought.
type inner struct{ calls atomic.Int64 }

func (i *inner) RoundTrip(req *http.Request) (*http.Response, error) {
	i.calls.Add(1)
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	_, _ = w.Write(text)
	res := w.Result()
	res.ContentLength = int64(len(text))
	return res, nil
}

func post(t *testing.T, rt http.RoundTripper, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://server.test/x", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return rt.RoundTrip(req)
}

func TestTransport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  scenario.Fault
		err    error
		status int
		calls  int64
		took   time.Duration
	}{
		"none on this hop": {scenario.Fault{On: "phone", ResetPeer: true}, nil, 200, 1, 0},
		"latency":          {scenario.Fault{On: "browser", Latency: 300 * time.Millisecond}, nil, 200, 1, 300 * time.Millisecond},
		"reset":            {scenario.Fault{On: "browser", ResetPeer: true}, syscall.ECONNRESET, 0, 0, 0},
		"timeout":          {scenario.Fault{On: "browser", Timeout: 2 * time.Second}, syscall.ETIMEDOUT, 0, 0, 2 * time.Second},
		"lost":             {scenario.Fault{On: "browser", Lose: 1}, io.ErrUnexpectedEOF, 0, 0, 0},
		"status":           {scenario.Fault{On: "browser", Status: 503, RetryAfter: 1500 * time.Millisecond}, nil, 503, 0, 0},
		"twice":            {scenario.Fault{On: "browser", Duplicate: 1}, nil, 200, 2, 0},
		"throttled":        {scenario.Fault{On: "browser", Bandwidth: 1}, nil, 200, 1, 20 * time.Millisecond}, // 10 bytes each way at 1 kB/s
		"slow close":       {scenario.Fault{On: "browser", SlowClose: time.Second}, nil, 200, 1, time.Second},
		"never toxic":      {scenario.Fault{On: "browser", ResetPeer: true, Toxicity: 1e-12}, nil, 200, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := clock.NewVirtual(time.Unix(0, 0))
			var board fault.Board
			if c.fault.Toxicity == 0 {
				c.fault.Toxicity = 1
			}
			board.Begin(c.fault)
			in := &inner{}
			began := v.Now()
			err := v.Drive(t.Context(), func(context.Context) {
				res, err := post(t, fault.NewTransport(&board, "browser", in, v, draws()), "0123456789")
				if !errors.Is(err, c.err) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if err == nil && (res.StatusCode != c.status || c.status == 503 && res.Header.Get("Retry-After") != "2") {
					t.Errorf("%s %v", res.Status, res.Header)
				}
			})
			if took := v.Now().Sub(began); err != nil || in.calls.Load() != c.calls || took != c.took {
				t.Errorf("%d calls in %s, want %d in %s (%v)", in.calls.Load(), took, c.calls, c.took, err)
			}
		})
	}
}

func TestAFaultEnds(t *testing.T) {
	t.Parallel()
	var board fault.Board
	board.Begin(scenario.Fault{Name: "a", On: "browser", ResetPeer: true, Toxicity: 1})
	rt := fault.NewTransport(&board, "browser", &inner{}, clock.Wall{}, draws())
	if _, err := post(t, rt, "x"); err == nil {
		t.Error("the fault does nothing")
	}
	board.End("a")
	if _, err := post(t, rt, "x"); err != nil {
		t.Error(err)
	}
}

// source hands out what is put into its channel.
type source chan fcm.Message

func (source) Register(context.Context, string) (string, error) { return "address", nil }

func (s source) Subscribe(context.Context, string) (<-chan fcm.Message, error) { return s, nil }

func TestSource(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault scenario.Fault
		want  string // messages with the seconds at which they came
	}{
		"nothing":    {scenario.Fault{On: "phone", Lose: 1, Toxicity: 1}, "a0 b0"},
		"late":       {scenario.Fault{On: "delivery", Latency: 2 * time.Second, Toxicity: 1}, "a2 b2"},
		"lost":       {scenario.Fault{On: "delivery", Lose: 1, Toxicity: 1}, ""},
		"twice":      {scenario.Fault{On: "delivery", Duplicate: 1, Toxicity: 1}, "a0 a0 b0 b0"},
		"overtaking": {scenario.Fault{On: "delivery", Reorder: 1, Toxicity: 1}, "a0 b1"}, // nobody overtakes the last, which waits in vain
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := clock.NewVirtual(time.Unix(0, 0))
			var board fault.Board
			board.Begin(c.fault)
			in := make(source, 2)
			in <- fcm.Message{ID: "a"}
			in <- fcm.Message{ID: "b"}
			close(in)
			var got []string
			err := v.Drive(t.Context(), func(ctx context.Context) {
				out, err := fault.NewSource(&board, in, v, draws()).Subscribe(ctx, "address")
				if err != nil {
					t.Error(err)
					return
				}
				for m := range out {
					got = append(got, m.ID+v.Now().Sub(time.Unix(0, 0)).Truncate(time.Second).String()[:1])
				}
			})
			if text := strings.Join(got, " "); err != nil || text != c.want {
				t.Errorf("%s, want %s (%v)", text, c.want, err)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	c := fault.Conditions([]scenario.Fault{
		{On: "push", Error: "HANG", Toxicity: 1}, {On: "push", Error: "INTERNAL", Toxicity: 0.3}, {On: "push", Latency: time.Second, Quota: 5, Per: time.Minute},
	})
	if len(c.Outages) != 1 || c.Outages[0].Error != fcm.Hang || c.ErrorRate != 0.3 || c.Errors[0] != fcm.Internal || c.Latency != fcm.Duration(time.Second) || c.Quota.Messages != 5 {
		t.Errorf("%+v", c)
	}
}
