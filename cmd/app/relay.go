package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"countersign/core/secret"
	"countersign/push/relay/server"
)

// relayKeys are the keys of a relay, derived from the server keys; the first one seals.
func relayKeys(c Config) ([][]byte, error) {
	keys, err := c.secretKeys(func() string { return secret.Token(64) })
	if err != nil {
		return nil, err
	}
	keeper, err := secret.New(keys...)
	if err != nil {
		return nil, err
	}
	const label = "relay"
	return append([][]byte{keeper.Derive(label)}, keeper.DeriveOld(label)...), nil
}

// RelayTicket makes the ticket by which the relay of these settings admits an instance.
func RelayTicket(c Config, instance, name string, life time.Duration) (string, error) {
	if err := c.makeDataDir(); err != nil {
		return "", err
	}
	keys, err := relayKeys(c)
	if err != nil {
		return "", err
	}
	return server.Ticket(keys, instance, name, time.Now().Add(life))
}

// Relay is a relay that listens. It has no database.
type Relay struct {
	config   Config
	log      *slog.Logger
	handler  http.Handler
	listener net.Listener
}

// OpenRelay begins to listen.
func OpenRelay(ctx context.Context, c Config, log *slog.Logger) (*Relay, error) {
	if err := c.makeDataDir(); err != nil {
		return nil, err
	}
	keys, err := relayKeys(c)
	if err != nil {
		return nil, err
	}
	all, err := providers(c)
	if err != nil {
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	s, err := server.New(server.Options{
		Channels: all, Keys: keys, Open: c.Relay.Open, Revoked: c.Relay.Revoked, Workers: c.Push.Workers,
		PerInstance:    server.Limit{PerMinute: c.Relay.PerInstance, Burst: max(c.Relay.PerInstance/6, 1)},
		PerHandle:      server.Limit{PerMinute: c.Relay.PerPhone, Burst: c.Relay.PerPhone},
		TrustedProxies: c.TrustedProxies, Log: log, Metrics: metrics,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/relay/", s)
	alive := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	mux.HandleFunc("GET /-/health/live/", alive)
	mux.HandleFunc("GET /-/health/ready/", alive)
	mux.Handle("GET /-/metrics/", local(promhttp.HandlerFor(metrics, promhttp.HandlerOpts{})))
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	return &Relay{config: c, log: log, handler: mux, listener: listener}, nil
}

// local lets in clients on the same machine that no proxy speaks for.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !at.Addr().Unmap().IsLoopback() || r.Header.Get("X-Forwarded-For") != "" {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Addr is where it listens.
func (r *Relay) Addr() net.Addr { return r.listener.Addr() }

// Run serves until ctx ends, and then lets the wake-ups under way end.
func (r *Relay) Run(ctx context.Context) error {
	s := &http.Server{
		Handler: r.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug), TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	failed := make(chan error, 1)
	go func() {
		if t := r.config.TLS; t.Certificate != "" {
			failed <- s.ServeTLS(r.listener, t.Certificate, t.Key)
			return
		}
		failed <- s.Serve(r.listener)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(grace); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}
