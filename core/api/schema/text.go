package schema

import (
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// SlugPattern is what a slug is made of.
const SlugPattern = `^[-a-zA-Z0-9_]+$`

var slug = regexp.MustCompile(SlugPattern)

// formats are the checks of format=…, with their messages.
var formats = map[string]struct {
	ok   func(string) bool
	text string
}{
	"slug":  {slug.MatchString, `Enter a valid "slug" consisting of letters, numbers, underscores or hyphens.`},
	"email": {isEmail, "Enter a valid email address."},
	"uri":   {isURL, "Enter a valid URL."},
}

func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 320 {
		return false
	}
	_, domain, _ := strings.Cut(s, "@")
	return domain == "localhost" || strings.Contains(strings.Trim(domain, "."), ".") && !strings.ContainsAny(s, " \t<>")
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "ftp" || u.Scheme == "ftps")
}

// timeLayouts are the forms of ISO 8601 that are read. A time without a zone is UTC.
var timeLayouts = []string{
	"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04",
	"2006-01-02T15:04:05.999999999Z0700",
}

func parseTime(s string) (time.Time, bool) {
	if len(s) > 10 && s[10] == ' ' {
		s = s[:10] + "T" + s[11:]
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1 && t.Year() <= 9999 {
			return t.UTC().Truncate(time.Microsecond), true // PostgreSQL keeps microseconds
		}
	}
	return time.Time{}, false
}
