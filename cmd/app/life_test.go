package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/core/db"
	"countersign/core/dbtest"
	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

const patience = 30 * time.Second

// eventually waits until is is true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A process is this test binary as the countersign program.
type process struct {
	*exec.Cmd
	t    *testing.T
	out  *lockedBuffer
	done chan struct{}
}

func run(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(self, args...), t: t, out: &lockedBuffer{}, done: make(chan struct{})}
	p.Env = append([]string{mainEnv + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR")}, environ...)
	p.Stdout, p.Stderr = p.out, p.out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Wait() // ProcessState has it
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill() // mostly ended by now
		if t.Failed() {
			t.Logf("countersign %s:\n%s", strings.Join(args, " "), p.out.tail(40))
		}
	})
	return p
}

// exit waits for the end and gives the exit code; -1 when a signal ended it.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("countersign does not end\n%s", p.out.tail(20))
		return 0
	}
}

func (p *process) ready(base string) {
	p.t.Helper()
	eventually(p.t, "the server is ready", func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("the server ended: %v", p.ProcessState)
		default:
		}
		res, err := http.Get(base + "/-/health/ready/")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusNoContent
	})
}

// dataDir is a directory that PostgreSQL's own user may enter.
func dataDir(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "countersign-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "data")
}

// freeAddress is one that nobody listens on just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := direct.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// TestProcess is the life of a server on its own data directory: a second one on it is refused; kill -9 loses nothing
// that was answered; an orderly stop leaves no process behind.
func TestProcess(t *testing.T) {
	t.Parallel()
	dir, address := dataDir(t), freeAddress(t)
	base := "http://" + address
	environ := []string{"AUTHENTIK_BOOTSTRAP_TOKEN=" + adminToken, "AUTHENTIK_BOOTSTRAP_PASSWORD=" + adminPassword}
	first := run(t, environ, "serve", "--data-dir", dir, "--listen", address)
	first.ready(base)

	second := run(t, environ, "serve", "--data-dir", dir, "--listen", freeAddress(t))
	if code := second.exit(); code != 1 {
		t.Errorf("a second server on the data directory ended with %d, want 1", code)
	}
	if want := fmt.Sprintf("%s is in use by process %d", dir, first.Process.Pid); !strings.Contains(second.out.String(), want) {
		t.Errorf("the second server said %q, want %q", second.out, want)
	}
	if status, body := get(t, base+"/api/v3/core/users/me/", adminToken); status != http.StatusOK {
		t.Errorf("the first server afterwards: %d %s", status, body)
	}

	made := post(t, base+"/api/v3/core/users/", adminToken, `{"username":"ada","name":"Ada"}`)
	if made != http.StatusCreated {
		t.Fatalf("make a user: %d", made)
	}
	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	first.exit()

	again := run(t, nil, "serve", "--data-dir", dir, "--listen", address)
	again.ready(base)
	status, body := get(t, base+"/api/v3/core/users/?username=ada", adminToken)
	if status != http.StatusOK || !strings.Contains(body, `"username":"ada"`) {
		t.Errorf("after kill -9: %d %s", status, body)
	}
	if strings.Contains(again.out.String(), "/if/setup/") {
		t.Error("a second start shows a setup link")
	}
	if err := again.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := again.exit(); code != 0 {
		t.Errorf("after SIGTERM the server ended with %d, want 0", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres", "postmaster.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("PostgreSQL was left running: %v", err)
	}
}

func post(t *testing.T, url, token, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := direct.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body) // only the status is asked for
	return res.StatusCode
}

// TestFirstStart has no password for the administrator but one link to choose it by, shown once.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	address, url := freeAddress(t), dbtest.Pool(t).Config().ConnString()
	dir := dataDir(t)
	p := run(t, nil, "serve", "--data-dir", dir, "--database-url", url, "--listen", address)
	p.ready("http://" + address)
	_, rest, found := strings.Cut(p.out.String(), "http://"+address+"/if/setup/")
	if !found {
		t.Fatalf("no setup link in\n%s", p.out)
	}
	link := "http://" + address + "/if/setup/" + strings.Fields(rest)[0]
	if status, body := get(t, link, ""); status != http.StatusOK || !strings.Contains(body, "password") {
		t.Errorf("the setup page: %d %.200s", status, body)
	}
	if status, _ := get(t, "http://"+address+"/if/setup/guessed/", ""); status != http.StatusNotFound && status != http.StatusForbidden {
		t.Errorf("a guessed setup link: %d", status)
	}
	info, err := os.Stat(filepath.Join(dir, "secret_key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret key: %v %v, want mode 0600", info, err)
	}
}

// TestNewerSchema: a database that a newer program has migrated is left alone.
func TestNewerSchema(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	if _, err := pool.Exec(t.Context(), "UPDATE schema_version SET version = version + 1000"); err != nil {
		t.Fatal(err)
	}
	c := app.Defaults()
	c.Database.URL, c.DataDir, c.SecretKey, c.Listen = pool.Config().ConnString(), "", strings.Repeat("k", 40), "127.0.0.1:0"
	a, err := app.Open(t.Context(), c, options(t, io.Discard))
	if !errors.Is(err, db.ErrNewer) {
		t.Errorf("error %v, want ErrNewer", err)
	}
	if a != nil {
		t.Error("a server was opened")
	}
}

// TestShutdown: a server that is told to stop lets the login that waits end, and takes the phone's answer for it.
func TestShutdown(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	screen := &phone.Screen{}
	p, _ := n.enrolled(nil)
	type end struct {
		result browser.Result
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := n.browser(screen.Show).Login(t.Context(), "akadmin", adminPassword)
		ended <- end{r, err}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ring, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.State == phone.Ringing })
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a login waits", func() bool { return n.app.Waiting() == 1 })
	n.stop()
	eventually(t, "the server says that it stops", func() bool {
		res, err := http.Get(n.base + "/-/health/ready/")
		if err != nil {
			return true
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusServiceUnavailable
	})
	if err := p.Answer(ctx, ring.TxID, screen.Shown(ring.Device)); err != nil {
		t.Errorf("the phone's answer while the server stops: %v", err)
	}
	select {
	case e := <-ended:
		if e.err != nil || e.result.Outcome != browser.Approved {
			t.Errorf("the login that waited: %v %+v, want approved", e.err, e.result)
		}
	case <-ctx.Done():
		t.Error("the login that waited does not end")
	}
	select {
	case err := <-n.ended:
		n.ended <- err // for the clean-up
		if err != nil {
			t.Errorf("the server ended with %v", err)
		}
	case <-ctx.Done():
		t.Error("the server does not end")
	}
}
