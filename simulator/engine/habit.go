package engine

import (
	"context"
	"fmt"
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

// habits are the behaviours of a scenario's people by name, looked up once. An error is one of a name, or of a parameter that it does
// not take.
func habits(groups []scenario.Phones) (map[string]phone.Kind, error) {
	out := map[string]phone.Kind{}
	for _, g := range groups {
		for _, h := range g.People {
			if err := takes(h.Do, h.Param); err != nil {
				return nil, fmt.Errorf("people of %s: %w", g.Name, err)
			}
			out[h.Do], _ = phone.BehaviourNamed(h.Do) // takes has found it
		}
	}
	return out, nil
}

// takes tells an error of a habit that there is not, or that does not take the parameter.
func takes(do, param string) error {
	kind, err := phone.BehaviourNamed(do)
	if err == nil {
		_, err = kind.New(&phone.Screen{}, 0, param)
	}
	return err
}

// draw draws the plan of a login.
func (r *run) draw(login int, p *person, l scenario.Logins) (*plan, error) {
	rng := rng(r.o.Seed, "login", login)
	total := 0.
	for _, h := range p.group.People {
		total += h.Share
	}
	at, chosen := rng.Float64()*total, p.group.People[len(p.group.People)-1]
	for _, h := range p.group.People {
		if at < h.Share {
			chosen = h
			break
		}
		at -= h.Share
	}
	after := chosen.After + time.Duration(rng.Float64()*float64(chosen.Spread))
	kind := r.habits[chosen.Do]
	out := &plan{login: login, do: chosen.Do, leaves: rng.Float64() < l.Browser.Leave, approving: slices.Contains(kind.Outcomes, string(browser.Approved))}
	var err error
	if out.act, err = kind.New(&p.screen, after, chosen.Param); err != nil {
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
