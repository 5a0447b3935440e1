package authenticators

import (
	"context"
	"fmt"
	"slices"
	"time"

	"countersign/core/db"
	"countersign/core/user"
	"countersign/flows"
)

// Owner is whom a flow sets a device up for, or asks for one; nil for nobody, and for a pretended user.
func Owner(ctx context.Context, run *flows.Run) (*user.User, error) {
	u, err := run.PendingUser(ctx)
	if err != nil || u == nil || u.ID == 0 {
		return nil, err
	}
	return u, nil
}

// What a login's auth_method_args say of an authenticator that was not asked for, but proved all the same.
const (
	argRemembered = "mfa_remembered" // it passed in this browser a while ago, by the validation stage's last_auth_threshold
	argEnrolled   = "mfa_enrolled"   // the login itself set one up, the first or beside one that it had proved
)

// Remembered notes in the login that d passed before, in this browser, and is not asked for again.
func Remembered(run *flows.Run, d Device) {
	note(run, argRemembered, d.Class+"/"+d.UID)
}

func note(run *flows.Run, name string, value any) {
	c := run.Context
	if c.AuthMethodArgs == nil {
		c.AuthMethodArgs = map[string]any{}
	}
	c.AuthMethodArgs[name] = value
	run.Changed()
}

// unproved is what people are told whose login is worth too little to add a device.
const unproved = "You have another way to confirm that it is you, and did not use it when you logged in. Log out, log in with it, and come back then."

// SetUps puts kinds of set-up stage under the rule that all have in common, and gives them back: whoever knows the password
// alone adds no device beside those that are there. It stands before answers too, since a POST needs no GET.
func (s *Store) SetUps(kinds ...*flows.Kind) []*flows.Kind {
	for _, k := range kinds {
		k.Around = s.setUp
	}
	return kinds
}

func (s *Store) setUp(ctx context.Context, run *flows.Run, do func() (flows.Outcome, error)) (flows.Outcome, error) {
	id, _ := run.PendingID()
	if id == 0 {
		return do()
	}
	if refused, err := s.unproved(ctx, run, id); err != nil || refused {
		return flows.Deny(unproved), err
	}
	o, err := do()
	if err == nil && o.Passed() && run.Actor == nil {
		note(run, argEnrolled, true)
	}
	return o, err
}

// unproved tells whether the user has devices that were there before the login, of which it used none. Who adds the first ones
// is not asked, nor is a flow in which nobody logs in by a password: an administrator made it for who has lost everything.
func (s *Store) unproved(ctx context.Context, run *flows.Run, user int) (bool, error) {
	c, auth := run.Context, run.Session.Auth
	since := run.Started()
	switch own := run.Actor != nil && run.Actor.ID == user; {
	case s.union == "" || proved(c.Factors, c.AuthMethodArgs) || own && proved(auth.Factors, auth.Args):
		return false, nil
	case own:
		since = earlier(since, auth.At)
	case len(c.Factors) == 0:
		return false, nil
	}
	var owns bool
	err := run.DB().QueryRow(ctx, `SELECT EXISTS (SELECT FROM (`+s.union+`) a WHERE user_id = $1 AND confirmed AND created < $2)`, user, since).Scan(&owns)
	if err != nil {
		return false, fmt.Errorf("look for authenticator devices: %w", db.Fault(err))
	}
	return owns, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// proved tells whether what a login says of itself is more than a password.
func proved(factors []string, args map[string]any) bool {
	return args[argRemembered] != nil || args[argEnrolled] != nil ||
		slices.ContainsFunc(factors, func(f string) bool { return f != "password" })
}
