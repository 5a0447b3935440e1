package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

// A phone that signs goes the whole way: push, fetch, the server's signature, its own, release. Where the stage demands it,
// a stock phone is turned away at the door.
func TestSigningPhone(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	stages := n.call(http.MethodGet, "/api/v3/stages/authenticator/mobile/", adminToken, nil)
	_, rest, _ := strings.Cut(stages.body, `"pk":"`)
	pk, _, _ := strings.Cut(rest, `"`)
	if got := n.call(http.MethodPatch, "/api/v3/stages/authenticator/mobile/"+pk+"/", adminToken, map[string]any{"accepted_answers": "signed_user_verified"}); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := n.call(http.MethodPatch, "/api/v3/stages/authenticator/mobile/"+pk+"/", adminToken, map[string]any{"accepted_answers": "anything"}); got.status != 400 {
		t.Errorf("a level that is none: %d %s", got.status, got.body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	screen := &phone.Screen{}
	web, its := n.enrolledAs(phone.Options{Signs: true, Verifies: true, Passkey: true, Behaviour: phone.Approve(screen)})
	if result, err := n.browser(screen.Show).Login(ctx, "akadmin", adminPassword); err != nil || result.Outcome != browser.Approved {
		t.Fatalf("%v %+v\n%v", err, result, web.Timeline())
	}
	for range 2 { // the second time by the keys of the first
		if err := web.RotateKeys(ctx, its.Device); err != nil {
			t.Fatal(err)
		}
	}
	if result, err := n.browser(screen.Show).Login(ctx, "akadmin", adminPassword); err != nil || result.Outcome != browser.Approved {
		t.Fatalf("with new keys: %v %+v\n%v", err, result, web.Timeline())
	}
	// The account moves to a new phone, which is a native one.
	young := phone.New(phone.Options{Push: n.double, Signs: true, Verifies: true, Behaviour: phone.Approve(screen)})
	t.Cleanup(young.Close)
	code, err := web.Offer(ctx, its.Device)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := young.EnrolFromQR(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	seen, digits, err := web.Arrived(ctx, its.Device)
	if err != nil || digits != moved.Fingerprint || digits == "" {
		t.Fatalf("%+v %q %+v %v", seen, digits, moved, err)
	}
	// The account page shows it, and the person may stop it there.
	path := "/api/v3/authenticators/mobile/" + its.Device + "/"
	if got := n.call(http.MethodGet, path, adminToken, nil); !strings.Contains(got.body, `"transfer":{"state":"arrived","name":"Simulated phone","ends":`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := n.call(http.MethodPost, path+"stop_transfer/", adminToken, nil); got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if err := web.Hand(ctx, its.Device, seen, true); err == nil {
		t.Error("a move that was stopped is approved")
	}
	young.Forget(moved.Device)
	if code, err = web.Offer(ctx, its.Device); err != nil {
		t.Fatal(err)
	}
	if moved, err = young.EnrolFromQR(ctx, code); err != nil {
		t.Fatal(err)
	}
	if seen, _, err = web.Arrived(ctx, its.Device); err != nil {
		t.Fatal(err)
	}
	if err := web.Hand(ctx, its.Device, seen, true); err != nil {
		t.Fatal(err)
	}
	if err := young.Settle(ctx, moved.Device); err != nil {
		t.Fatal(err)
	}
	for _, device := range []string{its.Device, moved.Device} {
		if got := n.call(http.MethodDelete, "/api/v3/authenticators/admin/mobile/"+device+"/", adminToken, nil); got.status != http.StatusNoContent {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if device == moved.Device {
			break
		}
		if result, err := n.browser(screen.Show).Login(ctx, "akadmin", adminPassword); err != nil || result.Outcome != browser.Approved {
			t.Fatalf("with the new phone: %v %+v\n%v", err, result, young.Timeline())
		}
	}
	p, account := n.enrolledAs(phone.Options{Signs: true, Verifies: true, Behaviour: phone.Approve(screen)})
	result, err := n.browser(screen.Show).Login(ctx, "akadmin", adminPassword)
	if err != nil || result.Outcome != browser.Approved {
		t.Fatalf("%v %+v\n%v", err, result, p.Timeline())
	}
	status, reply, err := p.Call(ctx, account, http.MethodPost, wire.ActionCheckIn, p.Info())
	if err != nil || status != http.StatusNoContent {
		t.Errorf("check in: %d %s %v", status, reply, err)
	}
	// The token alone is worth nothing.
	if got := n.call(http.MethodPost, "/"+wire.Path(account.Device, wire.ActionCheckIn), account.Token(), p.Info()); got.status != http.StatusForbidden {
		t.Errorf("with the token alone: %d %s", got.status, got.body)
	}
	if got := n.call(http.MethodGet, "/api/v3/core/users/me/", account.Token(), nil); got.status == http.StatusOK {
		t.Errorf("with the token alone: %d %s", got.status, got.body)
	}
}
