package testbed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"countersign/simulator/fcm"
)

// Bed is what all specs of a suite share.
type Bed struct {
	Push    *fcm.Double // the push service of every server
	Outside *Outside    // the rest of the world; nil: a bed without

	dir         string
	program     string
	outside     bool // there is to be one
	environ     []string
	credentials string // file
	pushURL     string
	push        *http.Server
	ended       chan struct{}

	mu      sync.Mutex
	servers []*Server
}

// New builds the program and starts the push service. The module must be the working directory's.
func New(ctx context.Context, o ...Option) (_ *Bed, err error) {
	b := &Bed{ended: make(chan struct{})}
	for _, set := range o {
		set(b)
	}
	// Not in a directory of the test framework's: PostgreSQL's own user must be able to enter.
	if b.dir, err = os.MkdirTemp("", "countersign-e2e-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return nil, err
	}
	b.program = filepath.Join(b.dir, "countersign")
	args := []string{"build", "-o", b.program}
	if b.outside {
		if b.Outside, err = newOutside(ctx); err != nil {
			return nil, fmt.Errorf("start the outside: %w", err)
		}
		modules, err := b.Outside.modules(ctx, b.dir)
		if err != nil {
			return nil, err
		}
		if b.environ, err = b.Outside.environ(b.dir); err != nil {
			return nil, err
		}
		args = append(args, modules)
	}
	build := exec.CommandContext(ctx, "go", append(args, "countersign/cmd/countersign")...)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the program: %w\n%s", err, out)
	}
	if b.Push, err = fcm.New(fcm.Options{}); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b.pushURL = "http://" + listener.Addr().String()
	b.push = &http.Server{Handler: b.Push, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_ = b.push.Serve(listener) // ends with Close
		close(b.ended)
	}()
	account, err := b.Push.ServiceAccount(b.pushURL)
	if err != nil {
		return nil, err
	}
	b.credentials = filepath.Join(b.dir, "service-account.json")
	return b, os.WriteFile(b.credentials, account, 0o600)
}

// Close ends everything and removes the files.
func (b *Bed) Close() error {
	b.mu.Lock()
	servers := b.servers
	b.mu.Unlock()
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.Stop())
	}
	if b.Push != nil {
		b.Push.Close()
	}
	if b.Outside != nil {
		errs = append(errs, b.Outside.close())
	}
	if b.push != nil {
		errs = append(errs, b.push.Close())
		<-b.ended
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// Name makes a name that no other spec has.
func Name(kind string) string { return kind + "-" + rand.Text()[:8] }
