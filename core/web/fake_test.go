package web

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boombuler/barcode/qr"

	"countersign/core/fault"
)

// The parts of the executor and of the API that the pages use, with scripted answers instead of state.

type object = map[string]any

// A step is one stage of a scripted flow: its challenge, and what it says to an answer.
type step struct {
	challenge object
	// answer returns nil to go on to the next step, else the challenge to show again. Nil: go on.
	answer func(s *call, body object) object
}

// A script is one flow's run.
type script struct {
	steps []step

	mu    sync.Mutex
	at    int
	posts []object
	fail  []int         // statuses of the next requests, before anything else happens
	cut   bool          // take the next answer, and break the connection in the middle of the reply
	held  chan struct{} // closed to let held answers go on
}

// A call is one answer under way.
type call struct {
	*script
	gone <-chan struct{} // closed when the browser gave up
}

type fake struct {
	*httptest.Server
	t     testing.TB
	mu    sync.Mutex
	flows map[string]*script
	data  map[string]any // API path below /api/v3 → JSON
	fail  map[string]int // "DELETE /authenticators/mobile/…" → status of its answers
	calls []string       // "DELETE /authenticators/mobile/…", with the query
}

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{t: t, flows: map[string]*script{}, data: map[string]any{}, fail: map[string]int{}}
	w := newWeb(t)
	mux := http.NewServeMux()
	mux.Handle("/static/", w.Static())
	mux.HandleFunc("/if/flow/{slug}/", func(rw http.ResponseWriter, r *http.Request) {
		w.FlowPage(rw, r, Flow{Slug: r.PathValue("slug"), Title: "Welcome"})
	})
	mux.HandleFunc("/if/user/", w.UserPage)
	mux.HandleFunc(PhonePath, w.PhonePage)
	mux.HandleFunc("/if/admin/", w.AdminPage)
	mux.HandleFunc("/if/session-end/wiki/", func(rw http.ResponseWriter, r *http.Request) {
		w.SessionEndPage(rw, r, SessionEnd{Application: "Team wiki", LaunchURL: "https://wiki.example/"})
	})
	mux.Handle("/if/setup/{token}/", w.SetupPage(Setup{
		Check: func(r *http.Request) error {
			if r.PathValue("token") != "good" {
				return fault.Missing()
			}
			return nil
		},
		Submit: func(_ *http.Request, form SetupForm) (string, error) {
			if form.Password == "short" {
				return "", fault.Field("password", "invalid", "At least 8 characters.")
			}
			return "/if/user/", nil
		},
	}))
	mux.HandleFunc("/api/v3/flows/executor/{slug}/", f.executor)
	mux.HandleFunc("/api/v3/", f.api)
	mux.HandleFunc("/flows/-/cancel/", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "cancelled") })
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/arrived" {
			rw.Header().Set("Content-Type", "text/html")
			fmt.Fprint(rw, "<title>arrived</title>")
			return
		}
		w.ErrorPage(rw, r, http.StatusNotFound, "There is nothing here", "The page does not exist, or not any more.")
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

func newWeb(t testing.TB) *Web {
	t.Helper()
	w, err := New(Options{
		APIBrowser: "/api/v3/",
		CSRF: func(rw http.ResponseWriter, _ *http.Request) {
			http.SetCookie(rw, &http.Cookie{Name: "authentik_csrf", Value: "a-token", Path: "/"})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (f *fake) flow(slug string, steps ...step) *script {
	s := &script{steps: steps, held: make(chan struct{})}
	f.mu.Lock()
	f.flows[slug] = s
	f.mu.Unlock()
	return s
}

func (f *fake) executor(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	s := f.flows[r.PathValue("slug")]
	f.mu.Unlock()
	if s == nil {
		send(rw, http.StatusNotFound, object{"detail": "Not found."})
		return
	}
	s.mu.Lock()
	if len(s.fail) > 0 {
		status := s.fail[0]
		s.fail = s.fail[1:]
		s.mu.Unlock()
		send(rw, status, object{"detail": "Request was throttled."})
		return
	}
	at := s.at
	s.mu.Unlock()
	if r.Method == http.MethodGet {
		if at >= len(s.steps) {
			send(rw, 200, object{"type": "redirect", "component": "xak-flow-redirect", "to": "/arrived"})
			return
		}
		send(rw, 200, s.steps[at].challenge)
		return
	}
	if r.Header.Get("X-authentik-CSRF") != "a-token" {
		send(rw, http.StatusForbidden, object{"detail": "CSRF Failed: CSRF token missing."})
		return
	}
	var body object
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		send(rw, http.StatusBadRequest, object{"detail": err.Error()})
		return
	}
	s.mu.Lock()
	s.posts = append(s.posts, body)
	cut := s.cut
	s.cut = false
	s.mu.Unlock()
	if at >= len(s.steps) {
		f.t.Errorf("an answer after the end of the flow: %v", body)
		return
	}
	if answer := s.steps[at].answer; answer != nil {
		if again := answer(&call{s, r.Context().Done()}, body); again != nil {
			send(rw, 200, again)
			return
		}
	}
	s.mu.Lock()
	s.at++
	s.mu.Unlock()
	if cut {
		rw.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}
	http.Redirect(rw, r, r.URL.RequestURI(), http.StatusFound)
}

func (f *fake) api(rw http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/api/v3")
	f.mu.Lock()
	f.calls = append(f.calls, r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), "/api/v3"))
	data, ok := f.data[path]
	status := f.fail[r.Method+" "+path]
	f.mu.Unlock()
	switch {
	case status != 0:
		rw.Header().Set("X-authentik-id", "0f9a6f0e2b8c4e55a1d2c3b4a5968778")
		send(rw, status, object{"detail": "Not allowed just now."})
	case r.Method != http.MethodGet && r.Header.Get("X-authentik-CSRF") != "a-token":
		send(rw, http.StatusForbidden, object{"detail": "CSRF Failed: CSRF token missing."})
	case r.Method == http.MethodDelete:
		rw.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPatch:
		send(rw, 200, object{})
	case ok:
		send(rw, 200, data)
	default:
		send(rw, http.StatusForbidden, object{"detail": "Authentication credentials were not provided."})
	}
}

func send(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(body)
}

// hold waits as the server does for the phone: until the test lets it go on or the browser gives up.
func (c *call) hold() {
	select {
	case <-c.held:
	case <-c.gone:
	}
}

func (s *script) sent() []object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]object(nil), s.posts...)
}

// Challenges.

func challenge(component string, more object) object {
	c := object{
		"type": "native", "component": component,
		"flow_info": object{"title": "Welcome to Countersign", "background": "", "cancel_url": "/flows/-/cancel/", "layout": "stacked"},
	}
	for k, v := range more {
		c[k] = v
	}
	return c
}

func person(component string, more object) object {
	c := challenge(component, more)
	c["pending_user"], c["pending_user_avatar"] = "ada.lovelace", "https://avatars.example/ada.png"
	return c
}

func identification(more object) object {
	c := challenge("ak-stage-identification", object{
		"user_fields": []string{"username", "email"}, "password_fields": false, "flow_designation": "authentication",
		"primary_action": "Log in", "show_source_labels": false, "sources": []any{},
	})
	for k, v := range more {
		c[k] = v
	}
	return c
}

func device(class, uid string, more object) object {
	if more == nil {
		more = object{}
	}
	return object{"device_class": class, "device_uid": uid, "challenge": more}
}

func phone(mode, item string, more object) object {
	c := object{"item_mode": mode, "item": item, "device_name": "Ada’s Pixel 9"}
	for k, v := range more {
		c[k] = v
	}
	return device("mobile", "018f6f7e-0000-7000-8000-000000000001", c)
}

func validate(devices ...object) object {
	return person("ak-stage-authenticator-validate", object{"device_challenges": devices, "configuration_stages": []any{}})
}

// wrong is a challenge with one complaint about a field.
func wrong(c object, field, code, text string) object {
	out := object{"response_errors": object{field: []object{{"string": text, "code": code}}}}
	for k, v := range c {
		out[k] = v
	}
	return out
}

func selected(c object) object { return wrong(c, "non_field_errors", "invalid", "Empty response") }

func soon(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

func enrolment() object {
	payload := object{"u": "https://login.example.org/", "s": "018f6f7e-0000-7000-8000-00000000000a", "t": strings.Repeat("aB3x", 10)}
	text, _ := json.Marshal(payload)
	code, err := qr.Encode(string(text), qr.M, qr.Auto)
	if err != nil {
		panic(err)
	}
	n := code.Bounds().Dx()
	var path strings.Builder
	for y := range n {
		for x := range n {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x, y)
			}
		}
	}
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d"><path d="%s"/></svg>`, n, n, path.String())
	return person("ak-stage-authenticator-mobile", object{
		"payload": payload, "qr_code": "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)),
		"link": "https://login.example.org/if/phone/#7KQ2-M9XW-4C", "code": "7KQ2-M9XW-4C", "progress": "shown",
		"qr_link": "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)),
	})
}
