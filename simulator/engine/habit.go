package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"countersign/simulator/browser"
	"countersign/simulator/phone"
	"countersign/simulator/scenario"
)

// Left is the outcome of a login whose person closed the browser, and Dropped of one that was not begun as too many were
// under way.
const (
	Left    browser.Outcome = "left"
	Dropped browser.Outcome = "dropped"
)

// plan is what a person will do in one login, and what was done.
type plan struct {
	login     int
	do        string
	want      []browser.Outcome // one of them; none: anything, but no approval without an answer
	approving bool              // what they do can be an approval
	leaves    bool              // they close the browser
	act       phone.Behaviour
	befall    func(context.Context, *phone.Phone) error // before the login; nil: nothing

	answered atomic.Bool // the phone sent an answer
	byHand   atomic.Bool // somebody had taken the phone over when it rang: any answer is right
}

// wanted is want as events say it.
func (p *plan) wanted() string {
	words := make([]string, len(p.want))
	for i, one := range p.want {
		words[i] = string(one)
	}
	return strings.Join(words, "|")
}

// draw draws the plan of a login.
func draw(login int, s *phone.Screen, p scenario.Phones, l scenario.Logins, rng *rand.Rand) (*plan, error) {
	total := 0.
	for _, h := range p.People {
		total += h.Share
	}
	at, chosen := rng.Float64()*total, p.People[len(p.People)-1]
	for _, h := range p.People {
		if at < h.Share {
			chosen = h
			break
		}
		at -= h.Share
	}
	after := chosen.After + time.Duration(rng.Float64()*float64(chosen.Spread))
	kind, err := phone.BehaviourNamed(chosen.Do)
	if err != nil {
		return nil, err
	}
	out := &plan{login: login, do: chosen.Do, leaves: rng.Float64() < l.Browser.Leave, approving: slices.Contains(kind.Outcomes, string(browser.Approved))}
	if out.act, err = kind.New(s, after, chosen.Param); err != nil {
		return nil, err
	}
	if kind.Before != nil {
		out.befall = func(ctx context.Context, ph *phone.Phone) error { return kind.Before(ctx, ph, after, chosen.Param) }
	}
	switch chosen.Expect {
	case "any":
	case "":
		for _, one := range kind.Outcomes {
			out.want = append(out.want, browser.Outcome(one))
		}
	default:
		out.want = []browser.Outcome{browser.Outcome(chosen.Expect)}
	}
	return out, nil
}

// Habits are the words for what people do.
func Habits() []string {
	var out []string
	for _, k := range phone.Behaviours() {
		out = append(out, k.Name)
	}
	return out
}
