package authtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/authenticators/throttle"
	"countersign/flows/flowtest"
)

// ages is long enough for any answer to be stale and any throttle to be over.
const ages = 10 * time.Minute

func enrol(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	_, d := w.enrol(t, ann)
	if d.Class != w.Kind.Class || d.UserID != ann.ID || !d.Confirmed || d.Name == "" || d.UID == "" || d.PK == 0 {
		t.Errorf("the device is %+v", d)
	}
	n := w.Count(t, `SELECT count(*) FROM events WHERE action = 'model_created' AND "user"->>'username' = 'ann'
		AND (context->'model'->>'app') || '.' || (context->'model'->>'model_name') = $1`, w.Kind.Model)
	if n != 1 {
		t.Errorf("%d events tell of the device, want 1", n)
	}
	if w.failures(t, ann, "") != 0 {
		t.Error("setting up is told as a failed login")
	}
}

// A flow that asks nobody sets nothing up.
func enrolNobody(t *testing.T, s Suite) {
	w := s.world(t)
	w.Flow(t, "open", nil, flowtest.Step{Kind: w.Stages[0].Model, Settings: w.Settings}, flowtest.Step{Kind: finished})
	br := w.Browser("open")
	if p := br.Get(t); !p.Continue {
		t.Fatalf("nobody is shown %s", p)
	}
	br.Follow(t).Want(t, flowtest.Component(finished))
}

// Several devices of a kind stand beside each other, each with its own answers.
func enrolTwice(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	one, first := w.enrol(t, ann)
	w.Clock.Advance(ages)
	two, second := w.enrol(t, ann)
	w.Clock.Advance(ages)
	if first.UID == second.UID {
		t.Fatal("both have one uid")
	}
	for _, x := range []struct {
		name         string
		own, foreign Device
		at           int
	}{{"first", one, two, 0}, {"second", two, one, 1}} {
		d := w.devices(t, ann)[x.at]
		if w.Kind.NamesDevice || s.Shared {
			continue // an answer names its device
		}
		br := w.login(t, ann)
		p := choose(t, br, d)
		w.refused(t, "the other's answer at the "+x.name, br.Post(t, x.foreign.Right(t, p)), "")
		w.Clock.Advance(ages)
		br = w.login(t, ann)
		br.Post(t, x.own.Right(t, choose(t, br, d))).WantContinue(t)
	}
}

func verify(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	dev, d := w.enrol(t, ann)
	w.Clock.Advance(ages)
	br := w.login(t, ann)
	body := dev.Right(t, choose(t, br, d))
	br.Post(t, body).WantContinue(t)
	c := w.Plan(t, br, loginFlow).Context
	if c.AuthMethod != "auth_mfa" || !slices.Equal(c.Factors, []string{d.Class}) {
		t.Errorf("proved by %q with %v", c.AuthMethod, c.Factors)
	}
	used, _ := json.Marshal(c.AuthMethodArgs["mfa_devices"])
	var named []struct{ PK, Name string }
	if err := json.Unmarshal(used, &named); err != nil || len(named) != 1 || named[0].PK != d.UID || named[0].Name != d.Name {
		t.Errorf("the device that was used is told as %s (%v)", used, err)
	}
	br.Follow(t).Want(t, flowtest.Component(marker))
	if n := w.failures(t, ann, ""); n != 0 {
		t.Errorf("%d failures are told of", n)
	}
	if w.Kind.NamesDevice || s.Sent {
		return
	}
	// Choice and answer together, as programs send them.
	w.Clock.Advance(ages)
	br = w.login(t, ann)
	both := chosen(d)
	for k, v := range dev.Right(t, br.Get(t)) {
		both[k] = v
	}
	br.Post(t, both).WantContinue(t)
}

func wrong(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	dev, d := w.enrol(t, ann)
	if dev.Wrong == nil {
		t.Skip("no answer of this kind is of the right form and wrong")
	}
	w.Clock.Advance(ages)
	br := w.login(t, ann)
	choose(t, br, d)
	w.refused(t, "a wrong answer", br.Post(t, dev.Wrong(t)), "")
	if n := w.failures(t, ann, ""); n != 1 {
		t.Errorf("%d events tell of it, want 1", n)
	}
	if w.granted() != 0 {
		t.Error("the login went on")
	}
	w.Clock.Advance(ages)
	br = w.login(t, ann)
	br.Post(t, dev.Right(t, choose(t, br, d))).WantContinue(t)
}

// What is no answer at all is refused, grants nothing, harms nothing and does not count as a guess.
func malformed(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	dev, d := w.enrol(t, ann)
	w.Clock.Advance(ages)
	br := w.login(t, ann)
	choose(t, br, d)
	for _, raw := range s.Malformed {
		before := w.failures(t, ann, "")
		p := br.Post(t, fmt.Sprintf(`{%q:%s}`, w.Kind.Field, raw))
		w.refused(t, fmt.Sprintf("%.60s", raw), p, "")
		if code := p.Code(w.Kind.Field); code == "throttled" {
			t.Fatalf("what came before %.60s counted as a guess", raw)
		}
		if n := w.failures(t, ann, "") - before; n > 1 {
			t.Errorf("%.60s: %d events", raw, n)
		}
	}
	if p := br.Post(t, fmt.Sprintf(`{%q:null}`, w.Kind.Field)); p.Err != nil || p.Continue || len(p.JSON["response_errors"].(map[string]any)) != 1 {
		t.Errorf("null: %s", p)
	}
	if w.granted() != 0 {
		t.Error("a login went on")
	}
	br.Post(t, dev.Right(t, br.Get(t))).WantContinue(t)
}

// An answer that was right is right no more, in the same browser as in others.
func replay(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	dev, d := w.enrol(t, ann)
	w.Clock.Advance(ages)
	br := w.login(t, ann)
	body := dev.Right(t, choose(t, br, d))
	br.Post(t, body).WantContinue(t)
	for range 3 {
		br = w.login(t, ann)
		br.Engine = w.second
		choose(t, br, d)
		w.refused(t, "an answer that was used", br.Post(t, body), "")
		w.Clock.Advance(time.Second)
	}
	if n := w.failures(t, ann, ""); n != 3 {
		t.Errorf("%d events tell of it, want 3", n)
	}
}

func moves(t *testing.T, s Suite) {
	for after, passes := range s.Moves {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			w := s.world(t)
			ann := w.person(t, "ann")
			dev, d := w.enrol(t, ann)
			w.Clock.Advance(ages)
			br := w.login(t, ann)
			body := dev.Right(t, choose(t, br, d))
			w.Clock.Advance(after)
			p := br.Post(t, body)
			if passes {
				p.WantContinue(t)
			} else {
				w.refused(t, "out of its time", p, "")
			}
		})
	}
}

// A device proves its owner and nobody else: neither its answers nor its uid help in another's login.
func wrongUser(t *testing.T, s Suite) {
	w := s.world(t)
	ann, bob := w.person(t, "ann"), w.person(t, "bob")
	_, own := w.enrol(t, ann)
	foreign, other := w.enrol(t, bob)
	w.Clock.Advance(ages)
	br := w.login(t, ann)
	if p := br.Post(t, chosen(other)); p.Code("selected_challenge") != "invalid" {
		t.Errorf("choosing another's device: %s", p)
	}
	page := choose(t, br, own)
	if w.Kind.NamesDevice {
		w.refused(t, "another's device", br.Post(t, map[string]any{w.Kind.Field: other.UID}), "")
	} else {
		w.refused(t, "another's answer", br.Post(t, foreign.Right(t, page)), "")
	}
	// Both together, the choice being another's.
	w.Clock.Advance(ages)
	br = w.login(t, ann)
	both := chosen(other)
	if !w.Kind.NamesDevice {
		for k, v := range foreign.Right(t, br.Get(t)) {
			both[k] = v
		}
	}
	if p := br.Post(t, both); p.Code("selected_challenge") != "invalid" {
		t.Errorf("another's device and answer: %s", p)
	}
	if w.granted() != 0 {
		t.Error("a login went on")
	}
	if w.Kind.NamesDevice {
		return
	}
	// None of it was to the harm of the device's owner.
	w.Clock.Advance(ages)
	br = w.login(t, bob)
	br.Post(t, foreign.Right(t, choose(t, br, other))).WantContinue(t)
}

// Wrong answers in a row make the device wait, twice as long each time, and say how long. What comes too early is not
// looked at, counts for nothing and is told apart in the events.
func throttled(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	dev, d := w.enrol(t, ann)
	w.Clock.Advance(ages)
	br := w.login(t, ann)
	for n, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		wait := time.Duration(seconds) * time.Second
		choose(t, br, d)
		w.refused(t, fmt.Sprintf("guess %d", n+1), br.Post(t, dev.Wrong(t)), "")
		for where, page := range map[string]flowtest.Page{"this login": br.Get(t), "another": w.login(t, ann).Get(t)} {
			if page.JSON["device_challenges"].([]any)[0].(map[string]any)["challenge"].(map[string]any)["locked_until"] == nil {
				t.Errorf("guess %d: the challenge of %s does not say until when", n+1, where)
			}
		}
		for _, at := range []time.Duration{0, wait - time.Second} {
			w.Clock.Advance(at)
			p := br.Post(t, dev.Right(t, choose(t, br, d)))
			w.refused(t, fmt.Sprintf("%s after guess %d", at, n+1), p, "throttled")
			w.Clock.Advance(-at)
		}
		w.Clock.Advance(wait)
	}
	if n := w.failures(t, ann, string(throttle.Throttled)); n != 22 {
		t.Errorf("%d events tell of refused answers, want 22", n)
	}
	if n := w.failures(t, ann, ""); n != 33 {
		t.Errorf("%d events tell of failures, want 33", n)
	}
	if w.granted() != 0 {
		t.Fatal("a login went on")
	}
	w.Clock.Advance(ages)
	br = w.login(t, ann)
	br.Post(t, dev.Right(t, choose(t, br, d))).WantContinue(t)
	// A right one ends the row.
	w.Clock.Advance(ages)
	br = w.login(t, ann)
	choose(t, br, d)
	w.refused(t, "a wrong answer later", br.Post(t, dev.Wrong(t)), "")
	w.Clock.Advance(time.Second)
	br.Post(t, dev.Right(t, choose(t, br, d))).WantContinue(t)
}

// Whoever guesses from elsewhere does not keep the owner out where the device was used before.
func throttledElsewhere(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	dev, d := w.enrol(t, ann)
	w.Clock.Advance(ages)
	home := w.login(t, ann)
	home.Post(t, dev.Right(t, choose(t, home, d))).WantContinue(t)
	w.Clock.Advance(ages)
	away := w.login(t, ann)
	away.IP = "198.51.100.66"
	choose(t, away, d)
	for range 6 {
		away.Post(t, dev.Wrong(t))
		w.Clock.Advance(time.Minute)
	}
	away.Post(t, dev.Wrong(t))
	home = w.login(t, ann)
	body := dev.Right(t, choose(t, home, d))
	w.refused(t, "from elsewhere", away.Post(t, body), "throttled")
	third := w.login(t, ann)
	third.IP = "203.0.113.5"
	choose(t, third, d)
	w.refused(t, "from a third place", third.Post(t, body), "throttled")
	home.Post(t, body).WantContinue(t)
}

// A device that was removed after it was offered proves nothing.
func remove(t *testing.T, s Suite) {
	w := s.world(t)
	if w.Path == "" {
		t.Skip("the kind has no devices in the API")
	}
	ann := w.person(t, "ann")
	dev, d := w.enrol(t, ann)
	w.Clock.Advance(ages)
	br := w.login(t, ann)
	page := choose(t, br, d)
	body := map[string]any{w.Kind.Field: d.UID}
	if !w.Kind.NamesDevice {
		body = dev.Right(t, page)
	}
	w.as(ann).Want(t, 204, "DELETE", w.Path+d.UID+"/", nil)
	w.refused(t, "a device that is gone", br.Post(t, body), "")
	if w.granted() != 0 {
		t.Error("the login went on")
	}
	fresh := w.Browser(loginFlow)
	w.Start(t, fresh, loginFlow, w.Plan(t, br, loginFlow).Context)
	fresh.Get(t).Want(t, "ak-stage-access-denied")
}

// One right answer sent several times at once, from several browsers on two nodes, lets one of them in.
func atOnce(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	dev, d := w.enrol(t, ann)
	w.Clock.Advance(ages)
	var body map[string]any
	pages := w.together(t, 12, func(i int) func() flowtest.Page {
		br := w.login(t, ann)
		page := choose(t, br, d)
		if i == 0 {
			body = dev.Right(t, page)
		}
		if i%2 == 1 {
			br.Engine = w.second
		}
		return br.Prepare(t, true, body)
	})
	in := 0
	for _, p := range pages {
		switch {
		case p.Err != nil:
			t.Error(p)
		case p.Continue:
			in++
		default:
			w.refused(t, "one that came late", p, "")
		}
	}
	if in != 1 {
		t.Errorf("%d of the logins went on, want 1", in)
	}
}

// Guesses that come at once take turns: one counts and is looked at, the others are too early.
func guessesAtOnce(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	dev, d := w.enrol(t, ann)
	w.Clock.Advance(ages)
	pages := w.together(t, 12, func(i int) func() flowtest.Page {
		br := w.login(t, ann)
		choose(t, br, d)
		if i%2 == 1 {
			br.Engine = w.second
		}
		return br.Prepare(t, true, dev.Wrong(t))
	})
	for _, p := range pages {
		w.refused(t, "a guess", p, "")
	}
	if n := w.failures(t, ann, string(throttle.Invalid)); n != 1 {
		t.Errorf("%d guesses were looked at, want 1", n)
	}
	if n := w.failures(t, ann, string(throttle.Throttled)); n != len(pages)-1 {
		t.Errorf("%d guesses were refused, want %d", n, len(pages)-1)
	}
}

// together runs what prepare gives at once: nothing is written before every request has read what it goes by.
func (w *world) together(t *testing.T, n int, prepare func(i int) func() flowtest.Page) []flowtest.Page {
	t.Helper()
	requests := make([]func() flowtest.Page, n)
	for i := range requests {
		requests[i] = prepare(i)
	}
	release := w.holdWrites(t)
	pages := make([]flowtest.Page, n)
	var wg sync.WaitGroup
	for i, send := range requests {
		wg.Go(func() { pages[i] = send() })
	}
	w.waiting(t, n)
	release()
	wg.Wait()
	return pages
}

// holdWrites keeps plans, which every answer writes, from being written until release is called.
func (w *world) holdWrites(t *testing.T) (release func()) {
	t.Helper()
	tx, err := w.Direct.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE flow_plans IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// waiting returns when n statements wait for locks.
func (w *world) waiting(t *testing.T, n int) {
	t.Helper()
	const patience = 20 * time.Second
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		got := w.Count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
		if got >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d requests came to write", got, n)
		}
	}
}
