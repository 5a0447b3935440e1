package task

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"countersign/core/db"
)

const (
	schema         = "river"
	maxAttempts    = 5
	firstPause     = 10 * time.Second // before the second attempt; then four times as long each
	minEvery       = time.Second
	defaultTimeout = time.Minute
	hookTimeout    = 10 * time.Second
	keepFailed     = 7 * 24 * time.Hour
)

// Periodic is a job that runs again and again.
type Periodic struct {
	Name    string        // unique, as in "collect_sessions": lower-case letters, digits and _
	Every   time.Duration // at least a second, in practice minutes; it also runs whenever a node takes over the enqueueing
	Timeout time.Duration // after which Run's context ends; 0 is a minute
	Run     func(ctx context.Context) error
}

// OneOff is a kind of job that is inserted with its facts (Runner.InsertTx) and worked once, by one of the nodes that
// know the kind.
type OneOff struct {
	Name     string        // unique among all jobs, in the form of Periodic.Name
	Workers  int           // at once on a node, in a queue of their own; 0 is one
	Attempts int           // before it has failed for good; 0 is five. The pauses grow from ten seconds to three hours
	Timeout  time.Duration // after which Run's context ends; 0 is a minute
	Run      func(ctx context.Context, facts json.RawMessage) error

	// Failed, where there is one, is called once a job has failed for good: by a Final error, or at its last attempt. A job
	// that took its node down at the last attempt is not told of. The facts stay in River's table for a week.
	Failed func(ctx context.Context, facts json.RawMessage, err error)
}

// Insert is a job to insert.
type Insert struct {
	Job   string    // a OneOff's name
	Facts any       // becomes JSON; never secrets
	At    time.Time // not before; zero is at once
}

// Final marks a run's error as one that another attempt would not mend.
func Final(err error) error { return &finalError{err} }

type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// Options are the settings of a Runner. The zero value is good.
type Options struct {
	Log     *slog.Logger // nil is silent
	OneOffs []OneOff     // the kinds that this runner inserts and works

	// OnError is told of each run that failed or panicked: which attempt it was, from 1, and whether it was the last,
	// before the next period or for good. It must not block. The log is told as well.
	OnError func(ctx context.Context, name string, attempt int, last bool, err error)
}

// Runner works the jobs of one node. One that is not started inserts jobs for others.
type Runner struct {
	client  *river.Client[pgx.Tx]
	oneOffs map[string]OneOff
}

// Migrate brings River's own tables, in the schema "river", to the version that this program needs. Call it after
// db.Migrate; several nodes may at once.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	return db.WithLock(ctx, pool, "countersign migrate", func(conn *pgxpool.Conn) error {
		if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
			return fmt.Errorf("migrate background jobs: %w", err)
		}
		m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return fmt.Errorf("migrate background jobs: %w", err)
		}
		if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return fmt.Errorf("migrate background jobs: %w", err)
		}
		return nil
	})
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{1,62}$`)

// New makes a runner of the jobs. Every node of an installation has the same list; a job that only an older program knew is
// dropped when it is met.
func New(pool *pgxpool.Pool, jobs []Periodic, o Options) (*Runner, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &worker{jobs: make(map[string]Periodic, len(jobs))}
	periodic := make([]*river.PeriodicJob, 0, len(jobs))
	longest := defaultTimeout
	for _, j := range jobs {
		if !nameForm.MatchString(j.Name) || j.Every < minEvery || j.Run == nil || j.Timeout < 0 {
			return nil, fmt.Errorf("background job %q: needs a name of a–z, 0–9 and _, a period of a second or more, and a function", j.Name)
		}
		if _, ok := w.jobs[j.Name]; ok {
			return nil, fmt.Errorf("background job %q is given twice", j.Name)
		}
		w.jobs[j.Name] = j
		longest = max(longest, j.Timeout)
		args := jobArgs{Name: j.Name}
		periodic = append(periodic, river.NewPeriodicJob(river.PeriodicInterval(j.Every),
			func() (river.JobArgs, *river.InsertOpts) { return args, nil }, &river.PeriodicJobOpts{ID: j.Name, RunOnStart: true}))
	}
	once := &oneOffWorker{jobs: make(map[string]OneOff, len(o.OneOffs))}
	queues := map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}}
	for _, j := range o.OneOffs {
		if !nameForm.MatchString(j.Name) || j.Run == nil || j.Timeout < 0 || j.Attempts < 0 || j.Workers < 0 {
			return nil, fmt.Errorf("background job %q: needs a name of a–z, 0–9 and _, and a function", j.Name)
		}
		_, periodic := w.jobs[j.Name]
		if _, ok := once.jobs[j.Name]; ok || periodic {
			return nil, fmt.Errorf("background job %q is given twice", j.Name)
		}
		once.jobs[j.Name] = j
		queues[j.Name] = river.QueueConfig{MaxWorkers: max(j.Workers, 1)}
		longest = max(longest, j.Timeout)
	}
	workers := river.NewWorkers()
	if err := errors.Join(river.AddWorkerSafely(workers, w), river.AddWorkerSafely(workers, once)); err != nil {
		return nil, fmt.Errorf("background jobs: %w", err)
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Schema: schema, Workers: workers, PeriodicJobs: periodic,
		Queues: queues,
		Logger: slog.New(atLeast{o.Log.Handler(), slog.LevelWarn}), ErrorHandler: &failures{log: o.Log, tell: o.OnError, oneOffs: once.jobs},
		// An insert notifies at once, but for one that follows another within the cooldown: the poll is for that one.
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 5 * time.Second,
		RetryPolicy: pauses{},
		JobTimeout:  defaultTimeout, RescueStuckJobsAfter: longest + 5*time.Minute,
		CompletedJobRetentionPeriod: time.Hour, CancelledJobRetentionPeriod: keepFailed, DiscardedJobRetentionPeriod: keepFailed,
		SoftStopTimeout: 10 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("background jobs: %w", err)
	}
	return &Runner{client: client, oneOffs: once.jobs}, nil
}

// InsertTx inserts jobs that are worked once tx is committed, in one round trip; never, if it is rolled back.
func (r *Runner) InsertTx(ctx context.Context, tx pgx.Tx, jobs ...Insert) error {
	if len(jobs) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, 0, len(jobs))
	for _, in := range jobs {
		kind, ok := r.oneOffs[in.Job]
		if !ok {
			return fmt.Errorf("insert background job %q: there is no such kind", in.Job)
		}
		facts, err := json.Marshal(in.Facts)
		if err != nil {
			return fmt.Errorf("insert background job %q: %w", in.Job, err)
		}
		params = append(params, river.InsertManyParams{
			Args:       oneOffArgs{Name: in.Job, Facts: facts},
			InsertOpts: &river.InsertOpts{Queue: in.Job, MaxAttempts: cmp.Or(kind.Attempts, maxAttempts), ScheduledAt: in.At},
		})
	}
	if _, err := r.client.InsertManyTx(ctx, tx, params); err != nil {
		return fmt.Errorf("insert background jobs: %w", db.Fault(err))
	}
	return nil
}

// Start begins to work and returns. The end of ctx does not stop it: Stop does.
func (r *Runner) Start(ctx context.Context) error {
	if err := r.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start background jobs: %w", err)
	}
	return nil
}

// Stop takes no more jobs and waits for those that run. When ctx ends, or after ten seconds, their contexts end and it
// waits for them to return, five seconds more at most. An interrupted job is tried again at the next start.
func (r *Runner) Stop(ctx context.Context) error {
	if err := r.client.Stop(ctx); err == nil {
		return nil
	}
	hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.client.StopAndCancel(hard); err != nil {
		return fmt.Errorf("stop background jobs: %w", err)
	}
	return nil
}

// jobArgs is the kind of the periodic jobs in River: a name from the list.
type jobArgs struct {
	Name string `json:"name"`
}

// Kind is River's name for it.
func (jobArgs) Kind() string { return "periodic" }

// InsertOpts keeps a job from being queued while the one before it waits or runs.
func (jobArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: maxAttempts, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
}

// pauses is how long a failed job waits. River looks for jobs whose time has come every five seconds, and would find one
// with a shorter pause only when it polls.
type pauses struct{}

// NextRetry is the time of the attempt after a failed one.
func (pauses) NextRetry(job *rivertype.JobRow) time.Time {
	pause := firstPause << (2 * min(job.Attempt-1, maxAttempts))
	return time.Now().Add(pause)
}

// worker finds a job's function by its name.
type worker struct {
	river.WorkerDefaults[jobArgs]
	jobs map[string]Periodic
}

// Timeout is the job's own, or the default.
func (w *worker) Timeout(job *river.Job[jobArgs]) time.Duration { return w.jobs[job.Args.Name].Timeout }

// Work runs the job.
func (w *worker) Work(ctx context.Context, job *river.Job[jobArgs]) error {
	j, ok := w.jobs[job.Args.Name]
	if !ok {
		return river.JobCancel(errors.New("no such job in this program"))
	}
	return j.Run(ctx)
}

// oneOffArgs is the kind of the one-off jobs in River.
type oneOffArgs struct {
	Name  string          `json:"name"`
	Facts json.RawMessage `json:"facts"`
}

// Kind is River's name for it.
func (oneOffArgs) Kind() string { return "one_off" }

// oneOffWorker finds a job's function by its name.
type oneOffWorker struct {
	river.WorkerDefaults[oneOffArgs]
	jobs map[string]OneOff
}

// Timeout is the job's own, or the default.
func (w *oneOffWorker) Timeout(job *river.Job[oneOffArgs]) time.Duration {
	return w.jobs[job.Args.Name].Timeout
}

// Work runs the job.
func (w *oneOffWorker) Work(ctx context.Context, job *river.Job[oneOffArgs]) error {
	j, ok := w.jobs[job.Args.Name]
	if !ok { // its queue is worked only where it is known, but for a job that somebody moved
		return river.JobCancel(errors.New("no such job in this program"))
	}
	return j.Run(ctx, job.Args.Facts)
}

// failures tells the log, the runner's owner and a job's own hook of failed runs.
type failures struct {
	log     *slog.Logger
	tell    func(ctx context.Context, name string, attempt int, last bool, err error)
	oneOffs map[string]OneOff
}

// jobArgsOf reads what both kinds have in common, and a one-off's facts.
func jobArgsOf(job *rivertype.JobRow) (args oneOffArgs) {
	if err := json.Unmarshal(job.EncodedArgs, &args); err != nil {
		return oneOffArgs{}
	}
	return args
}

// HandleError is called for each run that returned an error.
func (f *failures) HandleError(ctx context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	args := jobArgsOf(job)
	var final *finalError
	end := errors.As(err, &final)
	last := end || job.Attempt >= job.MaxAttempts
	f.log.ErrorContext(ctx, "background job failed", "job", args.Name, "attempt", job.Attempt, "last", last, "error", err)
	if f.tell != nil {
		f.tell(ctx, args.Name, job.Attempt, last, err)
	}
	if failed := f.oneOffs[args.Name].Failed; last && failed != nil {
		hook, cancel := context.WithTimeout(context.WithoutCancel(ctx), hookTimeout) // the run's own time may be over
		defer cancel()
		failed(hook, args.Facts, err)
	}
	return &river.ErrorHandlerResult{SetCancelled: end}
}

// HandlePanic is called for each run that panicked.
func (f *failures) HandlePanic(ctx context.Context, job *rivertype.JobRow, value any, trace string) *river.ErrorHandlerResult {
	f.log.ErrorContext(ctx, "background job panicked", "job", jobArgsOf(job).Name, "panic", value, "trace", trace)
	return f.HandleError(ctx, job, fmt.Errorf("panic: %v", value))
}

// atLeast drops records below a level: River tells much of its own life.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled is false below the level.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the level.
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup keeps the level.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
