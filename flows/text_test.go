package flows

import "testing"

func TestTitle(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"Welcome":                    "Welcome",
		"Redirecting to %(app)s":     "Redirecting to Mail",
		"%(user)s at %(app)s":        "ann%(app)s at Mail",
		"100%% sure, %(user)s":       "100% sure, ann%(app)s",
		"%%(user)s":                  "%(user)s",
		"100%":                       "100%",
		"%(user)s is 100%":           "%(user)s is 100%",
		"%(user)s, %(what)s":         "%(user)s, %(what)s",
		"%(user)d":                   "%(user)d",
		"%(user":                     "%(user",
		"50 % off for %(user)s":      "50 % off for %(user)s",
		"":                           "",
		"%(app)s%(app)s%(app)s":      "MailMailMail",
		"\u202e%(user)s":             "\u202eann%(app)s",
		"%(user)s%%(app)s%(user)s %": "%(user)s%%(app)s%(user)s %",
	} {
		if got := title(raw, "Mail", "ann%(app)s"); got != want {
			t.Errorf("title(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestLocalURL(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]bool{
		"/": true, "/if/user/": true, "/a?b=c&d=//e#f": true, "/a//b": true, "/%2f%2fevil": true, "/ä€": true, "/a b": true,
		"/if/user/#/settings;%7B%22page%22%3A%22x%22%7D": true,
		"": false, "//evil": false, "///evil": false, `/\evil`: false, `\\evil`: false, `\/evil`: false, `/a\b`: false,
		"/\t/evil": false, "/\n/evil": false, "/\r\n/evil": false, "/\x00": false, "\t//evil": false, " //evil": false, "/\x7f": false, "/\u0085": false,
		"http://evil": false, "https:evil": false, "javascript:alert(1)": false, "data:text/html,x": false, "mailto:a@b": false,
		"evil": false, "?a": false, "#a": false, "./a": false, "@evil": false, ".evil.com": false,
	} {
		if got := LocalURL(next); got != want {
			t.Errorf("LocalURL(%q) = %v, want %v", next, got, want)
		}
	}
}
