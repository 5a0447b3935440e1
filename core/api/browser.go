package api

import (
	"context"
	"embed"
	"net/http"
)

//go:embed browser
var browserFiles embed.FS

// addBrowser serves the page that shows the document to people: our own script, nothing from elsewhere.
func (a *API) addBrowser() {
	files := map[string]struct{ file, contentType string }{
		"/api/browser/":            {"browser/index.html", "text/html; charset=utf-8"},
		"/api/browser/browser.js":  {"browser/browser.js", "text/javascript; charset=utf-8"},
		"/api/browser/browser.css": {"browser/browser.css", "text/css; charset=utf-8"},
	}
	for path, f := range files {
		body, err := browserFiles.ReadFile(f.file)
		if err != nil {
			panic("api: " + err.Error()) // it is embedded
		}
		a.Page(http.MethodGet, path, "api_browser", Open, func(_ context.Context, r *Request) error {
			r.Writer.Header().Set("Content-Security-Policy",
				"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
			r.Writer.Header().Set("Cache-Control", "no-cache")
			r.bytes(http.StatusOK, f.contentType, body)
			return nil
		})
	}
	a.Page(http.MethodGet, Prefix+"/", "api_root", Open, func(_ context.Context, r *Request) error {
		http.Redirect(r.Writer, r.HTTP, "/api/browser/", http.StatusFound)
		return nil
	})
}
