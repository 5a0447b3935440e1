package totp

import (
	"encoding/base32"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"

	"countersign/authenticators/qr"
)

// The vectors of RFC 6238 appendix B (SHA-1) and RFC 4226 appendix D.
func TestVectors(t *testing.T) {
	t.Parallel()
	seed := []byte("12345678901234567890")
	for at, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		if step, fresh, ok := match(seed, time.Unix(at, 0), -1, 8, want); !ok || !fresh || step != at/30 {
			t.Errorf("at %d: %s is of step %d, %v", at, want, step, ok)
		}
	}
	for step, want := range []string{
		"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489",
	} {
		if got, _, ok := match(seed, time.Unix(int64(step)*period, 0), -1, 6, want); !ok || got != int64(step) {
			t.Errorf("step %d: %s is of step %d, %v", step, want, got, ok)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	seed := []byte("12345678901234567890")
	now := time.Unix(1234567890, 0)
	present := stepAt(now)
	for _, c := range []struct {
		name      string
		of, last  int64
		ok, fresh bool
	}{
		{"present", 0, -1, true, true},
		{"previous", -1, -1, true, true},
		{"next", 1, -1, true, true},
		{"two before", -2, -1, false, false},
		{"two after", 2, -1, false, false},
		{"used", 0, present, true, false},
		{"before the used one", -1, present, true, false},
		{"after the used one", 1, present, true, true},
		{"next used ahead of time", 0, present + 1, true, false},
	} {
		step, fresh, ok := match(seed, now, c.last, 6, CodeAt(seed, present+c.of, 6))
		if ok != c.ok || fresh != c.fresh || ok && step != present+c.of && fresh {
			t.Errorf("%s: step %d, fresh %v, ok %v", c.name, step-present, fresh, ok)
		}
	}
	for _, bad := range []string{"", "0", "00000", "0000000"} {
		if _, _, ok := match(seed, now, -1, 6, bad); ok {
			t.Errorf("%q matches", bad)
		}
	}
}

// A step begins at whole half minutes: a code is taken one step long before and after its own.
func TestEdgesOfASteps(t *testing.T) {
	t.Parallel()
	seed := []byte("12345678901234567890")
	own := int64(1_000_000)
	code := CodeAt(seed, own, 6)
	for second, want := range map[int64]bool{-31: false, -30: true, 0: true, 29: true, 59: true, 60: false} {
		if _, _, ok := match(seed, time.Unix(own*period+second, 0), -1, 6, code); ok != want {
			t.Errorf("%d s after its beginning: %v", second, ok)
		}
	}
}

func TestParseCode(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`"123456"`: "123456", `"012345"`: "012345", `"123 456"`: "123456", `" 1 2 3 4 5 6 "`: "123456", `"123\u00a0456"`: "123456",
		`123456`: "123456", `12345`: "012345", `0`: "000000",
	} {
		if got, ok := parseCode(json.RawMessage(raw), 6); !ok || got != want {
			t.Errorf("%s: %q %v, want %q", raw, got, ok, want)
		}
	}
	for _, raw := range []string{
		`"12345"`, `"1234567"`, `1234567`, `""`, `"      "`, `"１２３４５６"`, `"abcdef"`, `"12345a"`, `-12345`, `1e5`, `1.5`, `null`, `true`, `{}`, `[]`, `["123456"]`,
		`"+12345"`, `"12345\u0000"`, `"` + strings.Repeat("1", 10_000) + `"`, `"` + strings.Repeat(" ", 100) + `123456"`, ``,
	} {
		if got, ok := parseCode(json.RawMessage(raw), 6); ok {
			t.Errorf("%.40s: %q", raw, got)
		}
	}
}

func TestConfigURL(t *testing.T) {
	t.Parallel()
	seed := []byte("12345678901234567890")
	for _, c := range []struct{ issuer, account, wantIssuer, wantAccount string }{
		{"Brand", "ann", "Brand", "ann"},
		{"", "ann", "Countersign", "ann"},
		{"Ann & Bob: Ltd", "a+b@c.example", "Ann & Bob  Ltd", "a+b@c.example"},
		{"Büro 24/7?#", "x:y", "Büro 24/7?#", "x y"},
		{"A=B&secret=AAAA&digits=6", "&issuer=c", "A=B&secret=AAAA&digits=6", "&issuer=c"},
		{strings.Repeat("ä", 100), "ann", strings.Repeat("ä", 64), "ann"},
	} {
		raw := configURL(c.issuer, c.account, seed, 8)
		key, err := otp.NewKeyFromURL(raw)
		if err != nil {
			t.Errorf("%q: %v", c.issuer, err)
			continue
		}
		if key.Type() != "totp" || key.Issuer() != c.wantIssuer || key.AccountName() != c.wantAccount || key.Digits() != 8 || key.Period() != 30 ||
			key.Algorithm() != otp.AlgorithmSHA1 || key.Secret() != base32.StdEncoding.EncodeToString(seed) {
			t.Errorf("%q, %q: %s", c.issuer, c.account, raw)
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "otpauth" || u.Path != "/"+c.wantIssuer+":"+c.wantAccount || len(u.Query()) != 5 {
			t.Errorf("%s: %v", raw, err)
		}
		if strings.Contains(raw, "+") {
			t.Errorf("%s has a plus, which some apps read as a space and others show", raw)
		}
	}
	if _, err := qr.Image(configURL(strings.Repeat("a", 64), strings.Repeat("b", 150), seed, 8)); err != nil {
		t.Errorf("long names: %v", err)
	}
}

// Whatever is typed, what is taken is as many ASCII digits as asked for, and is what was typed.
func FuzzParseCode(f *testing.F) {
	for _, s := range []string{`"123456"`, `123`, `"1 2"`, `"１"`, `null`, `{}`, `"\ud800"`, `1e3`, `-0`} {
		f.Add([]byte(s), true)
	}
	seed := []byte("12345678901234567890")
	f.Fuzz(func(t *testing.T, raw []byte, long bool) {
		digits := 6
		if long {
			digits = 8
		}
		code, ok := parseCode(raw, digits)
		if !ok {
			if code != "" {
				t.Fatalf("%q: refused and %q", raw, code)
			}
			return
		}
		if len(code) != digits || strings.Trim(code, "0123456789") != "" || len(raw) > maxTyped {
			t.Fatalf("%q: took %q", raw, code)
		}
		again, ok := parseCode(json.RawMessage(`"`+code+`"`), digits)
		if !ok || again != code {
			t.Fatalf("%q: %q became %q", raw, code, again)
		}
		match(seed, time.Unix(1234567890, 0), -1, digits, code)
	})
}
