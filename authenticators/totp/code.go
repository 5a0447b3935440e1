package totp

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238's default, which every app knows; HMAC does not need collision resistance
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
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

// codeAt is the code of a step (RFC 4226 §5.3).
func codeAt(seed []byte, step int64, digits int) string {
	mac := hmac.New(sha1.New, seed)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	n := binary.BigEndian.Uint32(sum[offset:offset+4]) & 0x7fffffff
	modulus := uint32(1)
	for range digits {
		modulus *= 10
	}
	return fmt.Sprintf("%0*d", digits, n%modulus)
}

// match finds the step that a code belongs to, among the present one and its neighbours. fresh tells whether that is
// after last. It takes the same time whatever the code.
func match(seed []byte, now time.Time, last int64, digits int, code string) (step int64, fresh, ok bool) {
	present := stepAt(now)
	for s := present - skew; s <= present+skew; s++ {
		equal := subtle.ConstantTimeCompare([]byte(codeAt(seed, s, digits)), []byte(code)) == 1
		if equal && !fresh { // two steps with one code: the one that may be used
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
