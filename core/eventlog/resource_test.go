package eventlog_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"countersign/core/areatest"
)

func add(t *testing.T, s *areatest.Server, action, user, values, ip string, at time.Time) {
	t.Helper()
	_, err := s.Pool.Exec(context.Background(), `INSERT INTO events (event_uuid, action, app, "user", context, client_ip, brand, created, expires)
		VALUES (gen_random_uuid(), $1, 'authentik.core', $2, $3, $4, '{"name": "Default brand"}', $5::timestamptz, $5::timestamptz + interval '1 day')`, action, user, values, ip, at)
	if err != nil {
		t.Fatal(err)
	}
}

func TestEventsResource(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := areatest.New(t, func() time.Time { return now })
	add(t, s, "login", `{"username": "ann", "pk": 7}`, `{"auth_method": "password"}`, "192.0.2.1", now.Add(-3*time.Hour))
	add(t, s, "login_failed", `{}`, `{"username": "ann"}`, "192.0.2.2", now.Add(-2*time.Hour))
	add(t, s, "model_updated", `{"username": "admin"}`, `{"model": {"pk": "0191e0c0aaaa7bbb8cccddddeeeeffff", "app": "authentik_core", "model_name": "group", "name": "g"}}`, "192.0.2.1", now.Add(-time.Hour))
	for query, want := range map[string][]string{
		"":                                      {"model_updated", "login_failed", "login"},
		"ordering=created":                      {"login", "login_failed", "model_updated"},
		"action=LOGIN":                          {"login_failed", "login"},
		"username=ann":                          {"login"},
		"client_ip=192.0.2.1":                   {"model_updated", "login"},
		"brand_name=Default+brand&username=ann": {"login"},
		"brand_name=x":                          {},
		"context_model_pk=0191e0c0-aaaa-7bbb-8ccc-ddddeeeeffff":     {"model_updated"},
		"context_model_name=group&context_model_app=authentik_core": {"model_updated"},
		"context_authorized_app=x":                                  {},
		"search=password":                                           {"login"},
	} {
		if got := s.Must(t, 200, s.AdminKey, "GET", "/events/events/?"+query, nil).Names("action"); !slices.Equal(got, want) {
			t.Errorf("?%s: %v; want %v", query, got, want)
		}
	}
	one := s.Must(t, 200, s.AdminKey, "GET", "/events/events/?username=ann", nil).At("results", 0, "pk").(string)
	got := s.Must(t, 200, s.AdminKey, "GET", "/events/events/"+one+"/", nil)
	if got.At("user", "pk") != float64(7) || got.At("context", "auth_method") != "password" || got.At("client_ip") != "192.0.2.1" || got.At("brand", "name") != "Default brand" {
		t.Errorf("retrieve: %s", got.Text)
	}
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		if a := s.Do(t, s.AdminKey, method, "/events/events/"+one+"/", map[string]any{"action": "logout", "app": "x"}); a.Status != 403 {
			t.Errorf("%s of an event: %d %s; want 403", method, a.Status, a.Text)
		}
	}
	if s.Count(t, `events WHERE action = 'login'`) != 1 {
		t.Error("the event was changed")
	}
	for _, path := range []string{"", one + "/", "volume/", "per_month/", "top_per_user/"} {
		if a := s.Do(t, s.AnnKey, "GET", "/events/events/"+path, nil); a.Status != 403 {
			t.Errorf("%q without rights: %d", path, a.Status)
		}
	}
	actions := s.Must(t, 200, s.AnnKey, "GET", "/events/events/actions/", nil)
	if list := actions.JSON.([]any); len(list) != 27 || actions.At(0, "name") != "Login" || actions.At(0, "component") != "login" || actions.At(26, "component") != "custom_" ||
		actions.At(0, "requires_enterprise") != false {
		t.Errorf("actions: %s", actions.Text)
	}
}

func TestReportedEvents(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := areatest.New(t, func() time.Time { return now })
	a := s.Must(t, 201, s.AdminKey, "POST", "/events/events/", map[string]any{"action": "configuration_error", "app": "authentik.providers.proxy",
		"user": map[string]any{"username": "ann"}, "context": map[string]any{"message": "x"}, "client_ip": "::ffff:192.0.2.1"})
	if a.At("context", "reported_by", "username") != "admin" || a.At("context", "message") != "x" || a.At("client_ip") != "192.0.2.1" || a.At("user", "username") != "ann" {
		t.Errorf("reported: %s", a.Text)
	}
	if created, err := time.Parse(time.RFC3339, a.At("created").(string)); err != nil || !created.Equal(now) {
		t.Errorf("created %v, %v", created, err)
	}
	if s.Count(t, `events`) != 1 {
		t.Error("an event about the event was written")
	}
	for field, body := range map[string]map[string]any{
		"action": {"action": "hacked", "app": "x"}, "app": {"action": "login"}, "client_ip": {"action": "login", "app": "x", "client_ip": "192.0.2.1:80"},
		"context": {"action": "login", "app": "x", "context": []int{1}},
	} {
		if a := s.Do(t, s.AdminKey, "POST", "/events/events/", body); a.Status != 400 || a.At(field, 0) == nil {
			t.Errorf("%v: %d %s; want a 400 on %s", body, a.Status, a.Text, field)
		}
	}
	s.Must(t, 403, s.AnnKey, "POST", "/events/events/", map[string]any{"action": "login", "app": "x"})
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := areatest.New(t, func() time.Time { return now })
	for i := range 3 {
		add(t, s, "authorize_application", fmt.Sprintf(`{"pk": %d}`, i%2), `{"authorized_application": {"pk": "a1", "name": "A"}}`, "", now.Add(-time.Hour))
	}
	add(t, s, "authorize_application", `{"pk": 1}`, `{"authorized_application": {"pk": "b2", "name": "B"}}`, "", now.Add(-30*time.Hour))
	add(t, s, "authorize_application", `{"pk": 1}`, `{}`, "", now.Add(-40*24*time.Hour))
	top := s.Must(t, 200, s.AdminKey, "GET", "/events/events/top_per_user/?action=authorize_application&top_n=5", nil)
	if len(top.JSON.([]any)) != 2 || top.At(0, "application", "name") != "A" || top.At(0, "counted_events") != float64(3) || top.At(0, "unique_users") != float64(2) {
		t.Errorf("top: %s", top.Text)
	}
	volume := s.Must(t, 200, s.AdminKey, "GET", "/events/events/volume/?context_authorized_app=a1", nil)
	if len(volume.JSON.([]any)) != 22 || volume.At(1, "y_cord") != float64(3) || volume.At(0, "y_cord") != float64(0) || volume.At(4, "y_cord") != float64(0) {
		t.Errorf("volume: %s", volume.Text)
	}
	query := url.QueryEscape(`{"context__authorized_application__pk": "b-2", "user__pk": 1}`)
	month := s.Must(t, 200, s.AdminKey, "GET", "/events/events/per_month/?action=authorize_application&query="+query, nil)
	if len(month.JSON.([]any)) != 31 || month.At(2, "y_cord") != float64(1) || month.At(1, "y_cord") != float64(0) {
		t.Errorf("month: %s", month.Text)
	}
	for _, bad := range []string{"x", `{"user__password": "x"}`, `[1]`} {
		s.Must(t, 400, s.AdminKey, "GET", "/events/events/per_month/?query="+url.QueryEscape(bad), nil)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := areatest.New(t, func() time.Time { return now })
	add(t, s, "login", `{}`, `{}`, "", now.Add(-25*time.Hour))
	add(t, s, "logout", `{}`, `{}`, "", now.Add(-23*time.Hour))
	if n, err := s.Log.Clean(context.Background()); n != 1 || err != nil {
		t.Errorf("clean: %d, %v; want 1", n, err)
	}
	if s.Count(t, `events WHERE action = 'logout'`) != 1 {
		t.Error("an event was deleted before its time")
	}
}
