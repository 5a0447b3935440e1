package fcm_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"countersign/simulator/fcm"
)

func TestTokenEndpointRefuses(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{})
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string, value any) func(jwt.MapClaims, map[string]any) {
		return func(c jwt.MapClaims, _ map[string]any) { c[name] = value }
	}
	now := r.clock.Now()
	for name, c := range map[string]struct {
		change func(jwt.MapClaims, map[string]any)
		key    *rsa.PrivateKey
		code   string
	}{
		"foreign key":   {nil, stranger, "invalid_grant"},
		"issuer":        {set("iss", "someone@example.com"), nil, "invalid_grant"},
		"audience":      {set("aud", "https://oauth2.googleapis.com/token"), nil, "invalid_grant"},
		"scope":         {set("scope", "https://www.googleapis.com/auth/datastore"), nil, "invalid_scope"},
		"expired":       {set("exp", now.Add(-6*time.Minute).Unix()), nil, "invalid_grant"},
		"too long":      {set("exp", now.Add(2*time.Hour).Unix()), nil, "invalid_grant"},
		"from tomorrow": {set("iat", now.Add(24*time.Hour).Unix()), nil, "invalid_grant"},
		"no expiry":     {func(c jwt.MapClaims, _ map[string]any) { delete(c, "exp") }, nil, "invalid_grant"},
		"no issue time": {func(c jwt.MapClaims, _ map[string]any) { delete(c, "iat") }, nil, "invalid_grant"},
		"unknown kid":   {func(_ jwt.MapClaims, h map[string]any) { h["kid"] = "0000" }, nil, "invalid_grant"},
		"alg none":      {func(_ jwt.MapClaims, h map[string]any) { h["alg"] = "none" }, nil, "invalid_grant"},
		"alg HS256":     {func(_ jwt.MapClaims, h map[string]any) { h["alg"] = "HS256" }, nil, "invalid_grant"},
	} {
		status, body := r.askToken(t, r.assertion(t, c.change, c.key))
		var got struct{ Error string }
		if err := json.Unmarshal(body, &got); err != nil || status != 400 || got.Error != c.code {
			t.Errorf("%s: %d %s, want %s", name, status, body, c.code)
		}
	}
}

func TestServiceAccountSurvivesARestart(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{Project: "kept"})
	file, err := r.double.ServiceAccount(r.url)
	if err != nil {
		t.Fatal(err)
	}
	again := setupRaw(t, fcm.Options{Credentials: file})
	if again.double.Project() != "kept" {
		t.Errorf("project %q", again.double.Project())
	}
	renewed, err := again.double.ServiceAccount(r.url)
	if err != nil || !bytes.Equal(renewed, file) {
		t.Errorf("the account changed: %v", err)
	}
	if _, err := fcm.New(fcm.Options{Credentials: []byte(`{"private_key":"x"}`)}); err == nil {
		t.Error("a broken key file is taken")
	}
}

func TestAuthorisation(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true})
	const body = `{"message":{"token":"abcdefgh"}}`
	if status, _ := r.do(t, "POST", "/v1/projects/other/messages:send", body); status != 403 {
		t.Errorf("foreign project: %d", status)
	}
	good := r.token
	for _, bad := range []string{"", "ya29.guess"} {
		r.token = bad
		if status, text := r.send(t, body); status != 401 || bytes.Contains(text, []byte("FcmError")) {
			t.Errorf("token %q: %d %s", bad, status, text)
		}
	}
	r.token = good
	if status, _ := r.send(t, body); status != 200 {
		t.Errorf("good token: %d", status)
	}
}

func bearer(t testing.TB, d *fcm.Double, base string) string {
	t.Helper()
	text, err := d.ServiceAccount(base)
	if err != nil {
		t.Fatal(err)
	}
	var a account
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(a.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": a.ClientEmail, "aud": a.TokenURI, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"scope": "https://www.googleapis.com/auth/firebase.messaging",
	}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.PostForm(base+"/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {signed}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.AccessToken == "" {
		t.Fatalf("no token: %s (%v)", res.Status, err)
	}
	return got.AccessToken
}
