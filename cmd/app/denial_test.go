package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"countersign/simulator/fcm"
	"countersign/simulator/phone"
)

// T22: after a denial the browser may idle, reload and send again what it sent: the push service hears of no further request. A new
// login, which a person began, is told to wait.
func TestNoPushWhileTheBrowserIdlesAfterADenial(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	_, account := n.enrolled(phone.Deny)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b := n.browser(nil)
	n.askPhone(b, account.Device)
	wait := map[string]any{"mobile": account.Device}
	if r, err := b.Do(ctx, http.MethodPost, loginExecutor, wait); err != nil || !strings.Contains(string(r.Body), "ak-stage-access-denied") {
		t.Fatalf("after the denial: %v %d %s", err, r.Status, r.Body)
	}
	pushes := func() int { return len(n.double.History(fcm.Filter{})) }
	if pushes() != 1 {
		t.Fatalf("%d pushes for one login", pushes())
	}
	choice := map[string]any{"selected_challenge": map[string]any{"device_class": "mobile", "device_uid": account.Device, "challenge": map[string]any{}}}
	for range 10 {
		for _, x := range []struct {
			method, path string
			body         any
		}{
			{http.MethodGet, loginExecutor, nil}, {http.MethodGet, "/if/flow/default-authentication-flow/", nil},
			{http.MethodPost, loginExecutor, wait}, {http.MethodPost, loginExecutor, choice}, {http.MethodGet, loginExecutor, nil},
		} {
			if r, err := b.Do(ctx, x.method, x.path, x.body); err != nil || r.Status >= http.StatusInternalServerError {
				t.Fatalf("%s %s: %v %d %s", x.method, x.path, err, r.Status, r.Body)
			}
		}
	}
	another := n.browser(nil)
	n.askPhone(another, account.Device)
	r, err := another.Do(ctx, http.MethodPost, loginExecutor, choice)
	if err != nil || !strings.Contains(string(r.Body), `"throttled"`) {
		t.Errorf("a new login at once: %v %d %s", err, r.Status, r.Body)
	}
	// A push is under way beside the requests: what was to go out has gone once the server has ended.
	n.stop()
	if err := <-n.ended; err != nil {
		t.Error(err)
	}
	n.ended <- nil // for the end of the test
	if pushes() != 1 {
		t.Errorf("%d pushes, want the one that was denied", pushes())
	}
}
