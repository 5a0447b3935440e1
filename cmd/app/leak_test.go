package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

// betrayals are words that no body may hold: each shows what the server is made of.
var betrayals = []string{"sql", ".go:", "panic", "pgx", "goroutine", "runtime error", "violates", "interface {}", "reflect."}

// drawn are keys and the like in base64url, which hold any three letters now and then; their letters are of no language.
var drawn = regexp.MustCompile(`[A-Za-z0-9_-]{40,}`)

// operation is one of the document.
type operation struct {
	method, path string
	*openapi3.Operation
}

func operations(t *testing.T, n *node) []operation {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(n.app.Document())
	if err != nil {
		t.Fatal(err)
	}
	var out []operation
	for _, path := range doc.Paths.InMatchingOrder() {
		for method, op := range doc.Paths.Value(path).Operations() {
			out = append(out, operation{method, path, op})
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return out
}

// anonymous says whether the document lets everybody in.
func (o operation) anonymous() bool {
	return o.Security != nil && slices.ContainsFunc(*o.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
}

// fill puts a value in the place of each parameter of the path.
func (o operation) fill(value func(p *openapi3.Parameter) string) string {
	path := "/api/v3" + o.path
	for _, p := range o.Parameters {
		if p.Value.In == "path" {
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", value(p.Value))
		}
	}
	return path
}

// unknown is a well-formed value that nothing has.
func unknown(p *openapi3.Parameter) string {
	switch {
	case p.Schema.Value.Type.Is("integer"):
		return "2147480000"
	case p.Schema.Value.Format == "uuid", strings.Contains(p.Name, "uuid"):
		return "9b2f7a3e-5a56-4f0b-8f5c-0d6c2a1e7b44"
	}
	return "nothing-by-this-name"
}

// TestAnonymous asks every operation without credentials: all that the document does not declare open answer 403, before
// they look at anything else.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	closed := 0
	for _, op := range operations(t, n) {
		path := op.fill(unknown)
		for _, body := range []any{nil, "{", map[string]any{}} {
			a := n.call(op.method, path, "", body)
			if op.anonymous() {
				if a.status >= http.StatusInternalServerError {
					t.Errorf("%s %s: %d %s", op.method, path, a.status, a.body)
				}
				continue
			}
			closed++
			var said struct{ Detail string }
			if a.status != http.StatusForbidden || json.Unmarshal([]byte(a.body), &said) != nil || said.Detail == "" {
				t.Errorf("%s %s, anonymous: %d %s, want 403 with a detail", op.method, path, a.status, a.body)
			}
		}
		if a := n.call(op.method, path, "no-such-token", nil); a.status != http.StatusForbidden && !op.anonymous() {
			t.Errorf("%s %s with a wrong token: %d %s, want 403", op.method, path, a.status, a.body)
		}
	}
	if closed < 100 {
		t.Errorf("only %d closed operations: something is wrong with this test", closed)
	}
}

// badTexts are values for places where a text, a number or an id is expected.
var badTexts = []string{
	"", "-1", "0", "99999999999999999999999", "1e400", "\x00", "a\x00b", "\xff\xfe", "'\"`;--", "%", "{}", "[]", "null",
	"../../etc/passwd", "\u202e", strings.Repeat("x", 5000), "9b2f7a3e-5a56-4f0b-8f5c-0d6c2a1e7b44", "not-a-uuid",
}

// badValues are JSON values of every kind.
var badValues = []string{
	`null`, `true`, `-1`, `0`, `1e400`, `123456789012345678901234567890`, `1.5`, `""`, `"\u0000"`, `"a\u0000b"`, `"\ud800"`, `[]`, `{}`,
	`[null]`, `[{}]`, `["\u0000"]`, `{"":""}`, `{"\u0000":"\u0000"}`, `"9b2f7a3e-5a56-4f0b-8f5c-0d6c2a1e7b44"`, `["9b2f7a3e-5a56-4f0b-8f5c-0d6c2a1e7b44"]`,
	`2147483648`, `-2147483649`, `9223372036854775807`, `"` + strings.Repeat("y", 5000) + `"`, `[2147480000]`,
}

// badBodies are no objects of the operation.
var badBodies = []string{
	"", "{", "null", "true", "[]", `""`, "7", `{"a":`, `{"a":1}{"b":2}`, "\x00", "\xff\xfe{}", `{"\ud800":1}`, "a=b&c=d",
	strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 20_000), `{"x":"` + strings.Repeat("z", 2<<20) + `"}`,
}

// prober sends requests and looks at what comes back.
type prober struct {
	*node
	t    *testing.T
	sent int
}

func (p *prober) try(method, path, token, body string, edit ...func(*http.Request)) answer {
	p.t.Helper()
	p.sent++
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatalf("%s %q: %v", method, path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, e := range edit {
		e(req)
	}
	a := p.send(req)
	p.judge(method+" "+path, body, a)
	return a
}

func (p *prober) judge(what, body string, a answer) {
	p.t.Helper()
	shown := body[:min(len(body), 120)]
	if a.status >= http.StatusInternalServerError {
		p.t.Errorf("%.200s %q: %d %.300s", what, shown, a.status, a.body)
	}
	low := strings.ToLower(drawn.ReplaceAllStringFunc(a.body, func(key string) string { return strings.Repeat("·", len(key)) }))
	for _, word := range betrayals {
		if i := strings.Index(low, word); i >= 0 {
			p.t.Errorf("%.200s %q: %d, the body betrays %q: …%.200s", what, shown, a.status, word, low[max(0, i-60):])
		}
	}
}

// TestLeak drives bad input through every operation, as an administrator, who gets furthest: in the path, in the
// query, and as bodies; on things that do not exist and on things that do.
func TestLeak(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	n.enrolled(nil)
	// What exists of users and groups are these, the last of their lists: the administrator is to keep their rights.
	for path, body := range map[string]any{
		"/core/users/":  map[string]any{"username": "zz", "name": "zz"},
		"/core/groups/": map[string]any{"name": "zz"},
	} {
		if a := n.call("POST", "/api/v3"+path, adminToken, body); a.status != http.StatusCreated {
			t.Fatalf("POST %s: %d %s", path, a.status, a.body)
		}
	}
	p := &prober{node: n, t: t}
	ops := operations(t, n)
	existing := n.existing(ops)
	for _, op := range ops {
		if op.path == "/schema/" {
			continue // it serves one text, in which such words may stand
		}
		for _, bad := range badTexts {
			path := op.fill(func(*openapi3.Parameter) string { return url.PathEscape(bad) })
			if path == "/api/v3"+op.path && bad != "" {
				break // no parameters
			}
			p.try(op.method, path, adminToken, "{}")
		}
		targets := []string{op.fill(unknown)}
		if real := existing[collection(op.path)]; real != "" && !destructive(op) {
			targets = append(targets, op.fill(func(*openapi3.Parameter) string { return url.PathEscape(real) }))
		}
		targets = slices.Compact(targets) // they are one where the path has no parameters
		for _, target := range targets {
			p.query(op, target)
			p.bodies(op, target)
		}
	}
	t.Logf("%d requests", p.sent)
	if a := n.call("GET", "/api/v3/core/users/me/", adminToken, nil); a.status != http.StatusOK {
		t.Errorf("afterwards the administrator gets %d %s", a.status, a.body)
	}
}

// destructive operations on what exists would take the ground from under the other ones.
func destructive(op operation) bool {
	return op.method == http.MethodDelete || strings.HasPrefix(op.path, "/core/tokens/") || strings.HasPrefix(op.path, "/flows/executor/")
}

// collection is the path of the list that an object's path belongs to.
func collection(path string) string {
	before, _, _ := strings.Cut(path, "{")
	return before
}

// existing finds the name of one object of each list.
func (n *node) existing(ops []operation) map[string]string {
	n.t.Helper()
	out := map[string]string{}
	for _, op := range ops {
		list := collection(op.path)
		if op.method != http.MethodGet || list == op.path || out[list] != "" {
			continue
		}
		var page struct {
			Results []map[string]any `json:"results"`
		}
		a := n.call("GET", "/api/v3"+list, adminToken, nil)
		if a.status != http.StatusOK || json.Unmarshal([]byte(a.body), &page) != nil || len(page.Results) == 0 {
			continue
		}
		for _, key := range []string{"pk", "uuid", "slug", "identifier", "brand_uuid"} {
			name := fmt.Sprint(page.Results[len(page.Results)-1][key])
			path := op.fill(func(*openapi3.Parameter) string { return url.PathEscape(name) })
			if n.call("GET", path, adminToken, nil).status == http.StatusOK {
				out[list] = name
				break
			}
		}
	}
	if len(out) < 10 {
		n.t.Errorf("objects of %d lists found: something is wrong with this test", len(out))
	}
	return out
}

func (p *prober) query(op operation, target string) {
	p.t.Helper()
	names := []string{"page", "page_size", "ordering", "search", "unheard_of"}
	for _, q := range op.Parameters {
		if q.Value.In == "query" && !slices.Contains(names, q.Value.Name) {
			names = append(names, q.Value.Name)
		}
	}
	if op.method != http.MethodGet {
		return
	}
	for _, bad := range badTexts {
		for _, name := range names {
			p.try(op.method, target+"?"+url.Values{name: {bad}}.Encode(), adminToken, "")
		}
		all := url.Values{}
		for _, name := range names {
			all.Add(name, bad)
			all.Add(name, "2")
		}
		p.try(op.method, target+"?"+all.Encode(), adminToken, "")
	}
	p.try(op.method, target+"?%zz&=&&;&a=%", adminToken, "")
}

func (p *prober) bodies(op operation, target string) {
	p.t.Helper()
	if op.RequestBody == nil {
		p.try(op.method, target, adminToken, "{")
		return
	}
	for _, body := range badBodies {
		a := p.try(op.method, target, adminToken, body)
		if len(body) > 1<<20 && !slices.Contains([]int{http.StatusRequestEntityTooLarge, http.StatusNotFound, http.StatusForbidden}, a.status) {
			p.t.Errorf("%s %s with %d bytes: %d, want 413", op.method, target, len(body), a.status)
		}
	}
	p.try(op.method, target, adminToken, `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	p.try(op.method, target, adminToken, `<a/>`, func(r *http.Request) { r.Header.Set("Content-Type", "application/xml") })
	p.try(op.method, target, adminToken, `{}`, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") })
	properties := map[string]bool{}
	propertiesOf(op.RequestBody.Value.Content.Get("application/json").Schema, properties, 0)
	names := slices.Sorted(maps.Keys(properties))
	for _, value := range badValues {
		var all []string
		for _, name := range names {
			p.try(op.method, target, adminToken, fmt.Sprintf("{%q:%s}", name, value))
			all = append(all, fmt.Sprintf("%q:%s", name, value))
		}
		p.try(op.method, target, adminToken, "{"+strings.Join(all, ",")+"}")
	}
}

// propertiesOf collects the names of a body's properties, through alternatives.
func propertiesOf(ref *openapi3.SchemaRef, into map[string]bool, depth int) {
	if ref == nil || ref.Value == nil || depth > 3 {
		return
	}
	for name := range ref.Value.Properties {
		into[name] = true
	}
	for _, list := range [][]*openapi3.SchemaRef{ref.Value.OneOf, ref.Value.AnyOf, ref.Value.AllOf} {
		for _, s := range list {
			propertiesOf(s, into, depth+1)
		}
	}
}

// TestLeakOnPhone drives bad input through the operations of a phone, under its own token and others.
func TestLeakOnPhone(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	ph, account := n.enrolled(nil)
	p := &prober{node: n, t: t}
	for _, action := range []string{
		wire.ActionEnrol, wire.ActionPushKey, wire.ActionCheckIn, wire.ActionResponse, wire.ActionStatus, wire.ActionPending, "",
	} {
		path := "/" + wire.Path(account.Device, action)
		if action == "" {
			path = "/api/v3/authenticators/mobile/" + account.Device + "/"
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "BREW"} {
			if method == "DELETE" && action == "" {
				continue // it would work
			}
			for _, token := range []string{account.Token(), adminToken, "", "wrong", strings.Repeat("t", 60), "\x7f"} {
				if token == "\x7f" {
					p.try(method, path, "", "{}", func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer"} })
					p.try(method, path, "", "{}", func(r *http.Request) { r.Header["Authorization"] = []string{"Basic Zm9vOmJhcg=="} })
					continue
				}
				p.try(method, path, token, "{}")
			}
		}
		for _, body := range badBodies {
			p.try("POST", path, account.Token(), body)
		}
		for _, value := range badValues {
			for _, name := range []string{"device_uid", "info", "firebase_key", "tx_id", "selected_item", "others", "platform"} {
				p.try("POST", path, account.Token(), fmt.Sprintf("{%q:%s}", name, value))
			}
			p.try("POST", path, account.Token(), fmt.Sprintf(`{"tx_id":%s,"selected_item":%s}`, value, value))
			p.try("POST", path, account.Token(), fmt.Sprintf(`{"device_uid":%s,"info":{"platform":%[1]s,"os_version":%[1]s,"model":%[1]s,"hostname":%[1]s,"app_version":%[1]s,"others":%[1]s}}`, value))
			p.try("POST", path, account.Token(), fmt.Sprintf(`{"platform":%[1]s,"os_version":%[1]s,"model":%[1]s,"hostname":%[1]s,"app_version":%[1]s,"others":%[1]s}`, value))
			p.try("POST", path, account.Token(), fmt.Sprintf(`{"firebase_key":%s}`, value))
		}
	}
	t.Logf("%d requests", p.sent)
	if err := ph.CheckIn(t.Context()); err != nil {
		t.Errorf("afterwards the phone cannot check in: %v", err)
	}
}

// TestLeakInFlow drives bad input through the executor, at every stage of a login. Each piece is sent by a browser that
// stands at the stage: what one answer does to the flow is not seen by the next.
func TestLeakInFlow(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	n.enrolled(phone.Ignore)
	p := &prober{node: n, t: t}
	const executor = loginExecutor
	steps := []map[string]any{
		{"component": "ak-stage-identification", "uid_field": "akadmin"},
		{"component": "ak-stage-password", "password": adminPassword},
	}
	fields := []string{"component", "uid_field", "password", "selected_challenge", "selected_stage", "mobile", "code", "webauthn", "duo", "remember_me"}
	stand := func(stage int) *browser.Browser {
		b := n.browser(nil)
		for _, path := range []string{"/if/flow/default-authentication-flow/", executor} {
			if _, err := b.Do(t.Context(), "GET", path, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, answer := range steps[:stage] {
			if r, err := b.Do(t.Context(), "POST", executor, answer); err != nil || r.Status != http.StatusFound {
				t.Fatalf("step to stage %d: %v %d %s", stage, err, r.Status, r.Body)
			}
		}
		return b
	}
	for stage := range len(steps) + 1 {
		b := stand(stage)
		post := func(body []byte) {
			r, err := b.Do(t.Context(), "POST", executor, json.RawMessage(body))
			if err != nil {
				return // not JSON: sent raw below
			}
			p.sent++
			p.judge(fmt.Sprintf("POST to stage %d", stage), string(body), answer{status: r.Status, body: string(r.Body)})
			if r.Status == http.StatusFound || bytes.Contains(r.Body, []byte("access-denied")) {
				b = stand(stage)
			}
		}
		for _, value := range badValues {
			for _, field := range fields {
				post(fmt.Appendf(nil, "{%q:%s}", field, value))
			}
			post(fmt.Appendf(nil, `{"selected_challenge":{"device_class":%s,"device_uid":%[1]s,"challenge":%[1]s}}`, value))
		}
		cookies := "authentik_session=" + b.Cookie("authentik_session") + "; authentik_csrf=" + b.Cookie("authentik_csrf")
		for _, body := range badBodies {
			p.try("POST", executor, "", body, func(r *http.Request) {
				r.Header.Set("Cookie", cookies)
				r.Header.Set("X-authentik-CSRF", b.Cookie("authentik_csrf"))
			})
		}
	}
	for _, bad := range badTexts {
		p.try("GET", "/api/v3/flows/executor/"+url.PathEscape(bad)+"/?query=", "", "")
		p.try("GET", executor+url.QueryEscape(bad), "", "")
		p.try("GET", "/if/flow/"+url.PathEscape(bad)+"/", "", "")
		p.try("GET", "/flows/-/default/"+url.PathEscape(bad)+"/", "", "")
		p.try("GET", "/if/setup/"+url.PathEscape(bad)+"/", "", "")
		p.try("GET", "/static/"+url.PathEscape(bad), "", "")
		p.try("GET", "/"+url.PathEscape(bad), "", "")
		p.try("GET", executor, "", "", func(r *http.Request) {
			r.Header["Cookie"] = []string{"authentik_session=" + strings.ToValidUTF8(strings.ReplaceAll(bad, "\x00", ""), "?")}
		})
	}
	t.Logf("%d requests", p.sent)
	// A login still works.
	result, err := n.browser(nil).Login(t.Context(), "akadmin", "not the password")
	if err != nil || result.Outcome != browser.Refused {
		t.Errorf("afterwards: %v %+v", err, result)
	}
}
