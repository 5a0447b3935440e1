package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/push"
	"countersign/push/relay"
)

const (
	maxBody    = 4 << 10
	maxAddress = 1 << 10 // so that a handle stays below relay.MaxHandle
	maxTTL     = 10 * time.Minute
	attempt    = 4 * time.Second // less than what the instance's dispatcher waits
	maxProofs  = 1_000_000       // remembered for twice relay.ProofLife
)

// What a woken phone shows before any app code runs: the same for everybody.
const (
	title = "Sign-in request"
	body  = "Open the app to answer."
)

// Options are what a Server needs. All but Channels and Keys have defaults.
type Options struct {
	Channels []push.Channel // to the providers
	Keys     [][]byte       // 32 bytes each; the first seals handles and tickets, all open them
	Open     bool           // take instances without a ticket
	Revoked  []string       // instances that are refused whatever they show

	PerInstance Limit // wake-ups; default 1200 a minute, 200 at once
	PerHandle   Limit // wake-ups; default 6 a minute, 6 at once
	PerNetwork  Limit // handles made; default 30 a minute, 30 at once
	Workers     int   // attempts at once; default 64
	Queue       int   // wake-ups that wait for a place; default 1000

	TrustedProxies []netip.Prefix        // whose X-Forwarded-For is believed
	Now            func() time.Time      // default time.Now
	Log            *slog.Logger          // default: none
	Metrics        prometheus.Registerer // default: none
}

// Server is the relay's handler.
type Server struct {
	o        Options
	channels map[string]push.Channel
	seal     sealer
	mux      *http.ServeMux

	instances, handles, networks *buckets
	proofs                       *seen
	places                       chan struct{} // one token for each attempt under way
	waiting                      chan struct{} // one for each wake-up that waits or is under way
	metrics                      metrics
}

// New makes a relay. It is an error to give it no channel or no key.
func New(o Options) (*Server, error) {
	if len(o.Channels) == 0 {
		return nil, errors.New("the relay has no channel: it needs credentials at Google (push.fcm) or Apple (push.apns)")
	}
	for _, l := range []struct {
		limit    *Limit
		standard Limit
	}{{&o.PerInstance, Limit{1200, 200}}, {&o.PerHandle, Limit{6, 6}}, {&o.PerNetwork, Limit{30, 30}}} {
		if *l.limit == (Limit{}) {
			*l.limit = l.standard
		}
	}
	if o.Workers <= 0 {
		o.Workers = 64
	}
	if o.Queue <= 0 {
		o.Queue = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		o: o, channels: map[string]push.Channel{}, mux: http.NewServeMux(),
		instances: newBuckets(o.PerInstance), handles: newBuckets(o.PerHandle), networks: newBuckets(o.PerNetwork),
		proofs: newSeen(2*relay.ProofLife, maxProofs), places: make(chan struct{}, o.Workers), waiting: make(chan struct{}, o.Workers+o.Queue),
	}
	for _, c := range o.Channels {
		s.channels[c.Name()] = c
	}
	var err error
	if s.seal, err = newSealer(o.Keys); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(o.Metrics, func() float64 { return float64(len(s.waiting)) }); err != nil {
		return nil, err
	}
	s.mux.HandleFunc("POST "+relay.PathHandles, s.postHandle)
	s.mux.HandleFunc("POST "+relay.PathWakes, s.postWake)
	return s, nil
}

// ServeHTTP serves the relay's two operations.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// refusal is an answer that is not 2xx.
type refusal struct {
	status int
	reason push.Reason
	detail string
	after  time.Duration
}

func (f refusal) write(w http.ResponseWriter) {
	if f.after > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((f.after+time.Second-1)/time.Second), 10))
	}
	writeJSON(w, f.status, relay.Refusal{Reason: f.reason, Detail: f.detail})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // where that fails nobody is there to be told
}

// read reads a body of JSON within its limit.
func read(w http.ResponseWriter, r *http.Request, into any) ([]byte, *refusal) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, reason: push.BadMessage, detail: "The body has more than 4096 bytes, or did not arrive."}
	}
	return text, parse(text, into)
}

func parse(text []byte, into any) *refusal {
	if json.Unmarshal(text, into) != nil {
		return &refusal{status: http.StatusBadRequest, reason: push.BadMessage, detail: "The body is not the JSON object of this operation."}
	}
	return nil
}

// postHandle seals a phone's address to an instance. Whoever knows an address may have a handle made of it: that gives
// nothing to who has no instance's key.
func (s *Server) postHandle(w http.ResponseWriter, r *http.Request) {
	refuse := func(f refusal) {
		s.metrics.handles.WithLabelValues("refused").Inc()
		f.write(w)
	}
	if wait := s.networks.take(s.network(r), s.o.Now()); wait > 0 {
		refuse(refusal{http.StatusTooManyRequests, push.Quota, "Too many handles from this network.", wait})
		return
	}
	var in relay.NewHandle
	if _, f := read(w, r, &in); f != nil {
		refuse(*f)
		return
	}
	channel := s.channels[in.Channel]
	bad := func(text string) {
		refuse(refusal{status: http.StatusBadRequest, reason: push.BadMessage, detail: text})
	}
	if channel == nil {
		bad("channel: this relay has no such channel.")
		return
	}
	if in.Address == "" || len(in.Address) > maxAddress {
		bad("address: 1 to 1024 bytes.")
		return
	}
	if c, ok := channel.(interface{ CheckAddress(address string) error }); ok {
		if err := c.CheckAddress(in.Address); err != nil {
			bad("address: " + err.Error() + ".")
			return
		}
	}
	if err := checkInstance(in.Instance); err != nil {
		bad("instance: " + err.Error() + ".")
		return
	}
	handle, err := s.seal.seal(target{in.Channel, in.Address}, handlePurpose(in.Instance))
	if err != nil {
		s.o.Log.Error("relay: make handle", "error", push.Redact(err, in.Address))
		refuse(refusal{status: http.StatusInternalServerError, reason: push.Internal})
		return
	}
	s.metrics.handles.WithLabelValues("made").Inc()
	writeJSON(w, http.StatusOK, relay.Handle{Handle: handle})
}

// postWake rings the phone of a handle.
func (s *Server) postWake(w http.ResponseWriter, r *http.Request) {
	name, f := s.wake(w, r)
	if f == nil {
		s.metrics.wakes.WithLabelValues(string(push.Accepted)).Inc()
		writeJSON(w, http.StatusAccepted, struct{}{})
		return
	}
	s.metrics.wakes.WithLabelValues(string(f.reason)).Inc()
	s.o.Log.Info("relay: wake-up refused", "instance", name, "reason", f.reason, "status", f.status)
	f.write(w)
}

// wake is the ladder that the package comment draws. name is the instance's, once it is known.
func (s *Server) wake(w http.ResponseWriter, r *http.Request) (name string, f *refusal) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return "", &refusal{status: http.StatusRequestEntityTooLarge, reason: push.BadMessage, detail: "The body has more than 4096 bytes, or did not arrive."}
	}
	now := s.o.Now()
	instance, f := s.admit(r, text, now)
	if f != nil {
		return instance, f
	}
	if wait := s.instances.take(instance, now); wait > 0 {
		return instance, &refusal{http.StatusTooManyRequests, push.Quota, "Too many wake-ups from this server.", wait}
	}
	var in relay.Wake
	if f := parse(text, &in); f != nil {
		return instance, f
	}
	if in.TTL < 0 || in.TTL > int64(maxTTL/time.Second) || len(in.Collapse) > 64 {
		return instance, &refusal{status: http.StatusBadRequest, reason: push.BadMessage, detail: "ttl is 0 to 600 seconds, collapse at most 64 characters."}
	}
	var to target
	if err := s.seal.open(in.Handle, handlePurpose(instance), &to); err != nil {
		return instance, &refusal{status: http.StatusGone, reason: push.InvalidAddress, detail: "handle: " + err.Error() + "."}
	}
	channel := s.channels[to.Channel]
	if channel == nil {
		return instance, &refusal{status: http.StatusGone, reason: push.InvalidAddress, detail: "This relay has no such channel any more."}
	}
	if wait := s.handles.take(to.Channel+":"+to.Address, now); wait > 0 {
		return instance, &refusal{http.StatusTooManyRequests, push.Quota, "Too many wake-ups of this phone.", wait}
	}
	return instance, s.forward(r.Context(), channel, to, in)
}

// admit checks who asks: the proof, that it is new, and that the instance may.
func (s *Server) admit(r *http.Request, text []byte, now time.Time) (instance string, f *refusal) {
	refused := func(detail string) *refusal {
		return &refusal{status: http.StatusUnauthorized, reason: push.Credentials, detail: detail}
	}
	scheme, compact, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, relay.Scheme) || len(compact) > 8<<10 {
		return "", refused("The request has no proof.")
	}
	instance, proof, err := relay.Check(compact, hostname(r.Host), text, now)
	if err != nil {
		return "", refused(err.Error())
	}
	if slices.Contains(s.o.Revoked, instance) {
		return instance, refused("This relay does not serve this server any more.")
	}
	if proof.Ticket != "" || !s.o.Open {
		var t ticket
		if err := s.seal.open(proof.Ticket, ticketPurpose, &t); err != nil || t.Instance != instance {
			return instance, refused("ticket: it is none of this relay for this server.")
		}
		if !now.Before(t.Expires) {
			return instance, refused("ticket: it is over.")
		}
	}
	if proof.Ticket == "" { // keys are free for the making: behind many of them may be one
		if wait := s.instances.take("network "+s.network(r), now); wait > 0 {
			return instance, &refusal{http.StatusTooManyRequests, push.Quota, "Too many wake-ups from this network.", wait}
		}
	}
	fresh, room := s.proofs.first(instance+"\x00"+proof.ID, now)
	switch {
	case !fresh:
		return instance, refused("This proof was used before.")
	case !room:
		return instance, &refusal{status: http.StatusServiceUnavailable, reason: push.Unavailable, after: time.Minute}
	}
	return instance, nil
}

// forward makes one attempt when there is a place for it.
func (s *Server) forward(ctx context.Context, channel push.Channel, to target, in relay.Wake) *refusal {
	busy := &refusal{status: http.StatusServiceUnavailable, reason: push.Unavailable, detail: "The relay is busy.", after: time.Second}
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		return busy
	}
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return busy
	}
	err := channel.Send(ctx, push.Message{
		Address: to.Address, Title: title, Body: body, TTL: time.Duration(in.TTL) * time.Second, CollapseKey: in.Collapse,
		// The id is of the relay's making: a phone that is woken fetches whatever waits.
		Data: map[string]string{"v": "1", "kind": "wake", "tx_id": uuid.NewString()},
	})
	if err == nil {
		return nil
	}
	var e *push.Error
	if !errors.As(err, &e) {
		return &refusal{status: http.StatusBadGateway, reason: push.Internal}
	}
	f := &refusal{status: statusOf(e.Reason), reason: e.Reason, after: e.RetryAfter}
	switch e.Reason {
	case push.Timeout:
		f.reason = push.Unavailable
	case push.Quota:
		if f.after <= 0 {
			f.after = time.Minute
		}
	case push.Credentials, push.SenderMismatch, push.BadMessage:
		s.o.Log.Error("relay: the provider refuses us", "channel", channel.Name(), "reason", e.Reason, "error", e.Cause)
	}
	return f
}

// statusOf is how a provider's refusal is passed on.
func statusOf(r push.Reason) int {
	switch r {
	case push.Unregistered, push.InvalidAddress:
		return http.StatusGone
	case push.BadMessage:
		return http.StatusBadRequest
	case push.Quota:
		return http.StatusTooManyRequests
	case push.Unavailable, push.Timeout:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// network is where a request comes from: its address, of IPv6 the /64 that one site has.
func (s *Server) network(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip := at.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && slices.ContainsFunc(s.o.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip) }); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		ip = next.Unmap()
	}
	if ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// metrics are the relay's numbers:
//
//	countersign_relay_wakes_total{result}     wake-ups: "accepted" or a Reason
//	countersign_relay_handles_total{result}   handles: made, refused
//	countersign_relay_wakes_waiting           wake-ups that wait for a place, or are under way
type metrics struct{ wakes, handles *prometheus.CounterVec }

func newMetrics(to prometheus.Registerer, waiting func() float64) (metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "countersign", Subsystem: "relay", Name: name, Help: help}
	}
	m := metrics{
		wakes:   prometheus.NewCounterVec(prometheus.CounterOpts(opts("wakes_total", "Wake-ups, by how they ended.")), []string{"result"}),
		handles: prometheus.NewCounterVec(prometheus.CounterOpts(opts("handles_total", "Handles asked for.")), []string{"result"}),
	}
	if to == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.wakes, m.handles,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("wakes_waiting", "Wake-ups not yet answered.")), waiting)} {
		if err := to.Register(c); err != nil {
			return m, fmt.Errorf("register relay metrics: %w", err)
		}
	}
	return m, nil
}
