package browser_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/clock"
	"countersign/simulator/phone"
	"countersign/simulator/standin"
)

type bundle struct {
	ctx    context.Context
	server *standin.Server
	phone  *phone.Phone
	clock  *clock.Virtual
	screen *phone.Screen
}

func setup(t *testing.T, o standin.Options, b func(*phone.Screen) phone.Behaviour) bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	v := clock.NewVirtual(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
	o.Clock = v
	s := standin.New(t, o)
	s.AddUser("ada", "secret")
	screen := &phone.Screen{}
	p := phone.New(phone.Options{Push: s, Clock: v, Behaviour: b(screen)})
	t.Cleanup(p.Close)
	return bundle{ctx, s, p, v, screen}
}

func (b bundle) browser(t *testing.T) *browser.Browser {
	t.Helper()
	br, err := browser.New(browser.Options{Base: b.server.URL, Clock: b.clock, OnItem: b.screen.Show})
	if err != nil {
		t.Fatal(err)
	}
	return br
}

func (b bundle) enrol(t *testing.T) {
	t.Helper()
	br := b.browser(t)
	if r, err := br.Login(b.ctx, "ada", "secret"); err != nil || r.Outcome != browser.NoPhone {
		t.Fatalf("login without phone: %+v %v", r, err)
	}
	device, err := br.EnrolPhone(b.ctx, func(ctx context.Context, qr []byte) (string, error) {
		account, err := b.phone.EnrolFromQR(ctx, qr)
		return account.Fingerprint, err
	})
	if err != nil || device != b.phone.Accounts()[0].Device {
		t.Fatalf("enrol: %q %v", device, err)
	}
}

func only(x phone.Behaviour) func(*phone.Screen) phone.Behaviour {
	return func(*phone.Screen) phone.Behaviour { return x }
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		behaviour func(*phone.Screen) phone.Behaviour
		server    standin.Options
		want      browser.Outcome
	}{
		"approve":       {phone.Approve, standin.Options{}, browser.Approved},
		"approve plain": {phone.Approve, standin.Options{Mode: wire.AcceptDeny}, browser.Approved},
		"deny":          {only(phone.Deny), standin.Options{}, browser.Denied},
		"wrong number":  {phone.WrongNumber, standin.Options{}, browser.WrongNumber},
		"careless":      {phone.Approve, standin.Options{Careless: true}, browser.NoPhone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.server, c.behaviour)
			b.enrol(t)
			r, err := b.browser(t).Login(b.ctx, "ada", "secret")
			if err != nil || r.Outcome != c.want {
				t.Fatalf("%+v %v, want %s", r, err, c.want)
			}
			var names []string
			for _, s := range r.Steps {
				names = append(names, s.Name)
			}
			if want := []string{"page", "start", "identify", "select", "wait"}; c.want != browser.NoPhone && !slices.Equal(names, want) {
				t.Errorf("steps %v, want %v", names, want)
			}
			if shown := b.screen.Shown(r.Device); shown != "" {
				t.Errorf("the page still shows %q", shown)
			}
		})
	}
}

func TestNoAnswerExpires(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, only(phone.Ignore))
	b.enrol(t)
	done := make(chan browser.Result, 1)
	br := b.browser(t)
	go func() {
		r, _ := br.Login(b.ctx, "ada", "secret")
		done <- r
	}()
	b.clock.Await(1)
	b.clock.Advance(time.Minute)
	if r := <-done; r.Outcome != browser.Expired || r.Steps[len(r.Steps)-1].Took != time.Minute {
		t.Errorf("%+v", r)
	}
}

func TestLostPushIsSaidAndTheLoginGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{PushFails: true}, phone.Approve)
	b.enrol(t)
	br, err := browser.New(browser.Options{
		Base: b.server.URL, Clock: b.clock, OnItem: b.screen.Show,
		OnPushFailed: func(string) {
			if err := b.phone.Refresh(b.ctx); err != nil {
				t.Error(err)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := br.Login(b.ctx, "ada", "secret")
	if err != nil || r.Outcome != browser.Approved || r.PushFailed == "" || r.Waits != 2 {
		t.Errorf("%+v %v", r, err)
	}
}

// A push service that hangs, as it was told to over its controls, is given up, and the page says so.
func TestHangingPushIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Approve)
	b.enrol(t)
	hang := strings.NewReader(`{"outages": [{"error": "HANG"}]}`)
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPut, b.server.URL+"-/conditions", hang)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode > 299 {
		t.Fatalf("%v %v", res, err)
	}
	_ = res.Body.Close()
	said := make(chan string, 1)
	br, err := browser.New(browser.Options{Base: b.server.URL, Clock: b.clock, OnPushFailed: func(text string) { said <- text }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan struct{})
	go func() {
		_, _ = br.Login(ctx, "ada", "secret")
		close(ended)
	}()
	b.clock.Await(2) // the push service's time, and the page's
	b.clock.Advance(5 * time.Second)
	select {
	case <-said:
	case <-b.ctx.Done():
		t.Error("the page was told nothing")
	}
	cancel()
	<-ended
}

func TestBadPasswordIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Approve)
	r, err := b.browser(t).Login(b.ctx, "ada", "guess")
	if err != nil || r.Outcome != browser.Refused || r.Detail != "Failed to authenticate." {
		t.Errorf("%+v %v", r, err)
	}
}

func TestEnrolmentNeedsALogin(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Approve)
	_, err := b.browser(t).EnrolPhone(b.ctx, func(context.Context, []byte) (string, error) { t.Error("shown a QR code"); return "", nil })
	if err == nil {
		t.Error("no error")
	}
}

func TestRequestsStayWithTheServer(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Approve)
	br := b.browser(t)
	for _, path := range []string{"https://evil.example/", "https:///x"} {
		if _, err := br.Do(b.ctx, "GET", path, nil); err == nil {
			t.Errorf("%s is followed", path)
		}
	}
	if _, err := browser.New(browser.Options{Base: "nonsense"}); err == nil {
		t.Error("a base without host is taken")
	}
}
