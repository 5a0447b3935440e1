package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Hub is one connection that LISTENs for the whole process, apart from the pool. A lost connection is opened again,
// with growing pauses; what was notified meanwhile is gone, and OnLoss says so.
type Hub struct {
	cfg    *pgx.ConnConfig
	log    *slog.Logger
	onLoss func()
	stop   context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	channels map[string]func(payload string)
	version  int           // counts changes of channels
	applied  int           // the version that the server knows; -1 while there is no connection
	changed  chan struct{} // closed and replaced when applied changes
	wake     context.CancelFunc
}

// HubOptions are the settings of a Hub. The zero value is good.
type HubOptions struct {
	Log    *slog.Logger
	OnLoss func() // called, from the hub's goroutine, when it listens again after a lost connection
}

const (
	hubIdle     = time.Minute // without a notification before the connection is tried
	hubMaxPause = 5 * time.Second
)

// NewHub makes a hub to the pool's database and starts it. It does not wait for the connection: Wait does.
func NewHub(pool *pgxpool.Pool, o HubOptions) *Hub {
	ctx, stop := context.WithCancel(context.Background())
	h := &Hub{
		cfg: pool.Config().ConnConfig.Copy(), log: o.Log, onLoss: o.OnLoss, stop: stop, done: make(chan struct{}),
		channels: map[string]func(string){}, applied: -1, changed: make(chan struct{}),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.cfg.RuntimeParams["application_name"] != "" {
		h.cfg.RuntimeParams["application_name"] += " listen"
	}
	go h.run(ctx)
	return h
}

// Listen has fn called for each notification of the channel, until cancel, in their order and from one goroutine: fn must
// return promptly. A channel has one listener; a second one replaces the first. The channel's name has at most 63 bytes.
func (h *Hub) Listen(channel string, fn func(payload string)) (cancel func()) {
	h.set(channel, fn)
	return func() { h.set(channel, nil) }
}

func (h *Hub) set(channel string, fn func(string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if fn == nil {
		delete(h.channels, channel)
	} else {
		h.channels[channel] = fn
	}
	h.version++
	if h.wake != nil {
		h.wake()
	}
}

// Wait returns when the server has been told of every Listen before it, or with ctx's error.
func (h *Hub) Wait(ctx context.Context) error {
	h.mu.Lock()
	want := h.version
	h.mu.Unlock()
	for {
		h.mu.Lock()
		applied, changed := h.applied, h.changed
		h.mu.Unlock()
		if applied >= want {
			return nil
		}
		select {
		case <-changed:
		case <-h.done:
			return errors.New("listen: the hub is closed")
		case <-ctx.Done():
			return fmt.Errorf("listen: %w", ctx.Err())
		}
	}
}

// Close ends the connection and waits for a running callback.
func (h *Hub) Close() {
	h.stop()
	<-h.done
}

func (h *Hub) run(ctx context.Context) {
	defer close(h.done)
	pause := 50 * time.Millisecond
	for lost := false; ctx.Err() == nil; lost = true {
		began := time.Now()
		err := h.session(ctx, lost)
		h.setApplied(-1)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute { // it worked for a while: this is a new trouble
			pause = 50 * time.Millisecond
		}
		h.log.Warn("listening connection lost, opening it again", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // spreads reconnections, keeps no secret
		}
		pause = min(2*pause, hubMaxPause)
	}
}

// session is the life of one connection.
func (h *Hub) session(ctx context.Context, lost bool) error {
	conn, err := pgx.ConnectConfig(ctx, h.cfg)
	if err != nil {
		return err
	}
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(bye)
	}()
	known := map[string]bool{}
	for {
		if err := h.apply(ctx, conn, known); err != nil {
			return err
		}
		if lost && h.onLoss != nil {
			h.onLoss()
		}
		lost = false
		if err := h.receive(ctx, conn); err != nil {
			return err
		}
	}
}

// apply tells the server which channels we want, beyond those it knows.
func (h *Hub) apply(ctx context.Context, conn *pgx.Conn, known map[string]bool) error {
	h.mu.Lock()
	version := h.version
	var sql string
	for channel := range h.channels {
		if !known[channel] {
			sql += "LISTEN " + pgx.Identifier{channel}.Sanitize() + ";"
		}
	}
	for channel := range known {
		if h.channels[channel] == nil {
			sql += "UNLISTEN " + pgx.Identifier{channel}.Sanitize() + ";"
		}
	}
	clear(known)
	for channel := range h.channels {
		known[channel] = true
	}
	h.mu.Unlock()
	if sql != "" {
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	h.setApplied(version)
	return nil
}

func (h *Hub) setApplied(version int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.applied = version
	close(h.changed)
	h.changed = make(chan struct{})
}

// receive passes notifications on until the channels change (nil) or the connection breaks.
func (h *Hub) receive(ctx context.Context, conn *pgx.Conn) error {
	for {
		wait, cancel := context.WithTimeout(ctx, hubIdle)
		h.mu.Lock()
		if h.version != h.applied {
			h.mu.Unlock()
			cancel()
			return nil
		}
		h.wake = cancel
		h.mu.Unlock()

		n, err := conn.WaitForNotification(wait)
		idle := errors.Is(wait.Err(), context.DeadlineExceeded)

		h.mu.Lock()
		h.wake = nil
		var fn func(string)
		if n != nil {
			fn = h.channels[n.Channel]
		}
		h.mu.Unlock()
		cancel()
		switch {
		case n != nil:
			if fn != nil {
				fn(n.Payload)
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case conn.IsClosed() || !pgconn.Timeout(err) && !errors.Is(err, context.Canceled):
			return err
		case idle:
			if err := ping(ctx, conn); err != nil {
				return err
			}
		}
	}
}

func ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return conn.Ping(ctx)
}
