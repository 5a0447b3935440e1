package fcm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"countersign/simulator/clock"
	"countersign/simulator/control"
	"countersign/simulator/leak"
)

// Options of a Double. The zero value is usable.
type Options struct {
	Project string // default "countersign-demo"
	// Credentials is a key file that ServiceAccount made earlier, so that a server configured with it
	// need not learn a new one; its project replaces Project. Default: a fresh account.
	Credentials []byte
	Clock       clock.Clock   // default the wall clock
	Seed        uint64        // of every random draw
	TokenLife   time.Duration // of a bearer token; default one hour
	AcceptAny   bool          // take sends to addresses that nobody registered, instead of 404
	History     int           // sends remembered; default 2000
	Log         *slog.Logger  // default: none
}

// Double is the push service. It is an http.Handler and safe for concurrent use.
type Double struct {
	o      Options
	auth   *authority
	mux    *http.ServeMux
	schema fields
	closed chan struct{}
	stop   sync.Once
	late   sync.WaitGroup // deliveries that wait for their delay

	mu         sync.Mutex
	rng        *rand.Rand
	addresses  map[string]*mailbox
	conditions Conditions
	quota      bucket // of the project
	log        history
	serial     uint64
	forbidden  []string
}

// New makes a double. It fails where its service account cannot be made or read.
func New(o Options) (*Double, error) {
	if o.Project == "" {
		o.Project = "countersign-demo"
	}
	if o.Clock == nil {
		o.Clock = clock.Wall{}
	}
	if o.TokenLife <= 0 {
		o.TokenLife = time.Hour
	}
	if o.History <= 0 {
		o.History = 2000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	auth, err := newAuthority(o)
	if err != nil {
		return nil, err
	}
	o.Project = auth.project
	d := &Double{
		o: o, auth: auth, schema: requestSchema(), closed: make(chan struct{}),
		rng:       rand.New(rand.NewPCG(o.Seed, 0)), //nolint:gosec // G404: draws that a seed repeats, no secrets
		addresses: make(map[string]*mailbox),
		log:       newHistory(o.History),
	}
	d.mux = http.NewServeMux()
	d.mux.HandleFunc("POST /token", d.token)
	d.mux.HandleFunc("POST /v1/projects/{project}/{method}", d.messages)
	d.control()
	return d, nil
}

// ServeHTTP serves the API and, under /-/, its controls.
func (d *Double) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }

// Close ends every subscription, held request and delayed delivery.
func (d *Double) Close() {
	d.stop.Do(func() {
		close(d.closed)
		d.mu.Lock()
		for _, box := range d.addresses {
			box.disconnect()
		}
		d.mu.Unlock()
	})
	d.late.Wait()
}

func (d *Double) isClosed() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}

// Project is the id of the double's Firebase project.
func (d *Double) Project() string { return d.o.Project }

// ServiceAccount is the JSON key file of the project's service account, with token_uri on base, the
// URL at which this handler is reached ("http://127.0.0.1:9099"). With it as credentials and
// base+"/v1" as endpoint the official SDK works unchanged.
func (d *Double) ServiceAccount(base string) ([]byte, error) { return d.auth.credentials(base) }

// Bearer is a new bearer token, as the account's server gets one at /token, and how long it holds: for a server in this process.
func (d *Double) Bearer() (token string, life time.Duration, err error) {
	token, err = d.auth.issue()
	return token, d.o.TokenLife, err
}

// RevokeTokens makes the bearer tokens issued so far worthless: their next use is 401.
func (d *Double) RevokeTokens() { d.auth.revoke() }

func (d *Double) token(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	o, out := d.outage(d.o.Clock.Now())
	d.mu.Unlock()
	if out && o.Token {
		d.refuse(w, r, &refusal{code: o.Error, retryAfter: time.Duration(o.RetryAfter)})
		return
	}
	d.auth.token(w, r)
}

// messages answers POST /v1/projects/{project}/messages:send.
func (d *Double) messages(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("method") != "messages:send" {
		control.Write(w, http.StatusNotFound, map[string]any{"error": map[string]any{"code": 404, "message": "Method not found.", "status": "NOT_FOUND"}})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var v verdict
	if err != nil {
		v = d.tooLarge(r)
	} else {
		v = d.judge(r, body)
	}
	if !d.wait(r.Context(), v.latency) {
		return
	}
	if v.refused != nil {
		d.conclude(v, v.refused.code)
		d.refuse(w, r, v.refused)
		return
	}
	d.deliver(v)
	control.Write(w, http.StatusOK, map[string]string{"name": v.record.Name})
}

// verdict is what is to happen with a send; the record is still private to the request.
type verdict struct {
	record  *Record
	message Message
	to      target
	step    Step
	latency time.Duration
	delay   time.Duration
	refused *refusal
}

func (d *Double) tooLarge(r *http.Request) verdict {
	return verdict{
		record:  d.newRecord(r, d.o.Clock.Now()),
		refused: &refusal{code: InvalidField, message: "Request payload size exceeds the limit: 65536 bytes."},
	}
}

// judge decides in the order that the package comment draws.
func (d *Double) judge(r *http.Request, body []byte) verdict {
	now := d.o.Clock.Now()
	v := verdict{record: d.newRecord(r, now)}
	admitted := d.auth.admits(r)
	to, message, dry, malformed := read(d.schema, body, now)
	if json.Valid(body) {
		v.record.Request = json.RawMessage(body)
	}
	v.to, v.message = to, message
	v.record.Target, v.record.Address, v.record.DryRun = to.kind, to.value, dry

	d.mu.Lock()
	defer d.mu.Unlock()
	v.latency = d.draw(d.conditions.Latency, d.conditions.Jitter)
	v.delay = d.draw(d.conditions.Delay, d.conditions.DelayJitter)
	if o, out := d.outage(now); out {
		v.refused = &refusal{code: o.Error, retryAfter: time.Duration(o.RetryAfter)}
		return v
	}
	switch {
	case !admitted:
		v.refused = &refusal{code: Unauthenticated}
	case r.PathValue("project") != d.o.Project:
		v.refused = &refusal{code: PermissionDenied}
	case malformed != nil:
		v.refused = malformed
	default:
		v.refused = d.overQuota(now)
	}
	if v.refused != nil {
		return v
	}
	var box *mailbox
	if to.device() {
		if box, v.refused = d.box(to); v.refused != nil {
			return v
		}
		if v.refused = d.overDeviceQuota(box, now); v.refused != nil {
			return v
		}
		v.step = box.script.next()
	}
	if v.step.Error == "" && d.rng.Float64() < d.conditions.ErrorRate {
		v.step.Error = d.drawError()
	}
	v.latency += time.Duration(v.step.Latency)
	v.delay += time.Duration(v.step.Delay)
	v.step.Lose = v.step.Lose || d.rng.Float64() < d.conditions.LossRate
	if v.step.Error != "" {
		v.refused = &refusal{code: v.step.Error, retryAfter: time.Duration(v.step.RetryAfter)}
		return v
	}
	if to.device() && !dry {
		v.record.Leaks = leak.In(message.Data, []string{message.Title, message.Body}, d.forbidden)
	}
	d.serial++
	v.message.ID = fmt.Sprintf("0:%d%%%08x", now.UnixMicro(), d.serial)
	v.record.Name = "projects/" + d.o.Project + "/messages/" + v.message.ID
	return v
}

// box finds the mailbox of a device target.
func (d *Double) box(to target) (*mailbox, *refusal) {
	box := d.addresses[to.value]
	if box == nil && d.o.AcceptAny {
		var err error
		if box, err = d.open(to.value); err != nil {
			return nil, &refusal{code: Internal, message: err.Error()}
		}
	}
	if box == nil || box.dead {
		return nil, &refusal{code: Unregistered}
	}
	return box, nil
}

func (d *Double) outage(now time.Time) (Outage, bool) {
	for _, o := range d.conditions.Outages {
		if o.covers(now) {
			if o.Error == "" {
				o.Error = Unavailable
			}
			return o, true
		}
	}
	return Outage{}, false
}

// bucket is what is used of a quota.
type bucket struct {
	from time.Time
	used int
}

// take takes one message, or says how long until the bucket is full again.
func (b *bucket) take(q Quota, now time.Time) (wait time.Duration, ok bool) {
	end := b.from.Add(time.Duration(q.Per))
	if !now.Before(end) {
		b.from, b.used = now, 0
		end = now.Add(time.Duration(q.Per))
	}
	if b.used >= q.Messages {
		return end.Sub(now), false
	}
	b.used++
	return 0, true
}

func (d *Double) overQuota(now time.Time) *refusal {
	if d.conditions.Quota == nil {
		return nil
	}
	if wait, ok := d.quota.take(*d.conditions.Quota, now); !ok {
		return &refusal{code: QuotaExceeded, retryAfter: wait}
	}
	return nil
}

func (d *Double) overDeviceQuota(box *mailbox, now time.Time) *refusal {
	if len(box.quotas) != len(d.conditions.DeviceQuotas) {
		box.quotas = make([]bucket, len(d.conditions.DeviceQuotas))
	}
	for i, q := range d.conditions.DeviceQuotas {
		if wait, ok := box.quotas[i].take(q, now); !ok {
			return &refusal{code: QuotaExceeded, message: "The rate of messages to this device is too high.", retryAfter: wait}
		}
	}
	return nil
}

func (d *Double) draw(base, jitter Duration) time.Duration {
	total := time.Duration(base)
	if jitter > 0 {
		total += time.Duration(d.rng.Int64N(int64(jitter)))
	}
	return total
}

func (d *Double) drawError() Code {
	if n := len(d.conditions.Errors); n > 0 {
		return d.conditions.Errors[d.rng.IntN(n)]
	}
	return [...]Code{Unavailable, Internal}[d.rng.IntN(2)]
}

// refuse answers with an error, or in the two ways that are no answer.
func (d *Double) refuse(w http.ResponseWriter, r *http.Request, f *refusal) {
	switch f.code {
	case Reset:
		panic(http.ErrAbortHandler) // net/http's way to cut the connection
	case Hang:
		select {
		case <-r.Context().Done():
		case <-d.closed:
		}
		panic(http.ErrAbortHandler)
	default:
		f.write(w)
	}
}

// wait passes the time on the double's clock; false when the client has gone or the double closed.
func (d *Double) wait(ctx context.Context, t time.Duration) bool {
	if t <= 0 {
		return true
	}
	c, stop := d.o.Clock.After(t)
	defer stop()
	select {
	case <-c:
		return true
	case <-ctx.Done():
	case <-d.closed:
	}
	return false
}
