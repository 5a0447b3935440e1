package bus_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/bus"
	"countersign/core/db"
	"countersign/core/dbtest"
)

const patience = 20 * time.Second

func open(t *testing.T, pool *pgxpool.Pool, o bus.Options) *bus.Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := bus.Open(ctx, pool, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// inbox collects a topic's messages.
func inbox(b bus.Bus, topic string) chan string {
	c := make(chan string, 10_000)
	b.Subscribe(topic, func(p string) { c <- p })
	return c
}

func want(t *testing.T, from chan string, payload string) {
	t.Helper()
	select {
	case got := <-from:
		if got != payload {
			t.Fatalf("received %.80q, want %.80q", got, payload)
		}
	case <-time.After(patience):
		t.Fatalf("%.80q did not come", payload)
	}
}

// TestBus holds both implementations to the same behaviour.
func TestBus(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string]func(t *testing.T) (bus.Bus, bus.Bus){
		"memory": func(*testing.T) (bus.Bus, bus.Bus) {
			var m bus.Memory
			return m.Join(), m.Join()
		},
		"postgres": func(t *testing.T) (bus.Bus, bus.Bus) {
			pool := dbtest.Pool(t)
			return open(t, pool, bus.Options{}), open(t, pool, bus.Options{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			if a.Node() == b.Node() {
				t.Fatal("two nodes have one identity")
			}
			atA, atB, other := inbox(a, "wake"), inbox(b, "wake"), inbox(b, "other")
			a.Notify(b.Node(), "wake", "to b")
			want(t, atB, "to b")
			b.Notify(a.Node(), "wake", "line\nbreak \x00 \"quote\" ☎")
			want(t, atA, "line\nbreak \x00 \"quote\" ☎")

			var mu sync.Mutex
			mu.Lock()
			woken := make(chan string, 1)
			a.Subscribe("locked", func(p string) { mu.Lock(); defer mu.Unlock(); woken <- p })
			a.Notify(a.Node(), "locked", "self") // would dead-lock on the caller's stack
			mu.Unlock()
			want(t, woken, "self")

			second := make(chan string, 1)
			cancel := b.Subscribe("wake", func(p string) { second <- p })
			a.Notify(b.Node(), "wake", "both")
			want(t, atB, "both")
			want(t, second, "both")
			cancel()
			b.Subscribe("wake", func(string) { panic("one bad subscriber") })
			a.Notify(b.Node(), "wake", "after cancel")
			want(t, atB, "after cancel")
			a.Notify(b.Node(), "wake", "after a panic")
			want(t, atB, "after a panic")
			if len(second) != 0 || len(other) != 0 {
				t.Error("a message came where nobody asked for it")
			}
			a.Close()
			a.Close()
			a.Notify(b.Node(), "wake", "from the dead") // must not block or panic
			b.Notify(a.Node(), "wake", "to the dead")
		})
	}
}

func TestPostgresSendsAll(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	a, b, c := open(t, pool, bus.Options{}), open(t, pool, bus.Options{}), open(t, pool, bus.Options{})
	atB, atC := inbox(b, "n"), inbox(c, "n")
	const n = 3000
	long := strings.Repeat("x", 3000)
	missing := map[string]bool{}
	for i := range n {
		payload := fmt.Sprint(i)
		if i%100 == 0 {
			payload += long
		}
		missing[payload] = true
		a.Notify(b.Node(), "n", payload)
		a.Notify(c.Node(), "n", payload)
	}
	for i := range n {
		select {
		case p := <-atB:
			delete(missing, p)
		case <-time.After(patience):
			t.Fatalf("only %d of %d came", i, n)
		}
		select {
		case <-atC:
		case <-time.After(patience):
			t.Fatalf("only %d of %d came to the third node", i, n)
		}
	}
	if len(missing) != 0 {
		t.Errorf("%d different messages did not come", len(missing))
	}
	for deadline := time.Now().Add(patience); a.Stats().Sent < 2*n && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // the last statement may still be on its way back to the sender
	}
	if s := a.Stats(); s.Sent != 2*n || s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
	a.Notify(b.Node(), "n", strings.Repeat("x", 8000))
	if s := a.Stats(); s.Dropped != 1 {
		t.Errorf("a message too long for a notification: stats %+v", s)
	}
}

func TestPostgresRecovers(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	a, b := open(t, pool, bus.Options{}), open(t, pool, bus.Options{})
	atB, resync := inbox(b, "wake"), inbox(b, bus.Resync)
	killer, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Release()
	for round := range 3 {
		// All connections of this database but the one that asks: both listeners and the senders' idle ones.
		if _, err := killer.Exec(t.Context(), "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
			t.Fatal(err)
		}
		want(t, resync, "")
		payload := fmt.Sprint("after loss ", round)
		a.Notify(b.Node(), "wake", payload)
		want(t, atB, payload)
	}
}

func TestPostgresQueueIsBounded(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	b := open(t, pool, bus.Options{})
	atB := inbox(b, "wake")

	// A pool whose only connection is taken stands for a database that does not answer.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	narrow, err := db.Open(ctx, pool.Config().ConnString(), db.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(narrow.Close)
	a := open(t, narrow, bus.Options{Queue: 10})
	held, err := narrow.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000 // one batch may be in the sender's hands, ten in the queue
	for range n {
		a.Notify(b.Node(), "wake", "x")
	}
	dropped := a.Stats().Dropped
	if dropped < n-maxInHand || dropped == n {
		t.Errorf("%d of %d dropped", dropped, n)
	}
	held.Release()
	for range n - int(dropped) {
		want(t, atB, "x")
	}
}

// maxInHand is what a bus with a queue of ten can hold: the queue, and a batch that the sender took before it got stuck.
const maxInHand = 10 + 1000
