package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/dbtest"
	"countersign/core/task"
)

const patience = 30 * time.Second

func setup(t *testing.T) (context.Context, *pgxpool.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	pool := dbtest.Pool(t)
	if err := task.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	return ctx, pool
}

func start(t *testing.T, ctx context.Context, pool *pgxpool.Pool, o task.Options, jobs ...task.Periodic) *task.Runner {
	t.Helper()
	r, err := task.New(pool, jobs, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

func receive[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
	}
	return v
}

func TestRunsAgain(t *testing.T) {
	t.Parallel()
	ctx, pool := setup(t)
	ran := make(chan string, 100)
	job := func(name string, every time.Duration) task.Periodic {
		return task.Periodic{Name: name, Every: every, Run: func(context.Context) error { ran <- name; return nil }}
	}
	r := start(t, ctx, pool, task.Options{}, job("often", time.Second), job("seldom", time.Hour))
	count := map[string]int{}
	for count["often"] < 3 || count["seldom"] < 1 {
		count[receive(t, ran, "a run")]++
	}
	if count["seldom"] != 1 {
		t.Errorf("runs: %v", count)
	}
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	for len(ran) > 0 {
		<-ran
	}
	// River hands its connections back on goroutines of its own.
	for end := time.Now().Add(patience); pool.Stat().AcquiredConns() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are out after Stop", pool.Stat().AcquiredConns())
		}
	}
}

func TestStopWaitsThenCancels(t *testing.T) {
	t.Parallel()
	ctx, pool := setup(t)
	began, ended := make(chan struct{}, 2), make(chan error, 2)
	r := start(t, ctx, pool, task.Options{}, task.Periodic{Name: "slow", Every: time.Hour, Run: func(ctx context.Context) error {
		began <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}})
	receive(t, began, "the start")
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := r.Stop(short); err != nil {
		t.Fatal(err)
	}
	if len(ended) != 1 {
		t.Error("Stop returned while the job ran")
	}
}

func TestFailuresAreToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	ctx, pool := setup(t)
	type failure struct {
		name    string
		attempt int
		last    bool
		err     error
	}
	told := make(chan failure, 10)
	boom := errors.New("boom")
	start(t, ctx, pool, task.Options{OnError: func(_ context.Context, name string, attempt int, last bool, err error) {
		told <- failure{name, attempt, last, err}
	}},
		task.Periodic{Name: "fails", Every: time.Hour, Run: func(context.Context) error { return boom }},
		task.Periodic{Name: "panics", Every: time.Hour, Run: func(context.Context) error { panic("at the disco") }})
	for range 2 {
		f := receive(t, told, "a failure")
		if f.attempt != 1 || f.last || f.name == "fails" && !errors.Is(f.err, boom) || f.name == "panics" && !strings.Contains(f.err.Error(), "at the disco") {
			t.Errorf("%+v", f)
		}
	}
	// The second attempt is ten seconds away; that it is planned shows in River's table.
	for {
		var n int
		if err := pool.QueryRow(ctx, "SELECT count(*) FROM river.river_job WHERE state = 'retryable' AND scheduled_at BETWEEN now() + '4 s' AND now() + '11 s'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 2 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestOneNodeOfTwoRunsIt(t *testing.T) {
	t.Parallel()
	ctx, pool := setup(t)
	ran := make(chan struct{}, 100)
	job := task.Periodic{Name: "single", Every: time.Hour, Run: func(context.Context) error { ran <- struct{}{}; return nil }}
	first := start(t, ctx, pool, task.Options{}, job)
	receive(t, ran, "the first node's run")
	start(t, ctx, pool, task.Options{}, job)
	if err := first.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	receive(t, ran, "the run after the second node took over")
	if len(ran) != 0 {
		t.Errorf("%d runs too many", len(ran))
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	run := func(context.Context) error { return nil }
	once := func(context.Context, json.RawMessage) error { return nil }
	for name, jobs := range map[string][]task.OneOff{
		"no name":     {{Run: once}},
		"no function": {{Name: "one"}},
		"twice":       {{Name: "one", Run: once}, {Name: "one", Run: once}},
		"of a period": {{Name: "job", Run: once}},
	} {
		if _, err := task.New(pool, []task.Periodic{{Name: "job", Every: time.Hour, Run: run}}, task.Options{OneOffs: jobs}); err == nil {
			t.Errorf("one-off, %s: accepted", name)
		}
	}
	for name, jobs := range map[string][]task.Periodic{
		"no name":     {{Every: time.Hour, Run: run}},
		"odd name":    {{Name: "Odd-Name", Every: time.Hour, Run: run}},
		"no period":   {{Name: "job", Run: run}},
		"no function": {{Name: "job", Every: time.Hour}},
		"twice":       {{Name: "job", Every: time.Hour, Run: run}, {Name: "job", Every: time.Hour, Run: run}},
	} {
		if _, err := task.New(pool, jobs, task.Options{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pool := dbtest.Pool(t)
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() { errs[i] = task.Migrate(ctx, pool) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// facts are what the one-off jobs of these tests hold.
type facts struct {
	N int `json:"n"`
}

func oneOff(run func(ctx context.Context, f facts) error, failed func(f facts, err error)) task.OneOff {
	read := func(raw json.RawMessage) (f facts) {
		if err := json.Unmarshal(raw, &f); err != nil {
			panic(err)
		}
		return f
	}
	return task.OneOff{
		Name: "one", Workers: 2, Attempts: 2,
		Run:    func(ctx context.Context, raw json.RawMessage) error { return run(ctx, read(raw)) },
		Failed: func(_ context.Context, raw json.RawMessage, err error) { failed(read(raw), err) },
	}
}

func insert(t *testing.T, ctx context.Context, pool *pgxpool.Pool, r *task.Runner, jobs ...task.Insert) {
	t.Helper()
	if err := db.InTx(ctx, pool, func(tx pgx.Tx) error { return r.InsertTx(ctx, tx, jobs...) }); err != nil {
		t.Fatal(err)
	}
}

// TestOneOff: a runner that is not started inserts, another works; what is rolled back never was.
func TestOneOff(t *testing.T) {
	t.Parallel()
	ctx, pool := setup(t)
	ran := make(chan int, 10)
	o := task.Options{OneOffs: []task.OneOff{oneOff(func(_ context.Context, f facts) error { ran <- f.N; return nil }, func(facts, error) { t.Error("failed") })}}
	inserter, err := task.New(pool, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := inserter.InsertTx(ctx, tx, task.Insert{Job: "one", Facts: facts{1}}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	insert(t, ctx, pool, inserter)
	insert(t, ctx, pool, inserter, task.Insert{Job: "one", Facts: facts{2}}, task.Insert{Job: "one", Facts: facts{3}, At: time.Now().Add(time.Hour)})
	start(t, ctx, pool, o)
	if n := receive(t, ran, "the job"); n != 2 {
		t.Errorf("job %d ran", n)
	}
	insert(t, ctx, pool, inserter, task.Insert{Job: "one", Facts: facts{4}})
	if n := receive(t, ran, "the job inserted later"); n != 4 || len(ran) != 0 {
		t.Errorf("job %d ran, and %d more", n, len(ran))
	}
	err = db.InTx(ctx, pool, func(tx pgx.Tx) error { return inserter.InsertTx(ctx, tx, task.Insert{Job: "other"}) })
	if err == nil {
		t.Error("a job of no kind is inserted")
	}
}

func TestOneOffFails(t *testing.T) {
	t.Parallel()
	ctx, pool := setup(t)
	type failure struct {
		n   int
		err error
	}
	attempts, failed := make(chan int, 20), make(chan failure, 20)
	final, soft := errors.New("no use"), errors.New("perhaps later")
	r := start(t, ctx, pool, task.Options{OneOffs: []task.OneOff{oneOff(func(_ context.Context, f facts) error {
		attempts <- f.N
		switch f.N {
		case 1:
			return task.Final(final)
		case 2:
			panic("at the disco")
		}
		return soft
	}, func(f facts, err error) { failed <- failure{f.N, err} })}})
	insert(t, ctx, pool, r, task.Insert{Job: "one", Facts: facts{1}})
	receive(t, attempts, "the attempt")
	if f := receive(t, failed, "the failure"); f.n != 1 || !errors.Is(f.err, final) {
		t.Errorf("%+v", f)
	}
	for _, n := range []int{2, 3} {
		insert(t, ctx, pool, r, task.Insert{Job: "one", Facts: facts{n}})
		for i := range 2 {
			receive(t, attempts, "an attempt")
			if i == 1 {
				break
			}
			for { // the pause is ten seconds and more
				tag, err := pool.Exec(ctx, "UPDATE river.river_job SET scheduled_at = now() WHERE state = 'retryable' AND attempt = $1", i+1)
				if err != nil {
					t.Fatal(err)
				}
				if tag.RowsAffected() == 1 {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		f := receive(t, failed, "the failure for good")
		if f.n != n || n == 3 && !errors.Is(f.err, soft) || n == 2 && !strings.Contains(f.err.Error(), "disco") {
			t.Errorf("%+v", f)
		}
	}
	if len(attempts)+len(failed) != 0 {
		t.Errorf("%d attempts and %d failures too many", len(attempts), len(failed))
	}
}
