package db_test

import (
	"testing"

	"countersign/core/db"
	"countersign/core/dbtest"
)

func TestHubListensLate(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	hub := db.NewHub(pool, db.HubOptions{})
	t.Cleanup(hub.Close)
	ctx := context5(t)
	got := make(chan string, 10)
	listen := func(channel string) func() {
		stop := hub.Listen(channel, func(p string) { got <- channel + " " + p })
		if err := hub.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		return stop
	}
	expect := func(want string) {
		t.Helper()
		select {
		case have := <-got:
			if have != want {
				t.Fatalf("received %q, want %q", have, want)
			}
		case <-ctx.Done():
			t.Fatalf("%q did not come", want)
		}
	}
	notify := func(channel, payload string) {
		if _, err := pool.Exec(ctx, "SELECT pg_notify($1, $2)", channel, payload); err != nil {
			t.Fatal(err)
		}
	}
	stop := listen("first")
	listen(`odd "name`)
	notify("first", "1")
	expect("first 1")
	notify(`odd "name`, "2")
	expect(`odd "name 2`)
	stop()
	if err := hub.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	notify("first", "3")
	notify(`odd "name`, "4")
	expect(`odd "name 4`)
	hub.Close()
	hub.Listen("closed", func(string) {})
	if err := hub.Wait(ctx); err == nil {
		t.Error("Wait on a closed hub succeeds")
	}
}
