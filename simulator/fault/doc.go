// Package fault is trouble on the way: a transport and a push source that delay, lose, repeat, refuse and cut, as a scenario's
// faults say. It owns the effects and their draws; when a fault is on is told to it, and the push service's own errors are
// package fcm's.
//
//	request ─▶ Transport ─ each fault that is on, in order ─▶ inner transport ─▶ reply ─▶ bandwidth, slow_close
//	             │ reset_peer, timeout, lose ─▶ connection error
//	             │ status ─▶ a reply that the server never made
//	             │ latency, reorder ─▶ later
//	             └ duplicate ─▶ sent twice, one reply is thrown away
//
//	push service ─▶ Source ─ the same for messages ─▶ phone
//
// Draws are of a stream of numbers for each phone or browser, so that equal seeds meet equal trouble however the others run.
package fault
