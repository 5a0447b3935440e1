package dbtest_test

import (
	"fmt"
	"testing"

	"countersign/core/dbtest"
)

// TestPoolsAreApart also shows that many at once work: each sub-test has its database while the others have theirs.
func TestPoolsAreApart(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := dbtest.Pool(t)
			if _, err := pool.Exec(t.Context(), "INSERT INTO users (uuid, username) VALUES (gen_random_uuid(), 'same')"); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM users").Scan(&n); err != nil || n != 1 {
				t.Errorf("%d users, %v: the database is not ours alone", n, err)
			}
		})
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	var n int
	if err := dbtest.Empty(t).QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d tables, %v", n, err)
	}
}

// TestDropped reads the server's list of databases after a test has ended.
func TestDropped(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("inner", func(t *testing.T) {
		if err := dbtest.Pool(t).QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
	})
	var there bool
	err := dbtest.Empty(t).QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there)
	if err != nil || there {
		t.Errorf("database %s is still there (%v)", name, err)
	}
}
