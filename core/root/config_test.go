package root_test

import (
	"testing"

	"countersign/core/areatest"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	a := s.Must(t, 200, "", "GET", "/root/config/", nil)
	if caps, ok := a.At("capabilities").([]any); !ok || len(caps) != 0 {
		t.Errorf("capabilities: %s", a.Text)
	}
	if a.At("error_reporting", "enabled") != false || a.At("error_reporting", "sentry_dsn") != "" || a.At("cache_timeout") == nil {
		t.Errorf("config: %s", a.Text)
	}
}
