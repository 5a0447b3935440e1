package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/core/dbtest"
	"countersign/core/user"
	"countersign/core/user/usertest"
	"countersign/simulator/browser"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
)

const (
	adminToken    = "a-token-for-the-tests-of-cmd-app-alone"
	adminPassword = "correct horse battery"
)

// A node is a server in this process with its push service.
type node struct {
	t      testing.TB
	app    *app.App
	base   string // without a trailing slash
	double *fcm.Double
	stop   context.CancelFunc // tells the server to stop; ended then gets its error
	ended  chan error
	log    *lockedBuffer
}

// start runs a server until the test ends. edit changes its settings; without a database in them it gets one.
func start(t testing.TB, edit func(*app.Config)) *node {
	t.Helper()
	return startWith(t, edit, nil)
}

// startWith is start with other options too.
func startWith(t testing.TB, edit func(*app.Config), more func(*app.Options)) *node {
	t.Helper()
	n := &node{t: t, ended: make(chan error, 1), log: &lockedBuffer{}}
	var err error
	if n.double, err = fcm.New(fcm.Options{}); err != nil {
		t.Fatal(err)
	}
	push := httptest.NewServer(n.double)
	t.Cleanup(push.Close)
	t.Cleanup(n.double.Close)
	credentials, err := n.double.ServiceAccount(push.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := app.Defaults()
	c.Listen, c.DataDir, c.SecretKey, c.Worker = "127.0.0.1:0", "", strings.Repeat("k", 40), false
	c.HTTP.Grace = 10 * time.Second
	c.Push.FCM.Credentials, c.Push.FCM.URL = string(credentials), push.URL+"/v1"
	if edit != nil {
		edit(&c)
	}
	if c.Database.URL == "" && c.DataDir == "" {
		c.Database.URL = dbtest.Pool(t).Config().ConnString()
	}
	o := options(t, n.log)
	if more != nil {
		more(&o)
	}
	n.app, err = app.Open(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	n.base = strings.TrimSuffix(n.app.URL(), "/")
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() { n.ended <- n.app.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-n.ended:
			if err != nil {
				t.Errorf("the server ended: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the server does not end")
		}
		if err := n.app.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
		if t.Failed() {
			t.Logf("server log:\n%s", n.log.tail(40))
		}
	})
	return n
}

func options(t testing.TB, log io.Writer) app.Options {
	t.Helper()
	hasher, err := user.NewHasher(usertest.CheapParams(), 4)
	if err != nil {
		t.Fatal(err)
	}
	return app.Options{
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})), Hasher: hasher,
		Getenv: func(name string) string {
			return map[string]string{"AUTHENTIK_BOOTSTRAP_TOKEN": adminToken, "AUTHENTIK_BOOTSTRAP_PASSWORD": adminPassword}[name]
		},
	}
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// call makes a request; body is JSON unless it is a string or nil. An empty token is an anonymous caller.
func (n *node) call(method, path, token string, body any) answer {
	n.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			n.t.Fatal(err)
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.base+path, reader)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return n.send(req)
}

// direct does not follow redirects.
var direct = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (n *node) send(req *http.Request) answer {
	n.t.Helper()
	res, err := direct.Do(req)
	if err != nil {
		n.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return answer{res.StatusCode, res.Header, string(raw)}
}

// browser is a browser without cookies.
func (n *node) browser(onItem func(device, item string)) *browser.Browser {
	n.t.Helper()
	b, err := browser.New(browser.Options{Base: n.base, SetupFlow: app.MobileSetupFlow, OnItem: onItem})
	if err != nil {
		n.t.Fatal(err)
	}
	return b
}

// enrolled gives akadmin a phone that behaves so.
func (n *node) enrolled(behave phone.Behaviour) (*phone.Phone, phone.Account) {
	n.t.Helper()
	return n.enrolledAs(phone.Options{Behaviour: behave})
}

// enrolledAs gives akadmin a phone with these options.
func (n *node) enrolledAs(o phone.Options) (*phone.Phone, phone.Account) {
	n.t.Helper()
	ctx := n.t.Context()
	if o.Push == nil {
		o.Push = n.double
	}
	p := phone.New(o)
	n.t.Cleanup(p.Close)
	b := n.browser(nil)
	result, err := b.Login(ctx, "akadmin", adminPassword)
	if err != nil || result.Outcome != browser.NoPhone {
		n.t.Fatalf("log in to add a phone: %v, %+v", err, result)
	}
	device, err := b.EnrolPhone(ctx, func(ctx context.Context, payload []byte) (string, error) {
		account, err := p.EnrolFromQR(ctx, payload)
		return account.Fingerprint, err
	})
	if err == nil {
		err = p.Settle(ctx, device)
	}
	if err != nil {
		n.t.Fatalf("add a phone: %v", err)
	}
	return p, p.Accounts()[0]
}
