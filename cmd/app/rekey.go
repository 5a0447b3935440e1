package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/secret"
	"countersign/core/secret/rekey"
)

// Rekeying is what Rekey found and did.
type Rekeying struct {
	Keys   []string // the ids of the configured keys; the first one seals
	Report rekey.Report
}

// Rekey seals with the current server key what older keys sealed, beside servers that run, also on the managed PostgreSQL
// of one on this machine. With check it counts and changes nothing. What it did until an error is told with it.
func Rekey(ctx context.Context, c Config, log *slog.Logger, check bool) (r Rekeying, err error) {
	keys, err := c.givenKeys()
	if err != nil {
		return r, err
	}
	keeper, err := secret.New(keys...)
	if err != nil {
		return r, err
	}
	r.Keys = keeper.KeyIDs()
	pool, stop, err := besideServer(ctx, c, log)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	have, want, err := db.Version(ctx, pool)
	if err != nil {
		return r, err
	}
	if have != want {
		return r, fmt.Errorf("the schema is at version %d and this program is for %d: use the program of your servers", have, want)
	}
	if check {
		r.Report, err = rekey.Check(ctx, pool, keeper, sealedColumns())
	} else {
		r.Report, err = rekey.Run(ctx, pool, keeper, &event.Log{Retention: c.Events.Retention, Now: time.Now}, sealedColumns())
	}
	return r, err
}

// givenKeys are the keys of the settings or of the data directory. Unlike a first start it makes none: sealing with a key
// that no server has would lose what is sealed.
func (c *Config) givenKeys() ([]string, error) {
	if c.SecretKey == "" {
		path := filepath.Join(c.DataDir, keyFile)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no secret key: neither secret_key nor %s", path)
		}
	}
	return c.secretKeys(func() string { return "" })
}

// besideServer opens the database, the managed one also while a server has it.
func besideServer(ctx context.Context, c Config, log *slog.Logger) (*pgxpool.Pool, func() error, error) {
	pool, managed, err := Database(ctx, c, log)
	if errors.As(err, new(*db.InUseError)) {
		url, err := db.RunningURL(c.DataDir)
		if err != nil {
			return nil, nil, err
		}
		if pool, err = db.Open(ctx, url, db.Options{MaxConns: 2, Name: "countersign rekey"}); err != nil {
			return nil, nil, err
		}
		return pool, func() error { pool.Close(); return nil }, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return pool, func() error { pool.Close(); return stopManaged(managed) }, nil
}
