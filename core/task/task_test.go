package task_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

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
