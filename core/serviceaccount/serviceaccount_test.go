package serviceaccount_test

import (
	"strings"
	"testing"
	"time"

	"countersign/core/areatest"
)

func TestServiceAccount(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := areatest.New(t, func() time.Time { return now })
	const path = "/core/users/service_account/"
	a := s.Must(t, 200, s.AdminKey, "POST", path, map[string]any{"name": "Build Bot", "create_group": true})
	if a.At("username") != "Build Bot" || len(a.At("token").(string)) != 60 || a.At("user_uid") != s.Users.UID(int(a.At("user_pk").(float64))) {
		t.Errorf("made: %s", a.Text)
	}
	if s.Count(t, `users u JOIN group_members m ON m.user_id = u.id WHERE u.type = 'service_account' AND u.path = 'goauthentik.io/service-accounts' AND m.group_uuid::text = $1`, a.At("group_pk")) != 1 {
		t.Error("no such user in the new group")
	}
	if s.Count(t, `tokens WHERE identifier = 'service-account-build-bot-password' AND intent = 'app_password' AND expires = $1`, now.Add(360*24*time.Hour)) != 1 {
		t.Error("no such app password")
	}
	if s.Count(t, `events WHERE action = 'model_created' AND "user"->>'username' = 'admin'`) != 3 {
		t.Error("user, group and token want an event each")
	}
	before := s.Count(t, `users`) + s.Count(t, `events`)
	if a := s.Do(t, s.AdminKey, "POST", path, map[string]any{"name": "Build Bot"}); a.Status != 400 || a.At("non_field_errors", 0) == nil {
		t.Errorf("twice: %d %s", a.Status, a.Text)
	}
	if s.Count(t, `users`)+s.Count(t, `events`) != before {
		t.Error("the refused one left something behind")
	}
	plain := s.Must(t, 200, s.AdminKey, "POST", path, map[string]any{"name": "b", "expiring": false})
	if strings.Contains(plain.Text, "group_pk") || s.Count(t, `tokens WHERE identifier = 'service-account-b-password' AND NOT expiring`) != 1 {
		t.Errorf("without a group and an end: %s", plain.Text)
	}
	s.Must(t, 403, s.AnnKey, "POST", path, map[string]any{"name": "x"})
	s.Must(t, 400, s.AdminKey, "POST", path, map[string]any{"name": ""})
}
