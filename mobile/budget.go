package mobile

import (
	"slices"
	"time"
)

// Budget bounds how often a phone rings for logins that it does not approve (push.md T7, T8). Every user has one count for
// each known browser, one for each known network, and one for all else together:
//
//	browser   the user has passed the validation stage in it (authenticators/browser)
//	network   the user has approved a login from it: an address of IPv4, or a /64 of IPv6
//	stranger  neither
//
// So whoever bombs a user uses up the strangers' count, or at worst that of a network which they share with the user, and
// never that of the user's own browser, nor another factor. Strangers and networks together get no more than Pushes within
// Window, of which strangers leave the last one to known networks. After the budget is used up each ring takes twice as long
// to wait for as the one before, up to Longest. An approval sets its own count to zero; so does a day without a ring.
type Budget struct {
	Pushes  int           // rings that were not approved, within Window
	Window  time.Duration // and the first pause once they are used up
	Gap     time.Duration // to wait before the last ring of the budget
	DenyGap time.Duration // to wait after "it was not me", doubled with each
	Longest time.Duration // of the pauses

	// Source and Total bound the prompts that wait, or were not approved within Window, of strangers to all users of this
	// node: of those from one network, and of all.
	Source, Total int
}

// DefaultBudget lets a phone ring three times in ten minutes.
func DefaultBudget() Budget {
	return Budget{
		Pushes: 3, Window: 10 * time.Minute, Gap: 15 * time.Second, DenyGap: 30 * time.Second, Longest: 4 * time.Hour,
		Source: 50, Total: 2000,
	}
}

const (
	// remembered is how many of a user's latest prompts are looked at: more than any two counts can fill in a day.
	remembered = 40
	// memory is how long a ring that was not approved counts.
	memory = 24 * time.Hour
)

// MaxPushes bounds Budget.Pushes: a longer history is not read.
const MaxPushes = 20

// past is one earlier prompt of a user.
type past struct {
	Ring    int64 // the place among the user's rings
	Status  string
	Source  string
	Browser string
	Rings   int
	Rung    time.Time // the last time
	Warned  bool
}

// asker is who wants a phone to ring.
type asker struct {
	source  string // network
	browser string // the mark of a known browser; "" is none
	known   bool   // the user approved a login from this network before
}

func (a asker) stranger() bool { return a.browser == "" && !a.known }

// rank says whose prompt may take the place of whose: a stranger's not that of somebody known.
func (a asker) rank() int {
	switch {
	case a.browser != "":
		return 2
	case a.known:
		return 1
	}
	return 0
}

// approvedFrom tells whether a login from a network was approved.
func approvedFrom(history []past, source string) bool {
	return slices.ContainsFunc(history, func(p past) bool { return p.Source == source && p.Status == statusAccept })
}

// wait tells how long the user's phones are not to ring for a; 0 is now. history is the newest first.
func (b Budget) wait(now time.Time, history []past, a asker) time.Duration {
	known := map[string]bool{a.source: a.known}
	for _, p := range history {
		if p.Status == statusAccept {
			known[p.Source] = true
		}
	}
	mine := func(p past) bool {
		switch {
		case a.browser != "" || p.Browser != "":
			return p.Browser == a.browser
		case a.known:
			return p.Source == a.source
		}
		return !known[p.Source]
	}
	var own []past // of this count, not approved
	for _, p := range history {
		if !mine(p) {
			continue
		}
		if p.Status == statusAccept || now.Sub(p.Rung) >= memory {
			break
		}
		own = append(own, p)
	}
	wait := b.pause(own, b.limit(a, known), now)
	if a.browser == "" {
		wait = max(wait, b.shared(now, history))
	}
	return wait
}

// limit is how many rings a has before the pauses grow: a stranger to somebody with a known network one less.
func (b Budget) limit(a asker, known map[string]bool) int {
	if !a.stranger() {
		return b.Pushes
	}
	for _, yes := range known {
		if yes {
			return max(1, b.Pushes-1)
		}
	}
	return b.Pushes
}

// pause is how long a count waits that has own.
func (b Budget) pause(own []past, limit int, now time.Time) time.Duration {
	if len(own) == 0 {
		return 0
	}
	rings, denials := 0, 0
	for _, p := range own {
		rings += p.Rings
		if p.Status == statusDeny {
			denials++
		}
	}
	gap := time.Duration(0)
	switch {
	case rings >= limit:
		gap = b.double(b.Window, rings-limit)
	case rings == limit-1:
		gap = b.Gap
	}
	if own[0].Status == statusDeny {
		gap = max(gap, b.double(b.DenyGap, denials-1))
	}
	return max(0, own[0].Rung.Add(gap).Sub(now))
}

// double is d doubled some times, up to Longest.
func (b Budget) double(d time.Duration, times int) time.Duration {
	longest := max(b.Longest, b.Window)
	for range min(times, 32) {
		if d = 2 * d; d >= longest {
			return longest
		}
	}
	return d
}

// shared is how long all that is not a known browser waits, whatever its count: until fewer than Pushes rings are younger than
// Window. Those before an approval from the same network are the owner's own.
func (b Budget) shared(now time.Time, history []past) time.Duration {
	approved := map[string]bool{}
	rings := 0
	for _, p := range history {
		switch {
		case p.Browser != "":
		case p.Status == statusAccept:
			approved[p.Source] = true
		case approved[p.Source]:
		case now.Sub(p.Rung) >= b.Window:
			return 0
		default:
			if rings += p.Rings; rings >= b.Pushes {
				return p.Rung.Add(b.Window).Sub(now)
			}
		}
	}
	return 0
}
