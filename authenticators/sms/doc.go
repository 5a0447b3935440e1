// Package sms is the text message as an authenticator: a code is sent to a number, and typed in here (core.md §2.12).
//
// It owns the tables sms_devices and sms_codes, the set-up stage, the device resource, the two ways to send (Twilio, and
// any service with an HTTP API), and the kind "sms" of the validation stage. It does not own the choice among devices
// (authenticators/validate) nor the pages (core/web).
//
// A text message is the weakest of the factors: numbers are ported and messages are read on the way (NIST SP 800-63B-4
// §3.1.3.3 calls it restricted), and nothing stops a person from typing the code into a page of somebody else's. It is
// here because it is better than none.
//
// # A code
//
//	number ─▶ reserve: limits, row in sms_codes ─▶ commit ─▶ provider ─▶ phone
//	                                                     └─ refused, or 8 seconds ─▶ spent, told, event
//	answer ─▶ compare ─▶ guarded UPDATE with the plan's commit: used, or one failure more
//
//	          ┌─ right ──────────▶ used
//	  open ───┼─ 5 wrong ones ───▶ over
//	          └─ 5 minutes ──────▶ over
//
// The row is durable before the message is sent, so what arrives can be used, and the request waits for the provider at
// most SendTimeout with no transaction open. A code is good in the run that asked for it and nowhere else: somebody who
// asks for codes in another browser neither learns nor spends this one. Stored is a keyed hash.
//
// # How often
//
// Sending costs money, and a phone that rings without end is a weapon, so sends are counted per number, per user and per
// source address (Limits). An address from which the user has typed a right code before has counts of its own for number
// and user, and all others share one: who has only the password uses up the others' count, not that of the owner's own
// place.
//
// # Numbers
//
// Numbers are kept as E.164. Set up, a device holds the number sealed with the server's key, and a keyed hash by which a
// number that is taken is found. With verify_only it holds the hash alone and is never offered at a login. A hash is made
// with the server's first key and looked for under each: core/secret/rekey makes those of sealed numbers anew, while those of
// verify_only cannot be made again, and such a number can be enrolled once more when its key is taken away.
package sms
