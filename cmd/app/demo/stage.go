package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"countersign/cmd/app"
	"countersign/core/secret"
	"countersign/simulator/browser"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
)

// Options are the settings of a stage.
type Options struct {
	DataDir      string        // kept; "" is a temporary directory that goes with the stage
	Listen       string        // of the server; "" is 127.0.0.1:9000, or any free port when that is taken
	AnswerWindow time.Duration // how long the phone may answer; 0 is a minute
	Log          *slog.Logger
	Progress     io.Writer // a line for each step of the start
}

// Stage is everything that runs. Close ends it.
type Stage struct {
	User, Password string

	app      *app.App
	base     string // of the server, for people: http://localhost:port
	double   *fcm.Double
	push     *http.Server
	token    string // of the administrator
	dir      string // to be removed
	stop     context.CancelFunc
	finished chan error
	failed   chan error
}

// Open starts the push service and the server, and makes the user.
func Open(ctx context.Context, o Options) (_ *Stage, err error) {
	s := &Stage{User: "ada", Password: password(), finished: make(chan error, 1), failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	say := func(format string, args ...any) {
		if o.Progress != nil {
			_, _ = fmt.Fprintf(o.Progress, format+"\n", args...)
		}
	}
	if o.DataDir == "" {
		if s.dir, err = os.MkdirTemp("", "countersign-demo-"); err != nil {
			return nil, fmt.Errorf("make a directory for the demo: %w", err)
		}
		if err := os.Chmod(s.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's own user must be able to enter
			return nil, fmt.Errorf("open the directory to PostgreSQL: %w", err)
		}
		o.DataDir = s.dir
	}
	if s.double, err = fcm.New(fcm.Options{}); err != nil {
		return nil, err
	}
	listener, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	pushURL := "http://" + listener.Addr().String()
	s.push = &http.Server{Handler: s.double, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.push.Serve(listener) }() // ends with Close
	credentials, err := s.double.ServiceAccount(pushURL)
	if err != nil {
		return nil, err
	}
	c := app.Defaults()
	c.DataDir, c.HTTP.Grace = o.DataDir, 2*time.Second
	c.Push.FCM.Credentials, c.Push.FCM.URL = string(credentials), pushURL+"/v1"
	// Who tries things out denies often and waits for nothing.
	c.Mobile.Pushes, c.Mobile.PushGap, c.Mobile.DenyGap = 20, 0, 0
	if o.AnswerWindow > 0 {
		c.Mobile.AnswerWindow = o.AnswerWindow
	}
	s.token = secret.Token(40)
	admin := password()
	environment := map[string]string{"AUTHENTIK_BOOTSTRAP_PASSWORD": admin, "AUTHENTIK_BOOTSTRAP_TOKEN": s.token}
	serverListener, err := serverSocket(ctx, o.Listen)
	if err != nil {
		return nil, err
	}
	say("Starting PostgreSQL and the server …")
	s.app, err = app.Open(ctx, c, app.Options{
		Log: o.Log, Listener: serverListener, Getenv: func(name string) string { return environment[name] },
	})
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(s.app.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("read own address: %w", err)
	}
	s.base = "http://" + net.JoinHostPort("localhost", port)
	// The server outlives the caller's context until Close, so that what waits can end in order.
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go func() {
		err := s.app.Run(run)
		s.finished <- err
		s.failed <- err
	}()
	say("Making the user %s …", s.User)
	return s, s.makeUser(ctx)
}

// Base is the server's URL, without a trailing slash.
func (s *Stage) Base() string { return s.base }

// Failed is readable when the server ends by itself.
func (s *Stage) Failed() <-chan error { return s.failed }

// Phone makes a phone that is connected to the push service.
func (s *Stage) Phone(o phone.Options) *phone.Phone {
	o.Push = s.double
	return phone.New(o)
}

// Enrol logs in as the user and adds a phone by the QR code's text.
func (s *Stage) Enrol(ctx context.Context, p *phone.Phone, onStep func(browser.Step)) error {
	b, err := browser.New(browser.Options{Base: s.base, OnStep: onStep, SetupFlow: app.MobileSetupFlow})
	if err != nil {
		return err
	}
	result, err := b.Login(ctx, s.User, s.Password)
	if err != nil {
		return fmt.Errorf("log in to add the phone: %w", err)
	}
	if result.Outcome != browser.NoPhone {
		return fmt.Errorf("log in to add the phone: %s: %s", result.Outcome, result.Detail)
	}
	device, err := b.EnrolPhone(ctx, func(ctx context.Context, payload []byte) (string, error) {
		account, err := p.EnrolFromQR(ctx, payload)
		return account.Fingerprint, err
	})
	if err == nil {
		err = p.Settle(ctx, device)
	}
	if err != nil {
		return fmt.Errorf("add the phone: %w", err)
	}
	return nil
}

// makeUser adds the user through the API, as an administrator does.
func (s *Stage) makeUser(ctx context.Context) error {
	var made struct {
		PK int `json:"pk"`
	}
	if err := s.call(ctx, "/api/v3/core/users/", map[string]any{"username": s.User, "name": "Ada Lovelace"}, &made); err != nil {
		return fmt.Errorf("make the user: %w", err)
	}
	if err := s.call(ctx, fmt.Sprintf("/api/v3/core/users/%d/set_password/", made.PK), map[string]any{"password": s.Password}, nil); err != nil {
		return fmt.Errorf("set the user's password: %w", err)
	}
	return nil
}

func (s *Stage) call(ctx context.Context, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	return post(ctx, s.base+path, s.token, raw, into)
}

// Close ends the server, then PostgreSQL, then the push service, and removes the temporary directory.
func (s *Stage) Close() error {
	var errs []error
	if s.stop != nil {
		s.stop()
		errs = append(errs, <-s.finished)
	}
	if s.app != nil {
		errs = append(errs, s.app.Close())
	}
	if s.double != nil {
		s.double.Close()
	}
	if s.push != nil {
		errs = append(errs, s.push.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
