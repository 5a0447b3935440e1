package db

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewer is a database whose schema is newer than this program: a newer Countersign has migrated it.
var ErrNewer = errors.New("the database was migrated by a newer version of this program")

const versionTable = "public.schema_version"

// Migrate brings the database's schema to this program's version, in order, each file in a transaction of its own. It
// holds an advisory lock, so that of several nodes that start at once one migrates and the others wait and find
// nothing to do. A schema that is newer than this program is left alone: ErrNewer.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	return migrateFiles(ctx, pool, files)
}

func migrateFiles(ctx context.Context, pool *pgxpool.Pool, files fs.FS) error {
	return WithLock(ctx, pool, "countersign migrate", func(conn *pgxpool.Conn) error {
		m, err := migrate.NewMigrator(ctx, conn.Conn(), versionTable)
		if err != nil {
			return fmt.Errorf("prepare migrations: %w", err)
		}
		if err := m.LoadMigrations(files); err != nil {
			return fmt.Errorf("read migrations: %w", err)
		}
		have, err := m.GetCurrentVersion(ctx)
		if err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		if want := int32(len(m.Migrations)); have > want {
			return fmt.Errorf("schema version %d, this program knows %d: %w", have, want, ErrNewer)
		}
		if err := m.Migrate(ctx); err != nil {
			return fmt.Errorf("migrate from schema version %d: %w", have, err)
		}
		return nil
	})
}

// Version is the schema's version in the database and the one this program wants; have is 0 for an empty database.
func Version(ctx context.Context, q Querier) (have, want int, err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, 0, fmt.Errorf("read migrations: %w", err)
	}
	names, err := migrate.FindMigrations(files)
	if err != nil {
		return 0, 0, fmt.Errorf("read migrations: %w", err)
	}
	want = len(names)
	var there bool
	if err := q.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", versionTable).Scan(&there); err != nil {
		return 0, want, fmt.Errorf("read schema version: %w", err)
	}
	if there {
		if err := q.QueryRow(ctx, "SELECT version FROM "+versionTable).Scan(&have); err != nil {
			return 0, want, fmt.Errorf("read schema version: %w", err)
		}
	}
	return have, want, nil
}

// Fingerprint names the set of migrations in this program: it changes when one of them does.
func Fingerprint() (string, error) {
	hash := sha256.New()
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return "", fmt.Errorf("read migrations: %w", err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			return "", fmt.Errorf("read migrations: %w", err)
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(text), text)
	}
	return hex.EncodeToString(hash.Sum(nil)[:6]), nil
}

// WithLock runs fn while holding the session advisory lock of that name, on the connection that holds it. It waits for
// the lock as long as ctx lasts, and has no statement timeout there: a migration may take long.
func WithLock(ctx context.Context, pool *pgxpool.Pool, name string, fn func(conn *pgxpool.Conn) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	// Lock and setting end with the session, so the connection does not go back to the pool.
	defer func() {
		c := conn.Hijack()
		_ = c.Close(context.WithoutCancel(ctx))
	}()
	if _, err := conn.Exec(ctx, "SET statement_timeout = 0"); err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", name); err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	return fn(conn)
}
