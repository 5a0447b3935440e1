// Package totp is the authenticator app: codes from a shared seed and the time (RFC 6238, SHA-1, 30 seconds).
//
// It owns the table totp_devices, the set-up stage ak-stage-authenticator-totp, the kind "totp" of the validation stage
// and /authenticators/totp/. It does not own the codes themselves (github.com/pquerna/otp) nor
// the counting of wrong ones (authenticators/throttle).
//
// # A device
//
//	set-up: begin ─▶ seed, sealed in the plan ─▶ QR code and key, the same again after a reload
//	        answer ─▶ a right code ─▶ row with the seed, sealed for its id, and the step of that code
//
// A device exists from its first right code on, so there is no unconfirmed one to collect, and the code that confirmed
// it logs nobody in.
//
// # A login
//
//	answer ─▶ row ─┬─ throttled ────────────────────▶ refused, event
//	               ├─ not 6 or 8 digits ────────────▶ refused, event
//	               ├─ step now-1, now or now+1,
//	               │    after last_step ────────────▶ last_step := step ─┐ guarded UPDATE, in the commit
//	               ├─ one of them, not after it ────▶ refused, event     │ that moves the plan on
//	               └─ none of them ─────────────────▶ counted, event ────┘
//
// The UPDATE demands the version that was read and a step after the stored one. So one of several equal answers passes,
// in whichever sessions and on whichever nodes they come; the others are asked again and find the step used. All three
// codes are computed and compared at any time, in constant time.
//
// # Where it differs from the contract
//
//   - A used code is told from a wrong one (code "used", in the event too) and does not count: who has it seen the owner type.
//   - The clock of a device is not tracked (the contract remembers a drift): phones know the time.
//   - POST /authenticators/admin/totp/ takes a name and no user or seed, so it is refused with 400. Only owners add devices.
//   - A number is taken for a code too, and filled up with zeros in front, which numbers cannot have.
//   - The challenge of a device holds its name and, while it is locked, locked_until.
package totp
