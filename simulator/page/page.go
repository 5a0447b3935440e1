// Package page is a simulated phone as a web page, for a person to hold: it rings, shows who asks,
// from where and when, and takes the tap. It owns the page and its small JSON interface; the phone
// itself is package phone's.
//
//	GET  /         the page        GET /events   the phone's state, as an event stream, at each change
//	POST /enrol    {"payload"}     POST /answer  {"tx_id", "item"}
//	POST /refresh                  POST /forget  {"device"}
//	POST /offer    {"device"}      POST /hand, /withdraw  {"device"}: an account moves to another phone
//
// Whoever reaches the page holds the phone: there is no login. Who that can be is package webpage's.
package page

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/phone"
	"countersign/simulator/webpage"
)

const (
	maxHistory = 30
	callLimit  = 20 * time.Second
	lentRest   = time.Second / 4 // a Hand's changes may be those of many phones
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
	h := &handler{hand: p, phone: p, o: o}
	mux := h.mux()
	mux.HandleFunc("POST /enrol", h.enrol)
	mux.HandleFunc("POST /refresh", h.refresh)
	mux.HandleFunc("POST /forget", h.forget)
	mux.HandleFunc("POST /offer", h.moves(p.StartMove))
	mux.HandleFunc("POST /hand", h.moves(p.FinishMove))
	mux.HandleFunc("POST /withdraw", h.moves(p.StopMove))
	return webpage.Guard(mux, o.Hosts, false)
}

// Hand is a phone that is somebody else's, and that a person answers for a while.
type Hand interface {
	Rings() []phone.Ring // newest first
	Answer(ctx context.Context, tx, item string) error
	Changed() <-chan struct{} // closed at the next change
	Now() time.Time
}

// NewHand is the page of a phone that can be answered and nothing else. It is unguarded: it is a part of a page of the same origin,
// whose [webpage.Guard] it needs.
func NewHand(hand Hand, o Options) http.Handler {
	h := &handler{hand: hand, o: o}
	return h.mux()
}

// EnrolLink is the page's link that brings the payload of a QR code with it, in the fragment so that
// no log keeps it. base is the page's URL.
func EnrolLink(base string, payload []byte) string {
	return strings.TrimSuffix(base, "/") + "/#enrol=" + url.QueryEscape(string(payload))
}

type handler struct {
	hand  Hand
	phone *phone.Phone // nil: a Hand alone
	o     Options
}

// mux serves what a page of either kind has.
func (h *handler) mux() *http.ServeMux {
	if h.o.Name == "" {
		h.o.Name = "Simulated phone"
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", webpage.Files(files))
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		rest := time.Duration(0)
		if h.phone == nil {
			rest = lentRest
		}
		webpage.Stream(w, r, rest, func() (any, <-chan struct{}) {
			changed := h.hand.Changed()
			return h.state(), changed
		})
	})
	mux.HandleFunc("POST /answer", h.answer)
	return mux
}

// state is all that the page shows.
type state struct {
	Name     string    `json:"name"`
	Login    string    `json:"login,omitempty"`
	Now      time.Time `json:"now"` // so that the page's countdown does not hang on its own clock
	Push     bool      `json:"push"`
	Lent     bool      `json:"lent,omitempty"` // a Hand: it has no settings
	Accounts []account `json:"accounts"`
	Rings    []ring    `json:"rings"` // newest first
}

type account struct {
	phone.Account
	Host  string `json:"host"`
	Signs bool   `json:"signs"`
	Offer string `json:"offer,omitempty"` // the text of the QR code, while it is offered to another phone
}

type ring struct {
	phone.Ring
	Host  string      `json:"host"`            // of the server that asks
	Lines []wire.Line `json:"lines,omitempty"` // of what is no login: all that was signed
	Signs bool        `json:"signs"`           // its answer, so that it can be a report
}

func (h *handler) state() state {
	s := state{Name: h.o.Name, Login: h.o.Login, Now: h.hand.Now(), Push: true, Lent: h.phone == nil, Accounts: []account{}, Rings: []ring{}}
	signs := map[string]bool{}
	if h.phone != nil {
		s.Push = h.phone.Address() != ""
		for _, a := range h.phone.Accounts() {
			signs[a.Device] = a.Signs()
			s.Accounts = append(s.Accounts, account{Account: a, Host: hostOf(a.Server), Signs: a.Signs(), Offer: offerOf(a)})
		}
	}
	rings := h.hand.Rings()
	for _, r := range rings[:min(len(rings), maxHistory)] {
		one := ring{Ring: r, Host: hostOf(r.Server), Signs: signs[r.Device]}
		if r.Transaction != nil {
			one.Lines = r.Transaction.Lines()
		}
		s.Rings = append(s.Rings, one)
	}
	return s
}

// offerOf is the text of the QR code of an account that is offered, "" for others.
func offerOf(a phone.Account) string {
	if a.Move == nil || a.Move.Payload == nil {
		return ""
	}
	text, err := json.Marshal(a.Move.Payload)
	if err != nil {
		return "" // a struct of texts
	}
	return string(text)
}

func hostOf(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	return u.Host
}

func (h *handler) enrol(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Payload string `json:"payload"`
	}
	if !webpage.Read(w, r, &in) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callLimit)
	defer cancel()
	account, err := h.phone.EnrolFromQR(ctx, []byte(in.Payload))
	if err == nil {
		h.phone.SettleLater(account.Device)
	}
	webpage.Reply(w, err)
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request) {
	var in struct {
		TxID string `json:"tx_id"`
		Item string `json:"item"`
	}
	if !webpage.Read(w, r, &in) {
		return
	}
	rings := h.hand.Rings()
	i := slices.IndexFunc(rings, func(r phone.Ring) bool { return r.TxID == in.TxID })
	if i < 0 {
		webpage.Reply(w, errors.New("the phone has no such request"))
		return
	}
	one := rings[i]
	if in.Item != wire.ItemDeny && in.Item != phone.ItemReport && !slices.Contains(one.Items, in.Item) && !(one.Mode.Types() && one.Mode.Fits(in.Item)) {
		webpage.Reply(w, errors.New("the phone has no such request"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callLimit)
	defer cancel()
	webpage.Reply(w, h.hand.Answer(ctx, in.TxID, in.Item))
}

func (h *handler) refresh(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), callLimit)
	defer cancel()
	webpage.Reply(w, h.phone.Refresh(ctx))
}

func (h *handler) forget(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Device string `json:"device"`
	}
	if !webpage.Read(w, r, &in) {
		return
	}
	h.phone.Forget(in.Device)
	webpage.Reply(w, nil)
}

// moves does a step of a move.
func (h *handler) moves(step func(ctx context.Context, device string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Device string `json:"device"`
		}
		if !webpage.Read(w, r, &in) {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), callLimit)
		defer cancel()
		webpage.Reply(w, step(ctx, in.Device))
	}
}
