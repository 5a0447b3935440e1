package world

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of a World. Dir, Nodes and Push are needed.
type Options struct {
	Dir      string // of data, made by the caller
	Program  string // of the server; see Find
	Nodes    int
	Settings map[string]any // of all nodes: "mobile.answer_window": "30s", or nested maps
}

// World is a database and its nodes. It is safe for concurrent use. Close it.
type World struct {
	Token string // of the administrator
	URL   string // of the first node, with trailing slash: what every request names, whichever node it reaches

	o       Options
	environ []string
	ports   []string // "127.0.0.1:port" of each node

	acting   sync.Mutex // one act at a time
	mu       sync.Mutex
	database *process
	url      string // of the database
	nodes    []*process
	next     int
}

// settle is how long a node may take until it is ready, once it serves.
const settle = 60 * time.Second

// New starts the database and the nodes. credentials and endpoint are those of the push service.
func New(ctx context.Context, o Options, credentials []byte, endpoint string) (_ *World, err error) {
	w := &World{o: o, Token: rand.Text() + rand.Text(), nodes: make([]*process, o.Nodes)}
	if err := os.Chmod(o.Dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's own user must be able to enter
		return nil, err
	}
	w.environ = append(os.Environ(),
		"AUTHENTIK_BOOTSTRAP_TOKEN="+w.Token, "AUTHENTIK_BOOTSTRAP_PASSWORD="+rand.Text(), "COUNTERSIGN_SECRET_KEY="+rand.Text()+rand.Text(),
		"COUNTERSIGN_PUSH_FCM_CREDENTIALS="+string(credentials), "COUNTERSIGN_PUSH_FCM_URL="+endpoint, "COUNTERSIGN_LOG_LEVEL=warn")
	for path, value := range flatten("", o.Settings) {
		w.environ = append(w.environ, "COUNTERSIGN_"+strings.ToUpper(strings.ReplaceAll(path, ".", "_"))+"="+value)
	}
	if w.ports, err = freePorts(ctx, o.Nodes); err != nil {
		return nil, err
	}
	w.URL = "http://" + w.ports[0] + "/"
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if err := w.StartDatabase(ctx); err != nil {
		return nil, err
	}
	for i := range o.Nodes {
		if err := w.StartNode(ctx, i+1); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// flatten makes paths of nested settings.
func flatten(prefix string, settings map[string]any) map[string]string {
	out := map[string]string{}
	for name, value := range settings {
		path := prefix + name
		if nested, ok := value.(map[string]any); ok {
			for k, v := range flatten(path+".", nested) {
				out[k] = v
			}
			continue
		}
		out[path] = fmt.Sprint(value)
	}
	return out
}

// freePorts finds ports that nobody listens on now.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var out []string
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

var (
	databaseServes = regexp.MustCompile(`PostgreSQL serves (\S.*)$`)
	nodeServes     = regexp.MustCompile(`serves (http\S+)`)
)

// run starts one of our processes with its log.
func (w *World) run(ctx context.Context, name string, ready *regexp.Regexp, environ []string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(w.o.Dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // G304: below the directory of the run
	if err != nil {
		return nil, err
	}
	p, err := launch(ctx, log, ready, environ, w.o.Program, args...)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() {
		<-p.done
		_ = log.Close()
	}()
	return p, nil
}

// StartDatabase starts the database, unless it runs.
func (w *World) StartDatabase(ctx context.Context) error {
	w.acting.Lock()
	defer w.acting.Unlock()
	if w.database != nil {
		return nil
	}
	dir := filepath.Join(w.o.Dir, "database")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's own user must be able to enter
		return err
	}
	p, err := w.run(ctx, "database", databaseServes, slices.Concat(w.environ, []string{"COUNTERSIGN_DATABASE_URL="}), "database", "--data-dir", dir)
	if err != nil {
		return err
	}
	w.database, w.url = p, p.said
	return nil
}

// StopDatabase stops the database in order, or kills it.
func (w *World) StopDatabase(kill bool) {
	w.acting.Lock()
	defer w.acting.Unlock()
	end(&w.database, kill)
}

func end(p **process, kill bool) {
	if *p == nil {
		return
	}
	if kill {
		(*p).kill()
	} else {
		(*p).stop()
	}
	*p = nil
}

// StartNode starts node i, from 1, on its port, unless it runs, and returns when it is ready to work.
func (w *World) StartNode(ctx context.Context, i int) error {
	w.acting.Lock()
	defer w.acting.Unlock()
	w.mu.Lock()
	up := w.nodes[i-1] != nil
	w.mu.Unlock()
	if up {
		return nil
	}
	name := fmt.Sprintf("node%d", i)
	environ := slices.Concat(w.environ, []string{"COUNTERSIGN_DATABASE_URL=" + w.url})
	p, err := w.run(ctx, name, nodeServes, environ, "serve", "--listen", w.ports[i-1], "--data-dir", filepath.Join(w.o.Dir, name))
	if err != nil {
		return err
	}
	if err := ready(ctx, "http://"+w.ports[i-1]+"/-/health/ready/"); err != nil {
		p.kill()
		return fmt.Errorf("node %d: %w", i, err)
	}
	w.mu.Lock()
	w.nodes[i-1] = p
	w.mu.Unlock()
	return nil
}

// StopNode stops node i, from 1, in order, or kills it.
func (w *World) StopNode(i int, kill bool) {
	w.acting.Lock()
	defer w.acting.Unlock()
	w.mu.Lock()
	p := w.nodes[i-1]
	w.nodes[i-1] = nil // at once, so that nobody is sent there any more
	w.mu.Unlock()
	end(&p, kill)
}

// ready waits until the URL answers 204.
func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusNoContent {
				return nil
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("it does not get ready: %w", ctx.Err())
		}
	}
}

var errNoNode = errors.New("no node is up")

// Dial connects to the next node that is up, whatever address was meant: for http.Transport.DialContext.
func (w *World) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	failed := errNoNode
	for _, address := range w.up() {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	return nil, failed
}

// up are the addresses of the nodes that are up, beginning with the one whose turn it is.
func (w *World) up() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	var out []string
	for i := range w.nodes {
		at := (w.next + i) % len(w.nodes)
		if w.nodes[at] != nil {
			out = append(out, w.ports[at])
		}
	}
	return out
}

// Nodes are the URLs of the nodes that are up, with trailing slash.
func (w *World) Nodes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for i, p := range w.nodes {
		if p != nil {
			out = append(out, "http://"+w.ports[i]+"/")
		}
	}
	return out
}

// PIDs are the processes of the nodes that are up.
func (w *World) PIDs() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []int
	for _, p := range w.nodes {
		if p != nil {
			out = append(out, p.cmd.Process.Pid)
		}
	}
	return out
}

// Close stops everything.
func (w *World) Close() {
	var all sync.WaitGroup
	for i := range w.nodes {
		all.Go(func() { w.StopNode(i+1, false) })
	}
	all.Wait()
	w.StopDatabase(false)
}
