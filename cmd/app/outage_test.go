package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/core/db"
	"countersign/simulator/browser"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
)

// TestDatabaseGone stops PostgreSQL in the middle of a login: clear answers while it is away, and the login goes on when
// it is back.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	postgres := func() *db.Managed {
		m, err := db.StartManaged(t.Context(), db.ManagedOptions{Dir: dir, Volatile: true, FetchURL: "-"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Stop(context.Background()) }) // a second time is nothing
		return m
	}
	m := postgres()
	n := start(t, func(c *app.Config) { c.Database.URL = m.URL() })
	screen := &phone.Screen{}
	n.enrolled(phone.Approve(screen))
	b := n.browser(screen.Show)
	post := func(body any) browser.Reply {
		t.Helper()
		r, err := b.Do(t.Context(), http.MethodPost, loginExecutor, body)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if _, err := b.Do(t.Context(), http.MethodGet, "/if/flow/default-authentication-flow/", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Do(t.Context(), http.MethodGet, loginExecutor, nil); err != nil {
		t.Fatal(err)
	}
	if r := post(map[string]any{"uid_field": "akadmin"}); r.Status != http.StatusFound {
		t.Fatalf("identification: %d %s", r.Status, r.Body)
	}

	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	check := func(what string, status int, body string) {
		t.Helper()
		if status != http.StatusServiceUnavailable || len(body) < 10 {
			t.Errorf("%s without a database: %d %s, want 503 with a text", what, status, body)
		}
		for _, word := range betrayals {
			if strings.Contains(strings.ToLower(body), word) {
				t.Errorf("%s without a database: the body betrays %q: %s", what, word, body)
			}
		}
	}
	r := post(map[string]any{"password": adminPassword})
	check("the password", r.Status, string(r.Body))
	for _, c := range []struct{ method, path, token string }{
		{"GET", loginExecutor, ""},
		{"GET", "/-/health/ready/", ""},
		{"GET", "/if/flow/default-authentication-flow/", ""},
		{"GET", "/flows/-/default/authentication/", ""},
		{"GET", "/api/v3/core/users/", adminToken},
		{"GET", "/api/v3/core/users/me/", adminToken},
		{"POST", "/api/v3/core/users/", adminToken},
		{"GET", "/api/v3/events/events/", adminToken},
		{"POST", "/api/v3/authenticators/mobile/9b2f7a3e-5a56-4f0b-8f5c-0d6c2a1e7b44/check_in/", "a-device-token"},
	} {
		var body any
		if c.method == "POST" && strings.Contains(c.path, "users") {
			body = map[string]any{"username": "x", "name": "x"}
		}
		if strings.Contains(c.path, "check_in") {
			body = map[string]any{"platform": "android", "os_version": "16", "model": "m", "hostname": "h", "app_version": "1", "others": map[string]any{}}
		}
		a := n.call(c.method, c.path, c.token, body)
		check(c.method+" "+c.path, a.status, a.body)
	}
	if a := n.call("GET", "/-/health/live/", "", nil); a.status != http.StatusNoContent {
		t.Errorf("liveness without a database: %d, want 204: a restart would not help", a.status)
	}

	postgres()
	eventually(t, "the server is ready again", func() bool { return n.call("GET", "/-/health/ready/", "", nil).status == http.StatusNoContent })
	if r := post(map[string]any{"password": adminPassword}); r.Status != http.StatusFound {
		t.Fatalf("the password, once the database is back: %d %s", r.Status, r.Body)
	}
	// And the rest of the way, with the phone.
	result, err := b.Login(t.Context(), "akadmin", adminPassword)
	if err != nil || result.Outcome != browser.Approved {
		t.Errorf("the login, once the database is back: %v %+v", err, result)
	}
}

// TestDatabaseGoneWhileWaiting stops PostgreSQL while a phone rings: the browser's request ends by itself or goes on, and
// asking again brings the approval.
func TestDatabaseGoneWhileWaiting(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := db.StartManaged(t.Context(), db.ManagedOptions{Dir: dir, Volatile: true, FetchURL: "-"})
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, func(c *app.Config) { c.Database.URL = m.URL() })
	screen := &phone.Screen{}
	p, _ := n.enrolled(nil)
	b := n.browser(screen.Show)
	device := p.Accounts()[0].Device
	n.askPhone(b, device)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ring, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.State == phone.Ringing })
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	wait := func() (browser.Reply, error) {
		return b.Do(ctx, http.MethodPost, loginExecutor, map[string]any{"mobile": device})
	}
	if r, err := wait(); err != nil || r.Status != http.StatusServiceUnavailable {
		t.Errorf("waiting without a database: %v %d %s, want 503", err, r.Status, r.Body)
	}
	var status *phone.StatusError
	if err := p.Answer(ctx, ring.TxID, ring.Items[0]); !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable {
		t.Errorf("the phone's answer without a database: %v, want 503", err)
	}
	again, err := db.StartManaged(ctx, db.ManagedOptions{Dir: dir, Volatile: true, FetchURL: "-"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Stop(context.Background()) })
	eventually(t, "the server is ready again", func() bool { return n.call("GET", "/-/health/ready/", "", nil).status == http.StatusNoContent })
	answered := make(chan browser.Reply, 1)
	go func() { // a node that listens again has those who wait look again: they are told to come back, as at any time
		r, err := wait()
		for err == nil && r.Status == http.StatusOK && strings.Contains(string(r.Body), `"waiting"`) {
			r, err = wait()
		}
		answered <- r
	}()
	eventually(t, "the login waits again", func() bool { return n.app.Waiting() == 1 })
	item, err := shownItem(ctx, b, device)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Answer(ctx, ring.TxID, item); err != nil {
		t.Errorf("the phone's answer, once the database is back: %v", err)
	}
	select {
	case r := <-answered:
		if r.Status != http.StatusFound {
			t.Errorf("the login, once the database is back: %d %s, want 302", r.Status, r.Body)
		}
	case <-ctx.Done():
		t.Error("the login does not go on")
	}
}

// loginExecutor is the path of the login's executor.
const loginExecutor = "/api/v3/flows/executor/default-authentication-flow/?query="

// askPhone takes a browser through the login up to where the phone was asked.
func (n *node) askPhone(b *browser.Browser, device string) {
	n.t.Helper()
	for _, body := range []any{
		nil,
		map[string]any{"uid_field": "akadmin"}, map[string]any{"password": adminPassword},
		map[string]any{"selected_challenge": map[string]any{"device_class": "mobile", "device_uid": device, "challenge": map[string]any{}}},
	} {
		method := http.MethodPost
		if body == nil {
			method = http.MethodGet
		}
		if r, err := b.Do(n.t.Context(), method, loginExecutor, body); err != nil || r.Status >= http.StatusBadRequest {
			n.t.Fatalf("%v %d %s", err, r.Status, r.Body)
		}
	}
}

// shownItem is the item that a browser shows for a device.
func shownItem(ctx context.Context, b *browser.Browser, device string) (string, error) {
	r, err := b.Do(ctx, http.MethodGet, loginExecutor, nil)
	if err != nil {
		return "", err
	}
	var c struct {
		Devices []struct {
			UID       string `json:"device_uid"`
			Challenge struct {
				Item string `json:"item"`
			} `json:"challenge"`
		} `json:"device_challenges"`
	}
	if err := json.Unmarshal(r.Body, &c); err != nil {
		return "", err
	}
	for _, d := range c.Devices {
		if d.UID == device {
			return d.Challenge.Item, nil
		}
	}
	return "", fmt.Errorf("no device %s in %s", device, r.Body)
}

// TestPushGone: without Firebase the browser hears within a second, and the phone that looks by itself approves.
func TestPushGone(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	p, account := n.enrolled(nil)
	if err := n.double.SetConditions(fcm.Conditions{Outages: []fcm.Outage{{}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b := n.browser(nil)
	n.askPhone(b, account.Device)
	began := time.Now()
	told, err := b.Do(ctx, http.MethodPost, loginExecutor, map[string]any{"mobile": account.Device})
	if err != nil || told.Status != http.StatusOK || !strings.Contains(string(told.Body), "Failed to send push notification") {
		t.Errorf("%v %d %s, want to be told that the push failed", err, told.Status, told.Body)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the browser was told after %s", took)
	}
	answered := make(chan browser.Reply, 1)
	go func() {
		r, _ := b.Do(ctx, http.MethodPost, loginExecutor, map[string]any{"mobile": account.Device})
		answered <- r
	}()
	eventually(t, "the login waits", func() bool { return n.app.Waiting() == 1 })
	if err := p.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	ring, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.State == phone.Ringing })
	if err != nil {
		t.Fatal(err)
	}
	item, err := shownItem(ctx, b, account.Device)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Answer(ctx, ring.TxID, item); err != nil {
		t.Error(err)
	}
	if r := <-answered; r.Status != http.StatusFound {
		t.Errorf("the login: %d %s, want 302", r.Status, r.Body)
	}
}
