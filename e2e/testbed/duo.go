package testbed

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// What Duo asks of its customer.
const (
	DuoKey    = "DIE2EXXXXXXXXXXXXXXX"
	DuoSecret = "duo-secret-word"
)

// Duo plays the Auth API of Duo, and the app on everybody's phone. A request whose signature is wrong is refused.
type Duo struct {
	mu      sync.Mutex
	changed chan struct{}
	people  []*duoPerson
}

// duoPerson is an account at Duo with its one push.
type duoPerson struct {
	id, name, code string
	active         bool
	tx             string // of the newest push, "" before the first
	pushes         int
	answer         string // allow or deny, once it was given
}

func newDuo() *Duo { return &Duo{changed: make(chan struct{})} }

// change changes something and wakes those who wait for it.
func (d *Duo) change(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fn()
	close(d.changed)
	d.changed = make(chan struct{})
}

// find gives somebody; the caller holds the lock. Nobody is an empty person.
func (d *Duo) find(is func(*duoPerson) bool) *duoPerson {
	if i := slices.IndexFunc(d.people, is); i >= 0 {
		return d.people[i]
	}
	return &duoPerson{}
}

// Scan has the app take an activation code from the page.
func (d *Duo) Scan(code string) error {
	found := false
	d.change(func() {
		p := d.find(func(p *duoPerson) bool { return p.code == code })
		found = p.id != ""
		p.active = true
	})
	if !found {
		return fmt.Errorf("duo gave no code %q", code)
	}
	return nil
}

// Pushes is how often somebody's app was asked.
func (d *Duo) Pushes(username string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.find(func(p *duoPerson) bool { return p.name == username }).pushes
}

// Approve answers the newest push to somebody, once there is one that has no answer.
func (d *Duo) Approve(ctx context.Context, username string) error {
	return d.decide(ctx, username, "allow")
}

// Deny is Approve with the opposite answer.
func (d *Duo) Deny(ctx context.Context, username string) error {
	return d.decide(ctx, username, "deny")
}

func (d *Duo) decide(ctx context.Context, username, answer string) error {
	for {
		d.mu.Lock()
		changed := d.changed
		p := d.find(func(p *duoPerson) bool { return p.name == username })
		asked := p.tx != "" && p.answer == ""
		d.mu.Unlock()
		if asked {
			d.change(func() { p.answer = answer })
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("no push to %s: %w", username, ctx.Err())
		}
	}
}

// ServeHTTP is the API.
func (d *Duo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	params := r.URL.Query()
	if err == nil && r.Method == http.MethodPost {
		params, err = url.ParseQuery(string(raw))
	}
	if err != nil || !signed(r, params) {
		duoRefuses(w, http.StatusUnauthorized, 40103, "Invalid signature in request credentials")
		return
	}
	switch r.URL.Path {
	case "/auth/v2/enroll":
		d.enroll(w, params.Get("username"))
	case "/auth/v2/enroll_status":
		d.mu.Lock()
		p := d.find(func(p *duoPerson) bool { return p.code == params.Get("activation_code") })
		status := map[bool]string{true: "success", false: "waiting"}[p.active]
		d.mu.Unlock()
		duoReplies(w, status)
	case "/auth/v2/auth":
		d.auth(w, params)
	case "/auth/v2/auth_status":
		d.authStatus(w, r, params.Get("txid"))
	default:
		duoRefuses(w, http.StatusNotFound, 40401, "Resource not found")
	}
}

func (d *Duo) enroll(w http.ResponseWriter, username string) {
	p := &duoPerson{id: "DU" + rand.Text()[:18], name: cmp.Or(username, rand.Text())}
	p.code = "duo://" + rand.Text()
	d.change(func() { d.people = append(d.people, p) })
	duoReplies(w, map[string]any{
		"activation_barcode": "https://" + DuoHost + "/frame/qr?value=" + url.QueryEscape(p.code), "activation_code": p.code,
		"expiration": time.Now().Add(24 * time.Hour).Unix(), "user_id": p.id, "username": p.name,
	})
}

func (d *Duo) auth(w http.ResponseWriter, params url.Values) {
	tx, active := rand.Text(), false
	d.change(func() {
		p := d.find(func(p *duoPerson) bool { return p.id == params.Get("user_id") })
		if active = p.active; active {
			p.tx, p.answer = tx, ""
			p.pushes++
		}
	})
	if !active || params.Get("async") != "1" {
		duoRefuses(w, http.StatusBadRequest, 40002, "Invalid request parameters")
		return
	}
	duoReplies(w, map[string]any{"txid": tx})
}

// authStatus answers once there is something to say, as Duo does.
func (d *Duo) authStatus(w http.ResponseWriter, r *http.Request, tx string) {
	for {
		d.mu.Lock()
		changed := d.changed
		p := d.find(func(p *duoPerson) bool { return p.tx == tx })
		known, answer := p.tx != "", p.answer
		d.mu.Unlock()
		switch {
		case !known:
			duoRefuses(w, http.StatusBadRequest, 40002, "Invalid request parameters")
			return
		case answer != "":
			duoReplies(w, map[string]any{"result": answer, "status": answer, "status_msg": "It is " + answer + "."})
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func duoReplies(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"stat": "OK", "response": v}) // a caller that is gone is no failure
}

func duoRefuses(w http.ResponseWriter, status, code int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"stat": "FAIL", "code": code, "message": message})
}

// signed checks a request as Duo's documentation describes it: HMAC-SHA512 over date, method, host, path and sorted
// parameters, one a line.
func signed(r *http.Request, params url.Values) bool {
	date, err := time.Parse(time.RFC1123Z, r.Header.Get("Date"))
	if err != nil || time.Since(date).Abs() > 5*time.Minute {
		return false
	}
	var pairs []string
	for name, values := range params {
		for _, v := range values {
			pairs = append(pairs, escape(name)+"="+escape(v))
		}
	}
	slices.Sort(pairs)
	mac := hmac.New(sha512.New, []byte(DuoSecret))
	_, _ = io.WriteString(mac, strings.Join([]string{r.Header.Get("Date"), r.Method, r.Host, r.URL.Path, strings.Join(pairs, "&")}, "\n"))
	name, signature, ok := r.BasicAuth()
	return ok && name == DuoKey && hmac.Equal([]byte(signature), []byte(hex.EncodeToString(mac.Sum(nil))))
}

// escape is RFC 3986's.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
