package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/admin"
	"countersign/simulator/clock"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
	"countersign/simulator/standin"
	"countersign/simulator/transport"
	"countersign/simulator/world"
)

// target is the server of a run.
type target struct {
	base       string // with trailing slash
	transport  http.RoundTripper
	admin      admin.API
	push       phone.Source
	conditions func(context.Context, fcm.Conditions) error // of the push service; nil: it has none
	world      *world.World                                // of nodes of our own
	lasting    bool                                        // it was there before and will be after
	close      func()
}

// openTarget finds or starts the scenario's server.
func (r *run) openTarget(ctx context.Context) (err error) {
	t := r.s.Target
	switch {
	case t.StandIn || r.virtual():
		return r.openStandIn()
	case t.Nodes > 0:
		err = r.openWorld(ctx)
	default:
		if r.o.Token == "" || r.o.Push == nil {
			return errors.New("a target by URL needs a token and a push service")
		}
		r.target = target{base: strings.TrimSuffix(t.URL, "/") + "/", transport: r.wide(nil), push: r.o.Push, conditions: r.o.Push.SetConditions, lasting: true}
		r.target.admin = admin.API{Base: r.target.base, Token: r.o.Token, HTTP: &http.Client{Transport: r.target.transport, Timeout: callLimit}}
		err = r.probe(ctx)
	}
	return err
}

// wide is a transport that keeps a connection for each phone.
func (r *run) wide(dial func(ctx context.Context, network, address string) (net.Conn, error)) *transport.Transport {
	people := 0
	for _, g := range r.s.Phones {
		people += g.Count
	}
	return &transport.Transport{Dial: dial, Idle: 2 * people}
}

// openStandIn uses the built-in server, in memory: no socket is between, so that a virtual clock can know who waits.
func (r *run) openStandIn() error {
	t := r.s.Target
	s := standin.Start(standin.Options{Mode: wire.Mode(t.Mode), Window: t.Window, Clock: r.clock, Seed: r.o.Seed, Guarded: t.Guarded})
	r.target = target{base: s.URL, transport: transport.Memory{Handler: s.Handler}, push: s, conditions: s.SetConditions, close: s.Close}
	r.target.admin = admin.API{Base: r.target.base, Token: standin.AdminToken, HTTP: &http.Client{Transport: r.target.transport}}
	return nil
}

// openWorld starts nodes of our own, and the push service beside them.
func (r *run) openWorld(ctx context.Context) (err error) {
	t := r.s.Target
	dir := r.o.Dir
	r.target.close = func() {}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "simulator-"); err != nil {
			return err
		}
		r.atClose(func() { _ = os.RemoveAll(dir) })
	}
	double, err := fcm.New(fcm.Options{Seed: r.o.Seed, Clock: r.clock})
	if err != nil {
		return err
	}
	r.atClose(double.Close)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	endpoint := "http://" + listener.Addr().String()
	push := &http.Server{Handler: double, ReadHeaderTimeout: callLimit}
	go func() { _ = push.Serve(listener) }() // ends with Close
	r.atClose(func() { _ = push.Close() })
	credentials, err := double.ServiceAccount(endpoint)
	if err != nil {
		return err
	}
	program, err := world.Find(ctx, r.o.Program, dir)
	if err != nil {
		return err
	}
	settings := maps.Clone(t.Settings)
	if t.Window > 0 {
		if settings == nil {
			settings = map[string]any{}
		}
		settings["mobile.answer_window"] = t.Window.String()
	}
	w, err := world.New(ctx, world.Options{Dir: dir, Program: program, Nodes: t.Nodes, Settings: settings}, credentials, endpoint+"/v1")
	if err != nil {
		return err
	}
	r.atClose(w.Close)
	r.target.world, r.target.base, r.target.transport, r.target.push = w, w.URL, r.wide(w.Dial), double
	r.target.conditions = Local(double).SetConditions
	r.target.admin = admin.API{Base: w.URL, Token: w.Token, HTTP: &http.Client{Transport: r.target.transport, Timeout: callLimit}}
	if t.Mode != "" {
		if err := r.patchStages(ctx, "/stages/authenticator/mobile/", map[string]any{"item_matching_mode": t.Mode}); err != nil {
			return err
		}
	}
	if len(t.Stage) > 0 {
		return r.patchStages(ctx, "/stages/authenticator/validate/", t.Stage)
	}
	return nil
}

// atClose has do done when the target is closed, before what was named earlier.
func (r *run) atClose(do func()) {
	earlier := r.target.close
	r.target.close = func() { do(); earlier() }
}

// patchStages changes all stages of a kind.
func (r *run) patchStages(ctx context.Context, path string, fields map[string]any) error {
	var list struct {
		Results []struct {
			PK string `json:"pk"`
		} `json:"results"`
	}
	if err := r.target.admin.Call(ctx, http.MethodGet, path, nil, &list); err != nil {
		return err
	}
	for _, one := range list.Results {
		if err := r.target.admin.Call(ctx, http.MethodPatch, path+one.PK+"/", fields, nil); err != nil {
			return err
		}
	}
	return nil
}

// probe asks the server for something that an administrator may see. An error is ErrUnreachable where nobody answers.
func (r *run) probe(ctx context.Context) error {
	return away(r.target.admin.Call(ctx, http.MethodGet, "/core/users/?page_size=1", nil, nil))
}

// away marks an error of the connection as ErrUnreachable.
func away(err error) error {
	var connection *url.Error
	if errors.As(err, &connection) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// suspect looks whether a server that is not ours is still there, after a login failed; if not, the run ends.
func (r *run) suspect() {
	if !r.target.lasting || !r.suspecting.CompareAndSwap(false, true) {
		return
	}
	r.suspicions.Go(func() {
		defer r.suspecting.Store(false)
		var err error
		for range 5 {
			ctx, cancel := context.WithTimeout(r.ctx, 3*time.Second)
			err = r.probe(ctx)
			cancel()
			if !errors.Is(err, ErrUnreachable) {
				return
			}
			if !r.sleep(r.ctx, time.Second) {
				return
			}
		}
		r.stop(err)
	})
}

// clockOf is the scenario's clock; virtual runs begin at the same time always.
func clockOf(name string) clock.Clock {
	if name == "virtual" {
		return clock.NewVirtual(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))
	}
	return clock.Wall{}
}

// closeTarget ends what open started.
func (r *run) closeTarget() {
	if r.target.close != nil {
		r.target.close()
	}
	if t, ok := r.target.transport.(*transport.Transport); ok {
		t.CloseIdleConnections()
	}
}
