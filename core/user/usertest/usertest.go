package usertest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/event"
	"countersign/core/user"
)

// InstallID is the install id of every Store made here.
var InstallID = uuid.MustParse("7d1c1f6e-2f0f-4c55-9d5d-0a5c7b0a8a11")

// CheapParams hash in well under a millisecond; they are for tests only.
func CheapParams() argon2id.Params {
	return argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}

// Store is a user store on pool with cheap password hashes; now nil is the wall clock.
func Store(t testing.TB, pool *pgxpool.Pool, now func() time.Time) *user.Store {
	t.Helper()
	hasher, err := user.NewHasher(CheapParams(), 4)
	if err != nil {
		t.Fatal(err)
	}
	if now == nil {
		now = time.Now
	}
	return &user.Store{Pool: pool, Hasher: hasher, Events: &event.Log{Now: now}, InstallID: InstallID, Now: now, Log: slog.New(slog.DiscardHandler)}
}

// Add makes an active user of a name, with the e-mail address <name>@example.com, and with a password unless it is "".
func Add(t testing.TB, s *user.Store, name, password string) *user.User {
	t.Helper()
	ctx := context.Background()
	var encoded *string
	if password != "" {
		hash, err := s.Hasher.Hash(ctx, password)
		if err != nil {
			t.Fatal(err)
		}
		encoded = &hash
	}
	var id int
	err := s.Pool.QueryRow(ctx, `INSERT INTO users (uuid, username, name, email, password) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
		uuid.New(), name, "The "+name, name+"@example.com", encoded).Scan(&id)
	if err != nil {
		t.Fatalf("add user %s: %v", name, err)
	}
	u, err := s.ByID(ctx, s.Pool, id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Superuser makes u a member of a superuser group of their own.
func Superuser(t testing.TB, s *user.Store, u *user.User) {
	t.Helper()
	ctx := context.Background()
	id := uuid.New()
	if _, err := s.Pool.Exec(ctx, `INSERT INTO groups (group_uuid, name, is_superuser) VALUES ($1, $2, true)`, id, "superusers of "+u.Username); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pool.Exec(ctx, `INSERT INTO group_members (group_uuid, user_id) VALUES ($1, $2)`, id, u.ID); err != nil {
		t.Fatal(err)
	}
}
