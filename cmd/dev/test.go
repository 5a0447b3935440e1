package main

import (
	"context"
	"os"
	"time"
)

// concurrent are the packages in which things happen at once; they are also tested with the race detector.
var concurrent = []string{
	"./core/api/...", "./core/bus/...", "./core/db/...", "./core/mail/...", "./core/secret/...", "./core/session/...", "./core/task/...",
	"./flows/...", "./authenticators/...", "./mobile/...", "./push/...", "./simulator/...",
}

type testCmd struct {
	Race bool `help:"With the race detector, and only the packages in which things happen at once. Needs a C compiler."`
}

// Run tests.
func (t *testCmd) Run(ctx context.Context) error {
	dir, err := root(ctx)
	if err != nil {
		return err
	}
	if t.Race {
		return program(ctx, dir, []string{"CGO_ENABLED=1"}, "go", append([]string{"test", "-race"}, concurrent...)...)
	}
	return program(ctx, dir, nil, "go", "test", "./...")
}

type e2eCmd struct {
	Label    string        `placeholder:"LABEL" help:"Only specs with this label, such as main-job."`
	Focus    string        `placeholder:"REGEXP" help:"Only specs whose text fits."`
	Pictures string        `type:"path" placeholder:"DIR" help:"Leave pictures there of the pages of specs that failed."`
	Timeout  time.Duration `default:"15m" help:"For all of it."`
	Verbose  bool          `short:"v" help:"Name each spec."`
}

// Run runs the suites.
func (e *e2eCmd) Run(ctx context.Context) error {
	dir, err := root(ctx)
	if err != nil {
		return err
	}
	var environ []string
	if e.Pictures != "" {
		if err := os.MkdirAll(e.Pictures, 0o755); err != nil {
			return err
		}
		environ = append(environ, "COUNTERSIGN_TEST_PICTURES="+e.Pictures)
	}
	args := []string{"test", "-count=1", "-timeout", e.Timeout.String(), "./e2e/..."}
	if e.Verbose {
		args = append(args, "-v", "-ginkgo.v")
	}
	if e.Label != "" {
		args = append(args, "-ginkgo.label-filter="+e.Label)
	}
	if e.Focus != "" {
		args = append(args, "-ginkgo.focus="+e.Focus)
	}
	return program(ctx, dir, environ, "go", args...)
}
