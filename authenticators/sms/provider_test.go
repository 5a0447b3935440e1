package sms

import (
	"context"
	"errors"

	"net/http"
	"net/http/httptest"

	"strings"
	"testing"
	"time"

	"countersign/core/secret"
)

func sender(t testing.TB, p *provider) *Service {
	t.Helper()
	keeper, err := secret.New(strings.Repeat("k", secret.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Keeper: keeper, TwilioURL: p.URL})
}

func basic(name, password string) string {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}

// What is sent is what the providers' documentation asks for.
func TestRequests(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s := sender(t, p)
	m := message{To: numberOne, Code: "012345", Text: text("Countersign", "login.test:9443", "012345")}
	send := func(a account) received {
		t.Helper()
		if err := s.send(t.Context(), a, m); err != nil {
			t.Fatal(err)
		}
		got := p.last(t, numberOne)
		if got.From != a.FromNumber || got.Code != m.Code || got.Text != m.Text {
			t.Errorf("message %+v", got)
		}
		return got
	}
	got := send(account{Settings: Settings{Provider: Twilio, AccountSID: "AC0123", FromNumber: "+15550100"}, auth: "token"})
	if got.Path != "/2010-04-01/Accounts/AC0123/Messages.json" || got.Auth != basic("AC0123", "token") {
		t.Errorf("Twilio: %+v", got)
	}
	generic := Settings{Provider: Generic, AccountSID: p.URL + "/send?tenant=1", FromNumber: "me", AuthType: Basic}
	if got := send(account{Settings: generic, auth: "name", password: "word"}); got.Path != "/send" || got.Auth != basic("name", "word") {
		t.Errorf("basic: %+v", got)
	}
	generic.AuthType = Bearer
	if got := send(account{Settings: generic, auth: "token"}); got.Auth != "Bearer token" {
		t.Errorf("bearer: %+v", got)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	p, elsewhere := newProvider(t), newProvider(t)
	s := sender(t, p)
	p.answer = func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, elsewhere.URL+"/send", http.StatusTemporaryRedirect)
		case "/here":
			http.Redirect(w, r, "/there", http.StatusPermanentRedirect)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusTemporaryRedirect)
		case "/scheme":
			http.Redirect(w, r, "https"+strings.TrimPrefix(p.URL, "http")+"/", http.StatusTemporaryRedirect)
		}
	}
	m := message{To: numberOne, Code: "012345", Text: "x"}
	for path, ok := range map[string]bool{"/away": false, "/here": true, "/round": false, "/scheme": false} {
		err := s.send(t.Context(), account{Settings: Settings{Provider: Generic, AccountSID: p.URL + path}}, m)
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
		if path == "/away" && err != nil && !strings.Contains(err.Error(), "307") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if n := len(elsewhere.sent()); n != 0 {
		t.Errorf("the other host got %d messages", n)
	}
	if got := p.last(t, numberOne); got.Code != m.Code {
		t.Errorf("the redirect within the host lost the body: %+v", got)
	}
}

func TestSendFails(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s := sender(t, p)
	a := account{Settings: Settings{Provider: Generic, AccountSID: p.URL + "/?key=hidden"}, auth: "user", password: "pass-word"}
	m := message{To: numberOne, Code: "012345", Text: "Use 012345"}

	p.refuse(503, strings.Repeat("x", 10<<20))
	var r *refusal
	if err := s.send(t.Context(), a, m); !errors.As(err, &r) || r.Status != 503 || len(r.Detail) > maxReported+4 {
		t.Errorf("an endless answer: %.100v", err)
	}
	p.refuse(400, "number 447700900123, code 012345, user with pass-word")
	if err := s.send(t.Context(), a, m); !errors.As(err, &r) || r.Detail != "number "+Mask+", code "+Mask+", "+Mask+" with "+Mask {
		t.Errorf("private things: %v", err)
	}
	a.Provider, a.AccountSID = Twilio, "AC1"
	p.refuse(400, `{"code": 21211, "message": "Invalid 'To' Phone Number", "more_info": "https://…", "status": 400}`)
	if err := s.send(t.Context(), a, m); !errors.As(err, &r) || r.Detail != "Invalid 'To' Phone Number (Twilio error 21211)" {
		t.Errorf("Twilio's error: %v", err)
	}

	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	a.Provider, a.AccountSID = Generic, gone.URL+"/?key=hidden"
	if err := s.send(t.Context(), a, m); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("nobody there: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.send(ctx, a, m); !errors.Is(err, context.Canceled) {
		t.Errorf("the browser is gone: %v", err)
	}
}

// A provider that hangs holds up so many messages and no more.
func TestSendsAreBounded(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s := sender(t, p)
	s.sending = make(chan struct{}, 2)
	release, begun := make(chan struct{}), make(chan struct{}, 2)
	p.answer = func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
	}
	a := account{Settings: Settings{Provider: Generic, AccountSID: p.URL + "/"}}
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- s.send(context.Background(), a, message{To: numberOne}) }()
	}
	<-begun
	<-begun
	if err := s.send(t.Context(), a, message{To: numberOne}); !errors.Is(err, errBusy) {
		t.Errorf("one too many: %v", err)
	}
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	p.answer = nil
	if err := s.send(t.Context(), a, message{To: numberOne}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestTransportHasLimits(t *testing.T) {
	t.Parallel()
	tr, ok := newClient(nil).Transport.(*http.Transport)
	if !ok || tr.ResponseHeaderTimeout == 0 || tr.TLSHandshakeTimeout == 0 || tr.MaxResponseHeaderBytes == 0 {
		t.Errorf("%+v", tr)
	}
	if s := sender(t, newProvider(t)); s.SendTimeout > 10*time.Second {
		t.Errorf("a person waits for %s", s.SendTimeout)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for host, bound := range map[string]bool{"login.example": true, "login.example:8443": true, "localhost": false, "192.0.2.1:80": false, "[2001:db8::1]:80": false, strings.Repeat("x", 80) + ".example": false} {
		got := text("A   brand\nwith "+strings.Repeat("ä", 100), host, "012345")
		if strings.Contains(got, "#012345") != bound || !strings.Contains(got, ": 012345") || len(got) > 260 {
			t.Errorf("%s: %q", host, got)
		}
		if bound && !strings.HasSuffix(got, "\n\n@login.example #012345") {
			t.Errorf("%s: %q", host, got)
		}
	}
	if got := text("", "", "1"); got != "Use this code to sign in: 1" {
		t.Error(got)
	}
}
