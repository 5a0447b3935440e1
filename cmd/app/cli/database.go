package cli

import (
	"context"
	"fmt"
	"time"

	"countersign/core/db"
)

type databaseCmd struct {
	server
	Connections int `default:"200" help:"Connections at most, of all servers together."`
}

// Help is the long text of --help.
func (databaseCmd) Help() string {
	return `For several servers on one machine: start this, and each server with --database-url and a secret_key
that they share. It listens on a Unix socket that only this account, and root, can use.`
}

// Run runs the managed PostgreSQL until it is told to stop.
func (d *databaseCmd) Run(e *env) error {
	c, _, err := d.load(e)
	if err != nil {
		return err
	}
	m, err := db.StartManaged(e.ctx, db.ManagedOptions{Dir: c.DataDir, Log: c.Logger(e.err), Bin: c.Database.Bin, Connections: d.Connections})
	if err != nil {
		return stopped(e, err)
	}
	_, _ = fmt.Fprintf(e.out, "PostgreSQL serves %s\n", m.URL())
	<-e.ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 30*time.Second)
	defer cancel()
	return m.Stop(last)
}
