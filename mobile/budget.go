package mobile

import (
	"fmt"
	"time"
)

// Budget bounds how often a phone rings for logins that it does not approve (push.md T7, T8). It counts per user and
// source: an address from which the user has approved a login before has a count of its own, all other addresses
// share one. So whoever bombs a user from elsewhere uses up the others' count, not that of the user's own place, and
// never touches another factor. An approval sets its count to zero.
type Budget struct {
	Pushes  int           // prompts that were not approved, within Window
	Window  time.Duration //
	Gap     time.Duration // to wait before the last prompt of the budget
	DenyGap time.Duration // to wait after "it was not me"
}

// DefaultBudget lets a phone ring three times in ten minutes.
func DefaultBudget() Budget {
	return Budget{Pushes: 3, Window: 10 * time.Minute, Gap: 15 * time.Second, DenyGap: 30 * time.Second}
}

// remembered is how many of a user's latest prompts are looked at.
const remembered = 20

// MaxPushes bounds Budget.Pushes: a longer history is not read.
const MaxPushes = remembered

// past is one earlier prompt of a user.
type past struct {
	Status  string    `json:"status"`
	Source  string    `json:"source"`
	Created time.Time `json:"created"`
}

// wait tells how long the user's phone is not to ring for a login from source; 0 is now. history is the newest first.
func (b Budget) wait(now time.Time, history []past, source string, known bool) time.Duration {
	approved := map[string]bool{}
	for _, p := range history {
		approved[p.Source] = approved[p.Source] || p.Status == statusAccept
	}
	var open []past // not approved, of this count, newest first
	for _, p := range history {
		if known && p.Source != source || !known && approved[p.Source] {
			continue
		}
		if p.Status == statusAccept || now.Sub(p.Created) >= b.Window {
			break
		}
		open = append(open, p)
	}
	switch {
	case len(open) == 0:
		return 0
	case len(open) >= b.Pushes:
		return open[b.Pushes-1].Created.Add(b.Window).Sub(now)
	}
	gap := time.Duration(0)
	if len(open) == b.Pushes-1 {
		gap = b.Gap
	}
	if open[0].Status == statusDeny {
		gap = max(gap, b.DenyGap)
	}
	return max(0, open[0].Created.Add(gap).Sub(now))
}

// waitText says a pause to a person.
func waitText(d time.Duration) string {
	if d <= time.Minute {
		return fmt.Sprintf("%d seconds", int((d + time.Second - 1).Seconds()))
	}
	return fmt.Sprintf("%d minutes", int((d + time.Minute - 1).Minutes()))
}
