package sms

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"countersign/core/api"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/rbac"
	"countersign/core/resource"
	"countersign/core/resourcetest"
	"countersign/core/secret"
	"countersign/core/secret/rekey"
	"countersign/flows"
)

const (
	oldKey = "an-old-key-of-more-than-32-characters"
	newKey = "a-newer-key-of-more-than-32-characters"
)

func keeper(t testing.TB, keys ...string) *secret.Keeper {
	t.Helper()
	k, err := secret.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// admin is an administrator's access to the stages of a service.
func admin(t testing.TB, s *Service) resourcetest.Client {
	t.Helper()
	a := api.New(api.Options{Authenticators: []api.Authenticator{func(context.Context, *http.Request) (*rbac.Actor, error) {
		return &rbac.Actor{ID: 1, Username: "admin", Superuser: true, Via: rbac.ViaToken}, nil
	}}})
	r := resource.New(a, s.Pool, &event.Log{})
	flows.MountFlows(r)
	flows.MountStages(a, r, s.Pool, []*flows.Kind{s.StageKind()})
	s.MountDevices(r)
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	handler, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return resourcetest.Client{Handler: handler}
}

const stagePath = "/stages/authenticator/sms/"

// The secrets are stored sealed and answered masked; the mask, sent back, keeps what is stored (core.md §10 item 39).
func TestSecretsOfAStage(t *testing.T) {
	t.Parallel()
	s := New(Options{Pool: dbtest.Pool(t), Keeper: keeper(t, oldKey)})
	c := admin(t, s)
	body := map[string]any{
		"name": "sms", "provider": "generic", "from_number": "me", "account_sid": "https://sms.example/a?x=1", "auth": "secret-user", "auth_password": "secret-word",
	}
	made := c.Want(t, 201, "POST", stagePath, body)
	id := uuid.MustParse(made.Object(t)["pk"].(string))
	path := stagePath + id.String() + "/"
	// want checks what is answered and what is stored.
	want := func(what string, r *resourcetest.Response, auth, password string) {
		t.Helper()
		if o := r.Object(t); o["auth"] != Mask || password != "" && o["auth_password"] != Mask || password == "" && o["auth_password"] != "" || strings.Contains(r.Raw, "sealed:") {
			t.Errorf("%s: answered %s", what, r.Raw)
		}
		var stored, storedPassword, all string
		err := s.Pool.QueryRow(t.Context(), `SELECT settings->>'auth', settings->>'auth_password', settings::text FROM stages`).Scan(&stored, &storedPassword, &all)
		if err != nil {
			t.Fatal(err)
		}
		a, err := open(s.Keeper, id, Settings{Auth: stored, AuthPassword: storedPassword})
		if err != nil || a.auth != auth || a.password != password || strings.Contains(all, auth) || strings.Contains(all, "secret-word") {
			t.Errorf("%s: %+v, %v, stored as %s", what, a, err, all)
		}
	}
	want("made", made, "secret-user", "secret-word")
	want("read", c.Want(t, 200, "GET", path, nil), "secret-user", "secret-word")
	if r := c.Want(t, 200, "GET", stagePath, nil); strings.Contains(r.Raw, "secret-") || strings.Contains(r.Raw, "sealed:") {
		t.Errorf("the list shows %s", r.Raw)
	}
	want("another field", c.Want(t, 200, "PATCH", path, map[string]any{"from_number": "you"}), "secret-user", "secret-word")
	body["auth"], body["auth_password"], body["account_sid"] = Mask, Mask, "https://sms.example/b"
	want("masked", c.Want(t, 200, "PUT", path, body), "secret-user", "secret-word")
	want("changed", c.Want(t, 200, "PATCH", path, map[string]any{"auth": "other-user", "auth_password": Mask}), "other-user", "secret-word")
	want("taken away", c.Want(t, 200, "PATCH", path, map[string]any{"auth_password": ""}), "other-user", "")
	want("looks sealed", c.Want(t, 200, "PATCH", path, map[string]any{"auth": "sealed:AAAA"}), "sealed:AAAA", "")

	// Who may change the address does not get the secret sent there.
	for name, change := range map[string]map[string]any{
		"other host":   {"account_sid": "https://thief.example/b"},
		"other scheme": {"account_sid": "http://sms.example/b"},
		"other port":   {"account_sid": "https://sms.example:444/b", "auth": Mask},
		"Twilio":       {"provider": "twilio", "account_sid": "AC1"},
	} {
		if r := c.Do(t, "PATCH", path, change); r.Status != 400 || !strings.Contains(r.Raw, `"auth":["Enter this again`) {
			t.Errorf("%s: %d %s", name, r.Status, r.Raw)
		}
	}
	want("moved", c.Want(t, 200, "PATCH", path, map[string]any{"account_sid": "https://other.example/", "auth": "moved-user"}), "moved-user", "")

	s.Keeper = keeper(t, newKey, oldKey)
	if r, err := rekey.Run(t.Context(), s.Pool, s.Keeper, &event.Log{}, Sealed()); err != nil || r.Old() != 1 || r.Failed() != 0 {
		t.Errorf("rekey: %+v, %v", r, err)
	}
	s.Keeper = keeper(t, newKey)
	want("by the new key", c.Want(t, 200, "GET", path, nil), "moved-user", "")
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	c := admin(t, New(Options{Pool: dbtest.Pool(t), Keeper: keeper(t, oldKey)}))
	for name, x := range map[string]struct {
		change map[string]any
		field  string
	}{
		"mapping":          {map[string]any{"mapping": uuid.NewString()}, "mapping"},
		"mask":             {map[string]any{"auth": Mask}, "auth"},
		"masked password":  {map[string]any{"auth_password": Mask}, "auth_password"},
		"no URL":           {map[string]any{"account_sid": "AC1"}, "account_sid"},
		"another scheme":   {map[string]any{"account_sid": "file:///etc/passwd"}, "account_sid"},
		"name in the URL":  {map[string]any{"account_sid": "https://a:b@sms.example/"}, "account_sid"},
		"fragment":         {map[string]any{"account_sid": "https://sms.example/#x"}, "account_sid"},
		"long URL":         {map[string]any{"account_sid": "https://sms.example/" + strings.Repeat("x", maxURL)}, "account_sid"},
		"long secret":      {map[string]any{"auth": strings.Repeat("x", maxText+1)}, "auth"},
		"Twilio with URL":  {map[string]any{"provider": "twilio"}, "account_sid"},
		"unknown provider": {map[string]any{"provider": "pigeon"}, "provider"},
		"unknown type":     {map[string]any{"auth_type": "digest"}, "auth_type"},
		"blank auth":       {map[string]any{"auth": ""}, "auth"},
	} {
		body := map[string]any{"name": name, "provider": "generic", "from_number": "me", "account_sid": "https://sms.example/", "auth": "x"}
		for k, v := range x.change {
			body[k] = v
		}
		if r := c.Do(t, "POST", stagePath, body); r.Status != 400 || !strings.Contains(r.Raw, `"`+x.field+`":`) {
			t.Errorf("%s: %d %s", name, r.Status, r.Raw)
		}
	}
	r := c.Want(t, 201, "POST", stagePath, map[string]any{"name": "Twilio", "provider": "twilio", "from_number": "+15550100", "account_sid": "AC0123", "auth": "x", "mapping": nil})
	if o := r.Object(t); o["auth_type"] != "basic" || o["verify_only"] != false || o["auth_password"] != "" || o["mapping"] != nil {
		t.Errorf("defaults: %s", r.Raw)
	}
}

// Numbers are shown to their owners, and are known as taken, while an older key is configured and, sealed anew, after it
// is gone.
func TestNumbersThroughARotation(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	b.enrol(t, b.user(t, "ada"), numberOne)
	at := func(k *secret.Keeper) *Service {
		o := b.service.Options
		o.Keeper = k
		return New(o)
	}
	first := strings.Repeat("k", secret.MinKey)
	both, next := at(keeper(t, newKey, first)), at(keeper(t, newKey))
	want := func(what string, s *Service) {
		t.Helper()
		devices := admin(t, s).Want(t, 200, "GET", "/authenticators/admin/sms/", nil)
		if !strings.Contains(devices.Raw, `"phone_number":"`+numberOne+`"`) {
			t.Errorf("%s: %s", what, devices.Raw)
		}
		st := &Stage{id: b.stage, service: s}
		if taken, err := st.taken(t.Context(), b.Direct, numberOne); err != nil || !taken {
			t.Errorf("%s: the number is not taken any more: %v", what, err)
		}
	}
	want("with both keys", both)
	r, err := rekey.Run(t.Context(), b.Direct, both.Keeper, b.Events, Sealed())
	if err != nil || r.Old() != 3 || r.Failed() != 0 { // the device, and both secrets of the stage
		t.Fatalf("rekey: %+v, %v", r, err)
	}
	want("with the new key", next)
}

// A number that was only verified is taken while the key of its hash is configured; then it can be set up again.
func TestVerifiedNumberThroughARotation(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(s *Settings) { s.VerifyOnly = true })
	b.enrol(t, b.user(t, "ada"), numberOne)
	o := b.service.Options
	try := func(keys ...string) bool {
		t.Helper()
		o.Keeper = keeper(t, keys...)
		st := &Stage{id: b.stage, service: New(o), settings: Settings{VerifyOnly: true}}
		taken, err := st.taken(t.Context(), b.Direct, numberOne)
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	first := strings.Repeat("k", secret.MinKey)
	if !try(newKey, first) {
		t.Error("with both keys the number is not taken")
	}
	r, err := rekey.Run(t.Context(), b.Direct, o.Keeper, b.Events, Sealed())
	if err != nil || r.Failed() != 0 || r.Bound() != 1 {
		t.Errorf("rekey: %+v, %v", r, err)
	}
	if try(newKey) {
		t.Error("the hash of an unknown key is found")
	}
}

// The history of a number, which limits how often is sent to it, is not forgotten with a new key; a code on its way is
// taken, and is over once its key is gone.
func TestCodesThroughARotation(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada := b.user(t, "ada")
	br := b.start(t, setupSlug, ada)
	br.Get(t).Want(t, Component)
	br.Post(t, map[string]any{"phone_number": numberOne})
	first := strings.Repeat("k", secret.MinKey)
	b.service.codes = keeper(t, newKey).MAC("codes of text messages")
	if p := br.Post(t, map[string]any{"code": b.provider.last(t, numberOne).Code}); p.Code("code") != "expired" {
		t.Errorf("without the key: %s", p)
	}
	b.service.codes = keeper(t, newKey, first).MAC("codes of text messages")
	if p := br.Post(t, map[string]any{"code": other(b.provider.last(t, numberOne).Code)}); p.Code("code") != "invalid" {
		t.Errorf("a wrong code: %s", p)
	}
	b.service.numbers = keeper(t, newKey, first).MAC(sealedNumber.HashLabel)
	again := b.start(t, setupSlug, b.user(t, "bob"))
	again.Get(t).Want(t, Component)
	if p := again.Post(t, map[string]any{"phone_number": numberOne}); p.Code("phone_number") != "not_sent" {
		t.Errorf("at once again to the number: %s", p)
	}
	br.Post(t, map[string]any{"code": b.provider.last(t, numberOne).Code}).WantContinue(t)
}

func TestVerifiedNumberIsShownAsAHash(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(s *Settings) { s.VerifyOnly = true })
	b.enrol(t, b.user(t, "ada"), numberOne)
	r := admin(t, b.service).Want(t, 200, "GET", "/authenticators/admin/sms/", nil)
	if !strings.Contains(r.Raw, `"phone_number":"hash:`) || strings.Contains(r.Raw, "7700") {
		t.Errorf("shown: %s", r.Raw)
	}
}
