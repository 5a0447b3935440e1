package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"countersign/core/bootstrap"
	"countersign/core/bus"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/secret"
	"countersign/core/task"
	"countersign/core/user"
	"countersign/mobile"
	"countersign/push"
	"countersign/push/relay"
	"countersign/push/webpush"
)

// Version is the program's version.
const Version = "0.1.0"

// Options are what Open takes beside the settings.
type Options struct {
	Log    *slog.Logger
	Getenv func(string) string // for the bootstrap variables; default os.Getenv
	// Channel is used for new push addresses instead of FCM, and in place of the one of its name: a measurement or a test
	// brings its own.
	Channel push.Channel
	// Listener is used instead of listening on Config.Listen.
	Listener net.Listener
	// Hasher replaces the password hasher, for measurements.
	Hasher *user.Hasher
	// Tracer sees every statement, for measurements.
	Tracer pgx.QueryTracer

	offline bool // no listener
}

// App is one server node.
type App struct {
	config   Config
	log      *slog.Logger
	managed  *db.Managed
	pool     *pgxpool.Pool
	bus      *bus.Postgres
	pusher   *push.Dispatcher
	services *services
	metrics  *prometheus.Registry
	handler  http.Handler
	listener net.Listener
	channel  string           // of new push addresses; "" is the usual
	offers   []mobile.Channel // that phones may choose
	setup    string           // token of the one-time setup link
	stopping atomic.Bool

	setupElsewhere bool
}

// Database opens the database of the settings: the given one, or the managed one. The returned stop ends what was
// started.
func Database(ctx context.Context, c Config, log *slog.Logger) (*pgxpool.Pool, *db.Managed, error) {
	return database(ctx, c, log, nil)
}

func database(ctx context.Context, c Config, log *slog.Logger, tracer pgx.QueryTracer) (*pgxpool.Pool, *db.Managed, error) {
	url := c.Database.URL
	conns := c.Database.MaxConnections
	if conns == 0 {
		conns = max(16, 4*int32(runtime.GOMAXPROCS(0)))
	}
	var managed *db.Managed
	if url == "" {
		var err error
		managed, err = db.StartManaged(ctx, db.ManagedOptions{Dir: c.DataDir, Log: log, Bin: c.Database.Bin, Connections: int(conns) + 20})
		if err != nil {
			return nil, nil, err
		}
		url = managed.URL()
	}
	pool, err := db.Open(ctx, url, db.Options{MaxConns: conns, Wait: c.Database.Wait, Tracer: tracer})
	if err != nil {
		return nil, nil, errors.Join(err, stopManaged(managed))
	}
	return pool, managed, nil
}

func stopManaged(m *db.Managed) error {
	if m == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return m.Stop(ctx)
}

// Migrate brings the schema up to date: ours, then that of the background jobs.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if err := db.Migrate(ctx, pool); err != nil {
		return err
	}
	return task.Migrate(ctx, pool)
}

// Open starts all but the listener. Close undoes it; after an error there is nothing to undo.
func Open(ctx context.Context, c Config, o Options) (_ *App, err error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	a := &App{config: c, log: o.Log, metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := c.makeDataDir(); err != nil {
		return nil, err
	}
	keys, err := c.secretKeys(func() string { return secret.Token(64) })
	if err != nil {
		return nil, err
	}
	keeper, err := secret.New(keys...)
	if err != nil {
		return nil, err
	}
	if a.pool, a.managed, err = database(ctx, c, o.Log, o.Tracer); err != nil {
		return nil, err
	}
	if err := Migrate(ctx, a.pool); err != nil {
		return nil, err
	}
	hasher := o.Hasher
	if hasher == nil {
		if hasher, err = user.NewHasher(user.DefaultParams(), 0); err != nil {
			return nil, err
		}
	}
	events := &event.Log{Retention: c.Events.Retention, Now: time.Now}
	first := &bootstrap.Service{Pool: a.pool, Hasher: hasher, Events: events, Keeper: keeper, Now: time.Now}
	installed, err := first.Run(ctx, bootstrap.FromEnvironment(o.Getenv))
	if err != nil {
		return nil, err
	}
	if err := seed(ctx, a.pool); err != nil {
		return nil, err
	}
	a.setup, a.setupElsewhere = installed.SetupToken, installed.LinkElsewhere
	if a.bus, err = bus.Open(ctx, a.pool, bus.Options{Log: o.Log}); err != nil {
		return nil, err
	}
	own, err := a.channelKeys(ctx, keeper)
	if err != nil {
		return nil, err
	}
	all, err := channels(c, own)
	if err != nil {
		return nil, err
	}
	if o.Channel != nil {
		a.channel = o.Channel.Name()
		if i := slices.IndexFunc(all, func(c push.Channel) bool { return c.Name() == a.channel }); i >= 0 {
			all = slices.Delete(all, i, i+1)
		}
		all = append(all, o.Channel)
	}
	a.offers = offers(all)
	a.pusher, err = push.New(all, push.Options{
		Workers: c.Push.Workers, Queue: c.Push.Queue, Log: o.Log, Metrics: a.metrics,
	})
	if err != nil {
		return nil, err
	}
	a.services, err = newServices(a, keeper, hasher, events, installed.InstallID, first)
	if err != nil {
		return nil, err
	}
	if a.handler, err = a.services.api.Handler(); err != nil {
		return nil, fmt.Errorf("check the API document: %w", err)
	}
	a.listener = o.Listener
	if a.listener == nil && !o.offline {
		var lc net.ListenConfig
		if a.listener, err = lc.Listen(ctx, "tcp", c.Listen); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", c.Listen, err)
		}
	}
	return a, nil
}

// channelKeys loads the server's own keys. One that was sealed by a secret key that is gone costs its channel, no more.
func (a *App) channelKeys(ctx context.Context, keeper *secret.Keeper) (channelKeys, error) {
	var out channelKeys
	for name, key := range map[string]**ecdsa.PrivateKey{webpush.Name: &out.webpush, relay.Name: &out.relay} {
		var err error
		*key, err = mobile.ChannelKey(ctx, a.pool, keeper, name)
		if errors.Is(err, secret.ErrUnknownKey) || errors.Is(err, secret.ErrTampered) {
			a.log.Error("push channel is off: its key was sealed by a secret_key that is not configured", "channel", name, "error", err)
		} else if err != nil {
			return out, err
		}
	}
	return out, nil
}

// Addr is the address that the server listens on.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// URL is how a browser on this machine reaches the server, with a trailing slash.
func (a *App) URL() string {
	scheme := "http"
	if a.config.TLS.Certificate != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(a.Addr().String())
	if ip := net.ParseIP(host); err == nil && (ip == nil || ip.IsUnspecified()) {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}

// SetupURL is the one-time link by which the first administrator chooses a password; "" when there is none to show.
func (a *App) SetupURL() string {
	if a.setup == "" {
		return ""
	}
	return a.URL() + "if/setup/" + a.setup + "/"
}

// SetupElsewhere tells that another start printed a setup link moments ago, which is still good.
func (a *App) SetupElsewhere() bool { return a.setupElsewhere }

// Pool is the database.
func (a *App) Pool() *pgxpool.Pool { return a.pool }

// Node is the server's identity on the bus.
func (a *App) Node() uuid.UUID { return a.bus.Node() }

// Waiting is how many logins wait for a phone in this process.
func (a *App) Waiting() int64 { return a.services.engine.Waiting() }

// Handler serves everything; for tests and measurements without a listener.
func (a *App) Handler() http.Handler { return a.handler }

// Document is the OpenAPI document, as JSON.
func (a *App) Document() []byte { return a.services.api.Document() }

// Run serves until ctx ends, then lets the requests under way end within the grace. The error is nil for an orderly
// end.
func (a *App) Run(ctx context.Context) error {
	if a.config.Worker {
		stop, err := a.startJobs(ctx)
		if err != nil {
			return err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := stop(ctx); err != nil {
				a.log.Warn("background jobs did not end in time", "error", err)
			}
		}()
	}
	server := &http.Server{
		Handler: a.handler, ReadHeaderTimeout: a.config.HTTP.ReadTimeout, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	server.RegisterOnShutdown(a.services.mobile.Release) // no sooner: phones would come back to this node
	failed := make(chan error, 1)
	go func() {
		if a.config.TLS.Certificate != "" {
			failed <- server.ServeTLS(a.listener, a.config.TLS.Certificate, a.config.TLS.Key)
			return
		}
		failed <- server.Serve(a.listener)
	}()
	// The start used memory that serving does not need again: the schema's reflection, a password hash.
	debug.FreeOSMemory()
	a.log.Info("serving", "url", a.URL(), "node", a.Node(), "version", Version)
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	a.log.Info("stopping", "waiting_logins", a.Waiting(), "grace", a.config.HTTP.Grace)
	grace, cancel := context.WithTimeout(context.Background(), a.config.HTTP.Grace)
	defer cancel()
	a.stopping.Store(true)
	a.drain(grace)
	if err := server.Shutdown(grace); err != nil {
		a.log.Warn("requests were cut off", "error", err, "waiting_logins", a.Waiting())
		return server.Close()
	}
	return nil
}

// linger is how long a stopping server stays after the last login that waited, for the requests by which its page goes on.
const linger = time.Second

// drain waits until no login waits for a phone. The listener stays open meanwhile: a phone's answer is a request too.
func (a *App) drain(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var quiet time.Duration // none, when nobody waits to begin with
	for began := time.Now(); a.Waiting() > 0 || time.Since(began) < quiet; {
		if a.Waiting() > 0 {
			began, quiet = time.Now(), linger
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends what Open started.
func (a *App) Close() error {
	var errs []error
	if a.services != nil && a.services.mobile != nil {
		a.services.mobile.Close()
	}
	if a.pusher != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		errs = append(errs, a.pusher.Stop(ctx))
	}
	if a.bus != nil {
		a.bus.Close()
	}
	if a.listener != nil {
		_ = a.listener.Close() // closed already when Run has ended
	}
	if a.pool != nil {
		a.pool.Close()
	}
	errs = append(errs, stopManaged(a.managed))
	return errors.Join(errs...)
}
