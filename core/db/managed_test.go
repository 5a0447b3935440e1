//go:build unix

package db

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TestMain lets this binary be the server process that a test kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TEST_MANAGED_DIR"); dir != "" {
		s, err := StartManaged(context.Background(), ManagedOptions{Dir: dir})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println("ready", s.PID())
		select {}
	}
	os.Exit(m.Run())
}

// testDir is a directory that the server's user can reach; t.TempDir's are closed to others.
func testDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "managed-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func startManaged(t *testing.T, o ManagedOptions) *Managed {
	t.Helper()
	m, err := StartManaged(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Stop(testContext(t)) })
	return m
}

func openManaged(t *testing.T, m *Managed) *pgxpool.Pool {
	t.Helper()
	pool, err := Open(testContext(t), m.URL(), Options{Wait: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func query[T any](t *testing.T, pool *pgxpool.Pool, sql string) (v T) {
	t.Helper()
	if err := pool.QueryRow(testContext(t), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestManagedLife(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	m := startManaged(t, ManagedOptions{Dir: dir})
	pool := openManaged(t, m)
	for setting, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": "", "server_encoding": "UTF8"} {
		if got := query[string](t, pool, "SELECT current_setting('"+setting+"')"); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if got := query[string](t, pool, "SELECT lower('ÄÖ')"); got != "äö" {
		t.Errorf("lower('ÄÖ') = %q: letters beyond ASCII are not folded", got)
	}
	query[int](t, pool, "WITH x AS (SELECT 1) SELECT 1")
	if _, err := pool.Exec(testContext(t), "CREATE TABLE kept AS SELECT 42 AS n"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(m.socket); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket directory: %v, %v", info, err)
	}

	_, err := StartManaged(testContext(t), ManagedOptions{Dir: dir})
	var used *InUseError
	if !errors.As(err, &used) || used.PID != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprintf("is in use by process %d", os.Getpid())) {
		t.Errorf("second server on the directory: %v", err)
	}
	beside, err := RunningURL(dir)
	if err != nil || beside != m.URL() {
		t.Errorf("to reach the running one: %s, %v; want %s", beside, err, m.URL())
	}

	pid := m.PID()
	if err := m.Stop(testContext(t)); err != nil { // with the pool's connections still open
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after Stop: %v", pid, err)
	}
	if err := m.Stop(testContext(t)); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if beside, err := RunningURL(dir); err == nil {
		t.Errorf("to reach one that has ended: %s", beside)
	}
	began := time.Now()
	again := startManaged(t, ManagedOptions{Dir: dir})
	t.Logf("start on an existing cluster: %v", time.Since(began))
	if n := query[int](t, openManaged(t, again), "SELECT n FROM kept"); n != 42 {
		t.Errorf("n = %d", n)
	}
}

// TestManagedSurvivesKill kills the process that runs the server, with SIGKILL, and takes over at once.
func TestManagedSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	for round := range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TEST_MANAGED_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "ready ") {
			t.Fatalf("helper says %q, %v", line, err)
		}
		_, err = StartManaged(testContext(t), ManagedOptions{Dir: dir})
		var used *InUseError
		if !errors.As(err, &used) || used.PID != cmd.Process.Pid {
			t.Errorf("while the other process runs: %v, want in use by %d", err, cmd.Process.Pid)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		m := startManaged(t, ManagedOptions{Dir: dir})
		pool := openManaged(t, m)
		if round == 0 {
			if _, err := pool.Exec(testContext(t), "CREATE TABLE kept AS SELECT 42 AS n"); err != nil {
				t.Fatal(err)
			}
		} else if n := query[int](t, pool, "SELECT n FROM kept"); n != 42 {
			t.Errorf("n = %d", n)
		}
		pool.Close()
		if err := m.Stop(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestManagedStopsOrphan finds a server that no death signal has stopped.
func TestManagedStopsOrphan(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	m := startManaged(t, ManagedOptions{Dir: dir})
	if err := m.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(m.socket, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.account.own(m.socket); err != nil {
		t.Fatal(err)
	}
	orphan := exec.Command(filepath.Join(m.bin, "postgres"), m.serverArgs()...)
	orphan.Dir, orphan.Env, orphan.SysProcAttr = m.cluster, programEnv(), m.account.attributes(false)
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = orphan.Wait() // that it ends is what counts
		close(ended)
	}()
	old := openManaged(t, m)
	query[int](t, old, "SELECT 1")

	again := startManaged(t, ManagedOptions{Dir: dir})
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the orphan still runs")
	}
	query[int](t, openManaged(t, again), "SELECT 1")
}

// TestManagedStalePID covers a pid file whose number now belongs to somebody else, and an empty one.
func TestManagedStalePID(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	m := startManaged(t, ManagedOptions{Dir: dir, Volatile: true})
	for _, content := range []string{fmt.Sprintf("%d\n%s\n", os.Getpid(), m.cluster), "1\n", "4194303\n", ""} {
		if err := m.Stop(testContext(t)); err != nil {
			t.Fatal(err)
		}
		pidFile := filepath.Join(m.cluster, "postmaster.pid")
		if err := os.WriteFile(pidFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := m.account.own(pidFile); err != nil {
			t.Fatal(err)
		}
		m = startManaged(t, ManagedOptions{Dir: dir, Volatile: true})
	}
}

// TestManagedRestarts kills the server under a running Managed.
func TestManagedRestarts(t *testing.T) {
	t.Parallel()
	m := startManaged(t, ManagedOptions{Dir: testDir(t), Log: slog.New(slog.DiscardHandler)})
	pool := openManaged(t, m)
	pid := m.PID()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := pool.Ping(testContext(t))
		if now := m.PID(); err == nil && now != 0 && now != pid {
			return
		}
		if err != nil && !Away(err) {
			t.Errorf("while it is away: %v", err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("not back: pid %d, %v", m.PID(), err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestManagedStopsWhileAway stops when the server cannot be started again.
func TestManagedStopsWhileAway(t *testing.T) {
	t.Parallel()
	m := startManaged(t, ManagedOptions{Dir: testDir(t), Volatile: true, StartTimeout: 2 * time.Second})
	if err := os.Rename(m.cluster, m.cluster+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(m.PID(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func TestManagedLongDirectory(t *testing.T) {
	t.Parallel()
	long := testDir(t) + "/" + strings.Repeat("long-name/", 12) + "data"
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	m := startManaged(t, ManagedOptions{Dir: long, Volatile: true})
	query[int](t, openManaged(t, m), "SELECT 1")
	if len(m.socket)+len("/.s.PGSQL.5432") > maxSocket || strings.HasPrefix(m.socket, long) {
		t.Errorf("socket directory %s", m.socket)
	}
	if err := m.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket directory after Stop: %v", err)
	}
}

func TestManagedRefuses(t *testing.T) {
	t.Parallel()
	t.Run("foreign files", func(t *testing.T) {
		t.Parallel()
		dir := testDir(t)
		if err := os.MkdirAll(filepath.Join(dir, "postgres"), 0o700); err != nil {
			t.Fatal(err)
		}
		precious := filepath.Join(dir, "postgres", "precious")
		if err := os.WriteFile(precious, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := StartManaged(testContext(t), ManagedOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(precious); err != nil {
			t.Error(err)
		}
	})
	t.Run("cluster of another version", func(t *testing.T) {
		t.Parallel()
		dir := testDir(t)
		if err := os.MkdirAll(filepath.Join(dir, "postgres"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "postgres", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := StartManaged(testContext(t), ManagedOptions{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "made by version 9") {
			t.Errorf("%v", err)
		}
	})
	t.Run("broken configuration", func(t *testing.T) {
		t.Parallel()
		dir := testDir(t)
		m := startManaged(t, ManagedOptions{Dir: dir, Volatile: true})
		if err := m.Stop(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(m.cluster, "postgresql.auto.conf"), []byte("nonsense = 1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := StartManaged(testContext(t), ManagedOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("the error does not show what PostgreSQL said: %v", err)
		}
	})
	t.Run("directory that root's postgres cannot enter", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			t.Skip("only root runs PostgreSQL as another user")
		}
		closed, full := testDir(t), testDir(t)
		for _, dir := range []string{closed, full} {
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		// A directory that holds what is not ours keeps its mode.
		if err := os.WriteFile(filepath.Join(full, "letters"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := StartManaged(testContext(t), ManagedOptions{Dir: full}); err == nil || !strings.Contains(err.Error(), "may not enter "+full) {
			t.Errorf("%v", err)
		}
		if info, err := os.Stat(full); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("mode of a directory with foreign files: %v, %v", info.Mode(), err)
		}
		if _, err := StartManaged(testContext(t), ManagedOptions{Dir: filepath.Join(closed, "data")}); err == nil || !strings.Contains(err.Error(), "may not enter "+closed) {
			t.Errorf("%v", err)
		}
	})
}

func TestLockDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockDir(dir); !errors.As(err, new(*InUseError)) {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	unlock, err = LockDir(dir)
	if err != nil {
		t.Fatalf("after unlock: %v", err)
	}
	unlock()
}

func TestOpenLogPutsAside(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "postgres.log")
	if err := os.WriteFile(path, make([]byte, maxLog+1), 0o600); err != nil {
		t.Fatal(err)
	}
	f, from, err := openLog(path)
	if err != nil || from != 0 {
		t.Fatalf("from %d, %v", from, err)
	}
	if _, err := io.WriteString(f, "what happened\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if got := logSince(path, from); got != "what happened" {
		t.Errorf("logSince = %q", got)
	}
	if info, err := os.Stat(path + ".1"); err != nil || info.Size() != maxLog+1 {
		t.Errorf("old log: %v, %v", info, err)
	}
}
