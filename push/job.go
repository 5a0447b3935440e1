package push

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Job is one message to be sent within its answer window.
type Job struct {
	// ID names the job for Cancel: the id of the prompt that the message is about. A job with the ID of one that is
	// still alive replaces it. A job without an ID cannot be cancelled.
	ID string

	Channel  string    // the Name of the channel
	Message  Message   // its TTL is overwritten
	Deadline time.Time // the end of the answer window; a job without one is expired

	// Report hears how it goes, on some goroutine of the Dispatcher, or on the caller's own before Dispatch returns
	// when the job is refused. It must be quick, and must not take a lock that the caller of Dispatch holds. It may
	// call Dispatch and Cancel. May be nil.
	Report func(Report)
}

// State is how far a job has come.
type State string

// The states that are reported. All but Failing are final.
const (
	Accepted State = "accepted" // the provider took the message
	Failing  State = "failing"  // not yet sent; still being tried
	Dead     State = "dead"     // the address is at fault and should be forgotten
	Failed   State = "failed"   // given up
)

// Report is news of a job. A failing job is reported again only when the reason changes.
type Report struct {
	ID      string // Job.ID
	Channel string // Job.Channel
	State   State
	Reason  Reason // empty when accepted
	Attempt int    // how many attempts were begun; 0 while it waits for its first, or was refused
	Final   bool   // nothing follows
}

// job is a Job that is alive. Whoever holds it (the queue, a worker, the timer of its back-off) is the only one to
// move it on; the others only mark it.
type job struct {
	Job
	cancelled atomic.Bool
	attempts  atomic.Int32
	reason    Reason // of the last attempt, by whoever holds the job

	// Guarded by Dispatcher.mu.
	retry *time.Timer        // set while it waits for another attempt
	stop  context.CancelFunc // set while an attempt is under way

	mu   sync.Mutex // held while Report runs: keeps reports in order
	slow *time.Timer
	last Report
}

// watch has the job reported as slow when nothing else was reported after that long.
func (j *job) watch(after time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.slow = time.AfterFunc(after, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.last.State == "" {
			j.tell(Failing, Timeout)
		}
	})
}

// report tells the caller how the job stands.
func (j *job) report(s State, r Reason) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.slow.Stop()
	if s == Failing && j.last.State == Failing && j.last.Reason == r {
		return
	}
	j.tell(s, r)
}

func (j *job) tell(s State, r Reason) {
	if j.cancelled.Load() {
		return
	}
	j.last = Report{
		ID: j.ID, Channel: j.Channel, State: s, Reason: r, Attempt: int(j.attempts.Load()), Final: s != Failing,
	}
	if j.Report != nil {
		j.Report(j.last)
	}
}
