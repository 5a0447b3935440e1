package db_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/core/db"
	"countersign/core/dbtest"
	"countersign/core/fault"
)

func context5(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestInTx(t *testing.T) {
	t.Parallel()
	pool, ctx := dbtest.Pool(t), context5(t)
	add := func(tx pgx.Tx, name string) error {
		_, err := tx.Exec(ctx, "INSERT INTO users (uuid, username) VALUES (gen_random_uuid(), $1)", name)
		return err
	}
	count := func() (n int) {
		if err := pool.QueryRow(ctx, "SELECT count(*) FROM users").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := db.InTx(ctx, pool, func(tx pgx.Tx) error { return add(tx, "kept") }); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	if err := db.InTx(ctx, pool, func(tx pgx.Tx) error { return errors.Join(add(tx, "undone"), boom) }); !errors.Is(err, boom) {
		t.Errorf("error of fn: %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.InTx(ctx, pool, func(tx pgx.Tx) error { _ = add(tx, "panicked"); panic("boom") })
	}()
	over, cancel := context.WithCancel(ctx)
	if err := db.InTx(over, pool, func(tx pgx.Tx) error { err := add(tx, "late"); cancel(); return err }); err == nil {
		t.Error("committed after the context was over")
	}
	if n := count(); n != 1 {
		t.Errorf("%d rows, want the one that was committed", n)
	}
	err := db.InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := add(tx, "outer"); err != nil {
			return err
		}
		if err := db.InTx(ctx, tx, func(inner pgx.Tx) error { return errors.Join(add(inner, "inner"), boom) }); !errors.Is(err, boom) {
			t.Errorf("inner: %v", err)
		}
		return nil
	})
	if err != nil || count() != 2 {
		t.Errorf("savepoint: %v, %d rows", err, count())
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections are still out", n)
	}
}

func TestFault(t *testing.T) {
	t.Parallel()
	pool, ctx := dbtest.Pool(t), context5(t)
	exec := func(sql string) error {
		_, err := pool.Exec(ctx, sql)
		return err
	}
	for _, sql := range []string{
		`INSERT INTO flows (flow_uuid, pbm_uuid, name, slug, title, designation) VALUES ('00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'f', 'f', 'f', 'authentication')`,
		`INSERT INTO stages (stage_uuid, kind, name) VALUES ('00000000-0000-0000-0000-000000000002', 'k', 's')`,
		`INSERT INTO flow_bindings (fsb_uuid, pbm_uuid, target, stage, "order") VALUES (gen_random_uuid(), gen_random_uuid(), '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', 1)`,
		`CREATE TABLE children (parent uuid REFERENCES flows (flow_uuid))`,
		`INSERT INTO children VALUES ('00000000-0000-0000-0000-000000000001')`,
	} {
		if err := exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		sql   string
		kind  fault.Kind
		field string
		code  string
	}{
		"unique":               {`INSERT INTO flows (flow_uuid, pbm_uuid, name, slug, title, designation) VALUES (gen_random_uuid(), gen_random_uuid(), 'f', 'f', 'f', 'x')`, fault.Invalid, "slug", "unique"},
		"unique set":           {`INSERT INTO flow_bindings (fsb_uuid, pbm_uuid, target, stage, "order") SELECT gen_random_uuid(), gen_random_uuid(), target, stage, "order" FROM flow_bindings`, fault.Invalid, fault.NonField, "unique"},
		"reference to nothing": {`INSERT INTO flow_bindings (fsb_uuid, pbm_uuid, target, stage, "order") SELECT gen_random_uuid(), gen_random_uuid(), target, gen_random_uuid(), 9 FROM flow_bindings`, fault.Invalid, "stage", "does_not_exist"},
		"still referenced":     {`DELETE FROM flows`, fault.Conflict, "", ""},
		"null":                 {`UPDATE flows SET name = NULL`, fault.Invalid, "name", "null"},
		"check":                {`INSERT INTO users (uuid, username, type) VALUES (gen_random_uuid(), 'u', 'alien')`, fault.Invalid, "type", "invalid"},
		"out of range":         {`SELECT 99999999999::int`, fault.Invalid, fault.NonField, "invalid"},
		"NUL in jsonb":         {`SELECT '"\u0000"'::jsonb`, fault.Invalid, fault.NonField, "invalid"},
		"too slow":             {`SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)`, fault.Unavailable, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := db.Fault(exec(c.sql))
			f := fault.As(err)
			if f == nil || f.Kind != c.kind {
				t.Fatalf("%v, want kind %d", err, c.kind)
			}
			if c.field != "" && (len(f.Fields[c.field]) != 1 || f.Fields[c.field][0].Code != c.code) {
				t.Errorf("fields %v, want %s: %s", f.Fields, c.field, c.code)
			}
			for _, secret := range []string{"constraint", "relation", "INSERT", "slug_key"} {
				if strings.Contains(f.Detail, secret) {
					t.Errorf("detail %q shows the inside", f.Detail)
				}
			}
			var pg *pgconn.PgError
			if !errors.As(err, &pg) {
				t.Error("the cause is lost")
			}
		})
	}
	if err := db.Fault(pool.QueryRow(ctx, "SELECT 1 WHERE false").Scan(new(int))); !fault.Is(err, fault.NotFound) {
		t.Errorf("no rows: %v", err)
	}
	if err := exec("SELECT nonsense"); fault.As(db.Fault(err)).Kind != fault.Internal {
		t.Errorf("a fault of ours: %v", db.Fault(err))
	}
	if db.Fault(nil) != nil || !errors.Is(db.Fault(context.Canceled), context.Canceled) {
		t.Error("nil and cancelled must stay as they are")
	}
	if _, err := db.Open(ctx, "postgres://u:hunter2@127.0.0.1:1/x", db.Options{}); !fault.Is(db.Fault(err), fault.Unavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("refused: %v", err)
	}
}

func TestFaultOfLostConnection(t *testing.T) {
	t.Parallel()
	pool, ctx := dbtest.Pool(t), context5(t)
	err := db.InTx(ctx, pool, func(tx pgx.Tx) error {
		var pid int
		if err := tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		if _, err := pool.Exec(ctx, "SELECT pg_terminate_backend($1, 5000)", pid); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT 1")
		return err
	})
	if !fault.Is(db.Fault(err), fault.Unavailable) {
		t.Errorf("terminated: %v", err)
	}
	if err := pool.Ping(ctx); err != nil {
		t.Errorf("the pool does not recover: %v", err)
	}
}

func TestPred(t *testing.T) {
	t.Parallel()
	p := db.And(db.Pred{}, db.Pred{SQL: "a = $1 OR b = $2", Args: []any{1, 2}}, db.Pred{SQL: `c = '$1 it''s' AND "d$1" = $1 AND e = $10`, Args: []any{3}})
	want := `(a = $1 OR b = $2) AND (c = '$1 it''s' AND "d$1" = $3 AND e = $12)`
	if p.SQL != want || len(p.Args) != 3 {
		t.Errorf("And = %q %v", p.SQL, p.Args)
	}
	if got := p.At(4); !strings.HasPrefix(got, "(a = $4 OR b = $5) AND") {
		t.Errorf("At(4) = %q", got)
	}
	if got := (db.Pred{}).At(3); got != "true" {
		t.Errorf("zero At = %q", got)
	}
	if p := db.And(db.Pred{}, db.Pred{}); p.SQL != "" {
		t.Errorf("And of nothing = %q", p.SQL)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	pool, ctx := dbtest.Empty(t), context5(t)
	if have, want, err := db.Version(ctx, pool); err != nil || have != 0 || want < 1 {
		t.Fatalf("Version of an empty database = %d, %d, %v", have, want, err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = db.Migrate(ctx, pool) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("several at once: %v", err)
	}
	have, want, err := db.Version(ctx, pool)
	if err != nil || have != want {
		t.Fatalf("Version = %d, %d, %v", have, want, err)
	}
	if _, err := pool.Exec(ctx, "UPDATE schema_version SET version = version + 1"); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(ctx, pool); !errors.Is(err, db.ErrNewer) {
		t.Errorf("newer schema: %v", err)
	}
	var timeout string
	if err := pool.QueryRow(ctx, "SHOW statement_timeout").Scan(&timeout); err != nil || timeout != "30s" {
		t.Errorf("statement_timeout of the pool is %q after a migration (%v)", timeout, err)
	}
}

func TestMigrateStopsAtTheBrokenFile(t *testing.T) {
	t.Parallel()
	pool, ctx := dbtest.Empty(t), context5(t)
	files := fstest.MapFS{
		"001_good.sql": {Data: []byte("CREATE TABLE good (n int);")},
		"002_bad.sql":  {Data: []byte("CREATE TABLE half (n int); SELECT nonsense;")},
	}
	if err := db.MigrateFiles(ctx, pool, files); err == nil || !strings.Contains(err.Error(), "002_bad.sql") {
		t.Fatalf("error %v, want one that names the file", err)
	}
	var good, half bool
	if err := pool.QueryRow(ctx, "SELECT to_regclass('good') IS NOT NULL, to_regclass('half') IS NOT NULL").Scan(&good, &half); err != nil || !good || half {
		t.Errorf("good %v, half %v, %v", good, half, err)
	}
	files["002_bad.sql"].Data = []byte("CREATE TABLE half (n int);")
	if err := db.MigrateFiles(ctx, pool, files); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}
