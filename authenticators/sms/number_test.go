package sms

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestParseNumber(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]Number{
		"+447700900123":         "+447700900123",
		" +44 7700 900-123 ":    "+447700900123",
		"0044 (0)7700.900/123":  "+447700900123",
		"+1 (555) 010-9999":     "+15550109999",
		"+49\u00a0151\u202f123": "+49151123",
		"+123456789012345":      "+123456789012345",
	} {
		if got, ok := parseNumber(typed); !ok || got != want {
			t.Errorf("%q: %q, %v; want %q", typed, got, ok, want)
		}
	}
	for _, typed := range []string{"", "+", "07700900123", "+0447700900123", "+123456", "+1234567890123456", "+44 7700 9001２3", "+44;7700900123", "+447700900123\x00", "++447700900123"} {
		if got, ok := parseNumber(typed); ok {
			t.Errorf("%q: taken as %q", typed, got)
		}
	}
}

func TestParseCode(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`12345`: "012345", `0`: "000000", `123456`: "123456", `"012345"`: "012345", `" 012 345 "`: "012345", `"x"`: "x",
		`1234567`: "", `-1`: "", `1e3`: "", `1.0`: "",
	} {
		if got, ok := parseCode(json.RawMessage(raw)); !ok || got != want {
			t.Errorf("%s: %q, %v; want %q", raw, got, ok, want)
		}
	}
	for _, raw := range []string{``, `null`, `true`, `[1]`, `{}`, `"`} {
		if got, ok := parseCode(json.RawMessage(raw)); ok {
			t.Errorf("%s: taken as %q", raw, got)
		}
	}
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"+447700900123", "0044 (0)7700 900123", "+", "", "+４４", "+44\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		n, ok := parseNumber(typed)
		if !ok {
			return
		}
		if !e164.MatchString(string(n)) {
			t.Fatalf("%q became %q", typed, n)
		}
		if again, ok := parseNumber(string(n)); !ok || again != n {
			t.Fatalf("%q is not stable: %q", n, again)
		}
		if h := n.hint(); !strings.HasSuffix(string(n), strings.TrimLeft(h, "•")) {
			t.Fatalf("hint %q of %q", h, n)
		}
	})
}

func FuzzCode(f *testing.F) {
	for _, seed := range []string{`0`, `"012345"`, `-1`, `1e9`, `"\ud800"`, `{`, `null`, ` 7 `} {
		f.Add([]byte(seed))
	}
	six := regexp.MustCompile(`^[0-9]{6}$`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		code, ok := parseCode(raw)
		if !ok && code != "" {
			t.Fatalf("%q is no code but %q", raw, code)
		}
		var n json.Number
		if json.Unmarshal(raw, &n) == nil && json.Valid(raw) && !strings.HasPrefix(strings.TrimSpace(string(raw)), `"`) && ok && code != "" && !six.MatchString(code) {
			t.Fatalf("the number %q became %q", raw, code)
		}
	})
}

func FuzzReported(f *testing.F) {
	f.Add([]byte(`{"code":21211,"message":"The 'To' number +447700900123 is not valid."}`))
	f.Add([]byte("token-of-mine 123456 447700900123"))
	f.Fuzz(func(t *testing.T, body []byte) {
		a := account{Settings: Settings{Provider: Twilio}, auth: "token-of-mine"}
		got := reported(body, a, message{To: numberOne, Code: "123456", Text: "Use 123456"})
		if len(got) > maxReported+4 || strings.Contains(got, "token-of-mine") || strings.Contains(got, "447700900123") || strings.Contains(got, "123456") {
			t.Fatalf("%q is shown as %q", body, got)
		}
	})
}
