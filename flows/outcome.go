package flows

import (
	"time"

	"github.com/google/uuid"

	"countersign/core/fault"
)

// Outcome is what a stage says after it was begun or answered. Make one with the functions of this file; the zero
// Outcome is not valid.
type Outcome struct {
	verb      verb
	challenge Challenge
	fields    fault.Fields
	soft      bool
	reason    string
	insert    []uuid.UUID
	wake      <-chan struct{}
	limit     time.Duration
	release   func()
}

type verb int

const (
	verbNone verb = iota
	verbShow
	verbNext
	verbStay
	verbDeny
	verbWait
)

// Show presents a challenge.
func Show(c Challenge) Outcome { return Outcome{verb: verbShow, challenge: c} }

// Next says that the stage is passed.
func Next() Outcome { return Outcome{verb: verbNext} }

// NextThen says that the stage is passed and puts stages before what follows.
func NextThen(stages ...uuid.UUID) Outcome { return Outcome{verb: verbNext, insert: stages} }

// Stay says that the answer was not accepted: the challenge is shown again with the errors, or the flow restarts,
// as the binding's invalid_response_action says.
func Stay(fields fault.Fields) Outcome { return Outcome{verb: verbStay, fields: fields} }

// StayField is Stay with one error.
func StayField(field, code, text string) Outcome {
	return Stay(fault.Fields{field: {{Code: code, Text: text}}})
}

// Soft says the same as Stay but is no failed answer: choosing a device reports errors by contract and yet
// restarts nothing (core.md §10 item 13). Without fields the challenge is shown again as it is.
func Soft(fields fault.Fields) Outcome { return Outcome{verb: verbStay, fields: fields, soft: true} }

// Deny ends the flow with a text for the person; "" is the contract's "Unknown error".
func Deny(reason string) Outcome { return Outcome{verb: verbDeny, reason: reason} }

// Wait gives the plan back and lets the request sleep until wake is readable, the limit is over, or the client is
// gone; then Answer is called again with Run.Resumed set. What the stage wrote so far is committed before the
// sleep. release, if not nil, runs when the sleep is over, whatever ended it.
func Wait(wake <-chan struct{}, limit time.Duration, release func()) Outcome {
	return Outcome{verb: verbWait, wake: wake, limit: limit, release: release}
}

// Stays tells whether the outcome is Stay or Soft: the answer proved nothing, and another way may be tried.
func (o Outcome) Stays() bool { return o.verb == verbStay }

// Passed tells whether the outcome is Next or NextThen.
func (o Outcome) Passed() bool { return o.verb == verbNext }
