package mobile

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"countersign/mobile/wire"
)

// Whatever a phone sends, with a good token, the reply is one that the contract knows, and never a fault of ours.
func FuzzDeviceRequest(f *testing.F) {
	b := setup(f)
	device, token := b.phone(b.user)
	handler := b.server.Config.Handler
	actions := []string{wire.ActionStatus, wire.ActionPushKey, wire.ActionCheckIn, wire.ActionResponse, wire.ActionEnrol}
	for i, body := range []string{
		``, `{}`, `[]`, `null`, `"x"`, `{"firebase_key":"k"}`, `{"firebase_key":null}`, `{"tx_id":"` + uuid.NewString() + `","selected_item":"1"}`,
		`{"tx_id":1,"selected_item":[]}`, `{"platform":"ios","os_version":"1","model":"m","hostname":"h","app_version":"1","others":{"a":{"b":[1,2]}}}`,
		`{"device_uid":"u","info":{"platform":"other"}}`, `{"selected_item":"\u0000"}`, `{"platform":"ios","platform":"android"}`, "{\"a\":\xff}",
	} {
		f.Add(uint8(i), []byte(body))
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		action := actions[int(which)%len(actions)]
		r := httptest.NewRequest(http.MethodPost, "/"+wire.Path(device.String(), action), bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		switch w.Code {
		case 200, 204, 400, 403, 404, 413:
		default:
			t.Fatalf("%s %q: %d %s", action, body, w.Code, w.Body)
		}
		if text := w.Body.String(); strings.Contains(text, "SQL") || strings.Contains(text, ".go:") {
			t.Fatalf("%s %q tells internals: %s", action, body, text)
		}
	})
}
