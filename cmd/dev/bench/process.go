package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"countersign/core/db"
)

// Process is the built program on an idle cluster.
type Process struct {
	RSS          uint64  `json:"rss_at_rest_bytes"`
	Ready        float64 `json:"ready_seconds"`    // from exec to an answer of /-/health/ready/, with the managed PostgreSQL
	Postgres     float64 `json:"postgres_seconds"` // of that, PostgreSQL's own: its start until it answers
	Cold         float64 `json:"cold_start_seconds"`
	FirstSeconds float64 `json:"first_start_seconds"` // that makes the cluster
	Binary       int64   `json:"binary_bytes"`
}

const starts = 3

// rested is how long the idle server is left alone before it is weighed.
const rested = 5 * time.Second

// process builds the program, starts it on a new cluster, and then on the existing one.
func process(ctx context.Context, dir string) (*Process, error) {
	binary, data := filepath.Join(dir, "countersign"), filepath.Join(dir, "rest")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "countersign/cmd/countersign")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the server: %w\n%s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	p := &Process{Binary: info.Size()}
	var ready, own []time.Duration
	for i := range starts + 1 {
		took, weight, err := serve(ctx, binary, data, i == starts)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			p.FirstSeconds = took.Seconds()
			continue
		}
		ready, p.RSS = append(ready, took), weight
		began := time.Now()
		m, err := db.StartManaged(ctx, db.ManagedOptions{Dir: data})
		if err != nil {
			return nil, err
		}
		own = append(own, time.Since(began))
		if err := m.Stop(ctx); err != nil {
			return nil, err
		}
	}
	slices.Sort(ready)
	slices.Sort(own)
	p.Ready, p.Postgres = quantile(ready, .5).Seconds(), quantile(own, .5).Seconds()
	p.Cold = p.Ready - p.Postgres
	return p, nil
}

var servesAt = regexp.MustCompile(`serves (http://\S+)`)

// serve runs the program once: until it is ready, and, to be weighed, for a while longer.
func serve(ctx context.Context, binary, data string, weigh bool) (ready time.Duration, weight uint64, err error) {
	cmd := exec.CommandContext(ctx, binary, "serve", "--data-dir", data, "--listen", "127.0.0.1:0", "--log-level", "warn")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, out)
		if e := cmd.Wait(); e != nil {
			err = errors.Join(err, fmt.Errorf("the server ended: %w", e))
		}
	}()
	url := ""
	for lines := bufio.NewScanner(out); url == "" && lines.Scan(); {
		if m := servesAt.FindStringSubmatch(lines.Text()); m != nil {
			url = m[1]
		}
	}
	if url == "" {
		return 0, 0, errors.New("the server does not say where it serves")
	}
	for {
		ok, err := isReady(ctx, url+"-/health/ready/")
		if ok {
			break
		}
		if time.Since(began) > time.Minute {
			return 0, 0, fmt.Errorf("the server does not get ready: %w", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	ready = time.Since(began)
	if weigh {
		select {
		case <-time.After(rested):
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
	return ready, rss(cmd.Process.Pid), nil
}

func isReady(ctx context.Context, url string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusNoContent, nil
}
