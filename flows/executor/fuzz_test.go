package executor_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"countersign/flows"
	"countersign/flows/flowtest"
	"countersign/flows/stages/userlogin"
)

// FuzzAnswer posts bytes as the answer of each stage: whatever they are, the executor answers as its contract says, shows
// nothing internal, and the flow can go on.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		`{"uid_field":"ann","password":null}`, `{"component":"","uid_field":1e999}`, `{"password":"correct"}`, `{"password":"\u0000\ud800"}`,
		`{"remember_me":"yes"}`, `{"remember_me":{}}`, `{"code":"123456","duo":1,"webauthn":{},"mobile":"x"}`, `{"selected_stage":"x"}`,
		`{"selected_challenge":{"device_class":"mobile","device_uid":"x","challenge":{"a":[null]}}}`, `{"selected_challenge":{}}`,
		``, `[]`, `null`, `{`, `{"":""}`, "{\"\xff\":1}", `{"a":{"b":{"c":[[[[]]]]}}}`,
	} {
		for stage := range uint8(4) {
			f.Add(stage, "next=/x", []byte(body))
		}
	}
	x := newSite(f)
	x.Flow(f, "remember", nil, flowtest.Step{Kind: "userloginstage", Settings: userlogin.Settings{
		SessionDuration: "seconds=0", RememberOffset: "days=1", NetworkBinding: "no_binding", GeoIPBinding: "no_binding",
	}}, flowtest.Step{Kind: "marker"})
	x.Flow(f, "password", nil, flowtest.Step{Stage: x.password}, flowtest.Step{Kind: "marker"})
	setup := []string{x.Stage(f, "marker", nil).String(), x.Stage(f, "marker", nil).String()}
	x.Flow(f, "validate", nil, flowtest.Step{Kind: "authenticatorvalidatestage", Settings: map[string]any{
		"not_configured_action": "configure", "configuration_stages": setup, "device_classes": []string{"mobile", "totp"}, "last_auth_threshold": "hours=1",
	}}, flowtest.Step{Kind: "marker"})
	ann := x.Count(f, `SELECT id FROM users WHERE username = 'ann'`)
	slugs := []string{loginSlug, "password", "remember", "validate"}

	f.Fuzz(func(t *testing.T, stage uint8, query string, body []byte) {
		slug := slugs[int(stage)%len(slugs)]
		br := x.Browser(slug)
		given := flows.Context{PendingUser: ann}
		if slug == loginSlug {
			given = flows.Context{}
		}
		x.Start(t, br, slug, given)
		send := func(method string, body []byte) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, at(slug, "?query="+url.QueryEscape(query)), bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			if c := br.Cookie("authentik_session"); c != nil {
				r.AddCookie(c)
			}
			w := httptest.NewRecorder()
			x.handler.ServeHTTP(w, r)
			for _, c := range w.Result().Cookies() {
				br.SetCookie(c)
			}
			return w
		}
		w := send(http.MethodPost, body)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got["component"] == flows.ComponentFlowError {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w.Code == http.StatusOK && got["component"] == nil {
				t.Fatalf("no challenge: %s", w.Body)
			}
		case http.StatusFound:
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w := send(http.MethodGet, nil); w.Code != http.StatusOK && w.Code != http.StatusFound {
			t.Fatalf("afterwards: %d %s", w.Code, w.Body)
		}
	})
}
