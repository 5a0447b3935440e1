package webpage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	maxBody   = 16 << 10
	pingEvery = 15 * time.Second
)

// Guard lets through what comes under a name of ours and from no foreign page, and forbids the page everything but its own files, and pictures in its own text.
// hosts are names besides IP addresses and localhost. A framed page may lie in a frame of a page of the same origin, and have such
// frames.
func Guard(next http.Handler, hosts []string, framed bool) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
	if framed {
		policy += "frame-src 'self'; frame-ancestors 'self'"
	} else {
		policy += "frame-ancestors 'none'"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ours(r.Host, hosts) {
			http.Error(w, "This page does not answer under that name.", http.StatusMisdirectedRequest)
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

func ours(host string, hosts []string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || slices.Contains(hosts, host)
}

// Files serves the folder static of files, each asked for anew so that a page is never older than its program.
func Files(files fs.FS) http.Handler {
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	serve := http.FileServerFS(static)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		serve.ServeHTTP(w, r)
	})
}

// Stream is an event stream of a state: at once, at each change but not before rest is over, and every 15 seconds, which also
// tells a page that slept what has expired. next gives the state and what is closed at its next change.
func Stream(w http.ResponseWriter, r *http.Request, rest time.Duration, next func() (state any, changed <-chan struct{})) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		state, changed := next()
		text, err := json.Marshal(state)
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil {
			return
		}
		if err := flush.Flush(); err != nil {
			return
		}
		if rest > 0 {
			pause := time.NewTimer(rest)
			select {
			case <-pause.C:
			case <-r.Context().Done():
				pause.Stop()
				return
			}
		}
		select {
		case <-changed:
		case <-ping.C:
		case <-r.Context().Done():
			return
		}
	}
}

// Read decodes a request's JSON; where it is none it replies and returns false.
func Read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(into); err != nil && !errors.Is(err, io.EOF) {
		http.Error(w, `{"error":"The request is not JSON."}`, http.StatusBadRequest)
		return false
	}
	return true
}

// Reply tells the page how a request went; the words of an error are for its person, who may know all of it.
func Reply(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
