// Package simulator holds the other side of a login, for tests, demonstrations and load: the
// person's phone, the push service that rings it, and the browser that waits. It is a black box to
// the server: it talks HTTP to it and imports nothing of it but mobile/wire.
//
//	            ┌───────────── server under test ─────────────┐
//	 browser ──▶│ flow executor                  device API   │◀── phone
//	            └───────┬─────────────────────────────────────┘      ▲
//	                    │ messages:send                              │
//	                    └──────────▶ fcm (the double) ── delivery ───┘
//
//	fcm      a double of Firebase Cloud Messaging HTTP v1 with faults on command
//	webpush  a double of a Web Push service, for browsers and UnifiedPush
//	apns     a double of Apple's push service
//	inbox    what the last two have in common: addresses, faults, history
//	control  how all doubles are steered over HTTP
//	phone    a phone: enrols from a QR payload, rings, fetches, answers by a Behaviour or by hand
//	maker    the maker of the phones: attests their keys, well or with a fault
//	page     the phone as a web page, for a person
//	browser  the login side: walks the flow executor with a cookie jar
//	transport  HTTP for thousands of them in one process
//	standin  the least of a server, in memory
//	scenario what a run is to be, read from YAML
//	engine   runs it: phones, logins, trouble, verdict
//	world    database and nodes of a run, as processes
//	fault    trouble on the way
//	event    the log of a run
//	report   what follows from it
//	desk     a run while it goes on: its state, how it is steered, its web page
//	view     the same in a terminal
//	webpage  what the web pages have in common: who may reach them, event streams
//	admin    the server under an administrator's token: makes people and removes them
//	attack   the attack pack: what thieves try, and what held
//	conformance  the requirements T1 to T24 from outside, and phones of all kinds and versions
//	verdict  how such a look is told
//	clock    wall and virtual time
//	word     the known word that a mistyped one was meant to be
//	cli      the commands of cmd/simulator
package simulator
