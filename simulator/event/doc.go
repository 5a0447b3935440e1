// Package event is the log of a run: what happened, when, to which login and which phone. It owns the lines and their file,
// JSON Lines; it draws no conclusion from them, which is package report's, and makes none, which is package engine's.
//
//	run_begun ─▶ phone_enrolled … ─▶ run_started
//	  login_due ─▶ browser_step, phone_step … ─▶ login_ended      one login; its lines are in this order
//	  fault_on, fault_off, world, sample                          beside the logins
//	─▶ check …, threshold … ─▶ run_ended
//
// A line says nothing secret: no token, no password, no key. Times are milliseconds since run_started; what was before, the
// provisioning, was at 0.
package event
