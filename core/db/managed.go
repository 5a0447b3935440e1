//go:build unix

package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// ManagedOptions are the settings of a managed PostgreSQL. Only Dir is needed.
type ManagedOptions struct {
	Dir string       // data directory: postgres/ (the cluster), postgres.log, lock, bin/ (fetched programs)
	Log *slog.Logger // nil is silent

	Bin         string // directory of initdb and postgres; empty: they are looked for, then fetched
	Connections int    // max_connections; 0 is 100
	Volatile    bool   // for tests: does not wait for the disk, so a crash of the machine loses the cluster

	StartTimeout time.Duration // until the server answers, crash recovery included; 0 is 60 s

	FetchURL     string        // Maven repository of the programs; "" is DefaultFetchURL, "-" never fetches
	FetchVersion string        // release to fetch; "" is DefaultFetchVersion
	FetchTimeout time.Duration // for all of the fetching; 0 is 3 minutes
	HTTP         *http.Client  // nil is a plain client

	places []string // where to look for programs, instead of the usual places; for tests
}

// Managed is a PostgreSQL server that this process runs, on a Unix socket only. If it ends unasked it is started again,
// with growing pauses.
type Managed struct {
	opts    ManagedOptions
	log     *slog.Logger
	cluster string
	socket  string // directory of the socket
	bin     string
	account account
	unlock  func()

	pid      atomic.Int64
	stopOnce sync.Once
	stopping chan struct{}
	hurry    chan struct{}
	done     chan struct{}
}

// Names inside the managed cluster.
const (
	managedUser     = "countersign"
	managedDatabase = "postgres"
	managedPort     = "5432" // a part of the socket's name; there is no network port
)

// StartManaged runs PostgreSQL on the cluster in o.Dir, which it makes if there is none, and returns when it answers.
// As root it runs it as the cluster's owner, at first the user postgres, else nobody. It fails with *InUseError when
// another process has the data directory.
//
// A server that an earlier process left behind (it was killed) is stopped properly first.
func StartManaged(ctx context.Context, o ManagedOptions) (_ *Managed, err error) {
	m := &Managed{opts: o, log: o.Log, stopping: make(chan struct{}), hurry: make(chan struct{}), done: make(chan struct{})}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	dir, err := dataDir(o.Dir)
	if err != nil {
		return nil, err
	}
	m.opts.Dir, m.cluster = dir, filepath.Join(dir, "postgres")
	if m.unlock, err = LockDir(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.unlock()
		}
	}()
	if m.account, err = clusterAccount(m.cluster); err != nil {
		return nil, err
	}
	if err := m.account.canReach(dir); err != nil {
		return nil, err
	}
	if m.bin, err = m.findPrograms(ctx); err != nil {
		return nil, err
	}
	if err := m.initialise(ctx); err != nil {
		return nil, err
	}
	if m.socket, err = socketDir(dir, m.account); err != nil {
		return nil, err
	}
	p, err := m.start(ctx)
	if err != nil {
		return nil, err
	}
	go m.supervise(p)
	return m, nil
}

// URL is for Open.
func (m *Managed) URL() string { return managedURL(m.socket) }

// PID is the server's process id; 0 while it is being started again.
func (m *Managed) PID() int { return int(m.pid.Load()) }

// Programs is the directory of the PostgreSQL programs in use, for psql or pg_dump.
func (m *Managed) Programs() string { return m.bin }

// Stop stops the server and gives up the data directory. It cuts off clients, writes a checkpoint and waits; when ctx
// ends first it leaves the checkpoint out, which costs a recovery at the next start and no data. Later calls wait for
// the first.
func (m *Managed) Stop(ctx context.Context) error {
	m.stopOnce.Do(func() { close(m.stopping) })
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case m.hurry <- struct{}{}:
	case <-m.done:
	}
	<-m.done
	return nil
}

// supervise keeps the server running until Stop.
func (m *Managed) supervise(p *process) {
	defer close(m.done)
	defer m.unlock()
	defer func() { _ = os.RemoveAll(m.socket) }()
	for {
		select {
		case <-m.stopping:
			p.stop(m.hurry)
			m.pid.Store(0)
			return
		case <-p.exited:
		}
		m.pid.Store(0)
		m.log.Error("managed PostgreSQL ended by itself, starting it again", "error", p.err, "log", m.logFile())
		if p = m.restart(); p == nil {
			return
		}
	}
}

// restart starts the server anew until it works; nil when Stop came first.
func (m *Managed) restart() *process {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-m.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		p, err := m.start(ctx)
		if err == nil {
			m.log.Info("managed PostgreSQL is back", "pid", p.cmd.Process.Pid)
			return p
		}
		m.log.Error("start managed PostgreSQL", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// start runs the server and waits until it answers.
func (m *Managed) start(ctx context.Context) (*process, error) {
	timeout := m.opts.StartTimeout
	if timeout == 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := clearCluster(ctx, m.cluster, m.log); err != nil {
		return nil, err
	}
	// The directory is ours alone, so what lies there is left over; a stale lock file could stop the server.
	for _, name := range []string{".s.PGSQL." + managedPort, ".s.PGSQL." + managedPort + ".lock"} {
		_ = os.Remove(filepath.Join(m.socket, name))
	}
	log, from, err := openLog(m.logFile())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(m.bin, "postgres"), m.serverArgs()...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = m.cluster, programEnv(), log, log
	cmd.SysProcAttr = m.account.attributes(true)
	p, err := launch(cmd)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := m.waitReady(ctx, p); err != nil {
		p.stop(nil)
		return nil, fmt.Errorf("start PostgreSQL: %w\n%s", err, logSince(m.logFile(), from))
	}
	m.pid.Store(int64(cmd.Process.Pid))
	return p, nil
}

// serverArgs are the settings: small memory, quick commits that are on the disk when they are answered.
func (m *Managed) serverArgs() []string {
	connections := m.opts.Connections
	if connections == 0 {
		connections = 100
	}
	args := []string{"-D", m.cluster, "-k", m.socket, "-p", managedPort}
	set := func(values ...string) {
		for _, v := range values {
			args = append(args, "-c", v)
		}
	}
	set("listen_addresses=", "unix_socket_permissions=0700", fmt.Sprint("max_connections=", connections),
		"cluster_name=countersign", "shared_buffers=64MB", "work_mem=4MB", "maintenance_work_mem=32MB", "huge_pages=off",
		"max_wal_size=512MB", "checkpoint_timeout=15min", "wal_compression=on", "random_page_cost=1.1", "jit=off",
		"max_parallel_workers_per_gather=0", "log_destination=stderr", "logging_collector=off", "log_checkpoints=off",
		"log_line_prefix=%m [%p] ", "lc_messages=C")
	if m.opts.Volatile {
		set("fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0", "autovacuum=off")
	} else {
		set("fsync=on", "synchronous_commit=on", "full_page_writes=on")
	}
	return args
}

// waitReady connects until the server takes it. While it starts or recovers it refuses; that it ended shows at once.
func (m *Managed) waitReady(ctx context.Context, p *process) error {
	cfg, err := pgx.ParseConfig(m.URL())
	if err != nil {
		return err
	}
	cfg.ConnectTimeout = 2 * time.Second
	for {
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", errors.Join(ctx.Err(), err))
		case <-time.After(3 * time.Millisecond):
		}
	}
}

func (m *Managed) logFile() string { return filepath.Join(m.opts.Dir, "postgres.log") }

// dataDir makes the directory and gives its real path. For root it is passable, as the server runs as another user; a
// directory that was there is changed for that only if it is empty or was used before.
func dataDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("no data directory given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	if os.Geteuid() != 0 {
		return dir, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	ours := len(entries) == 0 || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "lock" })
	if info, err := os.Stat(dir); err == nil && ours && info.Mode().Perm()&0o001 == 0 {
		if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
			return "", fmt.Errorf("data directory: %w", err)
		}
	}
	return dir, nil
}
