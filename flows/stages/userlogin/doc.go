// Package userlogin is the stage that makes the browser's session the pending user's (core.md §2.3). It owns the
// choice of "remember me" and the length of the session; the session itself is core/session's.
//
//	no offset ─▶ log in at once
//	offset ────▶ ask "remember me" ─▶ log in
//
// A user who is not active is refused here, whichever way they came (core.md §10 item 22).
package userlogin
