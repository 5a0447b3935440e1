// Package static is recovery codes: a list that a person puts away, each good for one login.
//
// It owns the tables static_devices and static_codes, the set-up stage ak-stage-authenticator-static, the kind "static"
// of the validation stage and /authenticators/static/. It does not own the counting of wrong codes
// (authenticators/throttle).
//
// # A list of codes
//
//	set-up: begin ─▶ codes, sealed in the plan ─▶ shown, the same again after a reload
//	        answer ("I have saved them") ─▶ row with a key of its own, a hash of each code; the plan forgets the codes
//
// From then on nobody can read them, we neither. A code is stored as HMAC-SHA-256 under the device's key, and that key
// sealed with the server's: so a dump of the database is no help in guessing, and a new server key means to seal the
// keys anew, not to throw the codes away, as it would if the hashes were keyed with the server's key itself.
//
// Codes have 31 characters that are hard to take for one another; what is typed may be in capitals, and have spaces and
// hyphens anywhere.
//
// # A login
//
//	answer ─▶ row and hashes ─┬─ throttled ──────────▶ refused, event
//	                          ├─ of another form ────▶ refused, event
//	                          ├─ one of the hashes ──▶ the code is deleted, in the commit that moves the plan on
//	                          └─ none ───────────────▶ counted, event
//
// Both writes demand the version that was read, and the deletion that there was something to delete. So a code passes
// once, in whichever sessions and on whichever nodes it comes.
//
// A list without codes is still offered: leaving it out would let a flow that skips people without a device pass them.
//
// # Where it differs from the contract
//
//   - StaticDevice.token_set has an entry for each code that is left, as the contract's clients count them, but its token is
//     asterisks: the codes cannot be read any more.
//   - token_count is 1 to 100 and token_length 6 to 16; others are refused with 400, although the document, as the
//     contract's, states the bounds of an integer. 16 is the longest that the contract can store and show.
//   - POST /authenticators/admin/static/ takes a name and neither user nor codes, so it is refused with 400.
//   - The challenge of a device holds its name, the number of codes left when it is at most fewCodes (codes_left), and,
//     while the device is locked, locked_until.
package static
