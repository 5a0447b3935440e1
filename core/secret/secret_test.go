package secret_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"countersign/core/secret"
)

const (
	oldKey = "an-old-key-of-more-than-32-characters"
	newKey = "a-newer-key-of-more-than-32-characters"
)

func keeper(t *testing.T, keys ...string) *secret.Keeper {
	t.Helper()
	k, err := secret.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealOpen(t *testing.T) {
	t.Parallel()
	k := keeper(t, newKey)
	for _, plain := range []string{"", "x", strings.Repeat("long ", 1000)} {
		sealed := k.Seal([]byte(plain), "tokens.key:1")
		if len(plain) > 8 && bytes.Contains(sealed, []byte(plain)) {
			t.Error("sealed value holds the plain text")
		}
		if len(sealed) != len(plain)+33 {
			t.Errorf("sealed length %d for plain length %d", len(sealed), len(plain))
		}
		got, err := k.Open(sealed, "tokens.key:1")
		if err != nil || string(got) != plain {
			t.Errorf("Open = %q, %v; want %q", got, err, plain)
		}
		if bytes.Equal(sealed, k.Seal([]byte(plain), "tokens.key:1")) {
			t.Error("two seals of one value are equal")
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	k := keeper(t, newKey)
	sealed := k.Seal([]byte("the seed"), "totp:1")
	if _, err := k.Open(sealed, "totp:2"); !errors.Is(err, secret.ErrTampered) {
		t.Errorf("other aad: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		want := secret.ErrTampered
		if i >= 1 && i < 5 {
			want = secret.ErrUnknownKey
		}
		if got, err := k.Open(bad, "totp:1"); !errors.Is(err, want) || got != nil {
			t.Errorf("bit of byte %d turned: %q, %v", i, got, err)
		}
		if _, err := k.Open(sealed[:i], "totp:1"); err == nil {
			t.Errorf("opened a value cut to %d bytes", i)
		}
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	before, after := keeper(t, oldKey), keeper(t, newKey, oldKey)
	sealed := before.Seal([]byte("seed"), "a")
	got, err := after.Open(sealed, "a")
	if err != nil || string(got) != "seed" {
		t.Fatalf("older key: %q, %v", got, err)
	}
	if after.Current(sealed) {
		t.Error("a value of the old key counts as current")
	}
	anew := after.Seal(got, "a")
	if !after.Current(anew) {
		t.Error("a value sealed anew does not count as current")
	}
	if _, err := before.Open(anew, "a"); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("the old keeper opens a value of the new key: %v", err)
	}
	if _, err := keeper(t, newKey).Open(sealed, "a"); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("old key taken away: %v", err)
	}
}

func TestDerive(t *testing.T) {
	t.Parallel()
	k := keeper(t, newKey, oldKey)
	a := k.Derive("cookie")
	if len(a) != 32 {
		t.Fatalf("length %d", len(a))
	}
	if !bytes.Equal(a, keeper(t, newKey).Derive("cookie")) {
		t.Error("an older key changes what is derived")
	}
	if bytes.Equal(a, k.Derive("csrf")) || bytes.Equal(a, keeper(t, oldKey).Derive("cookie")) {
		t.Error("different label or key, same derived key")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][]string{"none": nil, "short": {"short"}, "second short": {newKey, "x"}, "twice": {newKey, newKey}} {
		if _, err := secret.New(keys...); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), newKey) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	if secret.Token(0) != "" {
		t.Error("length 0")
	}
	long := secret.Token(62_000)
	counts := map[rune]int{}
	for _, r := range long {
		counts[r]++
	}
	if len(long) != 62_000 || len(counts) != 62 {
		t.Fatalf("length %d, %d different characters", len(long), len(counts))
	}
	for r, n := range counts { // expectation 1000, deviation 32: eight deviations either side
		if n < 750 || n > 1250 {
			t.Errorf("%q comes %d times in 62000", r, n)
		}
	}
	if one, two := secret.Token(20), secret.Token(20); one == two {
		t.Error("two tokens are equal")
	}
}

func TestHashAndEqual(t *testing.T) {
	t.Parallel()
	if h := secret.Hash("abc"); len(h) != 32 || h[0] != 0xba || h[31] != 0xad { // FIPS 180-2, appendix B.1
		t.Errorf("Hash(abc) = %x", h)
	}
	if !secret.Equal("same", "same") || secret.Equal("same", "samE") || secret.Equal("same", "same ") || secret.Equal("", "x") {
		t.Error("Equal is wrong")
	}
}
