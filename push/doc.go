// Package push carries short messages to phones through providers such as Firebase Cloud Messaging.
//
// It owns the message, the channel interface, what can go wrong with one (Reason), and the Dispatcher that sends,
// retries and gives up. It does not own any provider (push/<channel>), who has which address, what is written in a
// message, or what a login does about a failure (mobile).
//
// # One message
//
//	caller ── Dispatch(Job) ──▶ queue ──▶ worker ── Send ──▶ Channel ──▶ provider ··▶ phone
//	  ▲                          ▲           │
//	  │                          └─ back-off ┤ failed, worth another try, and still time for it
//	  └──────── Report ──────────────────────┘
//
// A job is alive from Dispatch until its final report, and its states as the caller hears them are
//
//	           ┌─────────────┐ another reason
//	           ▼             │
//	(none) ─▶ failing ───────┴──▶ accepted          the provider took it
//	   │          ├─────────────▶ dead              the address is no good: forget it
//	   │          └─────────────▶ failed            not sent, and it will not be
//	   └─ accepted | dead | failed at once
//
// "accepted" is the provider's word and nothing more: no provider says when a phone showed a message.
//
// # What the Dispatcher promises
//
//   - Dispatch never blocks and never waits for a provider. Jobs alive are counted: over the limit a job is refused
//     and reported as queue_full before Dispatch returns.
//   - Whatever the provider does, the caller hears something within a second (Options.Slow): the answer, the first
//     failure, or "failing, timeout" while the attempt goes on.
//   - Nothing is sent after Job.Deadline, the end of the answer window. A message's TTL is what is left of it, so the
//     provider does not deliver later either.
//   - Retries are for failures that may pass: exponential back-off with jitter, never before the provider's
//     Retry-After. When the next try would be too late the job fails at once rather than at the deadline.
//   - A job's reports come one at a time and in order; exactly one is final, unless the job is cancelled, after which
//     there are none.
//   - No goroutine exists while nothing is to be sent: workers start on demand and end with the queue.
//
// An attempt that was cut off may have reached the provider, so a phone can get a message twice. The collapse key
// makes the second replace the first.
//
// # Secrets
//
// An address is a capability: who has it can, with the provider's key, ring the phone. Errors and logs show only its
// Fingerprint. Channels redact what providers send back (Redact), and the suite in push/pushtest holds them to it.
//
// # Adding a channel
//
// One folder that implements Channel and runs push/pushtest, and one line in cmd/app/kinds.go.
package push
