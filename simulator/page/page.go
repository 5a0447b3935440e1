// Package page is a simulated phone as a web page, for a person to hold: it rings, shows who asks,
// from where and when, and takes the tap. It owns the page and its small JSON interface; the phone
// itself is package phone's.
//
//	GET  /         the page        GET /events   the phone's state, as an event stream, at each change
//	POST /enrol    {"payload"}     POST /answer  {"tx_id", "item"}
//	POST /refresh                  POST /forget  {"device"}
//
// Whoever reaches the page holds the phone: there is no login. It answers only under a name that a
// foreign web page cannot take over (an IP address, localhost, or one named in Options) and refuses
// requests that a foreign page makes.
package page

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/phone"
)

const (
	maxBody    = 16 << 10
	maxHistory = 30
	pingEvery  = 15 * time.Second
	callLimit  = 20 * time.Second
)

//go:embed static
var files embed.FS

// Options of a page.
type Options struct {
	Name  string   // of the phone; default "Simulated phone"
	Login string   // URL of the login page, linked where there is nothing to do; "" for none
	Hosts []string // host names, besides IP addresses and localhost, under which the page answers
}

// New is the page of p.
func New(p *phone.Phone, o Options) http.Handler {
	if o.Name == "" {
		o.Name = "Simulated phone"
	}
	h := &handler{phone: p, o: o}
	mux := http.NewServeMux()
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	serve := http.FileServerFS(static)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		serve.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /events", h.events)
	mux.HandleFunc("POST /enrol", h.enrol)
	mux.HandleFunc("POST /answer", h.answer)
	mux.HandleFunc("POST /refresh", h.refresh)
	mux.HandleFunc("POST /forget", h.forget)
	return h.guard(http.NewCrossOriginProtection().Handler(mux))
}

// EnrolLink is the page's link that brings the payload of a QR code with it, in the fragment so that
// no log keeps it. base is the page's URL.
func EnrolLink(base string, payload []byte) string {
	return strings.TrimSuffix(base, "/") + "/#enrol=" + url.QueryEscape(string(payload))
}

type handler struct {
	phone *phone.Phone
	o     Options
}

func (h *handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.ours(r.Host) {
			http.Error(w, "This page does not answer under that name.", http.StatusMisdirectedRequest)
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

func (h *handler) ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || slices.Contains(h.o.Hosts, host)
}

// state is all that the page shows.
type state struct {
	Name     string    `json:"name"`
	Login    string    `json:"login,omitempty"`
	Now      time.Time `json:"now"` // so that the page's countdown does not hang on its own clock
	Push     bool      `json:"push"`
	Accounts []account `json:"accounts"`
	Rings    []ring    `json:"rings"` // newest first
}

type account struct {
	Device   string    `json:"device"`
	Host     string    `json:"host"`
	Enrolled time.Time `json:"enrolled"`
}

type ring struct {
	phone.Ring
	Host string `json:"host"` // of the server that asks
}

func (h *handler) state() state {
	s := state{
		Name: h.o.Name, Login: h.o.Login, Now: h.phone.Now(), Push: h.phone.Address() != "",
		Accounts: []account{}, Rings: []ring{},
	}
	for _, a := range h.phone.Accounts() {
		s.Accounts = append(s.Accounts, account{a.Device, hostOf(a.Server), a.Enrolled})
	}
	rings := h.phone.Rings()
	for _, r := range rings[:min(len(rings), maxHistory)] {
		s.Rings = append(s.Rings, ring{r, hostOf(r.Server)})
	}
	return s
}

func hostOf(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	return u.Host
}

// events streams the state at once and at each change.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		changed := h.phone.Changed()
		text, err := json.Marshal(h.state())
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil {
			return
		}
		if err := flush.Flush(); err != nil {
			return
		}
		select {
		case <-changed:
		case <-ping.C: // the state again: it also tells a page that slept what has expired
		case <-r.Context().Done():
			return
		}
	}
}

func (h *handler) enrol(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Payload string `json:"payload"`
	}
	if !read(w, r, &in) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callLimit)
	defer cancel()
	account, err := h.phone.EnrolFromQR(ctx, []byte(in.Payload))
	if err == nil {
		h.phone.SettleLater(account.Device)
	}
	reply(w, err)
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request) {
	var in struct {
		TxID string `json:"tx_id"`
		Item string `json:"item"`
	}
	if !read(w, r, &in) {
		return
	}
	one, known := h.phone.Ring(in.TxID)
	if !known || in.Item != wire.ItemDeny && !slices.Contains(one.Items, in.Item) && !(one.Mode.Types() && one.Mode.Fits(in.Item)) {
		reply(w, errors.New("the phone has no such request"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callLimit)
	defer cancel()
	reply(w, h.phone.Answer(ctx, in.TxID, in.Item))
}

func (h *handler) refresh(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), callLimit)
	defer cancel()
	reply(w, h.phone.Refresh(ctx))
}

func (h *handler) forget(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Device string `json:"device"`
	}
	if !read(w, r, &in) {
		return
	}
	h.phone.Forget(in.Device)
	reply(w, nil)
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(into); err != nil && !errors.Is(err, io.EOF) {
		http.Error(w, `{"error":"The request is not JSON."}`, http.StatusBadRequest)
		return false
	}
	return true
}

// reply tells the page how a request went; the words of an error are for its person, who is also
// the phone's.
func reply(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
