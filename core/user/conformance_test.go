package user_test

import (
	"fmt"
	"testing"

	"countersign/core/areatest"
	"countersign/core/resourcetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	group := s.Must(t, 201, s.AdminKey, "POST", "/core/groups/", map[string]any{"name": "staff"}).At("pk")
	suite := s.Suite("/core/users/", func(n int) map[string]any {
		return map[string]any{"username": fmt.Sprintf("user-%d", n), "name": fmt.Sprintf("User %d", n), "is_active": true, "last_login": "2024-05-07T10:00:00Z",
			"groups": []any{group}, "email": fmt.Sprintf("u%d@example.com", n), "attributes": map[string]any{"n": n}, "path": fmt.Sprintf("people/%d", n), "type": "external"}
	})
	suite.Reset = []string{"groups"}
	resourcetest.Run(t, suite)
}
