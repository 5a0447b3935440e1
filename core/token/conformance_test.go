package token_test

import (
	"fmt"
	"testing"
	"time"

	"countersign/core/areatest"
	"countersign/core/resourcetest"
	"countersign/core/user/usertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	suite := s.Suite("/core/tokens/", func(n int) map[string]any {
		return map[string]any{"identifier": fmt.Sprintf("token-%d", n), "intent": "app_password", "user": s.Admin.ID, "description": fmt.Sprintf("Token %d", n),
			"managed": fmt.Sprintf("managed-%d", n), "expires": time.Now().Add(time.Duration(n) * time.Minute).UTC().Truncate(time.Second).Format(time.RFC3339), "expiring": true}
	})
	suite.Lookup, suite.Owned = "identifier", true
	suite.Other = s.Browser(t, usertest.Add(t, s.Users, "otto", "")) // ann owns the token that she calls with
	resourcetest.Run(t, suite)
}
