// Package control is how the doubles are steered over HTTP: JSON in and out, and what a phone receives as an event stream. It
// owns no double's operations, and has no login: a double belongs on the loopback interface.
//
//	test, person, phone ── /-/… ──▶ SameSite ─▶ Read ─▶ the double ─▶ Write, Fail or Stream
package control
