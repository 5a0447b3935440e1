package executor_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// One look at a login that has begun: session, plan, challenge; without a network.
func BenchmarkGet(b *testing.B) {
	x := newSite(b)
	get := func(cookies []*http.Cookie) *http.Response {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v3/flows/executor/"+loginSlug+"/?query=", nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		x.handler.ServeHTTP(w, r)
		return w.Result()
	}
	cookies := get(nil).Cookies()
	b.ReportAllocs()
	for b.Loop() {
		if resp := get(cookies); resp.StatusCode != http.StatusOK || len(resp.Cookies()) > 0 {
			b.Fatal(resp.Status, resp.Cookies())
		}
	}
}
