package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// The policy of the phone's page is that of every page, and lets it have a manifest and one service worker, whose address
// phone.js makes into the only trusted one.
const phoneSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'; " +
	"require-trusted-types-for 'script'; trusted-types countersign-phone"

// The policy of the service worker's script, which is that of the worker itself: it loads what it keeps, and nothing else.
const workerSecurityPolicy = "default-src 'none'; connect-src 'self'; img-src 'self'"

// PhonePath is where the phone's page lies; everything of it is below.
const PhonePath = "/if/phone/"

// phoneShared are the files beside phone/ that the phone's page is made of.
var phoneShared = []string{"css/base.css", "css/user.css", "css/phone.css", "brand/favicon.svg"}

// imported finds what a module imports by a relative path.
var imported = []byte(`from "`)

// pocket is what the service worker and the page need to know of the build.
type pocket struct {
	files  []string // addresses of all that works without a network
	worker []byte
}

func newPocket(a assets) (pocket, error) {
	script, ok := a.byPath["phone/worker.js"]
	if !ok {
		return pocket{}, errors.New("web: phone/worker.js is missing")
	}
	var p pocket
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		file, ok := a.byPath[name]
		switch {
		case !ok:
			return fmt.Errorf("web: the phone's page needs %s, which is missing", name)
		case seen[name]:
			return nil
		}
		seen[name] = true
		p.files = append(p.files, "/static/"+a.version+"/"+name)
		if path.Ext(name) != ".js" {
			return nil
		}
		for _, part := range bytes.Split(file.body, imported)[1:] {
			target, _, _ := bytes.Cut(part, []byte(`"`))
			if err := add(path.Join(path.Dir(name), string(target))); err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range append(slices.Clone(phoneShared), "phone/phone.js") {
		if err := add(name); err != nil {
			return pocket{}, err
		}
	}
	slices.Sort(p.files)
	list, err := json.Marshal(p.files)
	if err != nil {
		return pocket{}, err
	}
	p.worker = fmt.Appendf(nil, "const version = %q, files = %s;\n%s", a.version, list, script.body)
	return p, nil
}

// modules are the scripts of the page, to be fetched at once.
func (p pocket) modules() []string {
	return slices.DeleteFunc(slices.Clone(p.files), func(f string) bool { return path.Ext(f) != ".js" })
}

// PhonePage serves the phone's page and what belongs to it: the service worker, the manifest and the icons, all below
// [PhonePath]. It needs no session and sets no cookie.
func (w *Web) PhonePage(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, PhonePath)
	switch name {
	case "":
		w.renderWith(phoneSecurityPolicy, rw, r, http.StatusOK, "phone", "Your authenticator", w.phone.modules())
	case "sw.js":
		h := rw.Header()
		h.Set("Content-Security-Policy", workerSecurityPolicy)
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		w.phonePart(rw, r, w.phone.worker)
	case "manifest.webmanifest":
		w.manifest(rw, r)
	default:
		file, ok := w.assets.byPath["phone/"+name]
		if !ok || path.Ext(name) != ".png" {
			w.ErrorPage(rw, r, http.StatusNotFound, "Not found", "There is nothing at this address.")
			return
		}
		rw.Header().Set("Content-Type", file.mime)
		w.phonePart(rw, r, file.body)
	}
}

func (w *Web) phonePart(rw http.ResponseWriter, r *http.Request, body []byte) {
	h := rw.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	if r.Method != http.MethodHead {
		_, _ = rw.Write(body) // the browser went away: nobody to tell
	}
}

// manifest is what a phone installs the page by (W3C Web Application Manifest).
func (w *Web) manifest(rw http.ResponseWriter, r *http.Request) {
	type icon struct {
		Source  string `json:"src"`
		Sizes   string `json:"sizes"`
		Type    string `json:"type"`
		Purpose string `json:"purpose"`
	}
	title := w.brandOf(r).Title
	out, err := json.Marshal(map[string]any{
		"id": PhonePath, "start_url": PhonePath, "scope": PhonePath, "display": "standalone", "lang": "en",
		"name": title, "short_name": title, "description": "Approve your sign-ins to " + title + ".",
		"background_color": "#0e6b66", "theme_color": "#0e6b66",
		"icons": []icon{
			{PhonePath + "icon-192.png", "192x192", "image/png", "any"},
			{PhonePath + "icon-512.png", "512x512", "image/png", "any"},
			{PhonePath + "icon-maskable.png", "512x512", "image/png", "maskable"},
		},
	})
	if err != nil {
		w.log.ErrorContext(r.Context(), "write manifest", "error", err)
		http.Error(rw, "Something went wrong.", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/manifest+json")
	w.phonePart(rw, r, out)
}
