package desk_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/simulator/desk"
	"countersign/simulator/event"
	"countersign/simulator/webpage/webpagetest"
)

type bundle struct {
	*stage
	ctx     context.Context
	control *fake
	url     string
}

func setup(t *testing.T) bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	s, control := newStage(started(3, 10)...), &fake{}
	srv := httptest.NewServer(desk.New(s.Hub, control, desk.Options{Hosts: []string{"desk.example"}}))
	t.Cleanup(func() { cancel(); srv.CloseClientConnections(); srv.Close() })
	return bundle{s, ctx, control, srv.URL}
}

func (b bundle) do(t *testing.T, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	return webpagetest.Do(b.ctx, t, method, b.url+path, body, headers...)
}

// await reads an event stream until a state fits.
func await[T any](t *testing.T, b bundle, path string, fits func(T) bool) T {
	t.Helper()
	return webpagetest.Await(b.ctx, t, b.url+path, fits)
}

type shown struct {
	Phase  string
	Paused bool
	Taken  []int
	Grid   struct{ States string }
	Counts desk.Counts
}

func TestAPersonSteersTheRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/pause", "/step"} {
		if status, text := b.do(t, "POST", path, ""); status != 204 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	await(t, b, "/events?from=2&count=1", func(s shown) bool { return s.Paused && s.Phase == desk.Running && s.Grid.States == "i" })
	if status, _ := b.do(t, "POST", "/resume", ""); status != 204 {
		t.Errorf("resume: %d", status)
	}
	await(t, b, "/events", func(s shown) bool { return !s.Paused && s.Grid.States == "iii" })
	if told := b.control.told(); !slices.Equal(told, []string{"pause", "step", "resume"}) {
		t.Errorf("the run was told %q", told)
	}
}

func TestAPersonTakesAPhoneOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if status, _ := b.do(t, "GET", "/phone/2/", ""); status != 404 {
		t.Errorf("a phone that nobody took over: %d", status)
	}
	for body, want := range map[string]int{`{"phone":9}`: 422, `{"phone":0}`: 422, `{`: 400, `{"phone":2}`: 204} {
		if status, text := b.do(t, "POST", "/take", body); status != want {
			t.Errorf("take %s: %d %s", body, status, text)
		}
	}
	await(t, b, "/events", func(s shown) bool { return slices.Equal(s.Taken, []int{2}) })
	if status, text := b.do(t, "GET", "/phone/2/", ""); status != 200 || !strings.Contains(text, "page.js") {
		t.Errorf("the phone's page: %d %.100s", status, text)
	}
	b.control.ring(2, "tx-1")
	b.tell(event.Event{At: second, Kind: event.PhoneStep, Phone: 2, Login: 1, Name: "rang"})
	type phonePage struct {
		Name  string
		Lent  bool
		Rings []struct {
			TxID   string `json:"tx_id"`
			State  string
			Answer string
			Items  []string
		}
	}
	p := await(t, b, "/phone/2/events", func(p phonePage) bool { return len(p.Rings) == 1 })
	if p.Name != "Phone 2" || !p.Lent || !slices.Contains(p.Rings[0].Items, "42") {
		t.Errorf("phone %+v", p)
	}
	for body, want := range map[string]int{`{"tx_id":"tx-1","item":"99"}`: 422, `{"tx_id":"tx-2","item":"42"}`: 422} {
		if status, _ := b.do(t, "POST", "/phone/2/answer", body); status != want {
			t.Errorf("answer %s: %d", body, status)
		}
	}
	if status, text := b.do(t, "POST", "/phone/2/answer", `{"tx_id":"tx-1","item":"42"}`); status != 204 {
		t.Errorf("answer: %d %s", status, text)
	}
	await(t, b, "/phone/2/events", func(p phonePage) bool { return p.Rings[0].State == "answered" && p.Rings[0].Answer == "42" })
	for _, path := range []string{"/phone/2/forget", "/phone/2/enrol", "/phone/2/refresh"} {
		if status, _ := b.do(t, "POST", path, "{}"); status != 405 {
			t.Errorf("%s of a lent phone: %d", path, status)
		}
	}
	if status, _ := b.do(t, "POST", "/release", `{"phone":2}`); status != 204 {
		t.Errorf("release: %d", status)
	}
	if status, _ := b.do(t, "GET", "/phone/2/events", ""); status != 404 {
		t.Errorf("a phone that was given back: %d", status)
	}
	if told := b.control.told(); !slices.Equal(told, []string{"take 2", "answer 2 tx-1 42", "release 2"}) {
		t.Errorf("the run was told %q", told)
	}
}

func TestForeignPagesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"cross-site":   {[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"rebound name": {[]string{"Host", "evil.example"}, 421},
		"named host":   {[]string{"Host", "desk.example:80"}, 204},
		"same origin":  {[]string{"Sec-Fetch-Site", "same-origin"}, 204},
	} {
		if status, _ := b.do(t, "POST", "/pause", "", c.headers...); status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
	}
	if told := b.control.told(); len(told) != 2 {
		t.Errorf("the run was told %q", told)
	}
}

func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, kind := range map[string]string{"/": "text/html", "/desk.css": "text/css", "/desk.js": "javascript", "/icon.svg": "image/svg+xml"} {
		res, err := http.Get(b.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || !strings.Contains(res.Header.Get("Content-Type"), kind) {
			t.Errorf("%s: %s %s (%v)", path, res.Status, res.Header.Get("Content-Type"), err)
		}
		if path != "/icon.svg" && strings.Contains(string(body), "//") && strings.Contains(string(body), "http") && path != "/desk.js" {
			t.Errorf("%s loads from elsewhere", path)
		}
		if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'self'") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
}
