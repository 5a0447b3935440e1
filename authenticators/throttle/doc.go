// Package throttle slows down the guessing of codes, for the kinds of authenticator whose codes are short enough to be
// guessed. It owns the counting (State, which a device keeps in its row), what a refused answer says to the person and
// to the audit log, and the way of an answer where codes are typed (Method). It does not own the row: a kind reads it, and
// writes it by compare-and-set.
//
//	answer ─▶ State.Until ─┬─ later ─▶ Refused: nothing is looked at, nothing is counted
//	                       └─ now ───▶ the kind compares ─┬─ right ─▶ State.Pass ─┐
//	                                                      └─ wrong ─▶ State.Fail ─┴─▶ UPDATE … WHERE version = what was read
//
// The compare-and-set makes parallel guesses take turns: one of them counts, the others read the row again and are too
// early. After n wrong codes in a row the next one is taken 2^(n-1) seconds after the last, and after Ceiling at the most
// (core.md §2.10, §10 item 31).
//
// # Whose guesses
//
// Codes are asked for after a password, so somebody with a stolen password could keep the owner out by guessing. The
// count is therefore by place: each network address from which the device was used in the last Memory has its own, all
// other addresses share one. Whoever guesses from elsewhere slows down elsewhere only. An address is one of IPv4, or a
// /64 of IPv6, which is what one household or one rented server has.
//
// # What is left to a guesser
//
// After Limit wrong codes in a row no more are taken, from all unknown places together or at the known one: NIST SP 800-63B-4
// §3.2.2 allows a hundred. At the pace above that takes some eight hours. Of a million codes of six digits three are right
// at any time (one step of tolerance both ways), which makes a chance of 0.03 %; each guess is an event login_failed. Eight
// digits make it a hundredth of that, twelve characters of a recovery code nothing.
//
// A closed place opens when the device is used at another, Quiet after the last guess; an owner who has no other place
// removes the device, or has it removed, and sets it up anew.
package throttle
