// Package bus carries wake-ups between the nodes of one installation.
//
// It owns the transport and nothing that is said on it. A wake-up is a hint, never the truth: the state is in the
// database, a subscriber reads it again, and whoever waits has a limit of his own. So a wake-up may be lost (a full queue,
// a broken connection) and never blocks or fails its sender; what is lost is counted.
//
//	Notify(own node)    ──────────────────────────────────────────────▶ subscribers, on a fresh goroutine
//	Notify(other node)  ─▶ bounded queue ─▶ one sender ─▶ one statement: SELECT pg_notify(…) for all that waited
//	                                                         │
//	subscribers ◀── Resync / topic ◀── LISTEN hub of the other node (core/db), reconnects with back-off
//
// Messages to one node are packed into payloads of fewer than 8000 bytes, PostgreSQL's limit. After a listening
// connection was lost the topic Resync is called, as notifications may have passed meanwhile.
//
// One PostgreSQL serves any number of nodes that speak rarely; the answer to a login needs at most one notification, and
// none when the phone's answer reaches the node that waits.
package bus
