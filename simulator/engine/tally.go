package engine

import (
	"slices"
	"sync"

	"countersign/simulator/browser"
)

// The counters that checks may name.
const (
	countPhones     = "phones"              // that were enrolled
	countLogins     = "logins"              // that were due, without those that an interruption of the run cut off
	countFinished   = "finished"            // that ended
	countWrong      = "wrong"               // that ended as they should not
	countUnanswered = "approved_unanswered" // let in although no phone approved
	countTwice      = "approved_twice"      // answers that the server took twice
	countReconnects = "reconnects"          // connections that broke, and were made again
	countResumed    = "resumed"             // logins that went on after their connection broke
	countLost       = "lost"                // logins that broke off: neither the server nor the person ended them
	countRings      = "rings"               // of all phones
	countMostRings  = "most_rings"          // of the phone that rang most
	countPushFailed = "push_failed"         // logins whose browser was told that the push did not go out
	countErrors     = "phone_errors"        // calls of phones that failed
	countKilled     = "waiting_at_kill"     // logins that waited for their phone when a node was first killed
)

// tally counts.
type tally struct {
	mu    sync.Mutex
	count map[string]int
	rings map[int]int // by phone
	taken map[int]map[string]int
}

func newTally() *tally {
	return &tally{count: map[string]int{}, rings: map[int]int{}, taken: map[int]map[string]int{}}
}

// Counters are the words that checks may name.
func Counters() []string {
	out := []string{
		countPhones, countLogins, countFinished, countWrong, countUnanswered, countTwice, countReconnects, countResumed, countLost,
		countRings, countMostRings, countPushFailed, countErrors, countKilled,
	}
	for _, o := range outcomes {
		out = append(out, string(o))
	}
	slices.Sort(out)
	return out
}

var outcomes = []browser.Outcome{
	browser.Approved, browser.Denied, browser.WrongNumber, browser.Expired, browser.Superseded, browser.Throttled, browser.NoPhone,
	browser.Refused, browser.Failed, Left, Dropped,
}

func (t *tally) add(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count[name] += n
}

// rang counts a ring of a phone.
func (t *tally) rang(phone int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count[countRings]++
	t.rings[phone]++
	t.count[countMostRings] = max(t.count[countMostRings], t.rings[phone])
}

// answered counts an answer that the server took; of the last login of a phone alone, so that it forgets.
func (t *tally) answered(phone int, tx string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken[phone][tx] == 0 {
		t.taken[phone] = map[string]int{}
	} else {
		t.count[countTwice]++
	}
	t.taken[phone][tx]++
}

func (t *tally) value(name string) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(t.count[name])
}
