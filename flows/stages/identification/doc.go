// Package identification is the stage that asks who is there: a user name or e-mail, and the password too when the
// stage names a password stage (core.md §2.1).
//
//	uid_field ─▶ found ────────────────▶ pending user ─▶ next
//	         └─▶ unknown ─▶ pretended ─▶ next      (pretend_user_exists: a later stage refuses, in the same words)
//	                     └▶ stay "Failed to authenticate."
//
// It does the same work for a user who exists and one who does not; the contract's random pause for unknown users
// would tell the two apart and is left out.
package identification
