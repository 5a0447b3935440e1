package inbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	maxControlBody = 1 << 20
	pingEvery      = 15 * time.Second // keeps proxies from closing an idle event stream
)

// Control mounts what steers a double over HTTP, below /-/. It has no login: bind the double to the loopback interface.
//
//	GET    /-/history                   {"records": […]}, oldest first
//	POST   /-/faults                    {"faults": […]}: what the next sends meet, one each
//	PUT    /-/fault                     what every other send meets; {} for success
//	POST   /-/forbidden                 {"texts": […]}: what must not be in a message
//	DELETE /-/addresses/{address}       makes it dead
//	GET    /-/addresses/{address}/messages   what a phone gets, as an event stream
//	POST   /-/reset                     forgets history, faults and stored messages
func (b *Box) Control(mux *http.ServeMux) {
	handle := func(pattern string, h http.HandlerFunc) {
		// Pages that a browser on this machine has open must not steer the double.
		mux.Handle(pattern, http.NewCrossOriginProtection().Handler(h))
	}
	handle("GET /-/history", func(w http.ResponseWriter, _ *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]any{"records": b.History()})
	})
	handle("POST /-/faults", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Faults []Fault }
		if ReadJSON(w, r, &in) {
			b.Fail(in.Faults...)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	handle("PUT /-/fault", func(w http.ResponseWriter, r *http.Request) {
		var in Fault
		if ReadJSON(w, r, &in) {
			if in == (Fault{}) {
				b.FailAlways(nil)
			} else {
				b.FailAlways(&in)
			}
			w.WriteHeader(http.StatusNoContent)
		}
	})
	handle("POST /-/forbidden", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Texts []string }
		if ReadJSON(w, r, &in) {
			b.Forbid(in.Texts...)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	handle("DELETE /-/addresses/{address}", func(w http.ResponseWriter, r *http.Request) {
		b.Unregister(r.PathValue("address"))
		w.WriteHeader(http.StatusNoContent)
	})
	handle("GET /-/addresses/{address}/messages", b.stream)
	handle("POST /-/reset", func(w http.ResponseWriter, _ *http.Request) {
		b.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
}

// stream sends a phone's messages as server-sent events until either side leaves.
func (b *Box) stream(w http.ResponseWriter, r *http.Request) {
	messages, err := b.Subscribe(r.Context(), r.PathValue("address"))
	if err != nil {
		WriteJSON(w, http.StatusNotFound, map[string]string{"error": err.Error()})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	_, _ = io.WriteString(w, ": connected\n\n")
	_ = flush.Flush()
	for {
		ping, stop := b.clock.After(pingEvery)
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

// ReadJSON reads a control's body; false when it was bad and answered so.
func ReadJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		WriteJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return false
	}
	return true
}

// WriteJSON answers with a body.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // where that fails nobody is there to be told
}

// Meet gives the answer of a fault, and reports whether the send ends with it; Lose does not end it.
func (b *Box) Meet(w http.ResponseWriter, r *http.Request, f *Fault, answer func(status int, reason string)) bool {
	switch {
	case f == nil, f.Lose:
		return false
	case f.Reset:
		panic(http.ErrAbortHandler) // net/http's way to cut the connection
	case f.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int64((time.Duration(f.RetryAfter)+time.Second-1)/time.Second)))
	}
	answer(f.Status, f.Reason)
	return true
}
