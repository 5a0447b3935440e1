package webauthn

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/core/api"
	"countersign/core/rbac"
	"countersign/core/resource"
	"countersign/core/user/usertest"
	"countersign/flows"

	"net/http/httptest"
)

// doors serves the API to whom the header X-User names.
func (b *bench) doors(t testing.TB) http.Handler {
	t.Helper()
	a := api.New(api.Options{
		Log: b.Log,
		Authenticators: []api.Authenticator{func(ctx context.Context, r *http.Request) (*rbac.Actor, error) {
			name := r.Header.Get("X-User")
			if name == "" {
				return nil, nil //nolint:nilnil // nobody
			}
			u, err := b.Users.Find(ctx, b.Direct, name, []string{"username"}, false)
			if err != nil || u == nil {
				return nil, err
			}
			return &rbac.Actor{ID: u.ID, Username: u.Username, Superuser: name == "root"}, nil
		}},
		Schemes: []api.Scheme{{Name: "authentik"}},
	})
	reg := resource.New(a, b.Direct, b.Events)
	flows.MountFlows(reg)
	flows.MountStages(a, reg, b.Direct, b.Kinds[:2])
	flows.MountBindings(reg, b.Kinds[:2])
	b.service.Mount(reg)
	authenticators.NewStore(b.service.Kind()).Mount(a, b.Direct)
	if err := reg.Finish(); err != nil {
		t.Fatal(err)
	}
	h, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.CheckTables(t.Context(), b.Direct); err != nil {
		t.Error(err)
	}
	return h
}

func call(t testing.TB, h http.Handler, who, method, path string, body any) (int, object) {
	t.Helper()
	raw, _ := json.Marshal(body)
	r := httptest.NewRequestWithContext(t.Context(), method, "/api/v3"+path, strings.NewReader(string(raw)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", who)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var out object
	_ = json.Unmarshal(w.Body.Bytes(), &out)
	if out == nil {
		out = object{"list": w.Body.String()}
	}
	return w.Code, out
}

// With COUNTERSIGN_DOCUMENT=file it leaves the document there, to be held against the contract.
func TestDocument(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v3/schema/", nil)
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	b.doors(t).ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("%d %.200s", w.Code, w.Body)
	}
	if path := os.Getenv("COUNTERSIGN_DOCUMENT"); path != "" {
		if err := os.WriteFile(path, w.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDevicesAreTheirOwners(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.doors(t)
	eve := usertest.Add(t, b.Users, "eve", "")
	usertest.Add(t, b.Users, "root", "")
	b.add(b.user, setupSettings(), func(k *key) { k.flags |= 8 })
	b.add(eve, setupSettings(), func(k *key) { k.aaguid = uuid.Nil })
	own := uid(b.Count(t, `SELECT id FROM webauthn_devices WHERE user_id = $1`, b.user.ID))
	hers := uid(b.Count(t, `SELECT id FROM webauthn_devices WHERE user_id = $1`, eve.ID))

	for _, c := range []struct {
		who, method, path string
		status            int
	}{
		{"", "GET", "/authenticators/webauthn/", 403},
		{"ada", "GET", "/authenticators/webauthn/" + hers + "/", 404},
		{"ada", "DELETE", "/authenticators/webauthn/" + hers + "/", 404},
		{"root", "GET", "/authenticators/webauthn/" + hers + "/", 403},
		{"root", "DELETE", "/authenticators/webauthn/" + hers + "/", 403},
		{"ada", "GET", "/authenticators/admin/webauthn/", 403},
		{"ada", "DELETE", "/authenticators/admin/webauthn/" + own + "/", 403},
		{"ada", "GET", "/stages/authenticator/webauthn_device_types/", 403},
		{"root", "POST", "/stages/authenticator/webauthn_device_types/", 405},
		{"ada", "POST", "/authenticators/webauthn/", 405},
		{"ada", "POST", "/authenticators/admin/webauthn/", 403},
		{"root", "POST", "/authenticators/admin/webauthn/", 400},
		{"ada", "GET", "/authenticators/webauthn/" + own + "/used_by/", 200},
		{"root", "GET", "/authenticators/admin/webauthn/" + hers + "/", 200},
	} {
		if status, body := call(t, h, c.who, c.method, c.path, object{"name": "x"}); status != c.status {
			t.Errorf("%s %s %s: %d %v, want %d", c.who, c.method, c.path, status, body, c.status)
		}
	}
	_, one := call(t, h, "ada", "GET", "/authenticators/webauthn/"+own+"/", nil)
	if one["aaguid"] != yubikey.String() || one["device_type"].(object)["description"] != "YubiKey 5 Series with NFC" || one["backup_eligible"] != true {
		t.Errorf("device %v", one)
	}
	_, one = call(t, h, "eve", "GET", "/authenticators/webauthn/"+hers+"/", nil)
	if one["device_type"] != nil || one["last_used"] != nil {
		t.Errorf("device %v", one)
	}
	if status, list := call(t, h, "ada", "GET", "/authenticators/webauthn/", nil); status != 200 || len(list["results"].([]any)) != 1 {
		t.Errorf("ada's list: %d %v", status, list)
	}
	if _, list := call(t, h, "root", "GET", "/authenticators/webauthn/", nil); len(list["results"].([]any)) != 2 {
		t.Errorf("an administrator's list: %v", list)
	}
	if status, one := call(t, h, "ada", "PATCH", "/authenticators/webauthn/"+own+"/", object{"name": "Blue key", "aaguid": uuid.Nil}); status != 200 ||
		one["name"] != "Blue key" || one["aaguid"] != yubikey.String() {
		t.Errorf("rename: %d %v", status, one)
	}
	if status, _ := call(t, h, "ada", "PATCH", "/authenticators/webauthn/"+own+"/", object{"name": strings.Repeat("x", maxName+1)}); status != 400 {
		t.Errorf("a name too long: %d", status)
	}
	if status, _ := call(t, h, "ada", "DELETE", "/authenticators/webauthn/"+own+"/", nil); status != 204 {
		t.Errorf("delete: %d", status)
	}
	if e := b.event("model_deleted"); e["model"].(object)["model_name"] != "webauthndevice" {
		t.Errorf("event %v", e)
	}
}

func TestDeviceTypesAndRestrictionsInTheAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.doors(t)
	usertest.Add(t, b.Users, "root", "")
	b.Exec(t, `UPDATE webauthn_device_types SET revoked = true WHERE description = 'LastPass'`)
	_, list := call(t, h, "root", "GET", "/stages/authenticator/webauthn_device_types/?search=passw", nil)
	found := list["results"].([]any)
	if len(found) != 5 || strings.Contains(toJSON(found), "LastPass") || found[0].(object)["description"] != "1Password" {
		t.Errorf("types %v", found)
	}
	if status, one := call(t, h, "root", "GET", "/stages/authenticator/webauthn_device_types/"+uuid.Nil.String()+"/", nil); status != 200 || one["description"] == "" {
		t.Errorf("the unknown: %d %v", status, one)
	}
	for path, field := range map[string]string{"/stages/authenticator/webauthn/": "device_type_restrictions", "/stages/authenticator/validate/": "webauthn_allowed_device_types"} {
		status, body := call(t, h, "root", "POST", path, object{"name": path, field: []uuid.UUID{yubikey, uuid.Nil}})
		if status != 201 || len(body[field+"_obj"].([]any)) != 2 || body[field+"_obj"].([]any)[0].(object)["description"] != "YubiKey 5 Series with NFC" {
			t.Errorf("%s: %d %v", path, status, body)
		}
		if status, body := call(t, h, "root", "POST", path, object{"name": "x", field: []uuid.UUID{uuid.New()}}); status != 400 || body[field] == nil {
			t.Errorf("%s with a make that is not there: %d %v", path, status, body)
		}
	}
	if _, list := call(t, h, "root", "GET", "/stages/authenticator/webauthn/?device_type_restrictions="+yubikey.String(), nil); len(list["results"].([]any)) != 1 {
		t.Errorf("filter: %v", list)
	}
	status, body := call(t, h, "root", "POST", "/stages/authenticator/webauthn/", object{"name": "plain"})
	if status != 201 || body["user_verification"] != "preferred" || body["resident_key_requirement"] != "preferred" ||
		body["authenticator_attachment"] != nil || body["component"] != "ak-stage-authenticator-webauthn-form" {
		t.Errorf("defaults: %d %v", status, body)
	}
}

func TestListOfAllKinds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(b.user, setupSettings())
	_, body := call(t, b.doors(t), "ada", "GET", "/authenticators/all/", nil)
	for _, want := range []string{`"type":"authentik_stages_authenticator_webauthn.WebAuthnDevice"`, `"confirmed":true`, `"verbose_name":"WebAuthn Device"`} {
		if !strings.Contains(body["list"].(string), want) {
			t.Errorf("no %s in %v", want, body)
		}
	}
}

func toJSON(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}
