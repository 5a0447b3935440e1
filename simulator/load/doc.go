// Package load runs many logins against a server: users and phones are provisioned through the
// admin API and the set-up flow, then logins arrive at a fixed rate, each answered by its user's
// phone as a drawn plan says. It owns the arrival schedule, the check of every outcome against its
// plan and the latency percentiles; logins themselves are browser's and phone's.
//
//	provision: POST /core/users/ → set_password → login → set-up flow → phone      (8 at a time)
//
//	run (open loop):  arrival i is due at start + i/rate
//	                  a free user takes it; is none free, it waits and its wait counts
//	                  plan: approve | deny | wrong number | ignore
//	                  outcome ≠ plan → wrong
//
// A login's total is measured from the time it was due, not from when a user became free: a server
// that stalls delays every arrival behind it, and the percentiles must show that (coordinated
// omission). At most one login a user is in flight, so that the run uses no more goroutines than
// it has phones.
package load
