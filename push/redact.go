package push

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"unicode"
)

// longest is the most of a provider's own words that an error keeps, in bytes.
const longest = 300

// Fingerprint is a short name for an address: 8 hexadecimal digits of its SHA-256. It tells two addresses apart in a
// log and gives neither away. An empty address has the fingerprint "none".
func Fingerprint(address string) string {
	if address == "" {
		return "none"
	}
	sum := sha256.Sum256([]byte(address))
	return hex.EncodeToString(sum[:4])
}

// Redact makes an error safe to log: each secret in its text is replaced by its Fingerprint in brackets, control
// characters become spaces, and the text ends after 300 bytes. Of what the error wraps only context.Canceled and
// context.DeadlineExceeded remain reachable, so that no unredacted text can be unwrapped. Redact(nil) is nil.
func Redact(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	r := &redacted{text: scrub(err.Error(), secrets)}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			r.known = known
			break
		}
	}
	return r
}

type redacted struct {
	text  string
	known error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.known }

func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "["+Fingerprint(s)+"]")
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
