package web

import (
	"bytes"
	"net/http"
	"strings"
)

// The policy of every page: own files only, no inline code, nothing framed, no markup from strings. Avatars and QR
// codes are data: images. Cross-origin form targets (autosubmit challenges) are not among today's stages.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Flow is what the flow page's shell must know of its flow.
type Flow struct {
	Slug  string
	Title string // shown until the first challenge brings its own; "" shows the brand's
}

// SessionEnd is what the page after signing out of one application must know.
type SessionEnd struct {
	Application string // its name
	LaunchURL   string // back into it; "" leaves the link out
}

// frame is what the layout needs; the pages' own data hangs on Page.
type frame struct {
	Title  string // of the document, before the brand
	Brand  Brand
	Static string // "/static/<version>"
	Page   any
}

// FlowPage writes the shell of /if/flow/<slug>/ and sets the CSRF cookie. The caller has made sure that the flow exists.
func (w *Web) FlowPage(rw http.ResponseWriter, r *http.Request, f Flow) {
	w.csrf(rw, r)
	if f.Title == "" {
		f.Title = w.brandOf(r).Title
	}
	w.render(rw, r, http.StatusOK, "flow", f.Title, struct {
		Flow
		Stages, Devices string
	}{f, w.stages, w.devices})
}

// UserPage writes the shell of /if/user/ and sets the CSRF cookie. Its script sends a visitor who is not signed in to
// the authentication flow.
func (w *Web) UserPage(rw http.ResponseWriter, r *http.Request) {
	w.csrf(rw, r)
	w.render(rw, r, http.StatusOK, "user", "Your account", nil)
}

// AdminPage writes /if/admin/ and sets the CSRF cookie.
func (w *Web) AdminPage(rw http.ResponseWriter, r *http.Request) {
	w.csrf(rw, r)
	w.render(rw, r, http.StatusOK, "admin", "Administration", w.apiBrowser)
}

// SessionEndPage writes /if/session-end/<app slug>/: the session at an application has ended, the one here has not.
func (w *Web) SessionEndPage(rw http.ResponseWriter, r *http.Request, e SessionEnd) {
	w.render(rw, r, http.StatusOK, "sessionend", "Signed out", e)
}

// ErrorPage writes an HTML page for a failure. Title and text are for people, and safe to show.
func (w *Web) ErrorPage(rw http.ResponseWriter, r *http.Request, status int, title, text string) {
	w.render(rw, r, status, "error", title, struct {
		Status      int
		Title, Text string
	}{status, title, text})
}

func (w *Web) brandOf(r *http.Request) Brand {
	b := w.brand(r)
	if b.Title == "" {
		b.Title = "Countersign"
	}
	return b
}

// render writes a page with the headers that all pages share. The page is made before the first byte is sent, so that
// a failure can still be a clean 500.
func (w *Web) render(rw http.ResponseWriter, r *http.Request, status int, name, title string, page any) {
	w.renderWith(contentSecurityPolicy, rw, r, status, name, title, page)
}

// renderWith is render under a policy of the page's own.
func (w *Web) renderWith(policy string, rw http.ResponseWriter, r *http.Request, status int, name, title string, page any) {
	var b bytes.Buffer
	err := w.templates[name].Execute(&b, frame{
		Title: title, Brand: w.brandOf(r), Static: "/static/" + w.assets.version, Page: page,
	})
	if err != nil {
		w.log.ErrorContext(r.Context(), "render page", "page", name, "error", err)
		http.Error(rw, "Something went wrong.", http.StatusInternalServerError)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Query strings here carry flow and invitation tokens: no other origin gets to see them.
	h.Set("Referrer-Policy", "same-origin")
	// What a person saw must not come back from a cache after signing out.
	h.Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	if !strings.EqualFold(r.Method, http.MethodHead) {
		_, _ = rw.Write(b.Bytes()) // the browser went away: nobody to tell
	}
}
