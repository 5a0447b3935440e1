package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

type verifyCmd struct{}

// Help is the long text of --help.
func (verifyCmd) Help() string {
	return "All checks run, whatever the others say. `gofmt -w .` and `go test ./cmd/app -run Document -update` mend the usual ones."
}

// Run checks.
func (verifyCmd) Run(ctx context.Context) error {
	dir, err := root(ctx)
	if err != nil {
		return err
	}
	var failed []string
	for _, c := range []struct {
		name  string
		check func() error
	}{
		{"gofmt", func() error {
			out, err := output(ctx, dir, "gofmt", "-l", ".")
			if err == nil && out != "" {
				err = fmt.Errorf("not formatted:\n%s", out)
			}
			return err
		}},
		{"go.mod is tidy", func() error {
			out, err := output(ctx, dir, "go", "mod", "tidy", "-diff")
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, out)
			}
			return err
		}},
		{"go vet", func() error { return program(ctx, dir, nil, "go", "vet", "./...") }},
		{"golden files and import rules", func() error {
			return program(ctx, dir, nil, "go", "test", "-count=1", "-run", "^(TestDocument|TestArchitecture)", "./cmd/app")
		}},
	} {
		say("• %s", c.name)
		if err := c.check(); err != nil {
			say("  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
			failed = append(failed, c.name)
		}
	}
	if len(failed) > 0 {
		return errors.New("wrong: " + strings.Join(failed, ", "))
	}
	return nil
}
