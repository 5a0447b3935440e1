package app_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/maker"
	"countersign/simulator/phone"
)

// G8: with the roots of a maker in its settings, a server takes that maker's phones where hardware is demanded, Android's and
// Apple's, and turns away a phone whose boot loader is unlocked; an administrator sees what was found.
func TestAttestedPhones(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := maker.Open(dir); err != nil {
		t.Fatal(err)
	}
	m, err := maker.Open(dir) // as another program does
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, func(c *app.Config) {
		c.Mobile.Attestation.AndroidRoots = filepath.Join(dir, maker.AndroidRootsFile)
		c.Mobile.Attestation.AppleRoots = filepath.Join(dir, maker.AppleRootsFile)
	})
	stages := n.call(http.MethodGet, "/api/v3/stages/authenticator/mobile/", adminToken, nil)
	_, rest, _ := strings.Cut(stages.body, `"pk":"`)
	pk, _, _ := strings.Cut(rest, `"`)
	path := "/api/v3/stages/authenticator/mobile/" + pk + "/"
	for field, body := range map[string]map[string]any{
		`"attestation"`:              {"attestation": "hardware"},
		`"attestation_min_patch"`:    {"attestation_min_patch": "2026"},
		`"attestation_android_apps"`: {"attestation_android_apps": []string{"example.app"}},
		`"attestation_apple_apps"`:   {"attestation_apple_apps": []string{"example.app"}},
	} {
		if got := n.call(http.MethodPatch, path, adminToken, body); got.status != 400 || !strings.Contains(got.body, field) {
			t.Errorf("%v: %d %s", body, got.status, got.body)
		}
	}
	set := map[string]any{"accepted_answers": "signed", "attestation": "hardware", "attestation_apple_apps": []string{maker.AppID}}
	if got := n.call(http.MethodPatch, path, adminToken, set); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	rooted := phone.New(phone.Options{Signs: true, Verifies: true, Maker: m, Attests: maker.Rooted, Push: n.double})
	t.Cleanup(rooted.Close)
	b := n.browser(nil)
	if result, err := b.Login(t.Context(), "akadmin", adminPassword); err != nil || result.Outcome != browser.NoPhone {
		t.Fatalf("%v %+v", err, result)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = b.EnrolPhone(ctx, func(ctx context.Context, payload []byte) (string, error) {
		account, err := rooted.EnrolFromQR(ctx, payload)
		return account.Fingerprint, err
	})
	if err == nil || !strings.Contains(err.Error(), "400") || !strings.Contains(err.Error(), "boot loader") {
		t.Fatalf("a rooted phone: %v", err)
	}
	screen := &phone.Screen{}
	p, account := n.enrolledAs(phone.Options{Signs: true, Verifies: true, Maker: m, Attests: maker.StrongBox, Behaviour: phone.Approve(screen)})
	if err := p.RotateKeys(ctx, account.Device); err != nil { // new keys prove as much
		t.Fatal(err)
	}
	got := n.call(http.MethodGet, "/api/v3/authenticators/admin/mobile/", adminToken, nil)
	for _, text := range []string{`"format":"android-key"`, `"key":"user_verification"`, `"security_level":"strongbox"`, `"boot_state":"verified"`, `"patch_level":"2026-02"`} {
		if !strings.Contains(got.body, text) {
			t.Errorf("the device's page has no %s: %s", text, got.body)
		}
	}
	if result, err := n.browser(screen.Show).Login(ctx, "akadmin", adminPassword); err != nil || result.Outcome != browser.Approved {
		t.Fatalf("%v %+v", err, result)
	}
}

// G8: the same for an iPhone.
func TestAttestedIPhone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, err := maker.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, func(c *app.Config) { c.Mobile.Attestation.AppleRoots = filepath.Join(dir, maker.AppleRootsFile) })
	stages := n.call(http.MethodGet, "/api/v3/stages/authenticator/mobile/", adminToken, nil)
	_, rest, _ := strings.Cut(stages.body, `"pk":"`)
	pk, _, _ := strings.Cut(rest, `"`)
	set := map[string]any{"accepted_answers": "signed_user_verified", "attestation": "hardware", "attestation_apple_apps": []string{maker.AppID}}
	if got := n.call(http.MethodPatch, "/api/v3/stages/authenticator/mobile/"+pk+"/", adminToken, set); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	n.enrolledAs(phone.Options{Signs: true, Verifies: true, Maker: m, Info: wire.Info{Platform: wire.IOS}})
	got := n.call(http.MethodGet, "/api/v3/authenticators/admin/mobile/", adminToken, nil)
	if !strings.Contains(got.body, `"security_level":"genuine_app"`) || !strings.Contains(got.body, maker.AppID) {
		t.Errorf("the device's page: %s", got.body)
	}
}
