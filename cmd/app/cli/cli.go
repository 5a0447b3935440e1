package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"countersign/cmd/app"
	"countersign/core/config"
)

// commands are the sub-commands and what all have in common.
type commands struct {
	Config string `short:"c" type:"path" placeholder:"FILE" help:"YAML file of settings. The environment (COUNTERSIGN_…) and flags win over it."`

	Serve    serveCmd    `cmd:"" help:"Run the server, with its own PostgreSQL unless --database-url names another."`
	Worker   workerCmd   `cmd:"" help:"Run background jobs only, beside servers with COUNTERSIGN_WORKER=false."`
	Demo     demoCmd     `cmd:"" help:"Try it: a server, a push service and a simulated phone on this machine, with nothing to set up."`
	Database databaseCmd `cmd:"" help:"Run the managed PostgreSQL alone, for several servers on this machine."`
	Migrate  migrateCmd  `cmd:"" help:"Bring the database schema up to date, and stop."`
	Doctor   doctorCmd   `cmd:"" help:"Check settings, data directory, database, push credentials and mail server, and say what to do."`
	Setup    setupCmd    `cmd:"" help:"Print a new one-time setup link for the first administrator."`
	Rekey    rekeyCmd    `cmd:"" help:"Seal stored secrets with the current secret_key, so that old_secret_keys can be taken away. Servers go on meanwhile."`
	Relay    relayCmd    `cmd:"" help:"Ring phones for servers that have no credentials of their own at Google or Apple."`
	Settings settingsCmd `cmd:"" name:"config" help:"Print the effective settings, with secrets hidden, and where each comes from."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// env is what a command runs in.
type env struct {
	ctx     context.Context
	file    string
	environ []string
	out     io.Writer
	err     io.Writer
}

// server are the flags of commands that need the settings.
type server struct {
	DataDir     string `placeholder:"DIR" help:"Directory for the managed PostgreSQL and the secret key (default data; for root /var/lib/countersign)."`
	DatabaseURL string `placeholder:"URL" help:"PostgreSQL to use instead of the managed one."`
	LogLevel    string `placeholder:"LEVEL" help:"debug, info, warn or error (default info)."`
}

// load reads the settings with the flags on top.
func (s server) load(e *env, more ...config.Override) (app.Config, *config.Loaded, error) {
	for _, o := range []config.Override{
		{Path: "data_dir", Value: s.DataDir, Source: "--data-dir"},
		{Path: "database.url", Value: s.DatabaseURL, Source: "--database-url"},
		{Path: "log.level", Value: s.LogLevel, Source: "--log-level"},
	} {
		if o.Value != "" {
			more = append(more, o)
		}
	}
	return app.LoadConfig(e.file, e.environ, more...)
}

// Main runs the command line and gives the exit code: 0 for success, 1 for a failure, 2 for a wrong call, 130 when a
// second signal ended it.
func Main(args, environ []string, out, errs io.Writer) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("countersign"),
		kong.Description("A self-hosted identity provider whose centre is the phone: a login asks, the person's phone answers."),
		kong.UsageOnError(), kong.Writers(out, errs), kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
	if err != nil {
		_, _ = fmt.Fprintln(errs, "countersign:", err)
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
		_, _ = fmt.Fprintf(errs, "countersign: %v\nSee countersign --help.\n", err)
		return 2
	}
	ctx, stop := interruptible(errs)
	defer stop()
	err = parsed.Run(&env{ctx: ctx, file: c.Config, environ: environ, out: out, err: errs})
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSilent):
		return 1
	}
	_, _ = fmt.Fprintln(errs, "countersign:", err)
	return 1
}

// errSilent is a failure that the command has told of already.
var errSilent = errors.New("failed")

// interruptible gives a context that ends at the first signal; at the second one the process ends.
func interruptible(errs io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-signals:
			}
			if n > 0 {
				_, _ = fmt.Fprintln(errs, "countersign: stopped at once")
				os.Exit(130)
			}
			_, _ = fmt.Fprintln(errs, "countersign: stopping; once more stops at once")
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}
