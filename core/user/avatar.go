package user

import (
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Avatar draws a picture of a user's initials as an SVG data URI. It asks no outside service, so no address of a
// user leaves the server. The colour follows from seed (the user name), the letters from name, else from seed:
// the first letters of its first and last word, or the first two letters of its only word.
func Avatar(name, seed string) string {
	shown := name
	if strings.TrimSpace(shown) == "" {
		shown = seed
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(seed))
	hue := sum.Sum32() % 360
	// Lightness 32 % keeps white letters at a contrast of at least 4.5 on every hue at this saturation.
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">`+
		`<rect width="64" height="64" fill="hsl(%d,45%%,32%%)"/>`+
		`<text x="32" y="32" dy=".35em" text-anchor="middle" font-family="system-ui,sans-serif" font-size="26" fill="#fff">%s</text></svg>`,
		hue, html.EscapeString(initials(shown)))
	return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg))
}

func initials(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	switch len(words) {
	case 0:
		return "?"
	case 1:
		_, n := utf8.DecodeRuneInString(words[0])
		_, m := utf8.DecodeRuneInString(words[0][n:])
		return strings.ToUpper(words[0][:n+m])
	}
	first, _ := utf8.DecodeRuneInString(words[0])
	last, _ := utf8.DecodeRuneInString(words[len(words)-1])
	return strings.ToUpper(string([]rune{first, last}))
}
