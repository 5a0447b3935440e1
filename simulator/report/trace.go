package report

import (
	"slices"

	"countersign/simulator/event"
)

const (
	keepFirst   = 20
	keepSlowest = 20
	keepWrong   = 50
	maxTrace    = 64 // steps of one login
)

// traces are the logins that are shown one by one.
type traces struct {
	first   []*Login
	slowest []*Login // the slowest first
	wrong   []*Login
}

func (t *traces) take(l *Login) {
	if len(t.first) < keepFirst {
		t.first = append(t.first, l)
	}
	if l.Wrong != "" && len(t.wrong) < keepWrong {
		t.wrong = append(t.wrong, l)
	}
	if n := len(t.slowest); n == keepSlowest && l.Took <= t.slowest[n-1].Took {
		return
	}
	at, _ := slices.BinarySearchFunc(t.slowest, l, func(a, b *Login) int {
		if a.Took >= b.Took { // of equals the first stays first
			return -1
		}
		return 1
	})
	t.slowest = slices.Insert(t.slowest, at, l)
	t.slowest = t.slowest[:min(len(t.slowest), keepSlowest)]
}

func (l *Login) step(e event.Event, who string) {
	if l.Phone == 0 {
		l.Phone = e.Phone
	}
	if len(l.Steps) >= maxTrace {
		l.Left++
		return
	}
	l.Steps = append(l.Steps, Step{
		Who: who, Name: e.Name, At: e.At - e.Took - l.Due, Took: e.Took, Text: shorten(e.Text), Error: shorten(e.Error),
	})
}

func (l *Login) end(e event.Event) *Login {
	if e.Phone != 0 {
		l.Phone = e.Phone
	}
	if e.Want != "" {
		l.Want = e.Want
	}
	l.Took, l.Queued, l.Outcome, l.Wrong, l.Text = e.Took, e.Queued, e.Outcome, shorten(e.Wrong), shorten(e.Text)
	if l.Text == "" {
		l.Text = shorten(e.Error)
	}
	return l
}

func copies(logins []*Login) []Login {
	out := make([]Login, 0, len(logins))
	for _, l := range logins {
		out = append(out, *l) // an ended login's steps no longer change
	}
	return out
}
