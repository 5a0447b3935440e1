package push

import (
	"context"
	"time"
)

// Message is what a phone is sent. It holds no user name and nothing that would help to answer a prompt: providers,
// and whoever looks at a locked phone, can read it.
type Message struct {
	Address string // where to, in the channel's own form; a secret

	Title, Body string            // what a phone shows before any app code runs
	Data        map[string]string // for the app

	// TTL is how long the provider may keep trying; at 0 it is now or never. The Dispatcher sets it for each attempt.
	TTL time.Duration

	// CollapseKey groups messages of which only the newest matters. Providers keep few keys per phone (FCM: 4), so it
	// is one per account, not one per message; at most 64 bytes (APNs).
	CollapseKey string
}

// Channel sends messages through one provider. Its methods are called from many goroutines at once.
type Channel interface {
	// Name is the channel's name in jobs, metrics and logs: a short constant such as "fcm".
	Name() string

	// Send makes one attempt, without retries of its own, and is over soon after ctx is. It returns nil when the
	// provider took the message and an *Error otherwise, whose text holds neither the address nor a credential.
	Send(ctx context.Context, m Message) error
}

// Reason says in one word why a message was not taken. It is safe to show, and a metrics label.
type Reason string

// The reasons. The comment says who has to do something about it.
const (
	Unregistered   Reason = "unregistered"    // the app is gone from the phone, or has a new address: forget this one
	InvalidAddress Reason = "invalid_address" // this was never an address of the channel: forget it
	BadMessage     Reason = "bad_message"     // the provider refuses the message as such: a fault of ours
	SenderMismatch Reason = "sender_mismatch" // the address belongs to another project than our key: operator
	Credentials    Reason = "credentials"     // our key or project is refused, or the provider's own for APNs: operator
	Quota          Reason = "quota"           // too many messages: wait, at least a minute unless told otherwise
	Unavailable    Reason = "unavailable"     // the provider is away or cannot be reached: wait
	Internal       Reason = "internal"        // the provider failed in an unknown way: try again
	Timeout        Reason = "timeout"         // no answer (yet)
	Expired        Reason = "expired"         // the answer window closed before the message could be sent
	QueueFull      Reason = "queue_full"      // as many messages are under way as we allow
	NoChannel      Reason = "no_channel"      // no such channel is configured: operator
	NoAddress      Reason = "no_address"      // the phone has not told us an address
	NoPush         Reason = "no_push"         // the phone asks by itself, and wants no pushes: nobody
)

// None is the channel of phones that ask by themselves. Nothing is sent to them: a job for it is refused with NoPush.
const None = "none"

// Dead reports whether the address itself is at fault, so that it should be forgotten.
func (r Reason) Dead() bool { return r == Unregistered || r == InvalidAddress }

// Permanent reports whether trying again is pointless, as a rule; Error.Permanent is what holds.
func (r Reason) Permanent() bool {
	switch r {
	case Quota, Unavailable, Internal, Timeout:
		return false
	}
	return true
}

// alarming reports whether only people can put it right, ours or the operator's.
func (r Reason) alarming() bool {
	return r == BadMessage || r == SenderMismatch || r == Credentials || r == NoChannel
}

// Error is a message that was not taken.
type Error struct {
	Reason     Reason
	Permanent  bool          // trying the same again is pointless
	RetryAfter time.Duration // the provider's own wish; 0 when it said nothing
	Cause      error         // for the log; already redacted; may be nil
}

// Error is the reason and the redacted cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return "push: " + string(e.Reason)
	}
	return "push: " + string(e.Reason) + ": " + e.Cause.Error()
}

// Unwrap is the redacted cause.
func (e *Error) Unwrap() error { return e.Cause }
