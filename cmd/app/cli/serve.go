package cli

import (
	"context"
	"errors"
	"fmt"

	"countersign/cmd/app"
	"countersign/core/config"
	"countersign/core/db"
)

type serveCmd struct {
	server
	Listen string `placeholder:"ADDRESS" help:"Address to listen on (default 127.0.0.1:9000)."`
}

// Run serves until it is told to stop.
func (s *serveCmd) Run(e *env) error {
	var more []config.Override
	if s.Listen != "" {
		more = append(more, config.Override{Path: "listen", Value: s.Listen, Source: "--listen"})
	}
	c, _, err := s.load(e, more...)
	if err != nil {
		return err
	}
	a, err := app.Open(e.ctx, c, app.Options{Log: c.Logger(e.err)})
	if err != nil {
		if errors.Is(err, context.Canceled) && e.ctx.Err() != nil {
			return nil //nolint:nilerr // the person stopped it
		}
		return err
	}
	if link := a.SetupURL(); link != "" {
		_, _ = fmt.Fprintf(e.out, "\nNo administrator has a password yet. Choose one for akadmin, within a day, once, at\n  %s\n\n", link)
	}
	if a.SetupElsewhere() {
		_, _ = fmt.Fprintln(e.out, "A setup link was printed a moment ago and is still good; `countersign setup` makes a new one.")
	}
	_, _ = fmt.Fprintf(e.out, "Countersign %s serves %s\n", app.Version, a.URL())
	return errors.Join(a.Run(e.ctx), a.Close())
}

type workerCmd struct{ server }

// Run works background jobs until it is told to stop.
func (w *workerCmd) Run(e *env) error {
	c, _, err := w.load(e)
	if err != nil {
		return err
	}
	a, err := app.OpenWorker(e.ctx, c, app.Options{Log: c.Logger(e.err)})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(e.out, "Countersign %s works background jobs\n", app.Version)
	return errors.Join(a.Work(e.ctx), a.Close())
}

type migrateCmd struct{ server }

// Run migrates and stops.
func (m *migrateCmd) Run(e *env) error {
	c, _, err := m.load(e)
	if err != nil {
		return err
	}
	pool, managed, err := app.Database(e.ctx, c, c.Logger(e.err))
	if err != nil {
		return err
	}
	stop := func() error {
		pool.Close()
		if managed == nil {
			return nil
		}
		return managed.Stop(context.WithoutCancel(e.ctx))
	}
	if err := app.Migrate(e.ctx, pool); err != nil {
		return errors.Join(err, stop())
	}
	have, want, err := db.Version(e.ctx, pool)
	if err == nil {
		_, _ = fmt.Fprintf(e.out, "The schema is at version %d of %d.\n", have, want)
	}
	return errors.Join(err, stop())
}

type settingsCmd struct {
	server
	Reference bool `help:"Print every setting with its default and meaning instead, as a file to start from."`
}

// Run prints the settings.
func (s *settingsCmd) Run(e *env) error {
	if s.Reference {
		defaults := app.Defaults()
		return config.Reference(e.out, &defaults, "")
	}
	_, loaded, err := s.load(e)
	if err != nil {
		return err
	}
	return loaded.Print(e.out)
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.out, "countersign", app.Version)
	return err
}

type setupCmd struct{ server }

// Run makes a new setup link; the old one is void.
func (s *setupCmd) Run(e *env) error {
	c, _, err := s.load(e)
	if err != nil {
		return err
	}
	c.Worker = false
	a, err := app.OpenWorker(e.ctx, c, app.Options{Log: c.Logger(e.err)})
	if err != nil {
		return err
	}
	path, err := a.NewSetupPath(e.ctx)
	if err == nil {
		_, _ = fmt.Fprintf(e.out, "Open this path on your server within a day, once:\n  %s\n", path)
	}
	return errors.Join(err, a.Close())
}
