package task

import (
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
)

// Periodic is a job that runs again and again.
type Periodic struct {
	Name    string        // unique, as in "collect_sessions": lower-case letters, digits and _
	Every   time.Duration // at least a second, in practice minutes; it also runs whenever a node takes over the enqueueing
	Timeout time.Duration // after which Run's context ends; 0 is a minute
	Run     func(ctx context.Context) error
}

// Options are the settings of a Runner. The zero value is good.
type Options struct {
	Log *slog.Logger // nil is silent

	// OnError is told of each run that failed or panicked: which attempt it was, from 1, and whether it was the last
	// before the next period. It must not block. The log is told as well.
	OnError func(ctx context.Context, name string, attempt int, last bool, err error)
}

// Runner works the jobs of one node.
type Runner struct {
	client *river.Client[pgx.Tx]
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
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, w); err != nil {
		return nil, fmt.Errorf("background jobs: %w", err)
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Schema: schema, Workers: workers, PeriodicJobs: periodic,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}},
		Logger: slog.New(atLeast{o.Log.Handler(), slog.LevelWarn}), ErrorHandler: &failures{log: o.Log, tell: o.OnError},
		FetchPollInterval: time.Minute, // a notification comes at once; this is for one that was lost
		RetryPolicy:       pauses{},
		JobTimeout:        defaultTimeout, RescueStuckJobsAfter: longest + 5*time.Minute,
		CompletedJobRetentionPeriod: time.Hour,
		SoftStopTimeout:             10 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("background jobs: %w", err)
	}
	return &Runner{client: client}, nil
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

// jobArgs is the one kind of job in River: a name from the list.
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

// failures tells the log and the runner's owner of failed runs.
type failures struct {
	log  *slog.Logger
	tell func(ctx context.Context, name string, attempt int, last bool, err error)
}

func jobName(job *rivertype.JobRow) string {
	var args jobArgs
	if err := json.Unmarshal(job.EncodedArgs, &args); err != nil {
		return ""
	}
	return args.Name
}

// HandleError is called for each run that returned an error.
func (f *failures) HandleError(ctx context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	name := jobName(job)
	last := job.Attempt >= job.MaxAttempts
	f.log.ErrorContext(ctx, "background job failed", "job", name, "attempt", job.Attempt, "last", last, "error", err)
	if f.tell != nil {
		f.tell(ctx, name, job.Attempt, last, err)
	}
	return nil
}

// HandlePanic is called for each run that panicked.
func (f *failures) HandlePanic(ctx context.Context, job *rivertype.JobRow, value any, trace string) *river.ErrorHandlerResult {
	f.log.ErrorContext(ctx, "background job panicked", "job", jobName(job), "panic", value, "trace", trace)
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
