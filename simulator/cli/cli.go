package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"countersign/simulator/report"
	"countersign/simulator/verdict"
)

// exitError ends the program with a code. Without err all has been told.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

type commands struct {
	FCM     fcmCmd         `cmd:"" name:"fcm" help:"Serve a double of Firebase Cloud Messaging."`
	APNs    apnsCmd        `cmd:"" name:"apns" help:"Serve a double of Apple's push service."`
	WebPush webpushCmd     `cmd:"" name:"webpush" help:"Serve a double of a Web Push service, as browsers use."`
	Unified unifiedpushCmd `cmd:"" name:"unifiedpush" help:"Serve a double of the server behind a UnifiedPush distributor."`
	Phone   phoneCmd       `cmd:"" help:"Serve a phone as a web page, for a person to hold."`
	Run     runCmd         `cmd:"" help:"Run a scenario: phones, logins, trouble; measure and check."`
	Lint    lintCmd        `cmd:"" help:"Check a scenario, and run nothing."`
	Schema  schemaCmd      `cmd:"" help:"Print the JSON schema of scenarios, for editors."`
	Replay  replayCmd      `cmd:"" help:"Run the scenario of a log again, with its seed, and compare."`
	Soak    soakCmd        `cmd:"" help:"Run a scenario for hours and watch what grows."`
	Report  reportCmd      `cmd:"" help:"Make reports of a run from its log."`
	Compare compareCmd     `cmd:"" help:"Hold a run against an earlier one."`
	Attack  attackCmd      `cmd:"" help:"Attack a server as thieves of passwords, QR codes and phones would, and say what held."`
	Conform conformanceCmd `cmd:"" name:"conformance" help:"Hold a server against the requirements T1 to T24 from outside, or against phones of all kinds."`
	StandIn standInCmd     `cmd:"" name:"stand-in" help:"Serve a stand-in for the server, whole or with a flaw."`
	Version versionCmd     `cmd:"" help:"Print the version."`
}

// env is what a command may use of its surroundings.
type env struct {
	ctx      context.Context
	out, err io.Writer
	in       io.Reader
}

// telling lets one at a time tell: commands do so from several goroutines.
var telling sync.Mutex

// tell writes to the person; where that fails nobody is left to tell.
func tell(w io.Writer, format string, args ...any) {
	telling.Lock()
	defer telling.Unlock()
	_, _ = fmt.Fprintf(w, format, args...)
}

// Main runs one command until it is done or ctx ends, and returns the exit code.
func Main(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("simulator"),
		kong.Description("The other side of a login: phones, the push service that rings them, and browsers. "+
			"Nothing here speaks to Google, and nothing needs the internet."),
		kong.UsageOnError(), kong.Writers(out, errs), kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}))
	if err != nil {
		tell(errs, "simulator: %v\n", err)
		return report.ExitScenario
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		tell(errs, "simulator: %v\nSee simulator --help.\n", err)
		return report.ExitScenario
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	err = parsed.Run(&env{ctx: ctx, out: out, err: errs, in: in})
	var exits *exitError
	if err != nil && err.Error() != "" {
		tell(errs, "simulator: %v\n", err)
	}
	switch {
	case err == nil:
		return report.ExitPassed
	case errors.As(err, &exits):
		return exits.code
	case errors.Is(err, verdict.ErrBroken), errors.Is(err, report.ErrWorse):
		return report.ExitWrong
	case errors.Is(err, context.Canceled):
		return report.ExitInterrupted
	}
	return report.ExitUnreachable
}

// interruptible ends the context at the first signal; a second one then ends the process, the
// system's way.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// serve serves h on address until ctx ends; ready is told the base URL.
func serve(ctx context.Context, address string, h http.Handler, ready func(base string) error) error {
	return serveBy(ctx, address, nil, h, ready)
}

// serveBy is serve, over TLS where there is a config for it.
func serveBy(ctx context.Context, address string, secure *tls.Config, h http.Handler, ready func(base string) error) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: h, TLSConfig: secure, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		// Event streams end with the context instead of holding up the shutdown.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	failed := make(chan error, 1)
	scheme, run := "http://", srv.Serve
	if secure != nil {
		scheme, run = "https://", func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
	}
	go func() { failed <- run(l) }()
	if err := ready(scheme + reachable(l.Addr())); err != nil {
		return errors.Join(err, srv.Close())
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		return srv.Close()
	}
	return nil
}

// reachable is an address at which this machine reaches a listener.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return a.String()
}

type versionCmd struct{}

// Run prints the version of the module and of Go.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.out, "simulator", version())
	return err
}

// version is that of the module and of Go.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}
