package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// The linter is no part of go.mod: its several hundred requirements would be mixed with ours.
const (
	linterVersion = "v2.15.0"
	linterPackage = "github.com/golangci/golangci-lint/v2/cmd/golangci-lint"
)

type lintCmd struct {
	Fix      bool     `help:"Mend what can be mended."`
	Packages []string `arg:"" optional:"" help:"Packages; default ./..."`
}

// Run lints.
func (l *lintCmd) Run(ctx context.Context) error {
	dir, err := root(ctx)
	if err != nil {
		return err
	}
	linter, err := installLinter(ctx)
	if err != nil {
		return err
	}
	args := []string{"run", "--max-issues-per-linter", "0", "--max-same-issues", "0", "--allow-parallel-runners"}
	if l.Fix {
		args = append(args, "--fix")
	}
	if len(l.Packages) == 0 {
		l.Packages = []string{"./..."}
	}
	return program(ctx, dir, nil, linter, append(args, l.Packages...)...)
}

// installLinter builds the linter once for each version of it and of Go, in the user's cache.
func installLinter(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "countersign", "tools", "golangci-lint-"+linterVersion+"-"+runtime.Version())
	path := filepath.Join(dir, "golangci-lint")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	say("Building golangci-lint %s into %s; this takes some minutes and happens once.", linterVersion, dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Outside the module, so that its go.mod does not matter.
	if err := program(ctx, dir, []string{"GOBIN=" + dir, "GOFLAGS="}, "go", "install", linterPackage+"@"+linterVersion); err != nil {
		return "", fmt.Errorf("build the linter: %w", err)
	}
	return path, nil
}
