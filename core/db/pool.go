package db

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Querier runs statements: a pool, a connection or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Beginner starts transactions: a pool, a connection, or a transaction (which makes a savepoint).
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Options are the settings of a pool. The zero value is good.
type Options struct {
	MaxConns         int32           // connections at most; 0 is pgx's default or the URL's pool_max_conns
	Name             string          // application_name, seen in pg_stat_activity; default "countersign"
	StatementTimeout time.Duration   // the server ends a statement that runs longer; 0 is 30 s, negative is never
	Wait             time.Duration   // how long to go on trying while the server is not there; 0 is one try
	Tracer           pgx.QueryTracer // sees every statement, for measurements; nil is none
}

// Open makes a pool for a PostgreSQL URL or key=value string and checks that the server answers. Its errors do not
// show the password.
//
// Options become start-up parameters of each connection; one that the URL sets itself wins. A pooler in between
// must let these pass (PgBouncer: ignore_startup_parameters).
func Open(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w", err)
	}
	if o.MaxConns > 0 {
		cfg.MaxConns = o.MaxConns
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	cfg.MaxConnLifetimeJitter = cfg.MaxConnLifetime / 10
	cfg.ConnConfig.Tracer = o.Tracer
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		RegisterTypes(conn.TypeMap())
		return nil
	}
	timeout := o.StatementTimeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	params := cfg.ConnConfig.RuntimeParams
	setDefault := func(name, value string) {
		if params[name] == "" {
			params[name] = value
		}
	}
	setDefault("application_name", cmp.Or(o.Name, "countersign"))
	setDefault("timezone", "UTC")
	setDefault("idle_in_transaction_session_timeout", "60000")
	if timeout > 0 {
		setDefault("statement_timeout", fmt.Sprint(timeout.Milliseconds()))
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := waitFor(ctx, pool, o.Wait); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reach database: %w", err)
	}
	return pool, nil
}

// waitFor pings until the server answers. What trying again cannot help (a wrong password, no such database) ends it.
func waitFor(ctx context.Context, pool *pgxpool.Pool, wait time.Duration) error {
	pause := 10 * time.Millisecond
	deadline := time.Now().Add(wait)
	for {
		err := pool.Ping(ctx)
		if err == nil || !Away(err) || time.Now().Add(pause).After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
	}
}

// InTx runs fn in a transaction: commits when it returns nil, rolls back when it returns an error (which InTx then
// returns as it is) or panics. With a pgx.Tx as b it is a savepoint.
func InTx(ctx context.Context, b Beginner, fn func(tx pgx.Tx) error) (err error) {
	tx, err := b.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	done := false
	defer func() {
		if done {
			return
		}
		// The caller's context may be over already; the connection must become clean all the same.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if e := tx.Rollback(undo); e != nil && !errors.Is(e, pgx.ErrTxClosed) && err != nil {
			err = errors.Join(err, fmt.Errorf("roll back: %w", e))
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	done = true
	return nil
}
