package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// An asset is one file, ready to be sent.
type asset struct {
	body, gzip []byte // gzip is nil where it would not be smaller
	mime, etag string // etag without quotes
}

type assets struct {
	version string // 16 hex digits over every path and content
	byPath  map[string]asset
}

// Content types are listed here rather than asked of the machine, whose tables differ.
var mimes = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
	".png": "image/png",
}

func newAssets(content map[string][]byte) (assets, error) {
	a := assets{byPath: map[string]asset{}}
	all := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(content)) {
		body := content[p]
		mime, ok := mimes[path.Ext(p)]
		if !ok {
			return assets{}, fmt.Errorf("web: no content type for %s", p)
		}
		sum := sha256.Sum256(body)
		fmt.Fprintf(all, "%s %x\n", p, sum)
		packed, err := pack(body)
		if err != nil {
			return assets{}, fmt.Errorf("compress %s: %w", p, err)
		}
		a.byPath[p] = asset{body: body, gzip: packed, mime: mime, etag: hex.EncodeToString(sum[:8])}
	}
	a.version = hex.EncodeToString(all.Sum(nil)[:8])
	return a, nil
}

func pack(body []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if b.Len() >= len(body) {
		return nil, nil
	}
	return b.Bytes(), nil
}

// Static serves /static/… (see the package comment for the two forms of a path). The path must come unstripped.
func (w *Web) Static() http.Handler { return http.HandlerFunc(w.serveStatic) }

func (w *Web) serveStatic(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		rw.Header().Set("Allow", "GET, HEAD")
		http.Error(rw, "Method not allowed.", http.StatusMethodNotAllowed)
		return
	}
	name, version := splitVersion(strings.TrimPrefix(r.URL.Path, "/static/"))
	file, ok := w.assets.byPath[name]
	if !ok {
		http.Error(rw, "Not found.", http.StatusNotFound)
		return
	}

	h := rw.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	// An SVG opened by itself is a document; it gets to do nothing.
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Content-Type", file.mime)
	h.Set("Vary", "Accept-Encoding")
	if version == w.assets.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body, etag := file.body, `"`+file.etag+`"`
	if file.gzip != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, etag = file.gzip, `"`+file.etag+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", etag)
	if matches(r.Header.Get("If-None-Match"), etag) {
		h.Del("Content-Encoding")
		h.Del("Content-Type")
		rw.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = rw.Write(body) // the browser went away: nobody to tell
	}
}

// splitVersion takes "<16 hex digits>/a/b.js" apart; a path without a version has "".
func splitVersion(p string) (name, version string) {
	first, rest, ok := strings.Cut(p, "/")
	if !ok || len(first) != 16 || strings.Trim(first, "0123456789abcdef") != "" {
		return p, ""
	}
	return rest, first
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3) as far as needed: gzip or *, and not refused by q=0.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		coding = strings.ToLower(strings.TrimSpace(coding))
		if coding != "gzip" && coding != "*" {
			continue
		}
		q, found := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		if v, err := strconv.ParseFloat(q, 64); found && err == nil && v == 0 {
			return false
		}
		return true
	}
	return false
}

// matches reports whether If-None-Match (RFC 9110 §13.1.2) names etag or anything.
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == etag || part == "*" {
			return true
		}
	}
	return false
}
