package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"countersign/simulator/clock"
)

const (
	maxBody   = 1 << 20
	pingEvery = 15 * time.Second // keeps proxies from closing an idle event stream
)

// SameSite refuses requests of pages of other sites: what a browser on this machine has open must not steer a double.
func SameSite(h http.HandlerFunc) http.HandlerFunc {
	return http.NewCrossOriginProtection().Handler(h).ServeHTTP
}

// Read reads a body of at most 1 MiB; an empty one leaves into as it is. false when it was bad, and answered so.
func Read(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		Fail(w, http.StatusBadRequest, err)
		return false
	}
	return true
}

// Write answers with a body.
func Write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	// A failed write means that the client has gone: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(body)
}

// Fail answers {"error": "…"}.
func Fail(w http.ResponseWriter, status int, err error) {
	Write(w, status, map[string]string{"error": err.Error()})
}

// Stream sends messages as server-sent events until the channel is closed or the client leaves.
func Stream[T any](w http.ResponseWriter, c clock.Clock, messages <-chan T) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	_, _ = io.WriteString(w, ": connected\n\n")
	_ = flush.Flush()
	for {
		ping, stop := c.After(pingEvery)
		select {
		case m, open := <-messages:
			stop()
			if !open {
				return
			}
			text, err := json.Marshal(m)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "event: message\ndata: %s\n\n", text); err != nil {
				return
			}
		case <-ping:
			if _, err := io.WriteString(w, ": ping\n\n"); err != nil {
				return
			}
		}
		if err := flush.Flush(); err != nil {
			return
		}
	}
}
