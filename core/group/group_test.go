package group_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"countersign/core/areatest"
)

func TestGroupsResource(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	ann := float64(s.Ann.ID)
	top := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "top"})
	made := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "sub", "parent": top.At("pk"), "users": []int{s.Ann.ID}, "roles": []string{}})
	if made.At("parent_name") != "top" || made.At("users", 0) != ann || made.At("users_obj", 0, "username") != "ann" || made.At("users_obj", 0, "uid") != s.Users.UID(s.Ann.ID) ||
		fmt.Sprint(made.At("roles"), made.At("roles_obj")) != "[] []" || made.At("num_pk") == nil || top.At("parent_name") != nil {
		t.Errorf("made: %s", made.Text)
	}
	one := fmt.Sprintf("/core/groups/%s/", made.At("pk"))
	if a := s.Must(t, 200, s.AdminKey, "PATCH", one, map[string]any{"is_superuser": true}); a.At("users", 0) != ann {
		t.Errorf("PATCH without users emptied them: %s", a.Text)
	}
	if a := s.Must(t, 200, s.AdminKey, "GET", fmt.Sprintf("/core/users/%d/", s.Ann.ID), nil); a.At("is_superuser") != true {
		t.Errorf("a member of a superuser group: %s", a.Text)
	}
	if a := s.Must(t, 200, s.AdminKey, "PUT", one, map[string]any{"name": "sub"}); len(a.At("users").([]any)) != 0 || a.At("parent") != top.At("pk") || a.At("is_superuser") != true {
		t.Errorf("PUT without users must empty them and keep the rest: %s", a.Text)
	}
	if n := s.Count(t, `events WHERE action = 'model_updated' AND context->'model'->>'name' = 'sub' AND context->'diff'->'users'->'remove' = to_jsonb(ARRAY[$1::int])`, s.Ann.ID); n != 1 {
		t.Errorf("%d events name the removed member; want 1", n)
	}
	role := uuid.NewString()
	for _, c := range []struct {
		field, text string
		body        map[string]any
	}{
		{"roles", fmt.Sprintf("Invalid pk %q - object does not exist.", role), map[string]any{"roles": []string{role}}},
		{"users", `Invalid pk "0" - object does not exist.`, map[string]any{"users": []int{0}}},
		{"parent", "Cannot set group as parent of itself.", map[string]any{"parent": made.At("pk")}},
		{"name", "", map[string]any{"name": "top"}},
	} {
		if a := s.Do(t, s.AdminKey, "PATCH", one, c.body); a.Status != 400 || a.At(c.field, 0) == nil || c.text != "" && a.At(c.field, 0) != c.text {
			t.Errorf("%v: %d %s; want a 400 %s", c.body, a.Status, a.Text, c.text)
		}
	}
	s.Must(t, 204, s.AdminKey, "DELETE", fmt.Sprintf("/core/groups/%s/", top.At("pk")), nil)
	if a := s.Must(t, 200, s.AdminKey, "GET", one, nil); a.At("parent") != nil {
		t.Errorf("the parent is gone: %s", a.Text)
	}
	if a := s.Do(t, s.AnnKey, "GET", one, nil); a.Status != 403 {
		t.Errorf("without rights: %d", a.Status)
	}
}

func TestNoCircles(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	var pks []string
	for i := range 3 {
		body := map[string]any{"name": fmt.Sprint("g", i)}
		if i > 0 {
			body["parent"] = pks[i-1]
		}
		pks = append(pks, s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", body).At("pk").(string))
	}
	a := s.Do(t, s.AdminKey, "PATCH", "/core/groups/"+pks[0]+"/", map[string]any{"parent": pks[2]})
	if a.Status != 400 || a.At("parent", 0) == nil {
		t.Errorf("a circle of three: %d %s", a.Status, a.Text)
	}
	// Two groups that take each other as parent at once: at most one may. Several rounds, so that some pair meets.
	for round := range 12 {
		x := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": fmt.Sprint("x", round)}).At("pk").(string)
		y := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": fmt.Sprint("y", round)}).At("pk").(string)
		done := make(chan int, 2)
		for _, pair := range [][2]string{{x, y}, {y, x}} {
			go func() {
				done <- s.Do(t, s.AdminKey, "PATCH", "/core/groups/"+pair[0]+"/", map[string]any{"parent": pair[1]}).Status
			}()
		}
		if one, two := <-done, <-done; one == 200 && two == 200 {
			t.Fatalf("round %d: a circle of two was closed", round)
		}
	}
}

func TestMembership(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	one := fmt.Sprintf("/core/groups/%s/", s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "g"}).At("pk"))
	ann := map[string]any{"pk": s.Ann.ID}
	for _, step := range []struct {
		path    string
		members int
		events  int
	}{{"add_user/", 1, 1}, {"add_user/", 1, 1}, {"remove_user/", 0, 2}, {"remove_user/", 0, 2}} {
		s.Must(t, 204, s.AdminKey, "POST", one+step.path, ann)
		members := s.Count(t, `group_members WHERE user_id = $1`, s.Ann.ID)
		events := s.Count(t, `events WHERE context->'diff'->'users' IS NOT NULL`)
		if members != step.members || events != step.events {
			t.Errorf("after %s: %d members, %d events; want %d and %d", step.path, members, events, step.members, step.events)
		}
	}
	s.Must(t, 404, s.AdminKey, "POST", one+"add_user/", map[string]any{"pk": 0})
	s.Must(t, 404, s.AdminKey, "POST", one+"remove_user/", map[string]any{"pk": 0})
	s.Must(t, 400, s.AdminKey, "POST", one+"add_user/", map[string]any{})
	s.Must(t, 403, s.AnnKey, "POST", one+"add_user/", ann)
}

func TestGroupFilters(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	if _, err := s.Pool.Exec(context.Background(), `DELETE FROM groups WHERE name <> 'superusers of admin'`); err != nil {
		t.Fatal(err)
	}
	s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "a", "users": []int{s.Ann.ID}, "attributes": map[string]any{"x": true}})
	s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "b"})
	for query, want := range map[string][]string{
		"":                        {"a", "b", "superusers of admin"},
		"name=b":                  {"b"},
		"is_superuser=true":       {"superusers of admin"},
		"members_by_username=ann": {"a"},
		"members_by_pk=" + fmt.Sprint(s.Ann.ID) + "&members_by_pk=" + fmt.Sprint(s.Admin.ID): {"a", "superusers of admin"},
		"attributes=%7B%22x%22%3Atrue%7D": {"a"},
		"search=super":                    {"superusers of admin"},
	} {
		if got := s.Must(t, 200, s.AdminKey, "GET", "/core/groups/?"+query, nil).Names("name"); !slices.Equal(got, want) {
			t.Errorf("?%s: %v; want %v", query, got, want)
		}
	}
	if a := s.Must(t, 200, s.AdminKey, "GET", "/core/groups/?include_users=false&name=a", nil); a.At("results", 0, "users_obj") != nil || a.At("results", 0, "users", 0) != float64(s.Ann.ID) {
		t.Errorf("without users: %s", a.Text)
	}
}
