package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"countersign/cmd/app"
)

type contractCmd struct {
	Diff string   `default:"../shared/contract/diff" help:"Program that compares a document with the contract; a path below the module's directory or absolute."`
	Args []string `arg:"" optional:"" passthrough:"" help:"Passed on to it, such as --tag mobile --detail 20."`
}

// Run builds the document as a server would serve it, on a database of its own, and has it compared.
func (c *contractCmd) Run(ctx context.Context) error {
	dir, err := root(ctx)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(c.Diff) {
		c.Diff = filepath.Join(dir, c.Diff)
	}
	if _, err := os.Stat(c.Diff); err != nil {
		say("skipped: %s is not there; the contract is kept apart from the source", c.Diff)
		return nil
	}
	if _, err := exec.LookPath("python3"); err != nil {
		say("skipped: %s needs python3", c.Diff)
		return nil
	}
	work, err := os.MkdirTemp("", "countersign-contract-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.Chmod(work, 0o755); err != nil { // PostgreSQL's own user must be able to enter
		return err
	}
	file := filepath.Join(work, "openapi.json")
	if err := writeDocument(ctx, filepath.Join(work, "data"), file); err != nil {
		return err
	}
	return program(ctx, dir, nil, c.Diff, append([]string{file}, c.Args...)...)
}

// writeDocument writes the OpenAPI document of a server on a new data directory.
func writeDocument(ctx context.Context, data, file string) error {
	settings := app.Defaults()
	settings.DataDir, settings.Worker = data, false
	a, err := app.OpenWorker(ctx, settings, app.Options{
		Log: slog.New(slog.DiscardHandler), Getenv: func(string) string { return "" },
	})
	if err != nil {
		return fmt.Errorf("build the document: %w", err)
	}
	return errors.Join(os.WriteFile(file, a.Document(), 0o600), a.Close())
}
