package throttle

import (
	"context"
	"fmt"
	"time"

	"countersign/core/event"
	"countersign/core/fault"
	"countersign/flows"
)

// Reason says in the event of a refused answer why it was refused.
type Reason string

// The reasons.
const (
	Invalid   Reason = "invalid"   // a code of the right form that is wrong
	Used      Reason = "used"      // one that was right and is spent
	Malformed Reason = "malformed" // no code at all
	Throttled Reason = "throttled" // not looked at
	Gone      Reason = "gone"      // the device was removed meanwhile
)

// Emit queues the event login_failed of an answer that device refused. Only Invalid counts for the throttle.
func Emit(ctx context.Context, run *flows.Run, class string, device event.Ref, reason Reason) error {
	u, err := run.PendingUser(ctx)
	if err != nil {
		return err
	}
	e := event.Event{Action: event.LoginFailed, App: device.App, Context: map[string]any{
		"device_class": class, "device": device, "reason": reason,
	}}
	if u != nil {
		e.User = &event.User{PK: u.ID, Username: u.Username, Email: u.Email}
		e.Context["username"] = u.Username
	}
	return run.Emit(ctx, e)
}

// Refuse is the outcome of an answer that came too early. It is no failed answer: a flow that restarts at those stays.
func Refuse(field string, now, until time.Time) flows.Outcome {
	text := "Too many wrong codes. Try again in " + Pause(until.Sub(now)) + "."
	if until.Sub(now) > Ceiling {
		text = "Too many wrong codes. This takes no more codes from here. Use another way, or ask your administrator."
	}
	return flows.Soft(fault.Fields{field: {{Code: string(Throttled), Text: text}}})
}

// Pause says a duration to a person, never shorter than it is.
func Pause(d time.Duration) string {
	unit, name := time.Second, "second"
	if d > time.Minute {
		unit, name = time.Minute, "minute"
	}
	n := max(1, int((d+unit-1)/unit))
	if n > 1 {
		name += "s"
	}
	return fmt.Sprintf("%d %s", n, name)
}
