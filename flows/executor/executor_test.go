package executor_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"countersign/core/session"
	"countersign/flows"
	"countersign/flows/flowtest"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/password"
)

// The hooks at the end of core.md.
func TestCompatibility(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	c := x.client(t)
	if a := c.do(http.MethodGet, at("no-such-flow", ""), nil, nil); a.StatusCode != 404 || a.json["detail"] != "Not found." || len(a.Cookies()) != 0 {
		t.Errorf("unknown slug: %d %s", a.StatusCode, a.text)
	}
	if n := x.Count(t, `SELECT count(*) FROM sessions`); n != 0 {
		t.Errorf("an unknown slug began %d sessions", n)
	}
	const query = "?query=next%3D%252Fapp%253Fa%253Db"
	a := c.do(http.MethodGet, at(loginSlug, query), nil, nil)
	if a.StatusCode != 200 || a.component() != identification.Component || a.Header.Get("X-Frame-Options") != "SAMEORIGIN" || len(a.Header.Get("X-authentik-id")) != 32 {
		t.Fatalf("first: %d %v %s", a.StatusCode, a.Header, a.text)
	}
	step := func(what string, body any) {
		t.Helper()
		a := c.do(http.MethodPost, at(loginSlug, query), body, nil)
		if a.StatusCode != 302 || a.Header.Get("Location") != at(loginSlug, query) {
			t.Fatalf("%s: %d %q %s", what, a.StatusCode, a.Header.Get("Location"), a.text)
		}
	}
	step("name", map[string]any{"uid_field": "ann", "component": identification.Component})
	if a := c.do(http.MethodGet, at(loginSlug, query), nil, nil); a.component() != password.Component || a.json["pending_user"] != "ann" {
		t.Fatalf("after the name: %s", a.text)
	}
	if a := c.do(http.MethodPost, at(loginSlug, query), map[string]any{"password": "wrong"}, nil); a.StatusCode != 200 || a.code("password") != "invalid" {
		t.Fatalf("wrong password: %s", a.text)
	}
	step("password", map[string]any{"password": "correct"})
	for _, silent := range []string{"validation", "login"} {
		a := c.do(http.MethodGet, at(loginSlug, query), nil, nil)
		if silent == "login" {
			if a.component() != flows.ComponentRedirect || a.json["to"] != "/app?a=b" || a.json["type"] != "redirect" || a.json["flow_info"] != nil {
				t.Errorf("the end: %s", a.text)
			}
		} else if a.StatusCode != 302 {
			t.Errorf("%s: %d %s", silent, a.StatusCode, a.text)
		}
	}
	if a := c.do(http.MethodGet, "/", nil, nil); a.Header.Get("Location") != "/if/user/" {
		t.Errorf("after the login: %v", a.Header)
	}
}

func TestFifthWrongPassword(t *testing.T) {
	t.Parallel()
	c := newSite(t).client(t)
	c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"uid_field": "ann"}, nil)
	for range 4 {
		if a := c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"password": "wrong"}, nil); a.code("password") != "invalid" {
			t.Fatal(a.text)
		}
	}
	a := c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"password": "wrong"}, nil)
	if a.StatusCode != 200 || a.component() != flows.ComponentAccessDenied || a.json["error_message"] != "Unknown error" {
		t.Error(a.text)
	}
}

// Location is the request's own path and query to the letter, however odd: a client takes any other for the end.
func TestLocationEqualsTheRequest(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	for _, query := range []string{
		"", "?", "?query=", "?query=next%3D%2F", "?query=a~b*c&query=d", "?query=%7e%2A%c3%a4", "?query=+%20+", "?query=a;b",
		"?query=%zz", "?query=%00", "?query=%ff%fe", "?x=1&query=next%3D/&y", "?query=a%26b%3Dc%23d", "?query=<>{}|^`'()",
	} {
		c := x.client(t)
		a := c.do(http.MethodPost, at(loginSlug, query), map[string]any{"uid_field": "ann"}, func(r *http.Request) {
			r.URL.RawQuery = strings.TrimPrefix(query, "?")
			r.URL.ForceQuery = query == "?"
		})
		if a.StatusCode != 302 || a.Header.Get("Location") != at(loginSlug, query) {
			t.Errorf("%q: %d, Location %q %s", query, a.StatusCode, a.Header.Get("Location"), a.text)
		}
		if a := c.do(http.MethodGet, at(loginSlug, ""), nil, nil); a.component() != password.Component {
			t.Errorf("%q: then %s", query, a.text)
		}
	}
	// An escaped slug is the same flow.
	path := "/api/v3/flows/executor/default%2Dauthentication%2dflow/"
	if a := x.client(t).do(http.MethodPost, path, map[string]any{"uid_field": "ann"}, nil); a.StatusCode != 302 || a.Header.Get("Location") != path {
		t.Errorf("escaped: %d %q", a.StatusCode, a.Header.Get("Location"))
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	c := x.client(t)
	c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"uid_field": "ann"}, nil)
	for _, tc := range []struct {
		name, method, body, media string
		want                      int
	}{
		{"not JSON", "POST", "password=correct", "application/x-www-form-urlencoded", 415},
		{"no media type", "POST", `{"password":"correct"}`, "", 415},
		{"broken JSON", "POST", `{"password":`, "application/json", 400},
		{"a list", "POST", `[{"password":"correct"}]`, "application/json", 400},
		{"a text", "POST", `"correct"`, "application/json", 400},
		{"no UTF-8", "POST", "{\"password\":\"\xff\"}", "application/json", 400},
		{"two values", "POST", `{"password":"correct"} {}`, "application/json", 400},
		{"too deep", "POST", `{"password":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "application/json", 400},
		{"too large", "POST", `{"password":"` + strings.Repeat("a", bodyLimit) + `"}`, "application/json", 413},
		{"PUT", "PUT", `{}`, "application/json", 405},
		{"PATCH", "PATCH", `{}`, "application/json", 405},
		{"DELETE", "DELETE", "", "", 405},
	} {
		a := c.do(tc.method, at(loginSlug, ""), tc.body, func(r *http.Request) {
			r.Header.Del("Content-Type")
			if tc.media != "" {
				r.Header.Set("Content-Type", tc.media)
			}
		})
		if a.StatusCode != tc.want || a.json["detail"] == nil && a.json["non_field_errors"] == nil || strings.Contains(a.text, ".go") {
			t.Errorf("%s: %d %s", tc.name, a.StatusCode, a.text)
		}
	}
	if a := c.do(http.MethodGet, at(loginSlug, ""), nil, nil); a.component() != password.Component {
		t.Errorf("afterwards: %s", a.text)
	}
	if a := c.do(http.MethodPost, at(loginSlug, ""), nil, nil); a.code("password") != "required" {
		t.Errorf("no body: %d %s", a.StatusCode, a.text)
	}
	if n := x.Count(t, `SELECT count(*) FROM events`); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestForgery(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	c := x.client(t)
	c.logIn("ann")
	body := map[string]any{"uid_field": "root"}
	if a := c.do(http.MethodPost, at(loginSlug, ""), body, nil); a.StatusCode != 403 {
		t.Errorf("without the token: %d %s", a.StatusCode, a.text)
	}
	c.do(http.MethodGet, "/if/flow/"+loginSlug+"/", nil, nil) // sets the cookie
	origin, err := url.Parse(x.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	sent := ""
	for _, k := range c.Jar.Cookies(origin) {
		if k.Name == "authentik_csrf" {
			sent = k.Value
		}
	}
	for header, want := range map[string]int{sent: 302, "x" + sent: 403, "": 403} {
		x.Clock.Advance(11e9) // so that the login before is over
		a := c.do(http.MethodPost, at(loginSlug, ""), body, func(r *http.Request) { r.Header.Set("X-authentik-CSRF", header) })
		if a.StatusCode != want {
			t.Errorf("with %q: %d %s", header, a.StatusCode, a.text)
		}
	}
	if a := c.do(http.MethodPost, at(loginSlug, ""), body, func(r *http.Request) {
		r.Header.Set("X-authentik-CSRF", sent)
		r.Header.Set("Origin", "https://evil.example")
	}); a.StatusCode != 403 {
		t.Errorf("from another origin: %d", a.StatusCode)
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	x.Flow(t, "members", func(f *flows.Flow) { f.Authentication = flows.RequireAuthenticated }, flowtest.Step{Kind: "marker"})
	x.Flow(t, "heads", func(f *flows.Flow) { f.Authentication = flows.RequireSuperuser }, flowtest.Step{Kind: "marker"})
	for _, tc := range []struct {
		slug, header string
		status       int
		component    string
	}{
		{"members", "", 200, flows.ComponentAccessDenied},
		{"members", "Bearer " + x.key, 200, "ak-test-marker"},
		{"members", "nospace", 200, flows.ComponentAccessDenied},
		{"members", "Bearer wrong", 403, ""},
		{"members", "Basic YTpi", 403, ""},
		{"heads", "Bearer " + x.key, 200, flows.ComponentAccessDenied},
		{"heads", "Bearer " + x.root, 200, "ak-test-marker"},
	} {
		a := x.client(t).do(http.MethodGet, at(tc.slug, ""), nil, func(r *http.Request) { r.Header.Set("Authorization", tc.header) })
		if a.StatusCode != tc.status || a.component() != tc.component {
			t.Errorf("%s %q: %d %s", tc.slug, tc.header, a.StatusCode, a.text)
		}
	}
	// The state is the cookie session's, and the token opens no session.
	c := x.client(t)
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+x.root) }
	c.do(http.MethodPost, at("heads", ""), map[string]any{}, bearer)
	if n := x.Count(t, `SELECT count(*) FROM sessions WHERE user_id IS NOT NULL`); n != 0 {
		t.Error("the token logged a session in")
	}
	c.do(http.MethodGet, at("heads", ""), nil, bearer)
	if a := c.do(http.MethodGet, at("heads", ""), nil, nil); a.component() != flows.ComponentAccessDenied {
		t.Errorf("without the token the plan goes on: %s", a.text)
	}
}

func TestEventsTellOfThePage(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	c := x.client(t)
	c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"uid_field": "ann"}, nil)
	c.do(http.MethodPost, at(loginSlug, "?query=next%3D%252Fx%26token%3Dhush"), map[string]any{"password": "wrong"}, nil)
	var raw string
	if err := x.Direct.QueryRow(t.Context(), `SELECT context->'http_request'->'args' FROM events WHERE action = 'login_failed'`).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	var args map[string]string
	if err := json.Unmarshal([]byte(raw), &args); err != nil || args["next"] != "/x" || strings.Contains(raw, "hush") {
		t.Errorf("args %s", raw)
	}
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	c := x.client(t)
	c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"uid_field": "ann"}, nil)
	x.Gate.Shut()
	a := c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"password": "correct"}, nil)
	if a.StatusCode != 503 || a.json["detail"] == "" || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	x.Gate.Open()
	if a := c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"password": "correct"}, nil); a.StatusCode != 302 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

func TestSessionCookie(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	c := x.client(t)
	a := c.do(http.MethodGet, at(loginSlug, ""), nil, nil)
	if k := a.Cookies(); len(k) != 1 || k[0].Name != session.CookieName || !k[0].HttpOnly || k[0].SameSite != http.SameSiteLaxMode {
		t.Errorf("cookies %v", k)
	}
	if a := c.do(http.MethodGet, at(loginSlug, ""), nil, nil); len(a.Cookies()) != 0 {
		t.Errorf("again: %v", a.Cookies())
	}
}
