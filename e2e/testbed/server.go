package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	startLimit = 90 * time.Second // a cold disk, a new cluster, two cores
	stopLimit  = 30 * time.Second
)

// Server is a running countersign serve.
type Server struct {
	URL string // without a trailing slash
	Log *Log

	bed   *Bed
	token string // an administrator's
	cmd   *exec.Cmd
	done  chan struct{}
	err   error // of the process, once done
}

var serves = regexp.MustCompile(`serves (http://\S+?)/\n`)

// Serve starts a server on a new data directory; environ are settings beside the usual, "COUNTERSIGN_…=…".
func (b *Bed) Serve(ctx context.Context, environ ...string) (*Server, error) {
	s := &Server{bed: b, token: Name("token") + Name("") + Name(""), Log: &Log{}, done: make(chan struct{})}
	s.cmd = exec.Command(b.program, "serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(b.dir, Name("data")))
	s.cmd.Env = append(os.Environ(),
		"AUTHENTIK_BOOTSTRAP_TOKEN="+s.token, "AUTHENTIK_BOOTSTRAP_PASSWORD="+Name("password"),
		"COUNTERSIGN_PUSH_FCM_CREDENTIALS_FILE="+b.credentials, "COUNTERSIGN_PUSH_FCM_URL="+b.pushURL+"/v1",
		"COUNTERSIGN_LOG_LEVEL=debug", "COUNTERSIGN_HTTP_GRACE=2s")
	s.cmd.Env = append(append(s.cmd.Env, b.environ...), environ...)
	s.cmd.Stdout, s.cmd.Stderr = s.Log, s.Log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	b.mu.Lock()
	b.servers = append(b.servers, s)
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		changed := s.Log.Changed()
		if m := serves.FindStringSubmatch(s.Log.String()); m != nil {
			s.URL = m[1]
			return s, nil
		}
		select {
		case <-changed:
		case <-s.done:
			return nil, fmt.Errorf("the server ended: %w\n%s", s.err, s.Log)
		case <-ctx.Done():
			return nil, fmt.Errorf("the server does not start: %w\n%s", ctx.Err(), s.Log)
		}
	}
}

// Named is URL by a name instead of a number: a passkey is for a name.
func (s *Server) Named() string { return strings.Replace(s.URL, "127.0.0.1", "localhost", 1) }

// Stop ends the server in order; a second time it is nothing.
func (s *Server) Stop() error {
	select {
	case <-s.done:
		return nil
	default:
	}
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the server: %w", err)
	}
	select {
	case <-s.done:
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill()
		<-s.done
		return fmt.Errorf("the server did not stop within %s", stopLimit)
	}
	if s.err != nil {
		return fmt.Errorf("the server ended: %w\n%s", s.err, s.Log.Since(0))
	}
	return nil
}

// Call makes an API request as the administrator. path is below /api/v3; into may be nil.
func (s *Server) Call(ctx context.Context, method, path string, body, into any) error {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+"/api/v3"+path, reader)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, raw)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// Log is what a server has written so far.
type Log struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return l.text.Write(p)
}

// Changed closes at the next line. Take it before looking.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// Len is how much there is, for Since.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Len()
}

// Since is what was written after there were n bytes.
func (l *Log) Since(n int) string {
	text := l.String()
	return text[min(n, len(text)):]
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
