package totp

import (
	"encoding/base32"
	"encoding/json"
	"strings"
	"time"
	"unicode"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

const (
	period   = 30 // seconds of a step (RFC 6238 §4.1)
	seedSize = 20 // bytes, as RFC 4226 §4 recommends
	// skew is the steps before and after the present one whose codes are taken (RFC 6238 §5.2).
	skew = 1
	// maxTyped bounds what is looked at of an answer, in bytes.
	maxTyped = 64
)

// stepAt is the number of a moment's time step.
func stepAt(t time.Time) int64 { return t.Unix() / period }

// form is the kind of codes. SHA-1 is RFC 6238's default, which every app knows.
func form(digits int) hotp.ValidateOpts {
	return hotp.ValidateOpts{Digits: otp.Digits(digits), Algorithm: otp.AlgorithmSHA1}
}

// match finds the step that a code belongs to, among the present one and its neighbours. fresh tells whether that is
// after last. It takes the same time whatever the code: a code of a step is that of a counter (RFC 4226), each step is
// looked at, and compared in constant time. totp.ValidateCustom of the library would not tell the step.
func match(seed []byte, now time.Time, last int64, digits int, code string) (step int64, fresh, ok bool) {
	key, present := base32.StdEncoding.EncodeToString(seed), stepAt(now)
	for s := present - skew; s <= present+skew; s++ {
		equal, err := hotp.ValidateCustom(code, uint64(s), key, form(digits))
		if err == nil && equal && !fresh { // two steps with one code: the one that may be used
			step, fresh, ok = s, s > last, true
		}
	}
	return step, fresh, ok
}

// parseCode reads what was typed: exactly so many ASCII digits, with spaces anywhere. A JSON number is filled up with
// zeros in front.
func parseCode(raw json.RawMessage, digits int) (string, bool) {
	if len(raw) == 0 || len(raw) > maxTyped {
		return "", false
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
		if len(text) < digits {
			text = strings.Repeat("0", digits-len(text)) + text
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	if len(text) != digits || strings.Trim(text, "0123456789") != "" {
		return "", false
	}
	return text, true
}
