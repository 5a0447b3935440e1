package user_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/areatest"
	"countersign/core/user/usertest"
)

func TestUsersResource(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	group := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "staff"}).At("pk").(string)

	made := s.Must(t, 201, s.AdminKey, "POST", "/core/users/", map[string]any{"username": "carl", "name": "Carl", "groups": []string{group}, "password": "ignored-anyway"})
	id := int(made.At("pk").(float64))
	one := fmt.Sprintf("/core/users/%d/", id)
	if made.At("path") != "users" || made.At("type") != "internal" || made.At("is_active") != true || made.At("is_superuser") != false ||
		made.At("uid") != s.Users.UID(id) || made.At("groups_obj", 0, "name") != "staff" || made.At("groups", 0) != group || made.At("last_login") != nil {
		t.Errorf("made: %s", made.Text)
	}
	if s.Count(t, `users WHERE id = $1 AND password IS NULL AND uuid::text = $2 AND date_joined > now() - interval '1 minute'`, id, made.At("uuid")) != 1 {
		t.Error("a new user must have a uuid, a day of joining, and no password")
	}
	if s.Count(t, `events WHERE action = 'model_created' AND context->'model'->>'model_name' = 'user' AND context->'model'->>'pk' = $1::text AND "user"->>'username' = 'admin'`, fmt.Sprint(id)) != 1 {
		t.Error("no event of the creation")
	}

	patched := s.Must(t, 200, s.AdminKey, "PATCH", one, map[string]any{"name": "Karl", "attributes": map[string]any{"upn": "k@ad"}})
	if patched.At("name") != "Karl" || patched.At("groups", 0) != group {
		t.Errorf("PATCH: %s", patched.Text)
	}
	put := s.Must(t, 200, s.AdminKey, "PUT", one, map[string]any{"username": "carl", "name": "Carl"})
	if len(put.At("groups").([]any)) != 0 || len(put.At("groups_obj").([]any)) != 0 || put.At("attributes", "upn") != "k@ad" {
		t.Errorf("PUT without groups must empty them and keep the rest: %s", put.Text)
	}
	if s.Count(t, `events WHERE action = 'model_updated' AND context->'diff'->'groups'->'remove' ? $1`, group)+
		s.Count(t, `events WHERE action = 'model_updated' AND context->'diff'->'groups'->'remove' ? replace($1, '-', '')`, group) != 1 {
		t.Error("the removed group is in no event")
	}

	for _, c := range []struct {
		field string
		body  map[string]any
	}{
		{"username", map[string]any{"name": ""}},
		{"name", map[string]any{"username": "x"}},
		{"username", map[string]any{"username": "ann", "name": ""}},
		{"path", map[string]any{"username": "x", "name": "", "path": "/a"}},
		{"path", map[string]any{"username": "x", "name": "", "path": "a//b"}},
		{"type", map[string]any{"username": "x", "name": "", "type": "internal_service_account"}},
		{"type", map[string]any{"username": "x", "name": "", "type": "alien"}},
		{"email", map[string]any{"username": "x", "name": "", "email": "nowhere"}},
		{"groups", map[string]any{"username": "x", "name": "", "groups": []string{uuid.NewString()}}},
		{"attributes", map[string]any{"username": "x", "name": "", "attributes": []int{1}}},
	} {
		if a := s.Do(t, s.AdminKey, "POST", "/core/users/", c.body); a.Status != 400 || a.At(c.field, 0) == nil {
			t.Errorf("%v: %d %s; want a 400 on %s", c.body, a.Status, a.Text, c.field)
		}
	}
	if _, err := s.Pool.Exec(context.Background(), `UPDATE users SET type = 'internal_service_account' WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if a := s.Do(t, s.AdminKey, "PATCH", one, map[string]any{"name": "x"}); a.Status != 400 || a.At("non_field_errors", 0) == nil {
		t.Errorf("change of an internal service account: %d %s", a.Status, a.Text)
	}
	s.Must(t, 204, s.AdminKey, "DELETE", one, nil)
	s.Must(t, 404, s.AdminKey, "GET", one, nil)
	for method, path := range map[string]string{"GET": "/core/users/", "POST": "/core/users/", "DELETE": fmt.Sprintf("/core/users/%d/", s.Admin.ID)} {
		if a := s.Do(t, s.AnnKey, method, path, map[string]any{"username": "x", "name": "x"}); a.Status != 403 {
			t.Errorf("%s %s without rights: %d %s", method, path, a.Status, a.Text)
		}
	}
}

func TestUserFilters(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	top := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "top", "is_superuser": true}).At("pk").(string)
	sub := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "sub", "parent": top}).At("pk").(string)
	s.Must(t, 201, s.AdminKey, "POST", "/core/users/", map[string]any{"username": "bea", "name": "Bea", "path": "a/b", "groups": []string{sub},
		"attributes": map[string]any{"settings": map[string]any{"locale": "de"}, "n": 1}})
	s.Must(t, 201, s.AdminKey, "POST", "/core/users/", map[string]any{"username": "svc", "name": "A_b%", "path": "a", "type": "service_account", "is_active": false})
	for query, want := range map[string][]string{
		"":                                   {"admin", "ann", "bea", "svc"},
		"ordering=-username":                 {"svc", "bea", "ann", "admin"},
		"username=bea":                       {"bea"},
		"email=ann@example.com":              {"ann"},
		"is_active=false":                    {"svc"},
		"is_superuser=true":                  {"admin", "bea"},
		"is_superuser=false":                 {"ann", "svc"},
		"path=a":                             {"svc"},
		"path_startswith=a":                  {"bea", "svc"},
		"path_startswith=%25":                {},
		"type=service_account":               {"svc"},
		"type=service_account&type=internal": {"admin", "ann", "bea", "svc"},
		"groups_by_name=sub":                 {"bea"},
		"groups_by_pk=" + sub:                {"bea"},
		"groups_by_pk=" + top:                {},
		"groups_by_name=sub&groups_by_name=" + url.QueryEscape("superusers of admin"): {"admin", "bea"},
		"attributes=" + url.QueryEscape(`{"settings__locale":"de"}`):                  {"bea"},
		"attributes=" + url.QueryEscape(`{"n":1}`):                                    {"bea"},
		"attributes=" + url.QueryEscape(`{"n":2}`):                                    {},
		"search=BEA":       {"bea"},
		"search=a_b%25":    {"svc"},
		"search=bea+users": {},
		"username=":        {"admin", "ann", "bea", "svc"},
	} {
		a := s.Must(t, 200, s.AdminKey, "GET", "/core/users/?"+query, nil)
		if got := a.Names("username"); !slices.Equal(got, want) {
			t.Errorf("?%s: %v; want %v", query, got, want)
		}
	}
	for _, bad := range []string{"attributes=x", "attributes=[1]", "type=alien", "uuid=x", "groups_by_pk=x"} {
		if a := s.Do(t, s.AdminKey, "GET", "/core/users/?"+bad, nil); a.Status != 400 {
			t.Errorf("?%s: %d; want 400", bad, a.Status)
		}
	}
	if a := s.Must(t, 200, s.AdminKey, "GET", "/core/users/?include_groups=false&username=bea", nil); a.At("results", 0, "groups_obj") != nil ||
		a.At("results", 0, "groups", 0) != sub || a.At("results", 0, "is_superuser") != true {
		t.Errorf("without groups: %s", a.Text)
	}
	if a := s.Must(t, 200, s.AdminKey, "GET", "/core/users/paths/?is_active=true", nil); fmt.Sprint(a.At("paths")) != "[a/b users]" {
		t.Errorf("paths: %s", a.Text)
	}
}

func TestDeactivationEndsSessions(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"PATCH", "PUT"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			s := areatest.New(t, nil)
			if _, err := s.Pool.Exec(context.Background(), `INSERT INTO sessions (session_uuid, key_hash, user_id, expires) VALUES (gen_random_uuid(), 'x', $1, now() + interval '1 day')`, s.Ann.ID); err != nil {
				t.Fatal(err)
			}
			one := fmt.Sprintf("/core/users/%d/", s.Ann.ID)
			s.Must(t, 200, s.AdminKey, verb, one, map[string]any{"username": "ann", "name": "Ann"})
			if s.Count(t, "sessions") != 1 {
				t.Error("a harmless change ended the session")
			}
			s.Must(t, 200, s.AdminKey, verb, one, map[string]any{"username": "ann", "name": "Ann", "is_active": false})
			if s.Count(t, "sessions") != 0 {
				t.Error("the session goes on")
			}
			s.Must(t, 403, s.AnnKey, "GET", "/core/users/me/", nil)
		})
	}
}

func TestMe(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	ctx := context.Background()
	top := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "top", "attributes": map[string]any{"settings": map[string]any{"theme": "dark", "locale": "en"}}}).At("pk")
	s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "sub", "parent": top, "users": []int{s.Ann.ID}})
	if _, err := s.Pool.Exec(ctx, `UPDATE users SET attributes = '{"settings": {"locale": "de"}, "secret": 1}' WHERE id = $1`, s.Ann.ID); err != nil {
		t.Fatal(err)
	}
	s.Must(t, 201, s.AdminKey, "POST", "/core/brands/", map[string]any{"domain": "x", "default": true, "attributes": map[string]any{"settings": map[string]any{"locale": "fr", "nav": 1}}})
	me := s.Must(t, 200, s.AnnKey, "GET", "/core/users/me/", nil)
	if me.At("user", "groups", 0, "name") != "sub" || me.At("user", "groups", 1, "name") != "top" || me.At("user", "is_superuser") != false ||
		me.At("user", "settings", "locale") != "de" || me.At("user", "settings", "theme") != "dark" || me.At("user", "settings", "nav") != float64(1) ||
		me.At("user", "uid") != s.Users.UID(s.Ann.ID) || fmt.Sprint(me.At("user", "system_permissions")) != "[]" {
		t.Errorf("me: %s", me.Text)
	}
	if _, there := me.JSON.(map[string]any)["original"]; there {
		t.Errorf("nobody is impersonated: %s", me.Text)
	}
	admin := s.Must(t, 200, s.AdminKey, "GET", "/core/users/me/", nil)
	if admin.At("user", "is_superuser") != true || admin.At("user", "system_permissions", 0) != "access_admin_interface" {
		t.Errorf("admin: %s", admin.Text)
	}
	s.Must(t, 403, "", "GET", "/core/users/me/", nil)
}

func TestSetPasswordAction(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	path := fmt.Sprintf("/core/users/%d/set_password/", s.Ann.ID)
	s.Must(t, 204, s.AdminKey, "POST", path, map[string]any{"password": " correct horse "})
	u, _ := s.Users.ByID(context.Background(), s.Pool, s.Ann.ID)
	if ok, err := s.Users.CheckPassword(context.Background(), u, " correct horse "); !ok || err != nil {
		t.Errorf("the new password: %v, %v", ok, err)
	}
	if a := s.Do(t, s.AdminKey, "POST", path, map[string]any{"password": "short"}); a.Status != 400 || a.At("password", 0) == nil {
		t.Errorf("short: %d %s", a.Status, a.Text)
	}
	s.Must(t, 400, s.AdminKey, "POST", path, map[string]any{})
	s.Must(t, 403, s.AnnKey, "POST", path, map[string]any{"password": "correct horse"})
	if n := s.Count(t, `events WHERE action = 'password_set' AND "user"->>'username' = 'admin' AND context->'user'->>'username' = 'ann'`); n != 1 {
		t.Errorf("%d events; want 1", n)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := areatest.New(t, func() time.Time { return now })
	add := func(action, user, contextJSON string, ago time.Duration) {
		t.Helper()
		_, err := s.Pool.Exec(context.Background(), `INSERT INTO events (event_uuid, action, app, "user", context, created, expires)
			VALUES (gen_random_uuid(), $1, 'x', $2, $3, $4, now())`, action, user, contextJSON, now.Add(-ago))
		if err != nil {
			t.Fatal(err)
		}
	}
	ann := fmt.Sprintf(`{"pk": %d}`, s.Ann.ID)
	add("login", ann, `{}`, time.Hour)
	add("login", ann, `{}`, 7*time.Hour)
	add("login", ann, `{}`, 9*time.Hour)
	add("login", ann, `{}`, 7*24*time.Hour-time.Hour)
	add("login", ann, `{}`, 7*24*time.Hour+time.Hour)
	add("login", `{"pk": -1}`, `{}`, time.Hour)
	add("login_failed", `{}`, `{"username": "ann"}`, time.Hour)
	m := s.Must(t, 200, s.AdminKey, "GET", fmt.Sprintf("/core/users/%d/metrics/", s.Ann.ID), nil)
	points := m.At("logins").([]any)
	if len(points) != 22 || m.At("logins", 0, "x_cord") != float64(now.Add(8*time.Hour).UnixMilli()) || m.At("logins", 0, "y_cord") != float64(0) ||
		m.At("logins", 1, "y_cord") != float64(2) || m.At("logins", 2, "y_cord") != float64(1) || m.At("logins", 21, "y_cord") != float64(1) {
		t.Errorf("logins: %v", points)
	}
	if m.At("logins_failed", 1, "y_cord") != float64(1) || len(m.At("authorizations").([]any)) != 22 {
		t.Errorf("metrics: %s", m.Text)
	}
	s.Must(t, 403, s.AnnKey, "GET", fmt.Sprintf("/core/users/%d/metrics/", s.Ann.ID), nil)
}

func TestPagesCostTheSame(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	for i := range 30 {
		u := usertest.Add(t, s.Users, fmt.Sprintf("user%02d", i), "")
		usertest.Superuser(t, s.Users, u)
		s.Key(t, u)
	}
	for _, path := range []string{"/core/users/", "/core/groups/", "/core/tokens/"} {
		var counts []int64
		for _, size := range []int{1, 1, 30} { // the first prepares its statements
			counts = append(counts, s.Queries(func() { s.Must(t, 200, s.AdminKey, "GET", fmt.Sprintf("%s?page_size=%d", path, size), nil) }))
		}
		if counts[1] != counts[2] || counts[1] > 8 {
			t.Errorf("%s: a page of one takes %d statements, a page of thirty %d", path, counts[1], counts[2])
		}
		t.Logf("%s: %d statements, the caller's included", path, counts[2])
	}
}
