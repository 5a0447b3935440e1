package rekey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/secret"
	"countersign/core/secret/rekey"
)

const (
	oldKey  = "an-old-key-of-more-than-32-characters"
	newKey  = "a-newer-key-of-more-than-32-characters"
	lostKey = "a-key-that-nobody-knows-any-more-at-all"
)

var (
	seeds = secret.Column{Table: "things", Name: "seed_sealed", Key: []string{"id"}}
	names = secret.Column{
		Table: "things", Name: "name_sealed", Key: []string{"id"}, Bound: []string{"owner", "label"}, Hash: "name_hash", HashLabel: "names",
	}
	words = secret.Column{Table: "boxes", Name: "settings", Field: "word", Key: []string{"owner", "id"}, Where: "kind = 'box'"}
	all   = []secret.Column{seeds, names, words}
)

func keeper(t testing.TB, keys ...string) *secret.Keeper {
	t.Helper()
	k, err := secret.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// world is a database with tables of every shape.
func world(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool := dbtest.Pool(t)
	exec(t, pool, `CREATE TABLE things (id integer PRIMARY KEY, owner integer NOT NULL, label uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000001',
		seed_sealed bytea, name_sealed bytea, name_hash bytea CONSTRAINT things_name_hash_key UNIQUE)`)
	exec(t, pool, `CREATE TABLE boxes (owner integer, id uuid, kind text, settings jsonb, PRIMARY KEY (owner, id))`)
	return pool
}

func exec(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

const label = "00000000-0000-7000-8000-000000000001"

// thing adds a row whose two values k seals.
func thing(t testing.TB, pool *pgxpool.Pool, k *secret.Keeper, id int) {
	t.Helper()
	name := fmt.Sprint("name ", id)
	exec(t, pool, `INSERT INTO things (id, owner, seed_sealed, name_sealed, name_hash) VALUES ($1, $2, $3, $4, $5)`, id, 7,
		k.Seal(fmt.Append(nil, "seed ", id), seeds.AAD(id)), k.Seal([]byte(name), names.AAD(7, label)), k.MAC("names").Sum([]byte(name)))
}

// box adds a row whose text is given as it is stored.
func box(t testing.TB, pool *pgxpool.Pool, owner int, word func(aad string) string) (id string) {
	t.Helper()
	id = fmt.Sprintf("00000000-0000-7000-8000-%012d", owner)
	exec(t, pool, `INSERT INTO boxes VALUES ($1, $2, 'box', jsonb_build_object('word', $3::text, 'other', 'stays'))`, owner, id, word(words.AAD(owner, id)))
	return id
}

func run(t testing.TB, pool *pgxpool.Pool, k *secret.Keeper) rekey.Report {
	t.Helper()
	report, err := rekey.Run(t.Context(), pool, k, &event.Log{}, all)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func numbers(c rekey.Count) [6]int {
	return [6]int{c.Old, c.Current, c.Unknown.Count, c.Damaged.Count, c.Taken.Count, c.Bound.Count}
}

func want(t *testing.T, what string, r rekey.Report, seeds, names, words [6]int) {
	t.Helper()
	for i, c := range [][6]int{seeds, names, words} {
		if got := numbers(r[i]); got != c {
			t.Errorf("%s: %s: old, current, unknown, damaged, taken, bound are %v, want %v", what, r[i].Column, got, c)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	pool := world(t)
	before, after, only := keeper(t, oldKey), keeper(t, newKey, oldKey), keeper(t, newKey)
	const rows = 450 // more than two pages
	for id := range rows {
		thing(t, pool, before, id)
	}
	id := box(t, pool, 1, func(aad string) string { return before.SealText("sesame", aad) })
	box(t, pool, 2, func(string) string { return "by hand" })
	box(t, pool, 3, func(string) string { return "" })
	exec(t, pool, `INSERT INTO boxes VALUES (4, $1, 'bag', '{"word": "sealed:of another kind"}')`, id)

	check, err := rekey.Check(t.Context(), pool, after, all)
	if err != nil {
		t.Fatal(err)
	}
	whole := [6]int{rows}
	want(t, "check", check, whole, whole, [6]int{2})
	if check.Old() != 2*rows+2 || check.Failed() != 0 || check.Bound() != 0 {
		t.Errorf("in all: %d %d %d", check.Old(), check.Failed(), check.Bound())
	}
	want(t, "run", run(t, pool, after), whole, whole, [6]int{2})
	want(t, "run again", run(t, pool, after), [6]int{0, rows}, [6]int{0, rows}, [6]int{0, 2})
	want(t, "without the old key", run(t, pool, only), [6]int{0, rows}, [6]int{0, rows}, [6]int{0, 2})

	var seed, name, hash []byte
	var settings map[string]string
	if err := pool.QueryRow(t.Context(), `SELECT seed_sealed, name_sealed, name_hash FROM things WHERE id = 449`).Scan(&seed, &name, &hash); err != nil {
		t.Fatal(err)
	}
	if err := pool.QueryRow(t.Context(), `SELECT settings FROM boxes WHERE owner = 1`).Scan(&settings); err != nil {
		t.Fatal(err)
	}
	if plain, err := only.Open(seed, seeds.AAD(449)); err != nil || string(plain) != "seed 449" {
		t.Errorf("the seed: %q %v", plain, err)
	}
	if plain, err := only.Open(name, names.AAD(7, label)); err != nil || string(plain) != "name 449" {
		t.Errorf("the name: %q %v", plain, err)
	}
	if !only.MAC("names").Verify(hash, []byte("name 449")) {
		t.Error("the hash was not made anew")
	}
	if plain, err := only.OpenText(settings["word"], words.AAD(1, id)); err != nil || plain != "sesame" || settings["other"] != "stays" {
		t.Errorf("the settings: %q %v %v", plain, err, settings)
	}
}

// What cannot be sealed anew is told of and left as it is, and all else is done.
func TestFailures(t *testing.T) {
	t.Parallel()
	pool := world(t)
	before, after, lost := keeper(t, oldKey), keeper(t, newKey, oldKey), keeper(t, lostKey)
	for id := range 5 {
		thing(t, pool, before, id)
	}
	thing(t, pool, lost, 5)
	exec(t, pool, `UPDATE things SET seed_sealed = (SELECT seed_sealed FROM things WHERE id = 0) WHERE id = 1`) // moved
	exec(t, pool, `UPDATE things SET name_sealed = NULL WHERE id = 2`)                                          // the hash alone
	exec(t, pool, `INSERT INTO things (id, owner, name_hash) VALUES (6, 7, $1)`, after.MAC("names").Sum([]byte("name 3")))
	box(t, pool, 1, func(aad string) string { return before.SealText("sesame", aad+"x") })
	box(t, pool, 2, func(aad string) string { return lost.SealText("sesame", aad) })
	box(t, pool, 3, func(string) string { return "sealed:!" })

	r := run(t, pool, after)
	want(t, "run", r, [6]int{4, 0, 1, 1}, [6]int{3, 0, 1, 0, 1, 1}, [6]int{0, 0, 1, 2})
	if r.Failed() != 7 || r.Bound() != 1 {
		t.Errorf("failed %d, bound %d", r.Failed(), r.Bound())
	}
	if !slices.Equal(r[0].Unknown.IDs, []string{"5"}) || !slices.Equal(r[0].Damaged.IDs, []string{"1"}) ||
		!slices.Equal(r[1].Taken.IDs, []string{"3"}) || !slices.Equal(r[1].Bound.IDs, []string{"2"}) ||
		!slices.Equal(r[2].Unknown.IDs, []string{"2/00000000-0000-7000-8000-000000000002"}) {
		t.Errorf("the rows: %+v", r)
	}
	want(t, "again", run(t, pool, after), [6]int{0, 4, 1, 1}, [6]int{0, 3, 1, 0, 1, 1}, [6]int{0, 0, 1, 2})
}

// Who changes a value while it is sealed anew wins.
func TestChangedMeanwhile(t *testing.T) {
	t.Parallel()
	pool := world(t)
	before, after := keeper(t, oldKey), keeper(t, newKey, oldKey)
	for id := range 3 {
		thing(t, pool, before, id)
	}
	changed := 0
	d := &meddler{Pool: pool, begin: func() {
		if changed++; changed == 1 {
			exec(t, pool, `UPDATE things SET seed_sealed = $1 WHERE id = 2`, before.Seal([]byte("another"), seeds.AAD(2)))
		}
	}}
	r, err := rekey.Run(t.Context(), d, after, &event.Log{}, []secret.Column{seeds})
	if err != nil || numbers(r[0]) != [6]int{3} {
		t.Fatalf("%+v %v", r, err)
	}
	if changed != 2 {
		t.Errorf("%d transactions, want that of the page again", changed)
	}
	var seed []byte
	if err := pool.QueryRow(t.Context(), `SELECT seed_sealed FROM things WHERE id = 2`).Scan(&seed); err != nil {
		t.Fatal(err)
	}
	if plain, err := keeper(t, newKey).Open(seed, seeds.AAD(2)); err != nil || string(plain) != "another" {
		t.Errorf("the seed: %q %v", plain, err)
	}
	if again := run(t, pool, after); again[0].Current != 3 {
		t.Errorf("again: %+v", again[0])
	}
}

// A walk that is broken off has done what it says, writes its event, and the next one does the rest.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	pool := world(t)
	before, after := keeper(t, oldKey), keeper(t, newKey, oldKey)
	const rows = 450
	for id := range rows {
		thing(t, pool, before, id)
	}
	ctx, cancel := context.WithCancel(t.Context())
	pages := 0
	d := &meddler{Pool: pool, begin: func() {
		if pages++; pages == 2 {
			cancel()
		}
	}}
	r, err := rekey.Run(ctx, d, after, &event.Log{}, all)
	if !errors.Is(err, context.Canceled) || len(r) != 1 || r[0].Old != 200 {
		t.Fatalf("broken off: %+v %v", r, err)
	}
	next := run(t, pool, after)
	if next[0].Old != 250 || next[0].Current != 200 {
		t.Errorf("the next one: %+v", next[0])
	}
	events, err := pgx.CollectRows(query(t, pool, `SELECT context FROM events WHERE action = 'secret_rotate' ORDER BY created`), pgx.RowTo[json.RawMessage])
	if err != nil || len(events) != 2 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, w := range []struct {
		complete bool
		resealed float64
	}{{false, 200}, {true, 250}} {
		var e struct {
			Command, Message string
			Complete         bool
			Columns          []map[string]any
		}
		if err := json.Unmarshal(events[i], &e); err != nil {
			t.Fatal(err)
		}
		if e.Complete != w.complete || e.Command != "countersign rekey" || e.Columns[0]["column"] != "things.seed_sealed" || e.Columns[0]["resealed"] != w.resealed {
			t.Errorf("event %d: %s", i, events[i])
		}
	}
}

func query(t testing.TB, pool *pgxpool.Pool, sql string) pgx.Rows {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// meddler is a database in which something happens before each transaction.
type meddler struct {
	*pgxpool.Pool
	begin func()
}

func (m *meddler) Begin(ctx context.Context) (pgx.Tx, error) {
	m.begin()
	return m.Pool.Begin(ctx)
}
