package static

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"strings"
	"unicode"
)

// alphabet has no character that looks like another one: no i, l, o, 0, 1.
const alphabet = "abcdefghjkmnpqrstuvwxyz23456789"

const (
	keySize = 32
	// maxTyped bounds what is looked at of an answer, in bytes.
	maxTyped = 128
)

// draw makes n different codes, each of length characters, every one of which is equally likely.
func draw(n, length int) []string {
	seen := make(map[string]bool, n)
	out := make([]string, 0, n)
	for len(out) < n {
		if c := drawOne(length); !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	return out
}

func drawOne(length int) string {
	const limit = 256 - 256%len(alphabet) // bytes from here on would favour the first characters
	out := make([]byte, 0, length)
	var buf [32]byte
	for len(out) < length {
		rand.Read(buf[:]) // never fails: crypto/rand ends the process instead
		for _, b := range buf {
			if int(b) < limit && len(out) < length {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// hash is how a code is stored.
func hash(key []byte, code string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(code))
	return mac.Sum(nil)
}

// find gives the one of the hashes that is want's; nil if none is. It takes the same time whichever it is.
func find(hashes [][]byte, want []byte) []byte {
	at := -1
	for i, h := range hashes {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(h, want), i, at)
	}
	if at < 0 {
		return nil
	}
	return hashes[at]
}

// parseCode reads what was typed: so many ASCII letters and digits, with spaces and hyphens anywhere.
func parseCode(raw json.RawMessage, length int) (string, bool) {
	if len(raw) == 0 || len(raw) > maxTyped {
		return "", false
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw) // a code of digits alone, sent as a number
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r):
			return -1
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, text)
	if len(text) != length || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return "", false
	}
	return text, true
}
