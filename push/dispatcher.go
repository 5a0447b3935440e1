package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	maxBackoff = 10 * time.Second
	quotaPause = time.Minute // FCM's quota is a bucket per minute: sooner is pointless, and counts against it
	stopGrace  = time.Second // for attempts that were told to end
)

// Options are the settings of a Dispatcher. The zero value of each is its default.
type Options struct {
	Workers int           // attempts under way at once; default 64
	Queue   int           // jobs alive at once, in whatever state; default 10,000
	Attempt time.Duration // the longest that one attempt may take; default 5 s
	Slow    time.Duration // when to report a job of which nothing was heard; default 900 ms: in time for a second
	Backoff time.Duration // the pause before the second attempt, doubled for each further one to 10 s; default 500 ms

	Now     func() time.Time      // default time.Now
	Rand    func() float64        // in [0, 1), for the jitter; default math/rand/v2
	Log     *slog.Logger          // default: none
	Metrics prometheus.Registerer // default: none
}

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = 64
	}
	if o.Queue <= 0 {
		o.Queue = 10_000
	}
	if o.Attempt <= 0 {
		o.Attempt = 5 * time.Second
	}
	if o.Slow <= 0 {
		o.Slow = 900 * time.Millisecond
	}
	if o.Backoff <= 0 {
		o.Backoff = 500 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Dispatcher sends messages in the background. Its methods may be called from many goroutines at once.
type Dispatcher struct {
	channels map[string]Channel
	opt      Options
	metrics  *metrics

	ctx   context.Context // over when attempts must end
	abort context.CancelFunc

	mu       sync.Mutex
	byID     map[string]*job
	waiting  map[*job]struct{} // in back-off
	queue    []*job
	alive    int
	workers  int
	stopping bool
	drained  chan struct{} // closed when stopping and nothing is alive
}

// New makes a Dispatcher over the channels. It fails when two of them share a name, or when the metrics cannot be
// registered.
func New(channels []Channel, o Options) (*Dispatcher, error) {
	d := &Dispatcher{
		channels: make(map[string]Channel, len(channels)),
		opt:      o.withDefaults(),
		byID:     map[string]*job{},
		waiting:  map[*job]struct{}{},
		drained:  make(chan struct{}),
	}
	for _, c := range channels {
		if d.channels[c.Name()] != nil || c.Name() == None {
			return nil, fmt.Errorf("two push channels are named %q", c.Name())
		}
		d.channels[c.Name()] = c
	}
	gauge := func(read func() int) func() float64 {
		return func() float64 {
			d.mu.Lock()
			defer d.mu.Unlock()
			return float64(read())
		}
	}
	var err error
	d.metrics, err = newMetrics(o.Metrics,
		gauge(func() int { return len(d.queue) }), gauge(func() int { return d.alive }))
	if err != nil {
		return nil, err
	}
	d.ctx, d.abort = context.WithCancel(context.Background())
	return d, nil
}

// Dispatch has the message sent and returns at once. A job that cannot be taken on (no such channel, no address,
// window closed, queue full, or the Dispatcher stopped: "unavailable") is reported as failed before Dispatch returns.
func (d *Dispatcher) Dispatch(j Job) {
	switch {
	case j.Channel == None:
		d.refuse(j, NoPush)
		return
	case d.channels[j.Channel] == nil:
		d.refuse(j, NoChannel)
		return
	case j.Message.Address == "":
		d.refuse(j, NoAddress)
		return
	case !d.opt.Now().Before(j.Deadline):
		d.refuse(j, Expired)
		return
	}
	in := &job{Job: j}
	d.mu.Lock()
	if d.stopping || d.alive >= d.opt.Queue {
		reason := QueueFull
		if d.stopping {
			reason = Unavailable
		}
		d.mu.Unlock()
		d.refuse(j, reason)
		return
	}
	d.alive++
	var released *job
	if j.ID != "" {
		released = d.cancel(j.ID)
		d.byID[j.ID] = in
	}
	in.watch(d.opt.Slow)
	d.enqueue(in)
	d.mu.Unlock()
	if released != nil {
		d.fail(released, released.reason)
	}
}

// Cancel ends the job with that ID, if there is one: no attempt begins after it, one that is under way is
// interrupted, and nothing more is reported, except that a report that has begun may still be running. For a prompt
// that was answered or replaced.
func (d *Dispatcher) Cancel(id string) {
	d.mu.Lock()
	released := d.cancel(id)
	d.mu.Unlock()
	if released != nil {
		d.fail(released, released.reason)
	}
}

// Stop refuses new jobs, lets those end that wait for a worker or are under way, and gives up those that wait to be
// tried again. When ctx is over first, the rest is interrupted and given up, and Stop returns ctx's error.
func (d *Dispatcher) Stop(ctx context.Context) error {
	d.mu.Lock()
	if !d.stopping {
		d.stopping = true
		if d.alive == 0 {
			close(d.drained)
		}
	}
	var released []*job
	for j := range d.waiting {
		if d.release(j) {
			released = append(released, j)
		}
	}
	d.mu.Unlock()
	for _, j := range released {
		d.fail(j, j.reason)
	}
	defer d.abort()

	select {
	case <-d.drained:
		return nil
	case <-ctx.Done():
	}
	d.abort()
	// What is left needs only to notice; a channel that does not is not waited for.
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-d.drained:
	case <-grace.C:
	}
	return fmt.Errorf("stop push: %w", ctx.Err())
}

// refuse reports a job that was never taken on.
func (d *Dispatcher) refuse(j Job, reason Reason) {
	channel := j.Channel
	if reason == NoChannel {
		channel = noChannel
	}
	d.metrics.jobs.WithLabelValues(channel, string(Failed), string(reason)).Inc()
	d.log(&j, Failed, reason, 0, nil)
	if j.Report != nil {
		j.Report(Report{ID: j.ID, Channel: j.Channel, State: Failed, Reason: reason, Final: true})
	}
}

// cancel marks a job; d.mu is held. When nobody else holds the job it is returned, and the caller ends it.
func (d *Dispatcher) cancel(id string) *job {
	j := d.byID[id]
	if j == nil {
		return nil
	}
	delete(d.byID, id)
	j.cancelled.Store(true)
	if j.stop != nil {
		j.stop()
	}
	if d.release(j) {
		return j
	}
	return nil // a worker has it, or will: it sees the mark
}

// release takes a job out of its back-off; d.mu is held. It is false when the job is not in one, or when the pause
// has just ended and the job is on its way back to the queue.
func (d *Dispatcher) release(j *job) bool {
	if _, ok := d.waiting[j]; !ok || !j.retry.Stop() {
		return false
	}
	delete(d.waiting, j)
	return true
}

// enqueue gives a job to the workers, and starts one when there may be more; d.mu is held.
func (d *Dispatcher) enqueue(j *job) {
	d.queue = append(d.queue, j)
	if d.workers < d.opt.Workers {
		d.workers++
		go d.work()
	}
}

// work makes attempts until the queue is empty.
func (d *Dispatcher) work() {
	for {
		d.mu.Lock()
		if len(d.queue) == 0 {
			d.workers--
			d.mu.Unlock()
			return
		}
		j := d.queue[0]
		d.queue[0] = nil
		d.queue = d.queue[1:]
		d.mu.Unlock()
		d.attempt(j)
	}
}

// attempt sends once and decides how the job goes on.
func (d *Dispatcher) attempt(j *job) {
	left := j.Deadline.Sub(d.opt.Now())
	if left <= 0 {
		d.fail(j, Expired)
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, min(left, d.opt.Attempt))
	defer cancel()
	d.mu.Lock()
	j.stop = cancel
	d.mu.Unlock()
	if j.cancelled.Load() || d.ctx.Err() != nil {
		d.fail(j, Unavailable)
		return
	}

	j.attempts.Add(1)
	m := j.Message
	m.TTL = left
	began := d.opt.Now()
	err := d.send(ctx, d.channels[j.Channel], m)
	d.metrics.seconds.WithLabelValues(j.Channel).Observe(d.opt.Now().Sub(began).Seconds())

	d.mu.Lock()
	j.stop = nil
	d.mu.Unlock()
	ended := func(how string) { d.metrics.attempts.WithLabelValues(j.Channel, how).Inc() }
	switch {
	case err == nil:
		ended(string(Accepted))
		d.finish(j, Accepted, "", nil)
	case j.cancelled.Load():
		ended(cancelled)
		d.fail(j, Unavailable)
	default:
		failure := classify(ctx, err, m.Address)
		ended(string(failure.Reason))
		d.failed(j, failure)
	}
}

// send calls the channel; one that panics has failed for good, and the process lives.
func (d *Dispatcher) send(ctx context.Context, c Channel, m Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.opt.Log.Error("push channel panicked", "channel", c.Name(),
				"panic", scrub(fmt.Sprint(p), []string{m.Address}), "stack", string(debug.Stack()))
			err = &Error{Reason: Internal, Permanent: true, Cause: errors.New("panic")}
		}
	}()
	return c.Send(ctx, m)
}

// classify makes an *Error of whatever a channel returned.
func classify(ctx context.Context, err error, address string) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	reason := Internal
	if ctx.Err() != nil {
		reason = Timeout
	}
	return &Error{Reason: reason, Cause: Redact(err, address)}
}

// failed ends the job, or has it tried again when that may help and there is time.
func (d *Dispatcher) failed(j *job, e *Error) {
	now := d.opt.Now()
	pause := d.pause(int(j.attempts.Load()), e)
	j.reason = e.Reason
	switch {
	case e.Reason.Dead():
		d.finish(j, Dead, e.Reason, e)
	case e.Permanent || d.ctx.Err() != nil || !now.Add(pause).Before(j.Deadline):
		d.finish(j, Failed, e.Reason, e)
	default:
		j.report(Failing, e.Reason)
		d.log(&j.Job, Failing, e.Reason, int(j.attempts.Load()), e)
		d.wait(j, pause)
	}
}

// pause is how long to wait after a failed attempt, the first being 1: half to all of the doubled back-off, at
// random, so that messages that failed together do not come back together. The provider's wish is a minimum.
func (d *Dispatcher) pause(attempt int, e *Error) time.Duration {
	full := maxBackoff
	if doublings := attempt - 1; doublings < 10 {
		full = min(full, d.opt.Backoff<<doublings)
	}
	jitter := time.Duration(d.opt.Rand() * float64(full/2))
	atLeast := e.RetryAfter
	if e.Reason == Quota && atLeast <= 0 {
		atLeast = quotaPause
	}
	return max(full/2, atLeast) + jitter
}

// wait puts the job into back-off. When that is no longer wanted the job ends instead.
func (d *Dispatcher) wait(j *job, pause time.Duration) {
	d.mu.Lock()
	if d.stopping || j.cancelled.Load() {
		d.mu.Unlock()
		d.fail(j, j.reason)
		return
	}
	d.waiting[j] = struct{}{}
	j.retry = time.AfterFunc(pause, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting, j)
		d.enqueue(j)
	})
	d.mu.Unlock()
}

// fail ends a job without another attempt.
func (d *Dispatcher) fail(j *job, reason Reason) { d.finish(j, Failed, reason, nil) }

// finish ends a job: reports how, unless it was cancelled, and gives its place away. In this order, so that Stop
// returns when all was told.
func (d *Dispatcher) finish(j *job, s State, reason Reason, cause *Error) {
	if j.cancelled.Load() {
		d.metrics.jobs.WithLabelValues(j.Channel, cancelled, "").Inc()
	} else {
		d.metrics.jobs.WithLabelValues(j.Channel, string(s), string(reason)).Inc()
		d.log(&j.Job, s, reason, int(j.attempts.Load()), cause)
	}
	j.report(s, reason)

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID[j.ID] == j {
		delete(d.byID, j.ID)
	}
	d.alive--
	if d.stopping && d.alive == 0 {
		close(d.drained)
	}
}

func (d *Dispatcher) log(j *Job, s State, reason Reason, attempts int, cause *Error) {
	level, text := slog.LevelWarn, "push not sent"
	switch {
	case s == Accepted:
		level, text = slog.LevelDebug, "push accepted"
	case reason == NoPush:
		level = slog.LevelDebug
	case s == Dead:
		level, text = slog.LevelInfo, "push address is dead"
	case s == Failing:
		text = "push failed, trying again"
	case reason.alarming():
		level = slog.LevelError
	}
	if !d.opt.Log.Enabled(context.Background(), level) {
		return
	}
	args := []any{
		"channel", j.Channel, "job", j.ID, "address", Fingerprint(j.Message.Address), "reason", reason, "attempts", attempts,
	}
	if cause != nil && cause.Cause != nil {
		args = append(args, "error", scrub(cause.Cause.Error(), []string{j.Message.Address}))
	}
	d.opt.Log.Log(context.Background(), level, text, args...) //nolint:sloglint // one of the texts above
}
