package web

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed static stage device
var files embed.FS

//go:embed template/*.html
var templates embed.FS

// Brand is how a page names its house.
type Brand struct {
	Title string // "" stands for "Countersign"
	// Logo and Favicon are image URLs; "" stands for the built-in mark. The pages' Content-Security-Policy shows
	// images of the same origin and data: URIs only.
	Logo    string
	Favicon string
}

// StageScript is the browser half of a stage kind: an ES module, see the package comment.
type StageScript struct {
	Component string // "ak-stage-password"
	Script    []byte
}

// DeviceScript is the browser half of an authenticator kind on the validation page: an ES module, see the package comment.
type DeviceScript struct {
	Class  string // the device_class: "mobile", "totp"
	Script []byte
}

// Options say what the pages are made with.
type Options struct {
	// Brand tells a request's brand; nil: the built-in one. It must not fail: a page that cannot say its name is still better than none.
	Brand func(*http.Request) Brand
	// CSRF sets the cookie authentik_csrf on a page's response unless the request has a usable one (core.md §1.5). Required.
	CSRF func(http.ResponseWriter, *http.Request)
	// Stages and Devices are the scripts of kinds that bring their own.
	Stages  []StageScript
	Devices []DeviceScript
	// APIBrowser is where the administration page sends people to read about the API, "/api/v3/"; "" leaves it out.
	APIBrowser string
	// Log gets rendering failures; nil: none.
	Log *slog.Logger
}

// Web serves the pages. It is safe for concurrent use.
type Web struct {
	brand      func(*http.Request) Brand
	csrf       func(http.ResponseWriter, *http.Request)
	apiBrowser string
	log        *slog.Logger
	assets     assets
	phone      pocket
	stages     string // names, joined by spaces, for the flow page
	devices    string
	templates  map[string]*template.Template
}

// A script's name becomes part of a URL that flow.js composes.
var scriptName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// New reads the embedded files and the kinds' scripts. It fails on a script with a name outside [a-z0-9-], on two
// scripts for one name, and without Options.CSRF.
func New(o Options) (*Web, error) {
	if o.CSRF == nil {
		return nil, errors.New("web: Options.CSRF is missing")
	}
	w := &Web{brand: o.Brand, csrf: o.CSRF, apiBrowser: o.APIBrowser, log: o.Log}
	if w.brand == nil {
		w.brand = func(*http.Request) Brand { return Brand{} }
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}

	content, err := embedded()
	if err != nil {
		return nil, err
	}
	for _, s := range o.Stages {
		if err := addScript(content, "stage", s.Component, s.Script); err != nil {
			return nil, err
		}
	}
	for _, d := range o.Devices {
		if err := addScript(content, "device", d.Class, d.Script); err != nil {
			return nil, err
		}
	}
	w.stages, w.devices = names(content, "stage"), names(content, "device")
	if w.assets, err = newAssets(content); err != nil {
		return nil, err
	}
	if w.phone, err = newPocket(w.assets); err != nil {
		return nil, err
	}
	if w.templates, err = parse(); err != nil {
		return nil, err
	}
	return w, nil
}

// embedded reads the files under their paths below /static/.
func embedded() (map[string][]byte, error) {
	content := map[string][]byte{}
	err := fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(p)
		content[strings.TrimPrefix(p, "static/")] = b
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read embedded files: %w", err)
	}
	return content, nil
}

func addScript(content map[string][]byte, dir, name string, script []byte) error {
	if !scriptName.MatchString(name) {
		return fmt.Errorf("web: %s script %q: the name has characters outside a-z, 0-9 and -", dir, name)
	}
	p := path.Join(dir, name+".js")
	if _, ok := content[p]; ok {
		return fmt.Errorf("web: %s script %q is given twice", dir, name)
	}
	content[p] = script
	return nil
}

// names lists what has a script in dir, sorted and joined by spaces.
func names(content map[string][]byte, dir string) string {
	var out []string
	for p := range content {
		if path.Dir(p) == dir {
			out = append(out, strings.TrimSuffix(path.Base(p), ".js"))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// parse makes one template set a page: the layout with that page's blocks.
func parse() (map[string]*template.Template, error) {
	pages, err := fs.Glob(templates, "template/*.html")
	if err != nil {
		return nil, fmt.Errorf("list templates: %w", err)
	}
	out := map[string]*template.Template{}
	for _, p := range pages {
		name := strings.TrimSuffix(path.Base(p), ".html")
		if name == "layout" {
			continue
		}
		t, err := template.New("layout.html").ParseFS(templates, "template/layout.html", p)
		if err != nil {
			return nil, fmt.Errorf("parse template %s: %w", name, err)
		}
		out[name] = t
	}
	return out, nil
}
