package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what others chose, in characters.
const (
	maxName    = 100
	maxSubject = 200
)

func control(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// clean makes text of unknown origin one line of at most limit characters, of what can be seen alone: no line breaks, and
// nothing that turns the direction of writing around or hides.
func clean(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.Join(strings.Fields(s), " ") {
		if r == utf8.RuneError || r != ' ' && !unicode.IsGraphic(r) {
			continue
		}
		if n == limit {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// header is clean for a header: what looks like an encoded word (RFC 2047) is none, so that it is shown as it stands.
func header(s string, limit int) string {
	return strings.ReplaceAll(clean(s, limit), "=?", "= ?")
}
