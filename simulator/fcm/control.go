package fcm

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"countersign/simulator/control"
)

// control mounts what steers the double over HTTP and the page that lists it.
func (d *Double) control() {
	routes := []struct {
		pattern, about string
		handle         http.HandlerFunc
	}{
		{"GET /-/health", "200 while the double runs", func(w http.ResponseWriter, _ *http.Request) {
			control.Write(w, http.StatusOK, map[string]string{"status": "ok", "project": d.o.Project})
		}},
		{"GET /-/service-account", "the service account's JSON key file, for the server under test", d.serviceAccount},
		{"POST /-/addresses", `{"address": ""} registers an address, a fresh one if empty → 201 {"address"}`, d.postAddress},
		{"DELETE /-/addresses/{address}", "makes the address dead: sends get 404 UNREGISTERED", func(w http.ResponseWriter, r *http.Request) {
			d.Unregister(r.PathValue("address"))
			w.WriteHeader(http.StatusNoContent)
		}},
		{"GET /-/addresses/{address}/messages", "what a phone receives, as an event stream of JSON messages", d.stream},
		{"PUT /-/addresses/{address}/script", `{"steps": [{"error": "UNAVAILABLE", "retry_after": "1s", "latency": "200ms", "delay": "1s", "lose": false, "twice": false}], "repeat": false}: what the next sends meet, one step each`, d.putScript},
		{"PUT /-/addresses/{address}/device", `{"doze": false, "demoted": false}: a phone that sleeps gets only what is of priority high; one that is demoted has none of that`, d.putDevice},
		{"POST /-/addresses/{address}/maintenance", "gives a sleeping phone what waited; it sleeps on", func(w http.ResponseWriter, r *http.Request) {
			d.Maintain(r.PathValue("address"))
			w.WriteHeader(http.StatusNoContent)
		}},
		{"POST /-/addresses/{address}/shown", `{"id"}: that message led to something that the person saw, and does not count for a demotion`, d.postShown},
		{"PUT /-/conditions", `{"latency", "jitter", "delay", "delay_jitter", "error_rate", "errors": [], "loss_rate", "outages": [{"from", "until", "error", "retry_after", "token"}], "quota": {"messages", "per"}, "device_quotas": [{"messages", "per"}], "doze", "demote_after"}: what every send meets`, d.putConditions},
		{"GET /-/conditions", "the same, as it stands", func(w http.ResponseWriter, _ *http.Request) {
			d.mu.Lock()
			c := d.conditions
			d.mu.Unlock()
			control.Write(w, http.StatusOK, c)
		}},
		{"GET /-/history", "?address=&after=&limit= → {\"records\": [...]}, oldest first", d.getHistory},
		{"POST /-/tokens/revoke", "makes the bearer tokens issued so far worthless", func(w http.ResponseWriter, _ *http.Request) {
			d.RevokeTokens()
			w.WriteHeader(http.StatusNoContent)
		}},
		{"POST /-/reset", "forgets history, scripts, stored messages, conditions and the state of phones", func(w http.ResponseWriter, _ *http.Request) {
			d.Reset()
			w.WriteHeader(http.StatusNoContent)
		}},
	}
	var page strings.Builder
	page.WriteString("A double of Firebase Cloud Messaging, HTTP v1. Errors: UNREGISTERED INVALID_ARGUMENT INVALID_FIELD\n" +
		"SENDER_ID_MISMATCH QUOTA_EXCEEDED UNAVAILABLE INTERNAL THIRD_PARTY_AUTH_ERROR UNAUTHENTICATED\n" +
		"PERMISSION_DENIED RESET HANG.\n\nPOST /token\nPOST /v1/projects/" + d.o.Project + "/messages:send\n")
	for _, r := range routes {
		d.mux.HandleFunc(r.pattern, control.SameSite(r.handle))
		fmt.Fprintf(&page, "%s\n    %s\n", r.pattern, r.about)
	}
	d.mux.HandleFunc("GET /-/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, page.String())
	})
}

func (d *Double) serviceAccount(w http.ResponseWriter, r *http.Request) {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	text, err := d.ServiceAccount(scheme + r.Host)
	if err != nil {
		control.Fail(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) //nolint:gosec // G705: JSON under a JSON content type
}

func (d *Double) postAddress(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Address string `json:"address"`
	}
	if !control.Read(w, r, &in) {
		return
	}
	address, err := d.Register(r.Context(), in.Address)
	if err != nil {
		control.Fail(w, http.StatusBadRequest, err)
		return
	}
	control.Write(w, http.StatusCreated, map[string]string{"address": address})
}

func (d *Double) putScript(w http.ResponseWriter, r *http.Request) {
	var s Script
	if !control.Read(w, r, &s) {
		return
	}
	if err := d.SetScript(r.PathValue("address"), s); err != nil {
		control.Fail(w, http.StatusBadRequest, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (d *Double) putDevice(w http.ResponseWriter, r *http.Request) {
	var v Device
	if !control.Read(w, r, &v) {
		return
	}
	if err := d.SetDevice(r.PathValue("address"), v); err != nil {
		control.Fail(w, http.StatusBadRequest, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (d *Double) postShown(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ID string `json:"id"`
	}
	if control.Read(w, r, &in) {
		d.Shown(r.PathValue("address"), in.ID)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (d *Double) putConditions(w http.ResponseWriter, r *http.Request) {
	var c Conditions
	if !control.Read(w, r, &c) {
		return
	}
	if err := d.SetConditions(c); err != nil {
		control.Fail(w, http.StatusBadRequest, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (d *Double) getHistory(w http.ResponseWriter, r *http.Request) {
	f := Filter{Address: r.FormValue("address")}
	var err error
	if text := r.FormValue("after"); text != "" {
		f.After, err = strconv.ParseUint(text, 10, 64)
	}
	if text := r.FormValue("limit"); text != "" && err == nil {
		f.Limit, err = strconv.Atoi(text)
	}
	if err != nil {
		control.Fail(w, http.StatusBadRequest, err)
		return
	}
	control.Write(w, http.StatusOK, map[string]any{"records": d.History(f)})
}

// stream sends a phone's messages as server-sent events until either side leaves.
func (d *Double) stream(w http.ResponseWriter, r *http.Request) {
	messages, err := d.Subscribe(r.Context(), r.PathValue("address"))
	if err != nil {
		control.Fail(w, http.StatusBadRequest, err)
		return
	}
	control.Stream(w, d.o.Clock, messages)
}
