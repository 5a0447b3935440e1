// Package engine runs a scenario: it starts or finds the server, provisions users with phones, lets logins come, makes trouble
// when the scenario says so, judges how each login ended, and holds checks and thresholds against what it counted. It owns the
// schedule and the judgement; logins are package browser's and phone's, trouble is fault's, servers are world's, and what
// happened goes out as events.
//
//	target: url │ nodes of our own │ stand-in
//	   ▼
//	provision: POST /core/users/ → set_password → login → set-up flow → phone      (8 at a time)
//	   ▼
//	open stream    arrival i is due when the rate says so, however slow the server is; its person is the next in turn, and
//	               a login waits where that person's last one still runs: that wait counts (coordinated omission)
//	closed stream  each person logs in, pauses, logs in …
//	   │ habit drawn → phone answers → outcome
//	   ▼
//	wrong, if the outcome is not the habit's; worst, if it was let in without an answer
//	   ▼
//	checks, thresholds ─▶ Verdict
//
// Every draw is of a stream of numbers named by the seed and by whose it is (login 17, phone 3), so that equal seeds draw
// equally however goroutines run. Under the virtual clock nothing else differs either: the log is the same, byte for byte.
package engine
