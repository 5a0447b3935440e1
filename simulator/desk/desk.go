package desk

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"countersign/simulator/page"
	"countersign/simulator/phone"
	"countersign/simulator/webpage"
)

//go:embed static
var files embed.FS

// Options of a desk's page.
type Options struct {
	Hosts []string // host names, besides IP addresses and localhost, under which the page answers
}

// New is the web page of a run.
func New(hub *Hub, control Control, o Options) http.Handler {
	d := &desk{hub: hub, control: control}
	mux := http.NewServeMux()
	mux.Handle("GET /", webpage.Files(files))
	mux.HandleFunc("GET /events", d.events)
	for path, do := range map[string]func(){"/pause": control.Pause, "/resume": control.Resume, "/step": control.Step} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, _ *http.Request) {
			do()
			hub.renew()
			webpage.Reply(w, nil)
		})
	}
	mux.HandleFunc("POST /take", d.take)
	mux.HandleFunc("POST /release", d.release)
	mux.HandleFunc("GET /phone/{number}/", d.phone)
	mux.HandleFunc("POST /phone/{number}/", d.phone)
	return webpage.Guard(mux, o.Hosts, true)
}

type desk struct {
	hub     *Hub
	control Control
}

// view is what the page shows.
type view struct {
	Snapshot
	Paused bool `json:"paused"`
	Grid   Grid `json:"grid"`
}

// events streams the state with the phones from ?from= on, ?count= of them.
func (d *desk) events(w http.ResponseWriter, r *http.Request) {
	number := func(name string, other int) int {
		if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil {
			return n
		}
		return other
	}
	from, count := number("from", 1), number("count", maxPage)
	webpage.Stream(w, r, rest, func() (any, <-chan struct{}) {
		changed := d.hub.Changed()
		return view{d.hub.Snapshot(), d.control.Paused(), d.hub.Grid(from, count)}, changed
	})
}

func (d *desk) take(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Phone int `json:"phone"`
	}
	if !webpage.Read(w, r, &in) {
		return
	}
	if !d.hub.TakeOver(d.control, in.Phone) {
		webpage.Reply(w, errors.New("the run has no such phone"))
		return
	}
	webpage.Reply(w, nil)
}

func (d *desk) release(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Phone int `json:"phone"`
	}
	if !webpage.Read(w, r, &in) {
		return
	}
	d.hub.Release(d.control, in.Phone)
	webpage.Reply(w, nil)
}

// phone is the page of a phone that was taken over.
func (d *desk) phone(w http.ResponseWriter, r *http.Request) {
	text := r.PathValue("number")
	number, err := strconv.Atoi(text)
	if err != nil || !slices.Contains(d.hub.Taken(), number) {
		http.Error(w, "This phone was not taken over.", http.StatusNotFound)
		return
	}
	h := page.NewHand(hand{d.hub, d.control, number}, page.Options{Name: "Phone " + text})
	http.StripPrefix("/phone/"+text, h).ServeHTTP(w, r)
}

// hand is a phone of the run in a person's hand.
type hand struct {
	hub     *Hub
	control Control
	number  int
}

// Rings are the phone's prompts.
func (h hand) Rings() []phone.Ring { return h.control.Ring(h.number) }

// Changed is closed at the next change of any phone.
func (h hand) Changed() <-chan struct{} { return h.hub.Changed() }

// Now is the machine's time: nobody answers by hand under a virtual clock.
func (hand) Now() time.Time { return time.Now() }

// Answer answers. The phone tells its steps before it has noted the outcome, so that its page is told once more.
func (h hand) Answer(_ context.Context, tx, item string) error {
	defer h.hub.renew()
	return h.control.Answer(h.number, tx, item)
}
