package group_test

import (
	"fmt"
	"testing"

	"countersign/core/areatest"
	"countersign/core/resourcetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	parent := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "parent"}).At("pk")
	suite := s.Suite("/core/groups/", func(n int) map[string]any {
		return map[string]any{"name": fmt.Sprintf("group %d", n), "is_superuser": false, "parent": parent, "users": []any{s.Ann.ID}, "attributes": map[string]any{"n": n}}
	})
	suite.Reset = []string{"users"}
	resourcetest.Run(t, suite)
}
