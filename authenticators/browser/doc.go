// Package browser remembers the browsers in which a user has passed the validation stage, so that what slows down strangers
// (mobile.Budget) does not slow down the owner.
//
// It owns the cookie countersign_browser. It proves nothing about who is there and lets nobody in: somebody who copies it
// gets a count of requests to the owner's phone of their own, no more.
//
//	validate stage, passed ── Remember ──▶ cookie: a mark for this user before those of others, at most five
//	mobile, about to ask ──── Known ─────▶ the mark's id, by which the prompts that this browser causes are counted
//
// A mark is a random id and the time, with a keyed hash over both and the user: it says nothing of whose it is, is worth
// nothing for another user or with another server, and is forgotten after Memory. Each validation makes a new one, and so
// begins a new count.
package browser
