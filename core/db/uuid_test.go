package db_test

import (
	"reflect"
	"testing"

	"github.com/google/uuid"

	"countersign/core/dbtest"
)

func TestUUIDs(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	id := uuid.New()
	var one uuid.UUID
	var some, none *uuid.UUID
	var many []uuid.UUID
	var text string
	err := pool.QueryRow(t.Context(), `SELECT $1::uuid, $2::uuid, $3::uuid, $4::uuid[], $5::uuid::text`,
		id, &id, none, []uuid.UUID{id, uuid.Nil}, id.String()).Scan(&one, &some, &none, &many, &text)
	if err != nil {
		t.Fatal(err)
	}
	if one != id || some == nil || *some != id || none != nil || !reflect.DeepEqual(many, []uuid.UUID{id, uuid.Nil}) || text != id.String() {
		t.Errorf("%v came back as %v, %v, %v, %v, %s", id, one, some, none, many, text)
	}
}

func BenchmarkUUIDs(b *testing.B) {
	pool := dbtest.Pool(b)
	id, got := uuid.New(), uuid.UUID{}
	b.ReportAllocs()
	for b.Loop() {
		if err := pool.QueryRow(b.Context(), `SELECT $1::uuid`, id).Scan(&got); err != nil || got != id {
			b.Fatal(got, err)
		}
	}
}
