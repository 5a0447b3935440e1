package sms

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Number is a telephone number in E.164: + and 7 to 15 digits, the first not 0 (ITU-T E.164 §6).
type Number string

const (
	minDigits = 7
	maxDigits = 15
	maxTyped  = 64 // bytes of a number as a person types it
)

// parseNumber reads a number as people write it: with its country code after + or 00, and spaces, hyphens, dots,
// slashes and brackets anywhere. The (0) that some put behind the country code is left out.
func parseNumber(typed string) (Number, bool) {
	typed = strings.TrimSpace(typed)
	if len(typed) > maxTyped {
		return "", false
	}
	switch {
	case strings.HasPrefix(typed, "+"):
		typed = typed[1:]
	case strings.HasPrefix(typed, "00"):
		typed = typed[2:]
	default:
		return "", false
	}
	typed = strings.Replace(typed, "(0)", "", 1)
	digits := make([]byte, 0, maxDigits+1)
	for _, r := range typed {
		switch {
		case r >= '0' && r <= '9':
			if len(digits) == maxDigits {
				return "", false
			}
			digits = append(digits, byte(r))
		case !strings.ContainsRune(" \u00a0\u202f-./()", r):
			return "", false
		}
	}
	if len(digits) < minDigits || digits[0] == '0' {
		return "", false
	}
	return "+" + Number(digits), true
}

// hint is as much of a number as a page may show: its last two digits.
func (n Number) hint() string { return "••" + string(n[len(n)-2:]) }

const (
	codeDigits   = 6
	maxCodeBytes = 10_000 // of an answer that is looked at, as JSON
)

// parseCode reads a typed code from an answer's JSON. A number stands for its six digits, the leading zeros that
// numbers lose included (core.md §10 item 17); spaces within a text are left out. false: it is neither. What comes back
// may still be no plausible code.
func parseCode(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "", false
	}
	if raw[0] != '"' {
		if len(raw) > codeDigits || len(bytes.Trim(raw, "0123456789")) > 0 {
			return "", isNumber(raw)
		}
		return strings.Repeat("0", codeDigits-len(raw)) + string(raw), true
	}
	var text string
	if len(raw) > maxCodeBytes {
		return "", true
	}
	if json.Unmarshal(raw, &text) != nil {
		return "", false
	}
	return strings.Join(strings.Fields(text), ""), true
}

// isNumber tells a JSON number, which may be a wrong code, from what is none.
func isNumber(raw []byte) bool { return raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' }

// plausible tells whether a text has the form of a code. What has not is refused without counting as a guess.
func plausible(code string) bool {
	return len(code) == codeDigits && strings.Trim(code, "0123456789") == ""
}
