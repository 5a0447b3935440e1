package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"countersign/cmd/app/demo"
	"countersign/mobile/wire"
	"countersign/simulator/page"
	"countersign/simulator/phone"
)

type demoCmd struct {
	Once    bool   `help:"Play it without a person: enrol, approve, deny, a wrong number, no answer. Fails if an outcome is not the right one."`
	JSON    bool   `help:"With --once: print one JSON object with a timeline for each."`
	Listen  string `placeholder:"ADDRESS" help:"Address of the server (default 127.0.0.1:9000, or a free port if that is taken)."`
	DataDir string `placeholder:"DIR" help:"Keep the data here (default: a temporary directory that is removed at the end)."`
	Verbose bool   `short:"v" help:"Show the server's log."`
}

// Run demonstrates until it is told to stop, or once.
func (d *demoCmd) Run(e *env) error {
	if d.JSON && !d.Once {
		return errors.New("--json needs --once")
	}
	level := slog.LevelError
	if d.Verbose {
		level = slog.LevelInfo
	}
	o := demo.Options{
		DataDir: d.DataDir, Listen: d.Listen, Progress: e.err,
		Log: slog.New(slog.NewTextHandler(e.err, &slog.HandlerOptions{Level: level})),
	}
	if d.Once {
		o.AnswerWindow = demo.OnceWindow
	}
	began := time.Now()
	stage, err := demo.Open(e.ctx, o)
	if err != nil {
		return stopped(e, err)
	}
	if d.Once {
		report, err := stage.Once(e.ctx, began)
		if err := errors.Join(err, stage.Close()); err != nil {
			return stopped(e, err)
		}
		return d.print(e.out, report)
	}
	return stopped(e, errors.Join(d.show(e, stage), stage.Close()))
}

// stopped tells a failure from the person's own wish to stop.
func stopped(e *env, err error) error {
	if e.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (d *demoCmd) print(w io.Writer, r demo.Report) error {
	if d.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("print report: %w", err)
		}
	} else {
		for _, a := range r.Acts {
			word := "ok   "
			if !a.OK {
				word = "WRONG"
			}
			_, _ = fmt.Fprintf(w, "%s %-13s %-13s %8.1f ms  %s\n", word, a.Name, a.Outcome, a.Took, a.Detail)
		}
	}
	if !r.OK {
		return errSilent
	}
	return nil
}

// show enrols the phone, opens its page and waits.
func (d *demoCmd) show(e *env, stage *demo.Stage) error {
	_, _ = fmt.Fprintln(e.err, "Adding the phone …")
	p := stage.Phone(phone.Options{Signs: true, Verifies: true, Info: wire.Info{Hostname: "Ada's phone"}})
	defer p.Close()
	if err := stage.Enrol(e.ctx, p, nil); err != nil {
		return err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(e.ctx, "tcp", "127.0.0.1:9001")
	if err != nil {
		if listener, err = lc.Listen(e.ctx, "tcp", "127.0.0.1:0"); err != nil {
			return fmt.Errorf("listen for the phone's page: %w", err)
		}
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return fmt.Errorf("read the phone's address: %w", err)
	}
	visit, leave := context.WithCancel(e.ctx)
	desk, wait := stage.Desk(visit)
	defer func() {
		leave()
		_ = wait() // they leave a server that goes as well
	}()
	pages := http.NewServeMux()
	pages.Handle("/", desk)
	pages.Handle("/ada/", http.StripPrefix("/ada", page.New(p, page.Options{Name: "Ada's phone", Login: stage.Base() + "/"})))
	hand := &http.Server{Handler: pages, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = hand.Serve(listener) }() // ends with Close
	defer func() { _ = hand.Close() }()
	_, _ = fmt.Fprintf(e.out, `
  Log in      %s/
  as          %s
  password    %s
  the phone   http://localhost:%s/ada/   (open it beside the login page)
  the desk    http://localhost:%s/   (her colleagues' phones at work: pause, step, take one over)

The page shows a number; tap it on the phone. Then try another number, or "No, it was not me".
Ctrl-C stops everything.
`, stage.Base(), stage.User, stage.Password, port, port)
	select {
	case <-e.ctx.Done():
		return nil
	case err := <-stage.Failed():
		return fmt.Errorf("the server stopped: %w", err)
	}
}
