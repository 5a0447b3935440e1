package bench

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"countersign/cmd/app"
	"countersign/core/db"
)

// scratch is a server on a database of its own that does not wait for the disk, for measurements that are not of the disk.
type scratch struct {
	server *app.App
	pg     *db.Managed
	undo   []func() error
}

// newScratch starts it below parent; change changes its settings. Close it.
func newScratch(ctx context.Context, parent string, o app.Options, change func(*app.Config)) (_ *scratch, err error) {
	s := &scratch{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	dir, err := os.MkdirTemp(parent, "countersign-bench-")
	if err != nil {
		return nil, err
	}
	s.undo = append(s.undo, func() error { return os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	if s.pg, err = db.StartManaged(ctx, db.ManagedOptions{Dir: filepath.Join(dir, "data"), Volatile: true, Connections: 60}); err != nil {
		return nil, err
	}
	s.undo = append(s.undo, func() error { return s.pg.Stop(context.WithoutCancel(ctx)) })
	c := app.Defaults()
	c.Listen, c.DataDir, c.Worker, c.Database.URL = "127.0.0.1:0", filepath.Join(dir, "keys"), false, s.pg.URL()
	change(&c)
	o.Log, o.Getenv = slog.New(slog.DiscardHandler), func(string) string { return "" }
	if s.server, err = app.Open(ctx, c, o); err != nil {
		return nil, err
	}
	s.undo = append(s.undo, s.server.Close)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	ran := make(chan error, 1)
	go func() { ran <- s.server.Run(run) }()
	s.undo = append(s.undo, func() error {
		stop()
		return <-ran
	})
	return s, nil
}

// close ends what was started, last first.
func (s *scratch) close() error {
	var errs []error
	for i := len(s.undo) - 1; i >= 0; i-- {
		errs = append(errs, s.undo[i]())
	}
	return errors.Join(errs...)
}
