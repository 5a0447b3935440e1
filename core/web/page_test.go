package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"countersign/core/fault"
)

func get(h http.Handler, path string, header ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPageHeaders(t *testing.T) {
	t.Parallel()
	w := newWeb(t)
	pages := map[string]http.HandlerFunc{
		"flow":  func(rw http.ResponseWriter, r *http.Request) { w.FlowPage(rw, r, Flow{Slug: "a", Title: "A"}) },
		"user":  w.UserPage,
		"admin": w.AdminPage,
		"end":   func(rw http.ResponseWriter, r *http.Request) { w.SessionEndPage(rw, r, SessionEnd{Application: "A"}) },
		"error": func(rw http.ResponseWriter, r *http.Request) { w.ErrorPage(rw, r, 404, "T", "x") },
	}
	for name, page := range pages {
		r := get(page, "/")
		for header, want := range map[string]string{
			"Content-Security-Policy": contentSecurityPolicy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "same-origin", "Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
		cookies := len(r.Cookies())
		if needs := name == "flow" || name == "user" || name == "admin"; needs != (cookies == 1) {
			t.Errorf("%s sets %d cookies", name, cookies)
		}
		// The policy would refuse them; a page that has some is broken in a way that nobody sees here.
		body := text(t, r)
		if m := regexp.MustCompile(`<script[^>]*>[^<]|<style| style=| on[a-z]+=`).FindString(body); m != "" {
			t.Errorf("%s has inline code: %s", name, m)
		}
	}
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(contentSecurityPolicy, part) {
			t.Errorf("the policy lacks %s", part)
		}
	}
	if strings.Contains(contentSecurityPolicy, "unsafe") {
		t.Error("the policy allows something unsafe")
	}
}

func TestEscaping(t *testing.T) {
	t.Parallel()
	evil := `"><script>alert(1)</script>`
	w, err := New(Options{
		CSRF:  func(http.ResponseWriter, *http.Request) {},
		Brand: func(*http.Request) Brand { return Brand{Title: evil, Logo: "javascript:alert(1)", Favicon: evil} },
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range map[string]http.HandlerFunc{
		"flow":  func(rw http.ResponseWriter, r *http.Request) { w.FlowPage(rw, r, Flow{Slug: evil, Title: evil}) },
		"error": func(rw http.ResponseWriter, r *http.Request) { w.ErrorPage(rw, r, 500, evil, evil) },
		"end": func(rw http.ResponseWriter, r *http.Request) {
			w.SessionEndPage(rw, r, SessionEnd{Application: evil, LaunchURL: "javascript:alert(1)"})
		},
	} {
		body := text(t, get(page, "/"))
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "javascript:") {
			t.Errorf("%s: not escaped:\n%s", name, body)
		}
	}
}

func TestStatic(t *testing.T) {
	t.Parallel()
	w := newWeb(t)
	version := "/static/" + w.assets.version
	for _, c := range []struct{ path, cache string }{
		{version + "/flow/flow.js", "public, max-age=31536000, immutable"},
		{"/static/flow/flow.js", "no-cache"},
		{"/static/0123456789abcdef/flow/flow.js", "no-cache"},
		{version + "/stage/ak-stage-password.js", "public, max-age=31536000, immutable"},
		{"/static/device/mobile.js", "no-cache"},
		{"/static/css/base.css", "no-cache"},
		{"/static/brand/favicon.svg", "no-cache"},
	} {
		plain := get(w.Static(), c.path)
		if plain.StatusCode != 200 || plain.Header.Get("Cache-Control") != c.cache || plain.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", c.path, plain.StatusCode, plain.Header)
		}
		packed := get(w.Static(), c.path, "Accept-Encoding", "br, gzip;q=0.5")
		if packed.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(packed.Body)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(z)
			if err != nil || string(b) != text(t, plain) {
				t.Errorf("%s: the packed file is another one (%v)", c.path, err)
			}
			if packed.Header.Get("ETag") == plain.Header.Get("ETag") {
				t.Errorf("%s: one ETag for two forms", c.path)
			}
		} else if !strings.HasSuffix(c.path, ".svg") {
			t.Errorf("%s is not compressed", c.path)
		}
		again := get(w.Static(), c.path, "If-None-Match", `"x", W/`+plain.Header.Get("ETag"))
		if again.StatusCode != http.StatusNotModified || text(t, again) != "" {
			t.Errorf("%s: %d for its own ETag", c.path, again.StatusCode)
		}
	}
	if r := get(w.Static(), "/static/flow/flow.js", "Accept-Encoding", "gzip;q=0, identity"); r.Header.Get("Content-Encoding") != "" {
		t.Error("gzip was refused and sent")
	}
	for _, path := range []string{"/static/", "/static/flow/", "/static/../web.go", "/static/template/flow.html", version} {
		if r := get(w.Static(), path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
	rw := httptest.NewRecorder()
	w.Static().ServeHTTP(rw, httptest.NewRequest(http.MethodPost, "/static/flow/flow.js", nil))
	if rw.Code != http.StatusMethodNotAllowed || rw.Header().Get("Allow") == "" {
		t.Errorf("POST: %d", rw.Code)
	}
}

// What the login page loads must stay small: it is the first thing that anybody waits for.
func TestLoginWeight(t *testing.T) {
	t.Parallel()
	w := newWeb(t)
	total := 0
	for _, p := range []string{"flow/flow.js", "flow/dom.js", "flow/api.js", "flow/executor.js", "flow/form.js",
		"stage/ak-stage-identification.js", "stage/ak-stage-password.js", "css/base.css", "css/flow.css"} {
		total += len(w.assets.byPath[p].gzip)
	}
	if total > 20<<10 {
		t.Errorf("%d bytes, want 20 KB at the most", total)
	}
	t.Logf("scripts and styles: %d bytes compressed", total)
}

func TestScripts(t *testing.T) {
	t.Parallel()
	csrf := func(http.ResponseWriter, *http.Request) {}
	w, err := New(Options{CSRF: csrf, Stages: []StageScript{{"ak-stage-new", []byte("export default () => {}")}},
		Devices: []DeviceScript{{"new", []byte("export default () => {}")}}})
	if err != nil {
		t.Fatal(err)
	}
	if w.assets.version == newWeb(t).assets.version {
		t.Error("another script, the same version")
	}
	if r := get(w.Static(), "/static/stage/ak-stage-new.js"); r.StatusCode != 200 {
		t.Errorf("stage script: %d", r.StatusCode)
	}
	page := text(t, get(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.FlowPage(rw, r, Flow{Slug: "a"}) }), "/"))
	if !strings.Contains(page, "ak-stage-new") || !strings.Contains(page, `data-devices="duo mobile new sms`) {
		t.Errorf("the flow page does not name the scripts:\n%s", page)
	}
	for name, o := range map[string]Options{
		"no CSRF":   {},
		"twice":     {CSRF: csrf, Stages: []StageScript{{Component: "ak-stage-password"}}},
		"bad name":  {CSRF: csrf, Stages: []StageScript{{Component: "../flow/flow"}}},
		"bad class": {CSRF: csrf, Devices: []DeviceScript{{Class: "a.b"}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestSetup(t *testing.T) {
	t.Parallel()
	var got SetupForm
	var result error
	h := newWeb(t).SetupPage(Setup{
		Check: func(r *http.Request) error {
			if r.URL.Path != "/good" {
				return fault.Missing()
			}
			return nil
		},
		Submit: func(_ *http.Request, f SetupForm) (string, error) {
			got = f
			return "/if/user/", result
		},
	})
	post := func(path string, form url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rw := httptest.NewRecorder()
		h.ServeHTTP(rw, r)
		return rw
	}
	form := func(email, a, b string) url.Values {
		return url.Values{"email": {email}, "password": {a}, "password_repeat": {b}}
	}
	if r := get(h, "/bad"); r.StatusCode != 404 || !strings.Contains(text(t, r), "used up") {
		t.Errorf("GET with a bad link: %d", r.StatusCode)
	}
	if rw := post("/bad", form("a@b.c", "x", "x")); rw.Code != 404 || got != (SetupForm{}) {
		t.Errorf("POST with a bad link: %d, submitted %v", rw.Code, got)
	}
	if rw := post("/good", form(`"><b>`, "x", "y")); rw.Code != 400 || !strings.Contains(rw.Body.String(), "not the same") ||
		strings.Contains(rw.Body.String(), "<b>") || got != (SetupForm{}) {
		t.Errorf("two passwords: %d %s", rw.Code, rw.Body)
	}
	if rw := post("/good", form("", "", "")); rw.Code != 400 {
		t.Errorf("no password: %d", rw.Code)
	}
	result = fault.Field("password", "invalid", "At least 8 characters.")
	if rw := post("/good", form("a@b.c", "x", "x")); rw.Code != 400 || !strings.Contains(rw.Body.String(), "At least 8 characters.") ||
		strings.Contains(rw.Body.String(), `value="x"`) {
		t.Errorf("refused password: %d %s", rw.Code, rw.Body)
	}
	result = io.ErrUnexpectedEOF
	if rw := post("/good", form("a@b.c", "x", "x")); rw.Code != 500 || strings.Contains(rw.Body.String(), "EOF") {
		t.Errorf("failure: %d %s", rw.Code, rw.Body)
	}
	result = nil
	if rw := post("/good", form("a@b.c", " x ", " x ")); rw.Code != http.StatusSeeOther || rw.Header().Get("Location") != "/if/user/" ||
		got != (SetupForm{Email: "a@b.c", Password: " x "}) {
		t.Errorf("done: %d %v %v", rw.Code, rw.Header(), got)
	}
	if rw := post("/good", form("a@b.c", strings.Repeat("x", 20<<10), "x")); rw.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("too much: %d", rw.Code)
	}
}
