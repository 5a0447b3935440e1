// Package password is the stage that asks for a password (core.md §2.2).
//
// It owns the choice of backends and the counting of failures: in the plan, as the contract has it, and per user and
// source address in the event log, so that a new session does not start the count anew (core.md §10 item 21). It
// does not own hashing (core/user) nor app passwords (core/token).
//
//	password ─▶ right ─────────────────────────▶ next
//	        └─▶ wrong ─▶ event login_failed ─▶ stay, or deny at failed_attempts_before_cancel
//
// A user who was already checked by the identification stage passes without being asked twice.
package password
