// Package desk is the place from which a run is watched and steered while it goes on: the live state, which package view draws in a
// terminal, the interface by which a run is steered, and a web page. It owns the state and the page; the run is package engine's,
// its figures package report's, and the page of a single phone package page's.
//
//	events ─▶ Hub ─▶ Snapshot ─▶ web page, view
//	                                 │ pause, step, take over, answer
//	                 engine ◀─ Control
//
//	GET  /          the page       GET  /events?from=  the state, as an event stream, at most four times a second
//	POST /pause  /resume  /step    POST /take  /release  {"phone"}
//	GET  /phone/{n}/               the phone that was taken over, as package page draws it
//
// A phone's state:
//
//	idle ─▶ ringing (rang) ─▶ answering (decided) ─▶ idle (answered; the login ended)
//	  └──────▶ offline (offline) ─▶ idle (online)
//
// The memory is bounded: a byte or two a phone, what is under way, and the last few dozen of everything else.
package desk
