package token_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/core/areatest"
	"countersign/core/token"
)

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	ctx := context.Background()
	if _, err := s.Pool.Exec(ctx, `UPDATE tokens SET expiring = true, expires = now() + interval '1 hour' WHERE identifier = 'key-of-ann'`); err != nil {
		t.Fatal(err)
	}
	header := func(value string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if value != "" {
			r.Header.Set("Authorization", value)
		}
		return r
	}
	a, err := s.Tokens.Authenticate(ctx, header("Bearer "+s.AdminKey))
	if err != nil || a == nil || a.ID != s.Admin.ID || !a.Superuser {
		t.Fatalf("admin: %+v, %v", a, err)
	}
	a, err = s.Tokens.Authenticate(ctx, header("bearer "+s.AnnKey))
	if err != nil || a == nil || a.ID != s.Ann.ID || a.Superuser {
		t.Fatalf("ann: %+v, %v", a, err)
	}
	for _, none := range []string{"", "Bearer", s.AnnKey} {
		if a, err := s.Tokens.Authenticate(ctx, header(none)); a != nil || err != nil {
			t.Errorf("%q: %v, %v; want nothing", none, a, err)
		}
	}
	for value, want := range map[string]string{"Basic YTpi": "Unsupported authentication type", "Bearer ": "Malformed header",
		"Bearer x": "Token invalid/expired", "Bearer " + strings.ToLower(s.AnnKey): "Token invalid/expired", "Bearer \x00\xff": "Token invalid/expired"} {
		answer := s.Send(t, func() *http.Request { r := header(value); r.URL.Path = "/api/v3/core/users/me/"; return r }())
		if answer.Status != http.StatusForbidden || answer.At("detail") != want {
			t.Errorf("%q: %d %s; want 403 %s", value, answer.Status, answer.Text, want)
		}
	}
	for _, step := range []struct{ name, sql string }{
		{"expired", `UPDATE tokens SET expires = now() - interval '1 second' WHERE identifier = 'key-of-ann'`},
		{"for something else", `UPDATE tokens SET expires = NULL, intent = 'app_password' WHERE identifier = 'key-of-ann'`},
		{"of one who is not active", `WITH u AS (UPDATE users SET is_active = false WHERE username = 'ann') UPDATE tokens SET intent = 'api' WHERE identifier = 'key-of-ann'`},
	} {
		if _, err := s.Pool.Exec(ctx, step.sql); err != nil {
			t.Fatal(err)
		}
		if a := s.Do(t, s.AnnKey, "GET", "/core/users/me/", nil); a.Status != 403 || a.At("detail") != "Token invalid/expired" {
			t.Errorf("a token %s: %d %s", step.name, a.Status, a.Text)
		}
		if s.Count(t, `tokens WHERE identifier = 'key-of-ann'`) != 1 {
			t.Errorf("a token %s was deleted by being used", step.name)
		}
	}
}

func TestTokensOfOnesOwn(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := areatest.New(t, func() time.Time { return now })
	made := s.Must(t, 201, s.AnnKey, "POST", "/core/tokens/", map[string]any{"identifier": "mine", "user": s.Admin.ID, "expiring": false,
		"expires": now.Add(1000 * time.Hour), "description": "for tests"})
	if made.At("user") != float64(s.Ann.ID) || made.At("user_obj", "username") != "ann" || made.At("intent") != "api" || made.At("expiring") != true {
		t.Errorf("made: %s", made.Text)
	}
	if end, err := time.Parse(time.RFC3339, made.At("expires").(string)); err != nil || !end.Equal(now.Add(token.DefaultDuration)) {
		t.Errorf("expires %v, %v; want a day from now", made.At("expires"), err)
	}
	if strings.Contains(made.Text, `"key`) {
		t.Errorf("a key is shown: %s", made.Text)
	}
	list := s.Must(t, 200, s.AnnKey, "GET", "/core/tokens/", nil)
	if got := list.Names("identifier"); len(got) != 2 || got[0] != "key-of-ann" || got[1] != "mine" {
		t.Errorf("ann sees %v", got)
	}
	if got := s.Must(t, 200, s.AdminKey, "GET", "/core/tokens/?user__username=ann", nil).Names("identifier"); len(got) != 2 {
		t.Errorf("admin sees %v", got)
	}

	key := s.Must(t, 200, s.AnnKey, "GET", "/core/tokens/mine/view_key/", nil).At("key").(string)
	if len(key) != token.DefaultLength {
		t.Errorf("a key of %d characters", len(key))
	}
	if me := s.Must(t, 200, key, "GET", "/core/users/me/", nil); me.At("user", "username") != "ann" {
		t.Errorf("me by the new key: %s", me.Text)
	}
	if s.Count(t, `events WHERE action = 'secret_view' AND context->'secret'->>'name' = 'mine' AND context::text NOT LIKE '%' || $1 || '%'`, key) != 1 {
		t.Error("viewing the key wrote no event")
	}
	if s.Count(t, `tokens WHERE position($1::bytea in key_sealed) > 0 OR key_hash = $1`, []byte(key)) != 0 {
		t.Error("the key is stored as it is")
	}
	for path, method := range map[string]string{"": "GET", "view_key/": "GET", "used_by/": "GET"} {
		if a := s.Do(t, s.AnnKey, method, "/core/tokens/key-of-admin/"+path, nil); a.Status != 404 {
			t.Errorf("another's token, %q: %d %s; want 404", path, a.Status, a.Text)
		}
	}
	if a := s.Do(t, s.AnnKey, "POST", "/core/tokens/mine/set_key/", map[string]any{"key": "chosen"}); a.Status != 403 {
		t.Errorf("set_key without the permission: %d %s", a.Status, a.Text)
	}
	s.Must(t, 403, "", "GET", "/core/tokens/", nil)
}

func TestChangesKeepWhatWasGiven(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := areatest.New(t, func() time.Time { return now })
	end := now.Add(time.Hour).UTC().Format(time.RFC3339)
	s.Must(t, 201, s.AnnKey, "POST", "/core/tokens/", map[string]any{"identifier": "app", "intent": "app_password", "expires": end})
	changed := s.Must(t, 200, s.AdminKey, "PATCH", "/core/tokens/app/", map[string]any{"description": "new"})
	if changed.At("intent") != "app_password" || changed.At("user") != float64(s.Ann.ID) || changed.At("expires") != end {
		t.Errorf("a change of the description changed more: %s", changed.Text)
	}
	s.Must(t, 200, s.AnnKey, "PATCH", "/core/tokens/app/", map[string]any{"expiring": false})
	if s.Count(t, `tokens WHERE identifier = 'app' AND expiring`) != 1 {
		t.Error("a user made a token of theirs last for ever")
	}
	for name, body := range map[string]map[string]any{
		"intent":     {"identifier": "x", "intent": "recovery"},
		"expires":    {"identifier": "x", "intent": "app_password", "expires": now.Add(25 * time.Hour)},
		"identifier": {"identifier": "a b"},
	} {
		a := s.Do(t, s.AnnKey, "POST", "/core/tokens/", body)
		if a.Status != 400 || a.At(name, 0) == nil {
			t.Errorf("%s: %d %s; want a 400 on it", name, a.Status, a.Text)
		}
	}
	if a := s.Do(t, s.AnnKey, "POST", "/core/tokens/", map[string]any{"identifier": "app"}); a.Status != 400 || a.At("identifier", 0) == nil {
		t.Errorf("taken identifier: %d %s", a.Status, a.Text)
	}
	s.Must(t, 204, s.AnnKey, "DELETE", "/core/tokens/app/", nil)
}

func TestMaximumLifetimeFromAGroup(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := areatest.New(t, func() time.Time { return now })
	s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "long", "users": []int{s.Ann.ID},
		"attributes": map[string]any{"goauthentik.io/user/token-maximum-lifetime": "days=10", "goauthentik.io/user/token-expires": false}})
	a := s.Must(t, 201, s.AnnKey, "POST", "/core/tokens/", map[string]any{"identifier": "x", "intent": "app_password", "expires": now.Add(9 * 24 * time.Hour)})
	if a.At("expiring") != false {
		t.Errorf("the attribute says that ann's tokens do not expire: %s", a.Text)
	}
	if a := s.Do(t, s.AnnKey, "POST", "/core/tokens/", map[string]any{"identifier": "y", "intent": "app_password", "expires": now.Add(11 * 24 * time.Hour)}); a.Status != 400 {
		t.Errorf("past the maximum: %d %s", a.Status, a.Text)
	}
}

func TestSetKey(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	s.Must(t, 201, s.AdminKey, "POST", "/core/tokens/", map[string]any{"identifier": "t", "user": s.Ann.ID})
	s.Must(t, 204, s.AdminKey, "POST", "/core/tokens/t/set_key/", map[string]any{"key": " chosen key "})
	if got := s.Must(t, 200, s.AdminKey, "GET", "/core/tokens/t/view_key/", nil).At("key"); got != " chosen key " {
		t.Errorf("key = %q", got)
	}
	if s.Count(t, `events WHERE action = 'model_updated' AND context->'model'->>'name' = 't' AND context::text NOT LIKE '%chosen%'`) != 1 {
		t.Error("setting the key wrote no event, or the key into it")
	}
	s.Must(t, 400, s.AdminKey, "POST", "/core/tokens/t/set_key/", map[string]any{})
	if a := s.Do(t, s.AdminKey, "POST", "/core/tokens/t/set_key/", map[string]any{"key": s.AnnKey}); a.Status != 400 {
		t.Errorf("another token's key: %d %s", a.Status, a.Text)
	}
}

func TestAppPassword(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	ctx := context.Background()
	s.Must(t, 201, s.AnnKey, "POST", "/core/tokens/", map[string]any{"identifier": "app", "intent": "app_password"})
	key := s.Must(t, 200, s.AnnKey, "GET", "/core/tokens/app/view_key/", nil).At("key").(string)
	find := func(user int, key string) *token.Token {
		found, err := s.Tokens.AppPassword(ctx, user, key)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if f := find(s.Ann.ID, key); f == nil || f.Identifier != "app" {
		t.Errorf("found %+v", f)
	}
	if find(s.Admin.ID, key) != nil || find(s.Ann.ID, s.AnnKey) != nil || find(s.Ann.ID, "") != nil {
		t.Error("found for another user, or by an api token's key, or by none")
	}
	if a := s.Do(t, key, "GET", "/core/users/me/", nil); a.Status != 403 {
		t.Errorf("an app password as bearer: %d", a.Status)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	ctx := context.Background()
	for _, intent := range []string{"api", "app_password", "recovery", "verification"} {
		for _, end := range []string{"-1 minute", "1 hour"} {
			if _, err := s.Pool.Exec(ctx, `INSERT INTO tokens (token_uuid, identifier, intent, user_id, expires, key_hash, key_sealed)
				VALUES (gen_random_uuid(), $1, $2, $3, now() + $4::text::interval, sha256($1::text::bytea), '')`, intent+end, intent, s.Ann.ID, end); err != nil {
				t.Fatal(err)
			}
		}
	}
	const more = 100 // so that the nodes meet
	if _, err := s.Pool.Exec(ctx, `INSERT INTO tokens (token_uuid, identifier, intent, user_id, expires, key_hash, key_sealed)
		SELECT gen_random_uuid(), 'old-' || n, 'api', $1, now() - interval '1 hour', sha256(n::text::bytea), '' FROM generate_series(1, $2) n`, s.Ann.ID, more); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	rotated, deleted := 0, 0
	for range 4 { // nodes
		wg.Go(func() {
			r, d, err := s.Tokens.Clean(ctx)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			rotated, deleted = rotated+r, deleted+d
		})
	}
	wg.Wait()
	if rotated != 1+more || deleted != 3 {
		t.Errorf("rotated %d, deleted %d; want %d and 3", rotated, deleted, 1+more)
	}
	if s.Count(t, `tokens WHERE identifier = 'api-1 minute' AND expires > now() AND key_hash <> sha256('api-1 minute')`) != 1 {
		t.Error("the api token has no new key or no new end")
	}
	if s.Count(t, `events WHERE action = 'secret_rotate' AND context->'token'->>'name' = 'api-1 minute'`) != 1 {
		t.Error("no event of the rotation")
	}
}
