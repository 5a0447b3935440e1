package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"gopkg.in/yaml.v3"

	"countersign/core/api"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/rbac"
)

type note struct {
	Text string `json:"text" api:"required,max=10"`
	Loud bool   `json:"loud" api:"default=true"`
}

type echo struct {
	Text   string   `json:"text" api:"required"`
	Loud   bool     `json:"loud" api:"required"`
	Who    string   `json:"who" api:"required"`
	Secret string   `json:"secret" api:"wo"`
	List   []string `json:"list" api:"required"`
}

// house is an API with one operation for each thing to try.
type house struct {
	handler http.Handler
	api     *api.API
	metrics *prometheus.Registry
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func authenticate(_ context.Context, r *http.Request) (*rbac.Actor, error) {
	if c, err := r.Cookie("session"); err == nil {
		return &rbac.Actor{ID: 1, Username: c.Value, Via: rbac.ViaSession}, nil
	}
	token, ok, err := api.Bearer(r)
	if !ok || err != nil {
		return nil, err
	}
	if token != "good" && token != "root" {
		return nil, api.TokenInvalid()
	}
	return &rbac.Actor{ID: 2, Username: token, Superuser: token == "root", Via: rbac.ViaToken}, nil
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{metrics: prometheus.NewRegistry(), log: &lockedBuffer{}}
	a := api.New(api.Options{
		Log: slog.New(slog.NewJSONHandler(h.log, nil)), Metrics: h.metrics, Authenticators: []api.Authenticator{authenticate},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, BodyLimit: 1000,
		Schemes: []api.Scheme{{Name: "authentik"}, {Name: "device"}},
	})
	h.api = a
	say := func(_ context.Context, r *api.Request, in note) (echo, error) {
		out := echo{Text: in.Text, Loud: in.Loud, Secret: "never"}
		if r.Actor != nil {
			out.Who = r.Actor.Username
		}
		return out, nil
	}
	api.Handle(a, api.Operation{Method: "POST", Path: "/test/say/", Description: "Says it."}, say)
	api.Handle(a, api.Operation{Method: "PATCH", Path: "/test/say/", Access: api.Anonymous}, say)
	api.Handle(a, api.Operation{Method: "PUT", Path: "/test/say/{id}/", Permission: "test.say", Params: []api.Parameter{{Name: "id", Type: "integer"}}}, say)
	api.Handle(a, api.Operation{Method: "DELETE", Path: "/test/say/{id}/", Access: api.Open, Security: []string{"device"}}, func(_ context.Context, r *api.Request, _ api.None) (api.None, error) {
		if r.Actor != nil {
			return api.None{}, errors.New("an open operation has an actor")
		}
		return api.None{}, nil
	})
	api.Handle(a, api.Operation{Method: "GET", Path: "/test/where/{a}/in/{b}/", Access: api.Anonymous, Query: []api.Parameter{{Name: "n", Type: "integer"}, {Name: "list", List: true}}},
		func(ctx context.Context, r *api.Request, _ api.None) (map[string]any, error) {
			n, ok, err := r.Int("n")
			o := event.From(ctx)
			return map[string]any{"a": r.Param("a"), "b": r.Param("b"), "ip": r.IP().String(), "base": r.BaseURL(), "secure": r.Secure(), "n": n, "ok": ok,
				"origin": o.RequestID == r.ID() && o.ClientIP == r.IP() && o.Path == r.HTTP.URL.Path}, err
		})
	for name, err := range map[string]error{
		"plain": errors.New("pq: secret thing at /src/x.go:12"), "missing": fault.Missing(), "forbidden": fault.Forbidden(),
		"busy":   &fault.Error{Kind: fault.Throttled, Code: "throttled", Detail: "Too often.", RetryAfter: 1500 * time.Millisecond},
		"fields": fault.Fields{"a": {{Text: "one"}}, "a.b": {{Text: "two"}}, "c.0.d": {{Text: "three"}}}.Err(),
		"empty":  fault.New(fault.Invalid, "", ""), "database": fmt.Errorf("x: %w", &pgconn.PgError{Code: "57P01", Message: "terminating"}),
	} {
		api.Handle(a, api.Operation{Method: "GET", Path: "/fail/" + name + "/", Access: api.Anonymous}, func(context.Context, *api.Request, api.None) (echo, error) {
			return echo{}, fmt.Errorf("wrapped: %w", err)
		})
	}
	a.Raw(api.Operation{Method: "GET", Path: "/fail/panic/", Access: api.Anonymous}, func(context.Context, *api.Request) error { panic("secret thing in x.go") })
	a.Page("GET", "/page/:slug/", "page", api.Anonymous, func(_ context.Context, r *api.Request) error {
		r.CSRF()
		_, err := io.WriteString(r.Writer, r.Param("slug"))
		return err
	})
	handler, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	h.handler = handler
	return h
}

func (h *house) do(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "peer" {
			r.RemoteAddr = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const auth, good = "Authorization", "Bearer good"
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		want               string
	}{
		{"POST", "/test/say/", `{"text":"hi"}`, []string{auth, good}, 200, `{"text":"hi","loud":true,"who":"good","list":[]}`},
		{"POST", "/test/say/", `{"text":"hi","loud":false,"Loud":true}`, []string{auth, "bearer good"}, 200, `{"text":"hi","loud":false,"who":"good","list":[]}`},
		{"POST", "/test/say/", `{}`, []string{auth, good}, 400, `{"text":["This field is required."]}`},
		{"POST", "/test/say/", ``, []string{auth, good}, 400, `{"text":["This field is required."]}`},
		{"PATCH", "/test/say/", `{}`, nil, 200, `{"text":"","loud":true,"who":"","list":[]}`},
		{"POST", "/test/say/", `{}`, nil, 403, `{"detail":"Authentication credentials were not provided.","code":"not_authenticated"}`},
		{"POST", "/test/say/", `{}`, []string{auth, "token"}, 403, `{"detail":"Authentication credentials were not provided.","code":"not_authenticated"}`},
		{"PATCH", "/test/say/", `{}`, []string{auth, "Bearer bad"}, 403, `{"detail":"Token invalid/expired","code":"authentication_failed"}`},
		{"PATCH", "/test/say/", `{}`, []string{auth, "Basic x"}, 403, `{"detail":"Unsupported authentication type","code":"authentication_failed"}`},
		{"PATCH", "/test/say/", `{}`, []string{auth, "Bearer "}, 403, `{"detail":"Malformed header","code":"authentication_failed"}`},
		{"PUT", "/test/say/1/", `{"text":"hi"}`, []string{auth, good}, 403, `{"detail":"You do not have permission to perform this action.","code":"permission_denied"}`},
		{"PUT", "/test/say/1/", `{"text":"hi"}`, []string{auth, "Bearer root"}, 200, `{"text":"hi","loud":true,"who":"root","list":[]}`},
		{"DELETE", "/test/say/1/", ``, []string{auth, "Bearer some device token"}, 204, ``},
		{"GET", "/test/say/", ``, nil, 405, `{"detail":"Method \"GET\" not allowed.","code":"method_not_allowed"}`},
		{"POST", "/test/say", `{}`, []string{auth, good}, 404, `{"detail":"Not found.","code":"not_found"}`},
		{"GET", "/nowhere/", ``, nil, 404, `{"detail":"Not found.","code":"not_found"}`},
		{"POST", "/test/say/", `{"text":"` + strings.Repeat("x", 1000) + `"}`, []string{auth, good}, 413, `{"detail":"The request body is larger than 1000 bytes.","code":"too_large"}`},
		{"POST", "/test/say/", `{"text":`, []string{auth, good}, 400, `{"detail":"JSON parse error - unexpected input: line 1 column 8 (char 7)","code":"parse_error"}`},
		{"POST", "/test/say/", `x`, []string{auth, good, "Content-Type", "text/plain"}, 415, `{"detail":"Unsupported media type \"text/plain\" in request.","code":"unsupported_media_type"}`},
		{"POST", "/test/say/", `{"text":"é"}`, []string{auth, good, "Content-Type", "application/json; charset=latin1"}, 415, `{"detail":"Unsupported media type \"application/json; charset=latin1\" in request.","code":"unsupported_media_type"}`},
		{"POST", "/test/say/", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), []string{auth, good}, 400, `{"detail":"JSON parse error - nested deeper than 64","code":"parse_error"}`},
		{"GET", "/fail/plain/", ``, nil, 500, `{"detail":"Internal server error.","code":"internal"}`},
		{"GET", "/fail/panic/", ``, nil, 500, `{"detail":"Internal server error.","code":"internal"}`},
		{"GET", "/fail/missing/", ``, nil, 404, `{"detail":"Not found.","code":"not_found"}`},
		{"GET", "/fail/busy/", ``, nil, 429, `{"detail":"Too often.","code":"throttled"}`},
		{"GET", "/fail/fields/", ``, nil, 400, `{"a":{"b":["two"],"non_field_errors":["one"]},"c":{"0":{"d":["three"]}}}`},
		{"GET", "/fail/empty/", ``, nil, 400, ``},
		{"GET", "/fail/database/", ``, nil, 503, `{"detail":"The database is not available at the moment. Please try again.","code":"database_unavailable"}`},
		{"GET", "/test/where/x/in/y/?n=z", ``, nil, 400, `{"n":["Enter a number."]}`},
	} {
		w := h.do(c.method, "/api/v3"+c.path, c.body, c.headers...)
		if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%s %s %.40s %v: %d %s\nwant %d %s", c.method, c.path, c.body, c.headers, w.Code, w.Body, c.status, c.want)
		}
		if id := w.Header().Get("X-authentik-id"); len(id) != 32 {
			t.Errorf("%s %s: request id %q", c.method, c.path, id)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("X-Frame-Options") == "" {
			t.Errorf("%s %s: headers %v", c.method, c.path, w.Header())
		}
	}
	if got := h.do("GET", "/api/v3/fail/busy/", "").Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q", got)
	}
	if w := h.do("HEAD", "/api/v3/test/where/x/in/y/", ""); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d %s", w.Code, w.Body)
	}
	if w := h.do("GET", "/api/v3/test/where/x%2Fz/in/%20y/", ""); !strings.Contains(w.Body.String(), `"a":"x/z","b":" y"`) {
		t.Errorf("escaped path: %s", w.Body)
	}
}

// A request's log line and its error line carry the id that the client got, and the cause that it did not get.
func TestLogAndMetrics(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.do("GET", "/api/v3/fail/plain/?token=hush", "")
	id := w.Header().Get("X-authentik-id")
	var lines []map[string]any
	for line := range strings.SplitSeq(strings.TrimSpace(h.log.String()), "\n") {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, o)
	}
	if len(lines) != 2 || lines[0]["id"] != id || !strings.Contains(fmt.Sprint(lines[0]["error"]), "secret thing") || lines[1]["msg"] != "request" || lines[1]["status"] != 500.0 {
		t.Errorf("log %v", lines)
	}
	h.do("GET", "/page/the-secret/", "")
	h.do("BREW", "/nowhere/", "")
	if log := h.log.String(); strings.Contains(log, "hush") || strings.Contains(log, "the-secret") {
		t.Errorf("the log has the query, or a page's path: %s", log)
	}
	families, err := h.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "countersign_http_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got[strings.Join(labels, " ")] = m.GetCounter().GetValue()
		}
	}
	want := map[string]float64{"GET fail_plain_retrieve 500": 1, "GET page 200": 1, "other not_found 404": 1}
	if !maps.Equal(got, want) {
		t.Errorf("metrics %v, want %v", got, want)
	}
}

func TestForgery(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const cookies = "session=ann; authentik_csrf=tok"
	for name, c := range map[string]struct {
		headers []string
		status  int
		detail  string
	}{
		"right":          {[]string{"Cookie", cookies, "X-authentik-CSRF", "tok"}, 200, ""},
		"right, origin":  {[]string{"Cookie", cookies, "X-authentik-CSRF", "tok", "Origin", "http://example.com"}, 200, ""},
		"no header":      {[]string{"Cookie", cookies}, 403, "CSRF Failed: CSRF token missing."},
		"no cookie":      {[]string{"Cookie", "session=ann", "X-authentik-CSRF", "tok"}, 403, "CSRF Failed: CSRF token missing."},
		"other":          {[]string{"Cookie", cookies, "X-authentik-CSRF", "tik"}, 403, "CSRF Failed: CSRF token incorrect."},
		"foreign origin": {[]string{"Cookie", cookies, "X-authentik-CSRF", "tok", "Origin", "https://evil.example"}, 403, "CSRF Failed: Origin checking failed."},
		"null origin":    {[]string{"Cookie", cookies, "X-authentik-CSRF", "tok", "Origin", "null"}, 403, "CSRF Failed: Origin checking failed."},
		"cross-site":     {[]string{"Cookie", cookies, "X-authentik-CSRF", "tok", "Sec-Fetch-Site", "cross-site"}, 403, "CSRF Failed: Origin checking failed."},
		"token":          {[]string{"Authorization", "Bearer good", "Origin", "https://evil.example"}, 200, ""},
	} {
		w := h.do("POST", "/api/v3/test/say/", `{"text":"x"}`, c.headers...)
		if w.Code != c.status || c.detail != "" && !strings.Contains(w.Body.String(), c.detail) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	w := h.do("GET", "/page/x/", "", "peer", "10.0.0.1:5", "X-Forwarded-Proto", "https")
	cookie := w.Result().Cookies()[0]
	if cookie.Name != "authentik_csrf" || len(cookie.Value) < 32 || !cookie.Secure || cookie.HttpOnly || cookie.Path != "/" {
		t.Errorf("cookie %+v", cookie)
	}
	if again := h.do("GET", "/page/x/", "", "Cookie", "authentik_csrf="+cookie.Value).Result().Cookies(); len(again) != 0 {
		t.Errorf("a browser that has a token got another: %v", again)
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, c := range []struct {
		headers []string
		want    string
	}{
		{[]string{"peer", "192.0.2.1:1", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example"}, `192.0.2.1 http://example.com/`},
		{[]string{"peer", "10.0.0.1:1", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "id.example:8443"}, `1.2.3.4 https://id.example:8443/`},
		{[]string{"peer", "10.0.0.1:1", "X-Forwarded-For", "6.6.6.6, 1.2.3.4, 10.0.0.2"}, `1.2.3.4 http://example.com/`},
		{[]string{"peer", "10.0.0.1:1", "X-Forwarded-For", "1.2.3.4, nonsense"}, `10.0.0.1 http://example.com/`},
		{[]string{"peer", "10.0.0.1:1", "X-Forwarded-For", "[2001:db8::1]:443", "X-Forwarded-Host", "bad host/x"}, `2001:db8::1 http://example.com/`},
		{[]string{"peer", "[::ffff:10.0.0.1]:1", "X-Forwarded-For", "::ffff:1.2.3.4"}, `1.2.3.4 http://example.com/`},
		{[]string{"peer", "@"}, `invalid IP http://example.com/`},
	} {
		w := h.do("GET", "/api/v3/test/where/x/in/y/", "", c.headers...)
		var got struct {
			IP, Base string
			Origin   bool
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.IP+" "+got.Base != c.want || !got.Origin {
			t.Errorf("%v: %s, want %s", c.headers, w.Body, c.want)
		}
	}
}

// A body that does not arrive in time is refused, and a request that then waits long keeps its connection.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	a := api.New(api.Options{ReadTimeout: 50 * time.Millisecond})
	waited := make(chan error, 1)
	api.Handle(a, api.Operation{Method: "POST", Path: "/test/slow/", Access: api.Anonymous}, func(ctx context.Context, _ *api.Request, _ note) (api.None, error) {
		select {
		case <-ctx.Done():
			waited <- ctx.Err()
		case <-time.After(200 * time.Millisecond):
			waited <- nil
		}
		return api.None{}, nil
	})
	handler, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	defer srv.Close()
	post := func(body io.Reader) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/api/v3/test/slow/", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		raw, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(raw)
	}
	halfway, rest := io.Pipe() // gives its beginning and then nothing more
	defer func() { _ = rest.Close() }()
	go func() { _, _ = rest.Write([]byte(`{"text":`)) }()
	if status, body := post(halfway); status != 400 || !strings.Contains(body, "did not arrive in time") {
		t.Errorf("slow body: %d %s", status, body)
	}
	if status, body := post(strings.NewReader(`{"text":"x"}`)); status != 204 {
		t.Errorf("quick body, long wait: %d %s", status, body)
	}
	if err := <-waited; err != nil {
		t.Errorf("the waiting request was ended: %v", err)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	asJSON := h.do("GET", "/api/v3/schema/", "", "Accept", "application/json")
	asYAML := h.do("GET", "/api/v3/schema/", "")
	var a, b any
	if err := json.Unmarshal(asJSON.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(asYAML.Body.Bytes(), &b); err != nil || asYAML.Body.Bytes()[0] == '{' {
		t.Fatal(err, asYAML.Body)
	}
	if raw, _ := json.Marshal(b); !equalJSON(raw, asJSON.Body.Bytes()) {
		t.Error("the YAML says something else than the JSON")
	}
	if again := newHouse(t).api.Document(); !bytes.Equal(again, asJSON.Body.Bytes()) {
		t.Error("the document depends on chance")
	}
	doc, err := openapi3.NewLoader().LoadFromData(asJSON.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	put := doc.Paths.Value("/test/say/{id}/").Put
	if put.OperationID != "test_say_update" || put.RequestBody.Value.Content["application/json"].Schema.Ref != "#/components/schemas/noteRequest" || put.Tags[0] != "test" {
		t.Errorf("operation %+v", put)
	}
	if open := doc.Paths.Value("/test/say/{id}/").Delete; open.Responses.Value("204") == nil || len(*open.Security) != 1 || (*open.Security)[0]["device"] == nil {
		t.Errorf("operation %+v", open)
	}
	if patch := doc.Paths.Value("/test/say/").Patch; patch.RequestBody.Value.Required || len(*patch.Security) != 2 {
		t.Errorf("operation %+v", patch)
	}
}

func equalJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if w := h.do("GET", "/api/v3/", ""); w.Code != 302 || w.Header().Get("Location") != "/api/browser/" {
		t.Errorf("/api/v3/: %d %v", w.Code, w.Header())
	}
	page := h.do("GET", "/api/browser/", "")
	csp := page.Header().Get("Content-Security-Policy")
	if page.Code != 200 || strings.Contains(csp, "unsafe") || strings.Contains(page.Body.String(), "<style") || strings.Contains(page.Body.String(), "https://") {
		t.Errorf("page: %d %s", page.Code, csp)
	}
	for _, f := range []string{"browser.js", "browser.css"} {
		if w := h.do("GET", "/api/browser/"+f, ""); w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("%s: %d", f, w.Code)
		}
	}
}

func TestWrongDeclarations(t *testing.T) {
	t.Parallel()
	for want, op := range map[string]api.Operation{
		"the path needs a slash":   {Method: "GET", Path: "/x"},
		"one of GET":               {Method: "FETCH", Path: "/x/"},
		"is taken by GET /schema/": {Method: "GET", Path: "/x/", ID: "schema_retrieve"},
		"write app_label.codename": {Method: "GET", Path: "/x/", Permission: "view_x"},
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, want) {
					t.Errorf("panic %q, want one with %q", p, want)
				}
			}()
			api.Handle(api.New(api.Options{}), op, func(context.Context, *api.Request, api.None) (echo, error) { return echo{}, nil })
		}()
	}
}

// FuzzBody feeds any bytes to an operation: whatever they are, the answer is one of the contract's.
func FuzzBody(f *testing.F) {
	for _, s := range []string{`{"text":"x"}`, `{"text":1,"loud":"no"}`, `[]`, `{`, "\xff", `{"text":"\u0000"}`, "null", " ", `{"a":{"a":{}}}`} {
		f.Add([]byte(s))
	}
	h := newHouse(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		w := h.do("POST", "/api/v3/test/say/", string(body), "Authorization", "Bearer good")
		switch w.Code {
		case 200, 400, 413:
		default:
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) || strings.Contains(w.Body.String(), ".go:") {
			t.Errorf("%q: %s", body, w.Body)
		}
	})
}
