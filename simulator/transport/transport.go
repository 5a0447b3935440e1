package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	maxBody    = 4 << 20
	readBuffer = 2 << 10 // of a connection
	maxInforms = 5       // 1xx replies before the one that counts
)

// Transport is an http.RoundTripper. Its zero value is ready; it may be used by many goroutines, and not be copied.
type Transport struct {
	// Dial makes a connection; default net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Idle is how many connections to one host are kept while nobody uses them; default 100.
	Idle int

	mu     sync.Mutex
	hosts  map[string][]*conn
	secure *http.Transport // for https; nil until it is needed
}

// conn is a connection that one request has, or none.
type conn struct {
	net.Conn
	r    *bufio.Reader
	used bool // by a request before
}

// writers are used for the time of one write, readers live with their connection.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4<<10) }}

// RoundTrip makes a request and reads the whole reply, of at most 4 MiB. A GET is made once more where an idle connection broke
// before a byte of the reply came. Errors: those of the connection; ctx's own where it ended.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "http" {
		return t.overTLS().RoundTrip(req)
	}
	for {
		c, err := t.connect(req)
		if err != nil {
			closeBody(req)
			return nil, err
		}
		res, err := t.exchange(req, c)
		if err == nil {
			return res, nil
		}
		_ = c.Close()
		if ended := req.Context().Err(); ended != nil {
			return nil, ended
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() { // the context's deadline, which the connection noticed first
			return nil, context.DeadlineExceeded
		}
		if !errors.Is(err, errBroken) || !c.used || req.Method != http.MethodGet || req.Body != nil && req.Body != http.NoBody {
			return nil, err
		}
	}
}

// errBroken is a connection that ended before a byte of the reply came.
var errBroken = errors.New("connection broke before the reply")

// connect takes an idle connection that stands, or makes one.
func (t *Transport) connect(req *http.Request) (*conn, error) {
	address := req.URL.Host
	for {
		c := t.take(address)
		if c == nil {
			break
		}
		if alive(c.Conn) {
			return c, nil
		}
		_ = c.Close()
	}
	dial := t.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	to := address
	if req.URL.Port() == "" {
		to = net.JoinHostPort(req.URL.Hostname(), "80")
	}
	made, err := dial(req.Context(), "tcp", to)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: made, r: bufio.NewReaderSize(made, readBuffer)}, nil
}

func (t *Transport) take(host string) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := t.hosts[host]
	if len(idle) == 0 {
		return nil
	}
	c := idle[len(idle)-1]
	idle[len(idle)-1] = nil
	t.hosts[host] = idle[:len(idle)-1]
	return c
}

func (t *Transport) keep(host string, c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.hosts[host]) >= t.limit() {
		_ = c.Close()
		return
	}
	if t.hosts == nil {
		t.hosts = map[string][]*conn{}
	}
	c.used = true
	t.hosts[host] = append(t.hosts[host], c)
}

// exchange sends the request and reads the reply. On an error the connection is not to be used again.
func (t *Transport) exchange(req *http.Request, c *conn) (*http.Response, error) {
	ctx := req.Context()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		closeBody(req)
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	w := writers.Get().(*bufio.Writer) //nolint:forcetypeassert // nothing else is in it
	w.Reset(c)
	err := req.Write(w) // which closes the body
	if err == nil {
		err = w.Flush()
	}
	w.Reset(nil)
	writers.Put(w)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if _, err := c.r.Peek(1); err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	res, err := read(c.r, req)
	if err != nil {
		return nil, err
	}
	body, err := content(res)
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	if !stop() { // its deadline is about to be changed
		return nil, ctx.Err()
	}
	if res.Close || req.Close || c.r.Buffered() > 0 || c.SetDeadline(time.Time{}) != nil {
		_ = c.Close()
		return res, nil
	}
	t.keep(req.URL.Host, c)
	return res, nil
}

// read reads the head of the reply that counts.
func read(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	for range maxInforms {
		res, err := http.ReadResponse(r, req)
		if err != nil {
			return nil, fmt.Errorf("read reply: %w", err)
		}
		if res.StatusCode >= http.StatusOK {
			return res, nil
		}
	}
	return nil, errors.New("read reply: nothing but interim replies")
}

// content is the body of a reply.
func content(res *http.Response) (body []byte, err error) {
	defer res.Body.Close()
	switch n := res.ContentLength; {
	case n > maxBody:
		return nil, errTooLong
	case n >= 0:
		body = make([]byte, n)
		_, err = io.ReadFull(res.Body, body)
		return body, err
	}
	body, err = io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if len(body) > maxBody {
		return nil, errTooLong
	}
	return body, err
}

var errTooLong = fmt.Errorf("more than %d bytes", maxBody)

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// limit is how many connections to a host may idle.
func (t *Transport) limit() int {
	if t.Idle <= 0 {
		return 100
	}
	return t.Idle
}

// overTLS is for https.
func (t *Transport) overTLS() *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.secure == nil {
		t.secure = http.DefaultTransport.(*http.Transport).Clone()
		t.secure.MaxIdleConns, t.secure.MaxIdleConnsPerHost, t.secure.Proxy = 0, t.limit(), nil
		if t.Dial != nil {
			t.secure.DialContext = t.Dial
		}
	}
	return t.secure
}

// CloseIdleConnections closes those that nobody uses.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	hosts, secure := t.hosts, t.secure
	t.hosts = nil
	t.mu.Unlock()
	for _, idle := range hosts {
		for _, c := range idle {
			_ = c.Close()
		}
	}
	if secure != nil {
		secure.CloseIdleConnections()
	}
}
