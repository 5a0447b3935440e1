package world

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startLimit = 90 * time.Second
	stopLimit  = 20 * time.Second
)

// process is a program of ours that says on its standard output that it is ready.
type process struct {
	cmd  *exec.Cmd
	said string // what the pattern of readiness caught
	done chan struct{}
	err  error // of its end, once done
}

// launch starts a program and waits until a line of its output matches ready, whose group is kept in said. Its standard
// error, and its output from then on, go to log.
func launch(ctx context.Context, log io.Writer, ready *regexp.Regexp, environ []string, program string, args ...string) (*process, error) {
	// It outlives ctx, which bounds the start: the world ends it.
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(ctx), program, args...), done: make(chan struct{})} //nolint:gosec // the program that the person named
	last := &tail{to: log}
	p.cmd.Env, p.cmd.Stderr = environ, last
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of the terminal is for us, who then stop it in order
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(program), err)
	}
	said := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := ready.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case said <- m[1]:
				default:
				}
			}
			_, _ = io.WriteString(log, lines.Text()+"\n")
		}
	})
	go func() {
		reading.Wait()
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	select {
	case p.said = <-said:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("%s %s ended at once: %w: %s", filepath.Base(program), args[0], p.err, last)
	case <-limit.C:
		p.kill()
		return nil, fmt.Errorf("%s %s is not ready after %s", filepath.Base(program), args[0], startLimit)
	case <-ctx.Done():
		p.kill()
		return nil, ctx.Err()
	}
}

// tail passes on what is written and remembers the end of it.
type tail struct {
	to   io.Writer
	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 1000
	t.mu.Lock()
	t.last = append(t.last, b...)
	t.last = t.last[max(0, len(t.last)-most):]
	t.mu.Unlock()
	return t.to.Write(b)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}

// kill ends it with SIGKILL and waits.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// stop ends it in order, or by force when that takes too long.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-p.done:
	case <-limit.C:
		p.kill()
	}
}

// Find is the server's program: the named one, one beside this program, in PATH, or built into dir from the sources around.
func Find(ctx context.Context, named, dir string) (string, error) {
	if named != "" {
		return exec.LookPath(named)
	}
	if self, err := os.Executable(); err == nil {
		if beside := filepath.Join(filepath.Dir(self), "countersign"); isProgram(beside) {
			return beside, nil
		}
	}
	module, err := exec.CommandContext(ctx, "go", "list", "-m").Output()
	if err == nil && strings.TrimSpace(string(module)) == "countersign" {
		built := filepath.Join(dir, "countersign")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", built, "countersign/cmd/countersign").CombinedOutput(); err != nil { //nolint:gosec // our own sources
			return "", fmt.Errorf("build the server: %w\n%s", err, out)
		}
		return built, nil
	}
	found, err := exec.LookPath("countersign")
	if err != nil {
		return "", errors.New("no server program: name it by --program, or put countersign beside the simulator or into PATH")
	}
	return found, nil
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
