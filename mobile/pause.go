package mobile

import (
	"context"
	"time"

	"countersign/authenticators/throttle"
	"countersign/core/event"
	"countersign/flows"
)

// pause is why a phone is not asked, and until when.
type pause struct {
	Until  time.Time `json:"until"`
	Reason reason    `json:"reason"`
}

// reason is why a phone is not asked, in a word for pages.
type reason string

const (
	unapproved reason = "unapproved" // too many requests were not approved
	reported   reason = "reported"   // somebody said on the phone that a request was not theirs
	busy       reason = "busy"       // the phone is asked by a browser or from a network that is known
	crowded    reason = "crowded"    // too many strangers ask phones, of this user and others
)

// text says a pause to a person.
func (p *pause) text(now time.Time) string {
	left := throttle.Pause(p.Until.Sub(now))
	switch p.Reason {
	case reported:
		return "Requests to your phone are paused for " + left + ", because one was reported on it as not yours. Use another way."
	case busy:
		return "Your phone is being asked by another login of yours. Use another way, or try again in " + left + "."
	case crowded:
		return "Too many requests are being sent to phones at the moment. Use another way, or try again in " + left + "."
	}
	return "Requests to your phone are paused for " + left + ", because too many were not approved. Use another way, or try again then."
}

// asker tells who asks, to a user's phone.
func (s *Service) asker(run *flows.Run, t *target) asker {
	return asker{source: throttle.Source(run.Origin.ClientIP), browser: s.browsers.Known(run, t.userID), known: t.known}
}

// paused tells whether a phone may not be asked now; nil: it may. The first refusal of a burst is told to the user.
func (s *Service) paused(ctx context.Context, run *flows.Run, t *target, by asker) (*pause, error) {
	now := run.Now()
	if t.blocked != nil && now.Before(*t.blocked) && (by.browser == "" || t.everywhere) {
		return &pause{*t.blocked, reported}, nil
	}
	if wait := s.Budget.wait(now, t.history, by); wait > 0 {
		if by.browser == "" {
			err := s.warn(ctx, run, t, wait)
			return &pause{now.Add(wait), unapproved}, err
		}
		return &pause{now.Add(wait), unapproved}, nil
	}
	if t.pending != nil && t.pendingUntil.After(now) && by.rank() < t.asks.rank() {
		return &pause{*t.pendingUntil, busy}, nil
	}
	if by.stranger() && s.crowd.full(now, by.source, s.Budget) {
		return &pause{now.Add(s.Budget.Window), crowded}, nil
	}
	return nil, nil
}

// warn tells the user, once a day at most, that their phone rang in vain as often as it may.
func (s *Service) warn(ctx context.Context, run *flows.Run, t *target, wait time.Duration) error {
	last, rings := int64(0), 0
	for _, p := range t.history {
		if p.Browser != "" || p.Status == statusAccept || run.Now().Sub(p.Rung) >= memory {
			continue
		}
		if p.Warned {
			return nil
		}
		last, rings = max(last, p.Ring), rings+p.Rings
	}
	run.Queue(`WITH w AS (UPDATE mobile_transactions SET warned = true WHERE user_id = $1 AND ring = $2 AND NOT warned RETURNING 1)
		SELECT require_one(count(*)) FROM w`, t.userID, last)
	return run.Emit(ctx, event.Event{
		Action: event.SuspiciousRequest, App: app, Owner: t.userID,
		Context: map[string]any{
			"message": "The phone rang for logins that nobody approved, and is not asked for a while.",
			"device":  deviceRef(t.device, t.name), "rings": rings, "pause": int(wait.Seconds()), event.Suspicion: event.PhoneFlooded,
		},
	})
}
