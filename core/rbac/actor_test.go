package rbac_test

import (
	"testing"

	"countersign/core/rbac"
)

func TestCan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		actor      *rbac.Actor
		permission string
		want       bool
	}{
		"nobody":                    {nil, "authentik_core.add_user", false},
		"plain user":                {&rbac.Actor{ID: 1}, "authentik_core.add_user", false},
		"superuser":                 {&rbac.Actor{ID: 1, Superuser: true}, "authentik_core.add_user", true},
		"superuser, forgotten name": {&rbac.Actor{ID: 1, Superuser: true}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.actor.Can(c.permission); got != c.want {
				t.Errorf("Can(%q) = %v, want %v", c.permission, got, c.want)
			}
		})
	}
}
