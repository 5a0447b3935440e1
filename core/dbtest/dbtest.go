//go:build unix

package dbtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
)

// EnvURL names the variable with the URL of a server to use instead of an own one.
const EnvURL = "COUNTERSIGN_TEST_DATABASE_URL"

const patience = time.Minute

// server is the PostgreSQL that the tests of this binary share.
type server struct {
	url      string
	admin    *pgxpool.Pool
	template string
	create   string // how to clone
	one      sync.Mutex
	alive    io.Closer // the watchdog's stdin: it acts when our process ends and this closes
}

// shared is one for each test binary; testing has no other place for what outlives a test and needs no TestMain.
var shared = sync.OnceValues(start)

// Pool is a pool on a new database with the whole schema and no rows. It closes and drops it when the test ends; a
// connection that the test still holds then fails the test. pool.Config().ConnString() is the database's URL.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return newDatabase(t, true)
}

// Empty is as Pool, without the schema: for tests of migrations.
func Empty(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return newDatabase(t, false)
}

func newDatabase(t testing.TB, migrated bool) *pgxpool.Pool {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("test database: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name := "test_" + random()
	sql := "CREATE DATABASE " + name
	if migrated {
		sql += " TEMPLATE " + s.template
	}
	sql += s.create
	if err := s.exec(ctx, sql); err != nil {
		t.Fatalf("test database: %v", err)
	}
	pool, err := db.Open(ctx, withDatabase(s.url, name), db.Options{MaxConns: 20, Name: t.Name()})
	if err != nil {
		t.Fatalf("test database: %v", err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Errorf("test database: %d connections are still in use at the end of the test", pool.Stat().AcquiredConns())
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("test database: %v", err)
		}
	})
	return pool
}

// exec makes or drops a database, one at a time: at once they wait for one another inside the server, in steps of 100 ms.
func (s *server) exec(ctx context.Context, sql string) error {
	s.one.Lock()
	defer s.one.Unlock()
	_, err := s.admin.Exec(ctx, sql)
	return err
}

// drop waits a moment for the database's last sessions to end, as DROP itself would look again only after 100 ms.
func (s *server) drop(ctx context.Context, name string) error {
	for range 50 {
		var n int
		err := s.admin.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name).Scan(&n)
		if err != nil || n == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return s.exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
}

func start() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := &server{url: os.Getenv(EnvURL)}
	if s.url == "" {
		if err := s.startOwn(ctx); err != nil {
			return nil, err
		}
	}
	var err error
	if s.admin, err = db.Open(ctx, s.url, db.Options{MaxConns: 4, Name: "dbtest"}); err != nil {
		return nil, err
	}
	var version int
	if err := s.admin.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return nil, err
	}
	if version >= 150000 {
		s.create = " STRATEGY file_copy"
	}
	return s, s.makeTemplate(ctx)
}

// startOwn runs a server in a temporary directory and, beside it, a watchdog that stops it and removes the directory when
// this process ends, however that comes.
func (s *server) startOwn(ctx context.Context) error {
	dir, err := os.MkdirTemp(tempDir(), "countersign-test-")
	if err != nil {
		return err
	}
	const script = `read _
pid="$1/postgres/postmaster.pid"
[ -f "$pid" ] && kill -QUIT "$(head -n 1 "$pid")" 2>/dev/null
i=0
while [ -f "$pid" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
rm -rf "$1"`
	watchdog := exec.Command("/bin/sh", "-c", script, "sh", dir)
	watchdog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the tests alone
	if s.alive, err = watchdog.StdinPipe(); err != nil {
		return err
	}
	if err := watchdog.Start(); err != nil {
		return err
	}
	m, err := db.StartManaged(ctx, db.ManagedOptions{Dir: dir, Volatile: true, Connections: 300, FetchURL: "-"})
	if err != nil {
		return err
	}
	s.url = m.URL()
	return nil
}

// tempDir is the usual one, or Linux's memory file system if it has room: making databases there is ten times faster on
// a machine whose disk is busy.
func tempDir() string {
	const memory, room = "/dev/shm", 2 << 30
	var st syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &st) != nil || uint64(st.Bavail)*uint64(st.Bsize) < room { //nolint:unconvert // Bavail is signed elsewhere
		return ""
	}
	return memory
}

// makeTemplate makes the template database, unless another binary on the same server has. It gets its name when it
// is complete.
func (s *server) makeTemplate(ctx context.Context) error {
	print, err := db.Fingerprint()
	if err != nil {
		return err
	}
	s.template = "countersign_template_" + print
	return db.WithLock(ctx, s.admin, s.template, func(conn *pgxpool.Conn) error {
		var there bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", s.template).Scan(&there); err != nil || there {
			return err
		}
		draft := "test_" + random()
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+draft+s.create); err != nil {
			return err
		}
		pool, err := db.Open(ctx, withDatabase(s.url, draft), db.Options{MaxConns: 2})
		if err != nil {
			return err
		}
		err = db.Migrate(ctx, pool)
		pool.Close()
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "ALTER DATABASE "+draft+" RENAME TO "+s.template)
		return err
	})
}

// withDatabase is the connection string for another database of the same server.
func withDatabase(conn, name string) string {
	if u, err := url.Parse(conn); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		u.Path = "/" + name
		return u.String()
	}
	return fmt.Sprintf("%s dbname=%s", conn, name)
}

func random() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b)
}
