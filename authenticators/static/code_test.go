package static

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDraw(t *testing.T) {
	t.Parallel()
	counts := map[rune]int{}
	seen := map[string]bool{}
	for range 20 {
		for _, c := range draw(100, 16) {
			if len(c) != 16 || seen[c] || strings.Trim(c, alphabet) != "" {
				t.Fatalf("drew %q", c)
			}
			seen[c] = true
			for _, r := range c {
				counts[r]++
			}
		}
	}
	// 32,000 characters of 31 kinds: 1,032 of each, give or take 32.
	for _, r := range alphabet {
		if n := counts[r]; n < 850 || n > 1220 {
			t.Errorf("%c was drawn %d times", r, n)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	key := []byte("a key of a device, of 32 bytes …")
	hashes := [][]byte{hash(key, "one"), hash(key, "two"), hash(key, "three")}
	for _, code := range []string{"one", "two", "three"} {
		if got := find(hashes, hash(key, code)); string(got) != string(hash(key, code)) {
			t.Errorf("%s: %x", code, got)
		}
	}
	if find(hashes, hash(key, "four")) != nil || find(hashes, hash([]byte("another"), "one")) != nil || find(nil, hash(key, "one")) != nil || find(hashes, nil) != nil {
		t.Error("found what is not there")
	}
}

func TestParseCode(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`"abcdef23"`: "abcdef23", `"ABCD EF23"`: "abcdef23", `"abcd-ef23"`: "abcdef23", `" abcd – ef23 "`: "abcdef23", `23456789`: "23456789",
	} {
		if got, ok := parseCode(json.RawMessage(raw), 8); !ok || got != want {
			t.Errorf("%s: %q %v, want %q", raw, got, ok, want)
		}
	}
	for _, raw := range []string{
		`"abcdef2"`, `"abcdef234"`, `""`, `"--------"`, `"ａｂｃｄｅｆ２３"`, `"abcdéf2"`, `null`, `true`, `{}`, `[]`, `1e5`, ``, `"abcd\u0000ef2"`,
		`"` + strings.Repeat("a", 10_000) + `"`, `-2345678`, `"KELVIN\u212a2"`,
	} {
		if got, ok := parseCode(json.RawMessage(raw), 8); ok {
			t.Errorf("%.40s: %q", raw, got)
		}
	}
}

// Whatever is typed, what is taken is as many ASCII letters and digits as asked for, and is what was typed.
func FuzzParseCode(f *testing.F) {
	for _, s := range []string{`"abcdefghjkmn"`, `"ABCD-EFGH-JKMN"`, `123456789012`, `null`, `"\ud800"`, `"ａ"`, `"K"`} {
		f.Add([]byte(s), uint8(12))
	}
	f.Fuzz(func(t *testing.T, raw []byte, n uint8) {
		length := minLength + int(n)%(maxLength-minLength+1)
		code, ok := parseCode(raw, length)
		if !ok {
			if code != "" {
				t.Fatalf("%q: refused and %q", raw, code)
			}
			return
		}
		if len(code) != length || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || len(raw) > maxTyped {
			t.Fatalf("%q: took %q", raw, code)
		}
		again, ok := parseCode(json.RawMessage(`"`+strings.ToUpper(code)+`"`), length)
		if !ok || again != code {
			t.Fatalf("%q: %q became %q", raw, code, again)
		}
	})
}
