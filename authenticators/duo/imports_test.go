package duo

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"countersign/core/api"
	"countersign/core/rbac"
	"countersign/core/resource"
	"countersign/core/resourcetest"
	"countersign/core/secret"
	"countersign/core/secret/rekey"
	"countersign/flows"
)

// client calls the API as an administrator, or as somebody without rights.
func (b *bench) client(t testing.TB, superuser bool) resourcetest.Client {
	t.Helper()
	a := api.New(api.Options{Authenticators: []api.Authenticator{func(context.Context, *http.Request) (*rbac.Actor, error) {
		return &rbac.Actor{ID: 1 << 20, Username: "somebody", Superuser: superuser, Via: rbac.ViaToken}, nil
	}}})
	r := resource.New(a, b.Pool, b.Events)
	flows.MountFlows(r)
	flows.MountStages(a, r, b.Pool, []*flows.Kind{b.service.StageKind()})
	b.service.MountDevices(r)
	b.service.Mount(a)
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	handler, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return resourcetest.Client{Handler: handler}
}

const stagePath = "/stages/authenticator/duo/"

func TestManualImport(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ada := b.user(t, "ada")
	c, path := b.client(t, true), stagePath+b.stage.String()+"/import_device_manual/"
	c.Want(t, 204, "POST", path, map[string]any{"duo_user_id": "DU1", "username": "ada"})
	if n := b.Count(t, `SELECT count(*) FROM duo_devices WHERE user_id = $1 AND duo_user_id = 'DU1' AND confirmed AND name = 'Imported Duo Authenticator'`, ada.ID); n != 1 {
		t.Error("no device")
	}
	if n := b.events(t, "model_created"); n != 1 {
		t.Errorf("%d events", n)
	}
	for name, x := range map[string]struct {
		body any
		want string
	}{
		"again":      {map[string]any{"duo_user_id": "DU1", "username": "ada"}, `{"non_field_errors":["Device exists already."]`},
		"nobody":     {map[string]any{"duo_user_id": "DU2", "username": "eve"}, `{"non_field_errors":["User does not exist."]`},
		"other case": {map[string]any{"duo_user_id": "DU2", "username": "Ada"}, `{"non_field_errors":["User does not exist."]`},
		"nothing":    {map[string]any{}, `"duo_user_id":["This field is required."]`},
		"blank":      {map[string]any{"duo_user_id": "", "username": ""}, `"username":["This field may not be blank."]`},
		"a list":     {map[string]any{"duo_user_id": []int{1}, "username": "ada"}, `"duo_user_id":`},
		"long":       {map[string]any{"duo_user_id": strings.Repeat("x", maxText+1), "username": "ada"}, `"duo_user_id":`},
		"NUL":        {map[string]any{"duo_user_id": "a\x00", "username": "ada\x00"}, `"duo_user_id":`},
		"not JSON":   {"{", "JSON parse error"},
	} {
		var r *resourcetest.Response
		if r = c.Do(t, "POST", path, x.body); r.Status != 400 || !strings.Contains(r.Raw, x.want) {
			t.Errorf("%s: %d %s", name, r.Status, r.Raw)
		}
	}
	c.Want(t, 404, "POST", stagePath+uuid.NewString()+"/import_device_manual/", map[string]any{"duo_user_id": "DU3", "username": "ada"})
	b.client(t, false).Want(t, 403, "POST", path, map[string]any{"duo_user_id": "DU3", "username": "ada"})
	if n := b.Count(t, `SELECT count(*) FROM duo_devices`); n != 1 {
		t.Errorf("%d devices", n)
	}
}

func TestAutomaticImport(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.user(t, "ada")
	b.user(t, "bob")
	c, path := b.client(t, true), stagePath+b.stage.String()+"/import_devices_automatic/"
	b.cloud.set(func(c *cloud) {
		for i := range importPage + 5 {
			c.users = append(c.users, map[string]any{"username": fmt.Sprint("other", i), "user_id": fmt.Sprint("DO", i)})
		}
		c.users[7] = map[string]any{"username": "ada", "user_id": "DUA"}
		c.users[importPage+3] = map[string]any{"username": "bob", "user_id": "DUB"}
		c.users[8] = map[string]any{"username": "ada\x00", "user_id": "DUN"}
	})
	if r := c.Want(t, 200, "POST", path, nil); strings.TrimSpace(r.Raw) != `{"count":2,"error":""}` {
		t.Errorf("first: %s", r.Raw)
	}
	if r := c.Want(t, 200, "POST", path, nil); strings.TrimSpace(r.Raw) != `{"count":0,"error":""}` {
		t.Errorf("again: %s", r.Raw)
	}
	if n := b.Count(t, `SELECT count(*) FROM duo_devices d JOIN users u ON u.id = d.user_id WHERE (username, duo_user_id) IN (('ada', 'DUA'), ('bob', 'DUB'))`); n != 2 {
		t.Errorf("%d devices", n)
	}
	if n := b.events(t, "model_created"); n != 2 {
		t.Errorf("%d events", n)
	}
	b.cloud.set(func(c *cloud) { c.fail["/admin/v1/users"] = 403 })
	if r := c.Want(t, 400, "POST", path, nil); !strings.Contains(r.Raw, `"count":0,"error":"Duo answered 40301: The service is broken`) {
		t.Errorf("refused: %s", r.Raw)
	}
	b.Exec(t, `UPDATE stages SET settings = settings || '{"admin_secret_key": ""}' WHERE kind = $1`, kindName)
	if r := c.Want(t, 400, "POST", path, nil); strings.TrimSpace(r.Raw) != `{"count":0,"error":"Stage does not have Admin API configured"}` {
		t.Errorf("not configured: %s", r.Raw)
	}
	c.Want(t, 404, "POST", stagePath+"x/import_devices_automatic/", nil)
	b.client(t, false).Want(t, 403, "POST", path, nil)
}

// Secrets come in, are stored sealed, and never go out.
func TestSecretsOfAStage(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	c := b.client(t, true)
	made := c.Want(t, 201, "POST", stagePath, map[string]any{
		"name": "duo", "client_id": clientID, "client_secret": clientSecret, "api_hostname": b.cloud.host(), "admin_integration_key": adminKey, "admin_secret_key": adminSecret,
	})
	id := uuid.MustParse(made.Object(t)["pk"].(string))
	path := stagePath + id.String() + "/"
	want := func(what string, r *resourcetest.Response, client, admin string) {
		t.Helper()
		o := r.Object(t)
		if _, shown := o["client_secret"]; shown || strings.Contains(r.Raw, "secret-word") || strings.Contains(r.Raw, "sealed:") || o["admin_secret_key"] != nil {
			t.Errorf("%s: answered %s", what, r.Raw)
		}
		st, err := b.service.stage(t.Context(), b.Direct, id.String())
		if err != nil {
			t.Fatal(err)
		}
		if st.settings.ClientSecret == client || st.settings.AdminSecretKey == admin && admin != "" {
			t.Errorf("%s: stored readable", what)
		}
		if got, err := open(b.service.Keeper, id, st.settings); err != nil || got.ClientSecret != client || got.AdminSecretKey != admin {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	want("made", made, clientSecret, adminSecret)
	want("read", c.Want(t, 200, "GET", path, nil), clientSecret, adminSecret)
	want("another field", c.Want(t, 200, "PATCH", path, map[string]any{"client_id": "DI"}), clientSecret, adminSecret)
	want("one of them", c.Want(t, 200, "PATCH", path, map[string]any{"admin_secret_key": "new"}), clientSecret, "new")
	want("taken away", c.Want(t, 200, "PATCH", path, map[string]any{"admin_secret_key": ""}), clientSecret, "")
	if r := c.Want(t, 200, "GET", stagePath, nil); strings.Contains(r.Raw, "secret") && !strings.Contains(r.Raw, "friendly_name") {
		t.Errorf("the list shows %s", r.Raw)
	}
	for name, change := range map[string]map[string]any{
		"URL": {"api_hostname": "https://api.duosecurity.com"}, "path": {"api_hostname": "api.duosecurity.com/x"}, "user": {"api_hostname": "a@b"},
		"space": {"api_hostname": "a b"}, "hash": {"api_hostname": "a#b"}, "dash": {"api_hostname": "-a"}, "blank": {"api_hostname": ""},
	} {
		if r := c.Do(t, "PATCH", path, change); r.Status != 400 || !strings.Contains(r.Raw, "api_hostname") {
			t.Errorf("%s: %d %s", name, r.Status, r.Raw)
		}
	}

	u := b.user(t, "ada")
	b.start(t, setupSlug, u).Get(t).Want(t, Component)
	next, err := secret.New("a-newer-key-of-more-than-32-characters", strings.Repeat("k", secret.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	b.service.Keeper = next
	if r, err := rekey.Run(t.Context(), b.Direct, next, b.Events, Sealed()); err != nil || r.Old() != 4 || r.Failed() != 0 { // three secrets of two stages, and the enrolment
		t.Errorf("rekey: %+v, %v", r, err)
	}
	if b.service.Keeper, err = secret.New("a-newer-key-of-more-than-32-characters"); err != nil {
		t.Fatal(err)
	}
	want("by the new key", c.Want(t, 200, "GET", path, nil), clientSecret, "")
	st, err := b.service.stage(t.Context(), b.Direct, b.stage.String())
	if err != nil {
		t.Fatal(err)
	}
	if e, err := st.enrolment(t.Context(), b.Direct, "user_id", u.ID); err != nil || e == nil || !strings.HasPrefix(e.Code.Code, "duo://") {
		t.Errorf("the enrolment: %+v, %v", e, err)
	}
}
