package app_test

import (
	"net/http"
	"strings"
	"testing"

	"countersign/cmd/app"
)

// Metrics are for the machine's own clients and for those with the token; not for whoever a proxy on the machine speaks for.
func TestMetrics(t *testing.T) {
	t.Parallel()
	const token = "a-token-for-metrics"
	closed := start(t, nil)
	open := start(t, func(c *app.Config) { c.Metrics.Token = token })
	for name, x := range map[string]struct {
		n      *node
		header map[string]string
		status int
	}{
		"on the machine":          {closed, nil, 200},
		"through a proxy":         {closed, map[string]string{"X-Forwarded-For": "192.0.2.1"}, 403},
		"a proxy that says Via":   {closed, map[string]string{"Via": "1.1 proxy"}, 403},
		"with an API token":       {closed, map[string]string{"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer " + adminToken}, 403},
		"with the token":          {open, map[string]string{"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer " + token}, 200},
		"with another":            {open, map[string]string{"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer " + token + "x"}, 403},
		"with another kind of it": {open, map[string]string{"X-Forwarded-For": "192.0.2.1", "Authorization": "Basic " + token}, 403},
		"with an empty one":       {closed, map[string]string{"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer "}, 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.n.base+"/-/metrics/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range x.header {
			req.Header.Set(k, v)
		}
		if got := x.n.send(req); got.status != x.status || strings.Contains(got.body, "go_goroutines") != (x.status == 200) {
			t.Errorf("%s: %d", name, got.status)
		}
	}
}
