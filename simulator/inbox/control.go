package inbox

import (
	"fmt"
	"net/http"
	"time"

	"countersign/simulator/control"
)

// Control mounts what steers a double over HTTP, below /-/. It has no login: bind the double to the loopback interface.
//
//	GET    /-/history                   {"records": […]}, oldest first
//	POST   /-/faults                    {"faults": […]}: what the next sends meet, one each
//	PUT    /-/fault                     what every other send meets; {} for success
//	PUT    /-/addresses/{address}/fault what every send to an address meets; {} for success
//	POST   /-/forbidden                 {"texts": […]}: what must not be in a message
//	DELETE /-/addresses/{address}       makes it dead
//	GET    /-/addresses/{address}/messages   what a phone gets, as an event stream
//	POST   /-/reset                     forgets history, faults and stored messages
func (b *Box) Control(mux *http.ServeMux) {
	handle := func(pattern string, h http.HandlerFunc) { mux.HandleFunc(pattern, control.SameSite(h)) }
	handle("GET /-/history", func(w http.ResponseWriter, _ *http.Request) {
		control.Write(w, http.StatusOK, map[string]any{"records": b.History()})
	})
	handle("POST /-/faults", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Faults []Fault }
		if control.Read(w, r, &in) {
			b.Fail(in.Faults...)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	handle("PUT /-/fault", func(w http.ResponseWriter, r *http.Request) {
		var in Fault
		if control.Read(w, r, &in) {
			if in == (Fault{}) {
				b.FailAlways(nil)
			} else {
				b.FailAlways(&in)
			}
			w.WriteHeader(http.StatusNoContent)
		}
	})
	handle("PUT /-/addresses/{address}/fault", func(w http.ResponseWriter, r *http.Request) {
		var in Fault
		if control.Read(w, r, &in) {
			fault := &in
			if in == (Fault{}) {
				fault = nil
			}
			b.FailAddress(r.PathValue("address"), fault)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	handle("POST /-/forbidden", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Texts []string }
		if control.Read(w, r, &in) {
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
		control.Fail(w, http.StatusNotFound, err)
		return
	}
	control.Stream(w, b.clock, messages)
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
