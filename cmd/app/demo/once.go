package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"countersign/simulator/browser"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
)

// Report is what Once found.
type Report struct {
	OK    bool    `json:"ok"`
	Start float64 `json:"start_ms"` // until the server was up and the user made
	Acts  []Act   `json:"acts"`
}

// Act is one thing that was played.
type Act struct {
	Name     string  `json:"name"`
	Expected string  `json:"expected"`
	Outcome  string  `json:"outcome"`
	Detail   string  `json:"detail,omitempty"`
	OK       bool    `json:"ok"`
	Took     float64 `json:"took_ms"`
	Timeline []Mark  `json:"timeline"`
}

// Mark is one moment of an act, in milliseconds from its begin.
type Mark struct {
	At    float64 `json:"at_ms"`
	Who   string  `json:"who"` // browser, push or phone
	What  string  `json:"what"`
	Error string  `json:"error,omitempty"`
}

// OnceWindow is the answer window for Once: the act without an answer takes that long.
const OnceWindow = 3 * time.Second

// enrolled is the outcome of the first act.
const enrolled = "enrolled"

// Once plays enrol, approve, deny, wrong number and no answer. An error is one of the stage; a wrong outcome is in the
// report.
func (s *Stage) Once(ctx context.Context, began time.Time) (Report, error) {
	r := Report{OK: true, Start: ms(time.Since(began))}
	screen := &phone.Screen{}
	var notes notes
	var behaviour phone.Behaviour
	p := s.Phone(phone.Options{
		Signs: true, Verifies: true,
		OnStep: notes.phone,
		Behaviour: func(ctx context.Context, p *phone.Phone, ring phone.Ring) (string, error) {
			return behaviour(ctx, p, ring)
		},
	})
	defer p.Close()

	play := func(name, expected string, act func() (outcome, detail string, err error)) error {
		notes.begin()
		begin := time.Now()
		outcome, detail, err := act()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		a := Act{Name: name, Expected: expected, Outcome: outcome, Detail: detail, OK: outcome == expected, Took: ms(time.Since(begin))}
		a.Timeline = notes.timeline(begin, s.double.History(fcm.Filter{}))
		r.OK = r.OK && a.OK
		r.Acts = append(r.Acts, a)
		return nil
	}
	err := play("enrol", enrolled, func() (string, string, error) {
		if err := s.Enrol(ctx, p, notes.browser); err != nil {
			return "failed", err.Error(), ctx.Err()
		}
		return enrolled, "", nil
	})
	if err != nil {
		return r, err
	}
	for _, act := range []struct {
		name      string
		behaviour phone.Behaviour
		expected  browser.Outcome
	}{
		{"approve", phone.Approve(screen), browser.Approved},
		{"deny", phone.Deny, browser.Denied},
		{"wrong number", phone.WrongNumber(screen), browser.WrongNumber},
		{"no answer", phone.Ignore, browser.Expired},
	} {
		behaviour = act.behaviour
		err := play(act.name, string(act.expected), func() (string, string, error) {
			b, err := browser.New(browser.Options{Base: s.base, OnItem: screen.Show, OnStep: notes.browser})
			if err != nil {
				return "", "", err
			}
			result, err := b.Login(ctx, s.User, s.Password)
			return string(result.Outcome), result.Detail, err
		})
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// notes collects what browser and phone do during an act.
type notes struct {
	mu    sync.Mutex
	marks []note
}

type note struct {
	at        time.Time
	who, what string
	err       string
}

func (n *notes) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.marks = nil
}

func (n *notes) add(m note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.marks = append(n.marks, m)
}

func (n *notes) browser(s browser.Step) {
	n.add(note{at: s.Began.Add(s.Took), who: "browser", what: s.Name})
}

func (n *notes) phone(s phone.Step) {
	n.add(note{at: s.At, who: "phone", what: s.Name, err: s.Error})
}

func (n *notes) timeline(begin time.Time, sends []fcm.Record) []Mark {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := slices.Clone(n.marks)
	for _, s := range sends {
		if s.Time.After(begin) {
			all = append(all, note{at: s.Time, who: "push", what: fmt.Sprintf("sent, answered %d", s.Status), err: string(s.Error)})
		}
	}
	slices.SortStableFunc(all, func(a, b note) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	out := make([]Mark, 0, len(all))
	for _, m := range all {
		out = append(out, Mark{At: ms(m.at.Sub(begin)), Who: m.who, What: m.what, Error: m.err})
	}
	return out
}

// ms is a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
