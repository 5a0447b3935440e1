package transport_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/simulator/transport"
)

// bench is a server that counts its connections, and a client of it.
type bench struct {
	*httptest.Server
	made   atomic.Int32
	client *http.Client
	pool   *transport.Transport
}

func serve(t testing.TB, h http.HandlerFunc) *bench {
	t.Helper()
	b := &bench{Server: httptest.NewUnstartedServer(h), pool: &transport.Transport{}}
	b.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			b.made.Add(1)
		}
	}
	b.Start()
	b.client = &http.Client{Transport: b.pool}
	t.Cleanup(b.Close)
	t.Cleanup(b.pool.CloseIdleConnections)
	return b
}

func (b *bench) call(t testing.TB, method, path, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		req.Body = nil
	}
	res, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// Replies of all shapes come whole, and all but those that close share one connection.
func TestReplies(t *testing.T) {
	t.Parallel()
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/echo":
			_, _ = w.Write(body)
		case "/nothing":
			w.WriteHeader(http.StatusNoContent)
		case "/chunks":
			for range 3 {
				_, _ = io.WriteString(w, "chunk ")
				_ = http.NewResponseController(w).Flush()
			}
		case "/hints":
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "after")
		case "/away":
			http.Redirect(w, r, "/echo", http.StatusFound)
		case "/close":
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "bye")
		}
	})
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/echo", "hello", 200, "hello"},
		{"POST", "/echo", strings.Repeat("x", 100_000), 200, strings.Repeat("x", 100_000)},
		{"GET", "/nothing", "", 204, ""},
		{"GET", "/chunks", "", 200, "chunk chunk chunk "},
		{"GET", "/hints", "", 200, "after"},
		{"HEAD", "/echo", "", 200, ""},
		{"GET", "/away", "", 200, ""},
		{"GET", "/close", "", 200, "bye"},
		{"GET", "/close", "", 200, "bye"},
	} {
		if res, text := b.call(t, c.method, c.path, c.body); res.StatusCode != c.status || text != c.want {
			t.Errorf("%s %s: %d %.50q", c.method, c.path, res.StatusCode, text)
		}
	}
	if n := b.made.Load(); n != 2 {
		t.Errorf("%d connections, want one until the first that closes, and one for the second", n)
	}
}

// A connection that the server closed while nobody used it is not used again, not even for a request that must not be made twice.
func TestClosedWhileIdle(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	b := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	for range 3 {
		b.call(t, "POST", "/", "x")
		b.CloseClientConnections()
	}
	if calls.Load() != 3 || b.made.Load() != 3 {
		t.Errorf("%d calls on %d connections", calls.Load(), b.made.Load())
	}
}

// A kept connection that breaks under a request costs a GET nothing, and a POST an error: who knows what it did.
func TestBrokenUnderTheRequest(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]int{"GET": 3, "POST": 2} {
		var calls atomic.Int32
		b := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == 2 {
				panic(http.ErrAbortHandler)
			}
		})
		b.call(t, method, "/", "")
		req, _ := http.NewRequestWithContext(t.Context(), method, b.URL, nil)
		res, err := b.client.Do(req)
		if (err == nil) != (method == "GET") || int(calls.Load()) != want {
			t.Errorf("%s: %v after %d calls", method, err, calls.Load())
		}
		if err == nil {
			_ = res.Body.Close()
		}
	}
}

// A fresh connection that breaks is an error, and no reason to try for ever.
func TestServerThatOnlyHangsUp(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	b := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1); panic(http.ErrAbortHandler) })
	req, _ := http.NewRequestWithContext(t.Context(), "GET", b.URL, nil)
	if res, err := b.client.Do(req); err == nil || calls.Load() != 1 {
		t.Errorf("%v %v after %d calls", res, err, calls.Load())
		_ = res.Body.Close()
	}
}

// Who waits is let go when its context ends, with the context's error, and the connection is not used again.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(context.Context, <-chan struct{}) context.Context
		want error
	}{
		"cancelled": {func(ctx context.Context, began <-chan struct{}) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			go func() { <-began; cancel() }()
			return ctx
		}, context.Canceled},
		"deadline": {func(ctx context.Context, _ <-chan struct{}) context.Context {
			ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			context.AfterFunc(ctx, cancel)
			return ctx
		}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := make(chan struct{}, 10)
			b := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/held" {
					began <- struct{}{}
					<-r.Context().Done()
				}
			})
			b.call(t, "GET", "/", "")
			req, _ := http.NewRequestWithContext(c.end(t.Context(), began), "GET", b.URL+"/held", nil)
			res, err := b.client.Do(req)
			if !errors.Is(err, c.want) {
				t.Errorf("%v %v", res, err)
			}
			b.call(t, "GET", "/", "")
			if b.made.Load() != 2 {
				t.Errorf("%d connections, want a new one after the one that was cut off", b.made.Load())
			}
		})
	}
}

// The deadline of one request is not that of the next on the same connection.
func TestDeadlineEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	b := serve(t, func(http.ResponseWriter, *http.Request) {})
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		req, _ := http.NewRequestWithContext(ctx, "GET", b.URL, nil)
		res, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		<-ctx.Done()
		cancel()
	}
	if b.made.Load() != 1 {
		t.Errorf("%d connections", b.made.Load())
	}
}

// No more connections idle than may.
func TestIdleLimit(t *testing.T) {
	t.Parallel()
	var held sync.WaitGroup
	held.Add(5)
	b := serve(t, func(http.ResponseWriter, *http.Request) { held.Done(); held.Wait() })
	b.pool.Idle = 2
	var callers sync.WaitGroup
	for range 5 {
		callers.Go(func() { b.call(t, "GET", "/", "") })
	}
	callers.Wait()
	held.Add(5)
	for range 5 {
		callers.Go(func() { b.call(t, "GET", "/", "") })
	}
	callers.Wait()
	if n := b.made.Load(); n != 8 {
		t.Errorf("%d connections, want 5, and 3 more for the second five", n)
	}
}

// A reply that is too long or breaks off is an error.
func TestBadReplies(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"too long":        "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n",
		"breaks off":      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
		"no HTTP":         "SSH-2.0-nobody\r\n\r\n",
		"only interim":    strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20),
		"endless, chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n500000\r\n" + strings.Repeat("x", 0x500000) + "\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, reply)
			}()
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.Addr().String(), nil)
			if res, err := new(transport.Transport).RoundTrip(req); err == nil {
				_ = res.Body.Close()
				t.Error("no error")
			}
		})
	}
}

// Nobody there is the dialer's error.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	b := serve(t, func(http.ResponseWriter, *http.Request) {})
	b.Close()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", b.URL, nil)
	var dial *net.OpError
	if res, err := b.client.Do(req); !errors.As(err, &dial) || dial.Op != "dial" {
		t.Errorf("%v %v", res, err)
	}
}

// What is for https goes over TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	pool := &transport.Transport{}
	t.Cleanup(pool.CloseIdleConnections)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	if res, err := pool.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody is taken: %v %v", res, err)
	}
}

// BenchmarkRoundTrip is a small request to a server in this process, and how much more net/http's own client needs for it.
func BenchmarkRoundTrip(b *testing.B) {
	s := serve(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"pending": []}`) })
	standard := http.DefaultTransport.(*http.Transport).Clone()
	defer standard.CloseIdleConnections()
	took := func(r http.RoundTripper, n int) time.Duration {
		began := time.Now()
		for range n {
			req, _ := http.NewRequestWithContext(b.Context(), "GET", s.URL, nil)
			res, err := r.RoundTrip(req)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		return time.Since(began)
	}
	took(standard, 10)
	other := took(standard, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	ours := took(s.pool, b.N)
	b.ReportMetric(float64(other)/float64(ours), "times-net/http")
}
