package app_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"countersign/simulator/phone"
)

// T11: whoever logged in by the password alone adds no phone beside the factors that are there, however they came to be passed
// over; who proved one does, and so does who adds the first ones.
func TestPhoneIsAddedByItsOwner(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	screen := &phone.Screen{}
	p, _ := n.enrolledAs(phone.Options{Behaviour: phone.Approve(screen)}) // the first one
	add := func(b interface {
		EnrolPhone(ctx context.Context, enrol func(ctx context.Context, payload []byte) (string, error)) (string, error)
	}) error {
		other := phone.New(phone.Options{Push: n.double})
		t.Cleanup(other.Close)
		_, err := b.EnrolPhone(t.Context(), func(ctx context.Context, payload []byte) (string, error) {
			account, err := other.EnrolFromQR(ctx, payload)
			return account.Fingerprint, err
		})
		return err
	}
	proved := n.browser(screen.Show)
	if _, err := proved.Login(t.Context(), "akadmin", adminPassword); err != nil {
		t.Fatalf("%v\n%v", err, p.Timeline())
	}
	if err := add(proved); err != nil {
		t.Errorf("after the phone's approval: %v", err)
	}

	// The administrator has logins pass by phones.
	var stages struct {
		Results []struct {
			PK string `json:"pk"`
		} `json:"results"`
	}
	list := n.call(http.MethodGet, "/api/v3/stages/authenticator/validate/?name=default-authentication-mfa-validation", adminToken, nil)
	if err := json.Unmarshal([]byte(list.body), &stages); err != nil || len(stages.Results) != 1 {
		t.Fatalf("%d %s", list.status, list.body)
	}
	change := map[string]any{"device_classes": []string{"totp"}, "not_configured_action": "skip"}
	if got := n.call(http.MethodPatch, "/api/v3/stages/authenticator/validate/"+stages.Results[0].PK+"/", adminToken, change); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	alone := n.browser(nil)
	if _, err := alone.Login(t.Context(), "akadmin", adminPassword); err != nil {
		t.Fatal(err)
	}
	if err := add(alone); err == nil || !strings.Contains(err.Error(), "log in with it") {
		t.Errorf("after the password alone: %v", err)
	}
}
