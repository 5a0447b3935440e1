package user_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"

	"countersign/core/fault"
	"countersign/core/user"
	"countersign/core/user/usertest"
)

func hasher(t *testing.T, parallel int) *user.Hasher {
	t.Helper()
	h, err := user.NewHasher(usertest.CheapParams(), parallel)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestVerify(t *testing.T) {
	t.Parallel()
	ctx, h := context.Background(), hasher(t, 2)
	fresh, err := h.Hash(ctx, " correct horse ")
	if err != nil {
		t.Fatal(err)
	}
	dear := *h
	dear.Params.Iterations = 2
	// Django's form: base64(PBKDF2-HMAC-SHA256("correct horse", "pepper", 3 rounds, 32 bytes)), computed apart with Python's hashlib.
	django := "pbkdf2_sha256$3$pepper$VESbbz4pemK+g6uzuUpcmp1sHKxJouvsEsgJEhXx79U="
	for _, c := range []struct {
		name, stored, password string
		h                      *user.Hasher
		ok, stale              bool
	}{
		{"right", fresh, " correct horse ", h, true, false},
		{"trimmed", fresh, "correct horse", h, false, false},
		{"wrong", fresh, "incorrect horse", h, false, false},
		{"old cost", fresh, " correct horse ", &dear, true, true},
		{"old cost, wrong", fresh, "x", &dear, false, false},
		{"django", django, "correct horse", h, true, true},
		{"django, wrong", django, "correct horse ", h, false, false},
		{"unusable", "!abc", "abc", h, false, false},
		{"empty", "", "", h, false, false},
	} {
		ok, stale, err := c.h.Verify(ctx, &c.stored, c.password)
		if err != nil || ok != c.ok || stale != c.stale {
			t.Errorf("%s: Verify = %v, %v, %v; want %v, %v", c.name, ok, stale, err, c.ok, c.stale)
		}
	}
	if ok, _, err := h.Verify(ctx, nil, "nobody's password"); ok || err != nil {
		t.Errorf("nobody: Verify = %v, %v; want a refusal", ok, err)
	}
	for _, damaged := range []string{"plain", "$argon2id$v=19$m=64,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA", "$argon2id$v=19$m=64,t=1,p=0$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
		"$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA", "pbkdf2_sha256$0$a$b", "pbkdf2_sha256$999999999$a$b", "pbkdf2_sha256$1$a"} {
		if ok, _, err := h.Verify(ctx, &damaged, "x"); ok || err == nil {
			t.Errorf("Verify against %q = %v, %v; want an error", damaged, ok, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	h := hasher(t, 1)
	for _, good := range []string{"12345678", "éééééééé", strings.Repeat("x", user.MaxPassword)} {
		if err := h.Check(good); err != nil {
			t.Errorf("Check(%d bytes) = %v", len(good), err)
		}
	}
	for _, bad := range []string{"", "1234567", "ééééééé", strings.Repeat("x", user.MaxPassword+1), "1234567\x008", "1234567\xff8"} {
		if err := h.Check(bad); !fault.Is(err, fault.Invalid) || len(fault.As(err).Fields["password"]) != 1 {
			t.Errorf("Check(%q) = %v; want a fault on the password", bad[:min(len(bad), 10)], err)
		}
	}
}

func TestFloodIsRefused(t *testing.T) {
	t.Parallel()
	h := hasher(t, 1)
	h.Wait = time.Millisecond
	release := user.Occupy(h)
	_, err := h.Hash(context.Background(), "x")
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("Hash on a busy machine = %v; want unavailable", err)
	}
	h.Wait = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := h.Verify(ctx, nil, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify for a client that has gone = %v; want cancelled", err)
	}
	release()
	if _, err := h.Hash(context.Background(), "x"); err != nil {
		t.Errorf("Hash when there is room again = %v", err)
	}
}

func TestNobodyCostsTheSame(t *testing.T) {
	t.Parallel()
	h, err := user.NewHasher(argon2id.Params{Memory: 16 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	stored, err := h.Hash(ctx, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	fastest := func(encoded *string) time.Duration {
		best := time.Hour
		for range 5 {
			start := time.Now()
			if ok, _, err := h.Verify(ctx, encoded, "incorrect horse"); ok || err != nil {
				t.Fatal(ok, err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	somebody, nobody := fastest(&stored), fastest(nil)
	if nobody < somebody/3 || nobody > somebody*3 {
		t.Errorf("a wrong password takes %v, an unknown user %v", somebody, nobody)
	}
}
