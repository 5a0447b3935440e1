package brand_test

import (
	"fmt"
	"testing"

	"countersign/core/areatest"
	"countersign/core/resourcetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	suite := s.Suite("/core/brands/", func(n int) map[string]any {
		return map[string]any{"domain": fmt.Sprintf("b%d.example", n), "branding_title": fmt.Sprintf("Brand %d", n), "branding_logo": "/logo.svg",
			"branding_favicon": "/icon.svg", "attributes": map[string]any{"n": n}}
	})
	suite.Lookup = "brand_uuid"
	suite.Skip = []string{"attributes"}
	resourcetest.Run(t, suite)
}
