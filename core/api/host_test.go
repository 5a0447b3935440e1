package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/core/api"
)

// A page on another name, which hands requests on, is not taken for the server; probes are answered by whatever name they use.
func TestHosts(t *testing.T) {
	t.Parallel()
	a := api.New(api.Options{Hosts: []string{"id.example.com", "Other.example.com:8443", "[2001:db8::1]"}})
	for _, path := range []string{"/page/", "/-/health/"} {
		a.Page("GET", path, "page", api.Anonymous, func(_ context.Context, r *api.Request) error {
			_, err := io.WriteString(r.Writer, "here")
			return err
		})
	}
	handler, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	for host, c := range map[string]struct {
		path   string
		status int
	}{
		"id.example.com":           {"/page/", 200},
		"ID.example.com:9000":      {"/page/", 200},
		"other.example.com:8443":   {"/page/", 200},
		"other.example.com":        {"/page/", 421},
		"[2001:db8::1]:9000":       {"/page/", 200},
		"[2001:db8::2]":            {"/page/", 421},
		"id.example.com.evil.test": {"/page/", 421},
		"evil.test":                {"/page/", 421},
		"10.0.0.7:9000":            {"/-/health/", 200},
	} {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		r.Host = host
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.status || c.status == 421 && !strings.Contains(w.Body.String(), "does not answer under the name "+host) {
			t.Errorf("%s: %d %s, want %d", host, w.Code, w.Body, c.status)
		}
	}
}
