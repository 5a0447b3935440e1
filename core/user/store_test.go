package user_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/user"
	"countersign/core/user/usertest"
)

func TestFind(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), usertest.Store(t, dbtest.Pool(t), nil)
	ann, bob := usertest.Add(t, s, "Ann", ""), usertest.Add(t, s, "bob", "")
	if _, err := s.Pool.Exec(ctx, `UPDATE users SET email = 'ann', attributes = '{"upn": "Bob@AD.example"}' WHERE id = $1`, bob.ID); err != nil {
		t.Fatal(err)
	}
	all := []string{user.ByEmail, user.ByUsername, user.ByUPN}
	for _, c := range []struct {
		value  string
		fields []string
		fold   bool
		want   int
	}{
		{"Ann", all, false, ann.ID},
		{"ann", all, false, bob.ID}, // only bob's address is written that way
		{"ann", all, true, ann.ID},  // a user name comes before an address
		{"ANN@EXAMPLE.COM", []string{user.ByEmail}, true, ann.ID},
		{"ANN@EXAMPLE.COM", []string{user.ByEmail}, false, 0},
		{"bob@ad.example", []string{user.ByUPN}, true, bob.ID},
		{"bob@ad.example", []string{user.ByUsername, user.ByEmail}, true, 0},
		{"bob", nil, true, 0},
		{"", all, true, 0},
		{"bo%", all, true, 0},
		{"bob\x00", all, true, 0},
	} {
		u, err := s.Find(ctx, s.Pool, c.value, c.fields, c.fold)
		got := 0
		if u != nil {
			got = u.ID
		}
		if err != nil || got != c.want {
			t.Errorf("Find(%q, %v, %v) = user %d, %v; want %d", c.value, c.fields, c.fold, got, err, c.want)
		}
	}
	if _, err := s.Find(ctx, s.Pool, "x", []string{"password"}, true); err == nil {
		t.Error("Find by an unknown field gave no error")
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), usertest.Store(t, dbtest.Pool(t), nil)
	u := usertest.Add(t, s, "ann", "correct horse")
	check := func(what string, u *user.User, password string, want bool) {
		t.Helper()
		if ok, err := s.CheckPassword(ctx, u, password); err != nil || ok != want {
			t.Errorf("%s: CheckPassword = %v, %v; want %v", what, ok, err, want)
		}
	}
	check("right", u, "correct horse", true)
	check("wrong", u, "incorrect horse", false)
	check("nobody", nil, "correct horse", false)
	check("without a password", usertest.Add(t, s, "bob", ""), "", false)
	off := *u
	off.IsActive = false
	check("not active", &off, "correct horse", false)

	old := "pbkdf2_sha256$3$pepper$VESbbz4pemK+g6uzuUpcmp1sHKxJouvsEsgJEhXx79U="
	if _, err := s.Pool.Exec(ctx, `UPDATE users SET password = $2 WHERE id = $1`, u.ID, old); err != nil {
		t.Fatal(err)
	}
	u, _ = s.ByID(ctx, s.Pool, u.ID)
	check("brought along, wrong", u, "incorrect horse", false)
	if u, _ = s.ByID(ctx, s.Pool, u.ID); *u.Password != old {
		t.Error("a wrong password changed the stored hash")
	}
	check("brought along", u, "correct horse", true)
	u, _ = s.ByID(ctx, s.Pool, u.ID)
	if !strings.HasPrefix(*u.Password, "$argon2id$") {
		t.Errorf("stored after a login: %.14s…; want argon2id", *u.Password)
	}
	check("upgraded", u, "correct horse", true)
}

func TestSetPassword(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), usertest.Store(t, dbtest.Pool(t), nil)
	ann, bob := usertest.Add(t, s, "ann", "correct horse"), usertest.Add(t, s, "bob", "")
	own := uuid.New()
	for id, owner := range map[uuid.UUID]int{own: ann.ID, uuid.New(): ann.ID, uuid.New(): bob.ID} {
		_, err := s.Pool.Exec(ctx, `INSERT INTO sessions (session_uuid, key_hash, user_id, expires) VALUES ($1, $2, $3, now() + interval '1 day')`, id, id[:], owner)
		if err != nil {
			t.Fatal(err)
		}
	}
	set := func(ctx context.Context, password string) error {
		return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.SetPassword(ctx, tx, ann, password) })
	}
	if err := set(ctx, "short"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a short password = %v; want a 400", err)
	}
	byAnn := event.WithOrigin(ctx, &event.Origin{Actor: &rbac.Actor{ID: ann.ID, Username: "ann", Session: own}})
	if err := set(byAnn, "battery staple"); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.CheckPassword(ctx, ann, "battery staple"); !ok || err != nil {
		t.Errorf("the new password: %v, %v", ok, err)
	}
	var sessions, kept, events int
	err := s.Pool.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE session_uuid = $1),
		(SELECT count(*) FROM events WHERE action = 'password_set' AND "user"->>'username' = 'ann' AND context::text NOT LIKE '%staple%')
		FROM sessions`, own).Scan(&sessions, &kept, &events)
	if err != nil {
		t.Fatal(err)
	}
	if sessions != 2 || kept != 1 || events != 1 {
		t.Errorf("%d sessions (own: %d), %d events; want the own one and bob's, and one event", sessions, kept, events)
	}
	if err := set(ctx, "battery staple"); err != nil { // by nobody, as a recovery does
		t.Fatal(err)
	}
	if err := s.Pool.QueryRow(ctx, `SELECT count(*) FROM sessions WHERE user_id = $1`, ann.ID).Scan(&sessions); err != nil || sessions != 0 {
		t.Errorf("%d sessions after a reset by another, %v; want none", sessions, err)
	}
}

func TestAvatar(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Ann Lee": "AL", "ann": "AN", "Ann Maria von Lee": "AL", "x": "X", "": "?", "--": "?", "Émile Zola": "ÉZ", "<b> &": "B"} {
		if got := user.Initials(name); got != want {
			t.Errorf("initials of %q = %q; want %q", name, got, want)
		}
	}
	a := user.Avatar(`Ann <script>`, "ann")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a, "data:image/svg+xml;base64,"))
	if err != nil || !strings.Contains(string(raw), ">AS</text>") {
		t.Errorf("avatar is %q, %v", raw, err)
	}
	if a != user.Avatar(`Ann <script>`, "ann") || a == user.Avatar(`Ann <script>`, "anne") {
		t.Error("an avatar must be the same for one user and differ between users")
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	base := map[string]any{"settings": map[string]any{"locale": "de", "list": []any{1}}, "x": 1}
	over := map[string]any{"settings": map[string]any{"locale": "fr", "list": []any{2}, "new": true}, "y": 2}
	got := user.Merge(base, over)
	settings := got["settings"].(map[string]any)
	if settings["locale"] != "fr" || settings["new"] != true || len(settings["list"].([]any)) != 2 || got["x"] != 1 || got["y"] != 2 {
		t.Errorf("merge = %v", got)
	}
	if base["settings"].(map[string]any)["locale"] != "de" || len(base["settings"].(map[string]any)["list"].([]any)) != 1 {
		t.Errorf("merge changed its base: %v", base)
	}
}

func TestUID(t *testing.T) {
	t.Parallel()
	s := &user.Store{InstallID: usertest.InstallID}
	// printf '42-7d1c1f6e-2f0f-4c55-9d5d-0a5c7b0a8a11' | sha256sum
	if got, want := s.UID(42), "b302be0594b576df8644a6185975d589f7ecaefc35ef7d2436d31528a1b82e20"; got != want {
		t.Errorf("UID(42) = %s; want %s", got, want)
	}
}
