package desk

import "countersign/simulator/phone"

// Control steers a run. All of it may be called by several goroutines at once, and before and after the run too. Phones are counted
// from 1; what concerns a phone that there is not does nothing.
type Control interface {
	// Pause lets no more logins begin; those under way go on.
	Pause()
	// Resume lets logins begin again.
	Resume()
	// Step lets exactly one login begin while the run is paused.
	Step()
	// Paused says whether the run is paused.
	Paused() bool
	// TakeOver stops a phone's behaviour: from now on a person answers by hand what it is rung for.
	TakeOver(phone int)
	// Release gives the phone back to its behaviour, from its next ring on.
	Release(phone int)
	// Ring are the prompts on a phone, newest first.
	Ring(phone int) []phone.Ring
	// Answer sends an item for a prompt on a phone, as a person's tap or typing does.
	Answer(phone int, tx, item string) error
}
