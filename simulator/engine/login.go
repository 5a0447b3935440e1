package engine

import (
	"context"
	"slices"
	"time"

	"countersign/simulator/browser"
	"countersign/simulator/event"
	"countersign/simulator/scenario"
)

// login is one login from when it was due to its end.
func (r *run) login(ctx context.Context, number int, p *person, l scenario.Logins, due time.Time, before <-chan struct{}) {
	select {
	case <-before:
	case <-ctx.Done():
		r.tally.add(countLogins, -1)
		return
	}
	began := r.clock.Now()
	current, err := r.draw(number, p, l)
	if err != nil {
		r.stop(err)
		return
	}
	r.take(event.Event{
		At: r.at(due), Kind: event.LoginDue, Login: number, Phone: p.number, Name: current.do, Want: current.wanted(),
		Queued: event.Millis(began.Sub(due)),
	})
	p.plan.Store(current)
	if current.befall != nil {
		// What does not work shows in the phone's steps, and in the login's outcome.
		_ = current.befall(ctx, p.phone)
	}
	result, ended := r.walk(ctx, p, current, l, number)
	if !ended {
		r.tally.add(countLogins, -1) // the run was interrupted, which says nothing of the server
		return
	}
	now := r.clock.Now()
	wrong := judge(current, result)
	r.tally.add(countFinished, 1)
	r.tally.add(string(result.Outcome), 1)
	if wrong != "" {
		r.tally.add(countWrong, 1)
	}
	if letIn(result.Outcome) && !(current.answered.Load() && (current.approving || current.byHand.Load())) {
		r.tally.add(countUnanswered, 1)
	}
	if result.PushFailed != "" {
		r.tally.add(countPushFailed, 1)
	}
	if result.Reconnects > 0 {
		r.tally.add(countReconnects, result.Reconnects)
		if result.Outcome == browser.Failed {
			r.tally.add(countLost, 1)
		} else {
			r.tally.add(countResumed, 1)
		}
	}
	e := event.Event{
		At: r.at(now), Kind: event.LoginEnded, Login: number, Phone: p.number, Outcome: string(result.Outcome), Want: current.wanted(),
		Took: event.Millis(now.Sub(due)), Queued: event.Millis(began.Sub(due)), Wrong: wrong, Text: result.Detail,
	}
	r.take(e)
	if result.Outcome == browser.Failed {
		r.suspect()
	}
}

// walk is the browser side of a login; ended is false when the run was over first.
func (r *run) walk(ctx context.Context, p *person, current *plan, l scenario.Logins, number int) (result browser.Result, ended bool) {
	bounded, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	left, asked := false, false
	onStep := func(s browser.Step) {
		r.take(event.Event{
			At: r.at(s.Began.Add(s.Took)), Kind: event.BrowserStep, Login: number, Phone: p.number, Name: s.Name, Took: event.Millis(s.Took),
		})
		if s.Name == "select" && !asked {
			asked = true
			r.asked.add(1)
		}
		if s.Name == "start" && l.Browser.Think > 0 {
			r.sleep(bounded, l.Browser.Think)
		}
		if current.leaves && s.Name == l.Browser.LeaveAt {
			left = true
			cancel()
		}
	}
	p.onStep.Store(&onStep)
	b, err := r.browserFor(p, l, number)
	if err != nil {
		return browser.Result{Outcome: browser.Failed, Detail: err.Error()}, true
	}
	r.flying.Add(1)
	result, _ = b.Login(bounded, p.name, p.secret)
	r.flying.Add(-1)
	if asked {
		r.asked.add(-1)
	}
	switch {
	case left:
		result.Outcome, result.Detail = Left, ""
	case ctx.Err() != nil:
		return result, false
	}
	return result, true
}

// browserFor is a new browser, or the person's own where the stream says that they keep to it.
func (r *run) browserFor(p *person, l scenario.Logins, number int) (*browser.Browser, error) {
	if l.Known && p.known != nil {
		p.known.Restart()
		return p.known, nil
	}
	b, err := r.browser(p, l.Browser, r.hop("browser", number))
	if l.Known {
		p.known = b
	}
	return b, err
}

func letIn(o browser.Outcome) bool { return o == browser.Approved || o == browser.NoPhone }

// judge holds a result against its plan and says what is wrong, "" for nothing. What was let in without the phone's answer is
// the worst of all and said so.
func judge(p *plan, result browser.Result) string {
	switch {
	case result.Outcome == Left && p.leaves:
		return ""
	case letIn(result.Outcome) && !p.answered.Load():
		return "let in without an answer from the phone"
	case p.byHand.Load():
		return ""
	case letIn(result.Outcome) && !p.approving:
		return "let in although the phone did not approve"
	case len(p.want) > 0 && !slices.Contains(p.want, result.Outcome):
		return "other outcome than planned"
	}
	return ""
}
