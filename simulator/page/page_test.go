package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/page"
	"countersign/simulator/phone"
	"countersign/simulator/standin"
	"countersign/simulator/webpage/webpagetest"
)

type bundle struct {
	ctx    context.Context
	server *standin.Server
	phone  *phone.Phone
	url    string
}

func setup(t *testing.T) bundle { return setupAs(t, standin.Options{}, phone.Options{}) }

func setupAs(t *testing.T, so standin.Options, po phone.Options) bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	s := standin.New(t, so)
	s.AddUser("ada", "secret")
	po.Push = s
	p := phone.New(po)
	srv := httptest.NewServer(page.New(p, page.Options{Name: "Ada's phone", Hosts: []string{"phone.example"}}))
	t.Cleanup(func() { cancel(); srv.CloseClientConnections(); srv.Close(); p.Close() })
	return bundle{ctx, s, p, srv.URL}
}

func (b bundle) post(t *testing.T, path string, body any, headers ...string) (int, string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return webpagetest.Do(b.ctx, t, http.MethodPost, b.url+path, string(text), headers...)
}

type state struct {
	Name     string
	Accounts []struct {
		Device, Host, Fingerprint string
		Confirmed                 bool
	}
	Rings []struct {
		phone.Ring
		Lines []wire.Line
	}
}

// states reads the event stream.
func (b bundle) states(t *testing.T) <-chan state {
	t.Helper()
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, b.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan state)
	go func() {
		defer close(out)
		defer res.Body.Close()
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			data, found := strings.CutPrefix(lines.Text(), "data: ")
			var s state
			if !found || json.Unmarshal([]byte(data), &s) != nil {
				continue
			}
			select {
			case out <- s:
			case <-b.ctx.Done():
				return
			}
		}
	}()
	return out
}

func until(t *testing.T, states <-chan state, match func(state) bool) state {
	t.Helper()
	for s := range states {
		if match(s) {
			return s
		}
	}
	t.Fatal("the event stream ended")
	return state{}
}

func TestAPersonApproves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	states := b.states(t)
	until(t, states, func(s state) bool { return s.Name == "Ada's phone" && len(s.Accounts) == 0 })
	if status, text := b.post(t, "/enrol", map[string]string{"payload": string(b.server.Enrolment("ada"))}); status != 204 {
		t.Fatalf("enrol: %d %s", status, text)
	}
	until(t, states, func(s state) bool { return len(s.Accounts) == 1 && strings.HasPrefix(s.Accounts[0].Host, "127.0.0.1:") })
	tx, right := b.server.Ask("ada")
	s := until(t, states, func(s state) bool { return len(s.Rings) == 1 })
	if r := s.Rings[0]; r.Lines != nil || r.State != phone.Ringing || !slices.Contains(r.Items, right) || r.Context.Application == "" {
		t.Errorf("ring %+v", r)
	}
	if status, _ := b.post(t, "/answer", map[string]string{"tx_id": tx, "item": "not offered"}); status != 422 {
		t.Errorf("an item that is not offered: %d", status)
	}
	if status, text := b.post(t, "/answer", map[string]string{"tx_id": tx, "item": right}); status != 204 {
		t.Errorf("answer: %d %s", status, text)
	}
	until(t, states, func(s state) bool { return s.Rings[0].State == phone.Answered })
	if got := b.server.AnswerTo(tx); got != right {
		t.Errorf("the server has %q", got)
	}
	if status, text := b.post(t, "/answer", map[string]string{"tx_id": tx, "item": right}); status != 422 || !strings.Contains(text, "404") {
		t.Errorf("second answer: %d %s", status, text)
	}
	if status, _ := b.post(t, "/forget", map[string]string{"device": s.Accounts[0].Device}); status != 204 {
		t.Errorf("forget: %d", status)
	}
	until(t, states, func(s state) bool { return len(s.Accounts) == 0 })
}

// T16: what is no login is drawn from what was signed, and an answer is a report if the person says so.
func TestAPersonSeesWhatIsSigned(t *testing.T) {
	t.Parallel()
	b := setupAs(t, standin.Options{Guarded: true}, phone.Options{Signs: true})
	states := b.states(t)
	if status, text := b.post(t, "/enrol", map[string]string{"payload": string(b.server.Enrolment("ada"))}); status != 204 {
		t.Fatalf("enrol: %d %s", status, text)
	}
	s := until(t, states, func(s state) bool { return len(s.Accounts) == 1 })
	if a := s.Accounts[0]; a.Confirmed || len(a.Fingerprint) != len("123 456 789") {
		t.Errorf("before it is confirmed the page has %+v", a)
	}
	b.server.Confirm(s.Accounts[0].Device)
	until(t, states, func(s state) bool {
		return s.Accounts[0].Confirmed && slices.ContainsFunc(b.phone.Timeline(), func(s phone.Step) bool { return s.Name == phone.StepCheckedIn })
	})
	asked := wire.Transaction{Title: "Pay an invoice", Amount: &wire.Amount{Value: "1234.50", Currency: "EUR"}, Payee: "Müller & Söhne"}
	tx := b.server.AskFor("ada", asked)
	s = until(t, states, func(s state) bool { return len(s.Rings) == 1 })
	if got := s.Rings[0].Lines; !slices.Equal(got, asked.Lines()) {
		t.Errorf("the page shows %+v", got)
	}
	if status, text := b.post(t, "/answer", map[string]string{"tx_id": tx, "item": phone.ItemReport}); status != 204 {
		t.Errorf("report: %d %s", status, text)
	}
	if sent, _ := b.phone.Sent(tx); b.server.AnswerTo(tx) != wire.ItemDeny || sent.Signed == "" {
		t.Errorf("the server has %q, sent %+v", b.server.AnswerTo(tx), sent)
	}
	for _, path := range []string{"/offer", "/hand"} { // this server moves no account
		if status, text := b.post(t, path, map[string]string{"device": s.Accounts[0].Device}); status != 422 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

func TestForeignPagesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"cross-site":     {[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"foreign origin": {[]string{"Origin", "https://evil.example"}, 403},
		"rebound name":   {[]string{"Host", "evil.example"}, 421},
		"named host":     {[]string{"Host", "phone.example:80"}, 204},
		"loopback, IPv6": {[]string{"Host", "[::1]:9100"}, 204},
		"same origin":    {[]string{"Sec-Fetch-Site", "same-origin"}, 204},
	} {
		if status, _ := b.post(t, "/refresh", nil, c.headers...); status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
	}
}

func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, kind := range map[string]string{"/": "text/html", "/page.css": "text/css", "/page.js": "javascript", "/icon.svg": "image/svg+xml"} {
		res, err := http.Get(b.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || !strings.Contains(res.Header.Get("Content-Type"), kind) {
			t.Errorf("%s: %s %s (%v)", path, res.Status, res.Header.Get("Content-Type"), err)
		}
		if path != "/icon.svg" && strings.Contains(string(body), "//cdn") {
			t.Errorf("%s loads from elsewhere", path)
		}
		if !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: no content security policy", path)
		}
	}
}

func TestEnrolLink(t *testing.T) {
	t.Parallel()
	if got := page.EnrolLink("http://127.0.0.1:9100/", []byte(`{"u":"a b"}`)); got != "http://127.0.0.1:9100/#enrol=%7B%22u%22%3A%22a+b%22%7D" {
		t.Error(got)
	}
}
