package apns

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Each rule of Apple's, broken, has its status and its word.
func TestRules(t *testing.T) {
	t.Parallel()
	d, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(d)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	phone, err := d.Register(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	token := func(kid, team string, at time.Time) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: d.key}, new(jose.SignerOptions).WithHeader("kid", kid))
		if err != nil {
			t.Fatal(err)
		}
		text, err := jwt.Signed(signer).Claims(map[string]any{"iss": team, "iat": at.Unix()}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return "bearer " + text
	}
	const payload = `{"aps":{"alert":{"title":"T","body":"B"}},"v":"1","kind":"wake","tx_id":"0190d3b1-7c5e-7000-8000-00000000abcd"}`
	for name, c := range map[string]struct {
		status int
		reason string
		header map[string]string
		path   string
		body   string
	}{
		"good":             {200, "", nil, phone, payload},
		"no token":         {403, "MissingProviderToken", map[string]string{"Authorization": ""}, phone, payload},
		"another key id":   {403, "InvalidProviderToken", map[string]string{"Authorization": token("X", d.Team(), time.Now())}, phone, payload},
		"another team":     {403, "InvalidProviderToken", map[string]string{"Authorization": token(d.KeyID(), "X", time.Now())}, phone, payload},
		"an old token":     {403, "ExpiredProviderToken", map[string]string{"Authorization": token(d.KeyID(), d.Team(), time.Now().Add(-61*time.Minute))}, phone, payload},
		"no topic":         {400, "MissingTopic", map[string]string{"Apns-Topic": ""}, phone, payload},
		"another topic":    {400, "DeviceTokenNotForTopic", map[string]string{"Apns-Topic": "x"}, phone, payload},
		"no push type":     {400, "InvalidPushType", map[string]string{"Apns-Push-Type": ""}, phone, payload},
		"another priority": {400, "BadPriority", map[string]string{"Apns-Priority": "7"}, phone, payload},
		"long collapse id": {400, "BadCollapseId", map[string]string{"Apns-Collapse-Id": strings.Repeat("x", 65)}, phone, payload},
		"bad expiration":   {400, "BadExpirationDate", map[string]string{"Apns-Expiration": "soon"}, phone, payload},
		"too large":        {413, "PayloadTooLarge", nil, phone, strings.Repeat("x", 4097)},
		"unknown device":   {400, "BadDeviceToken", nil, strings.Repeat("0", 64), payload},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/3/device/"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{
			"Authorization": token(d.KeyID(), d.Team(), time.Now()), "Apns-Topic": d.Topic(), "Apns-Push-Type": "alert", "Apns-Priority": "10",
		} {
			r.Header.Set(k, v)
		}
		for k, v := range c.header {
			r.Header.Del(k)
			if v != "" {
				r.Header.Set(k, v)
			}
		}
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		said := d.History()[len(d.History())-1]
		if res.StatusCode != c.status || said.Reason != c.reason {
			t.Errorf("%s: %d %s, want %d %s", name, res.StatusCode, said.Reason, c.status, c.reason)
		}
	}
	for _, r := range d.History() {
		if r.Status == 200 && len(r.Leaks) > 0 {
			t.Errorf("a wake-up leaks %v", r.Leaks)
		}
	}
	d.Unregister(phone)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/3/device/"+phone, strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {token(d.KeyID(), d.Team(), time.Now())}, "Apns-Topic": {d.Topic()}, "Apns-Push-Type": {"alert"}}
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusGone {
		t.Errorf("a phone without the app: %d", res.StatusCode)
	}
}
