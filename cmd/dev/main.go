package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"countersign/cmd/dev/bench"
	"countersign/cmd/dev/conformance"
)

// commands are the tasks.
type commands struct {
	Verify   verifyCmd     `cmd:"" help:"Check formatting, go.mod, go vet, golden files and import rules."`
	Lint     lintCmd       `cmd:"" help:"Run golangci-lint; it is built at the first time, which takes some minutes."`
	Test     testCmd       `cmd:"" help:"Run all tests, or with --race those of the packages in which things happen at once."`
	E2E      e2eCmd        `cmd:"" name:"e2e" help:"Drive the built program with a real PostgreSQL and a real browser."`
	Fuzz     fuzzCmd       `cmd:"" help:"Run every fuzz target for some seconds."`
	Contract contractCmd   `cmd:"" help:"Compare the OpenAPI document with the wire contract."`
	Bench    bench.Command `cmd:"" help:"Measure how fast and how small the server is."`

	Conformance conformance.Command `cmd:"" help:"Say of each requirement on a push authenticator (T1 to T24) which tests prove it, and run them."`
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("dev"), kong.Description("Tasks of developing Countersign."),
		kong.UsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)), kong.Exit(func(code int) { exit = code }))
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "dev:", err)
		return 1
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "dev: %v\nSee go run ./cmd/dev --help.\n", err)
		return 2
	}
	if err := parsed.Run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "dev:", err)
		return 1
	}
	return 0
}
