// Package testbed is the world of an end-to-end suite: the built program, servers of it, the push service, people and
// their phones.
//
//	New ─▶ go build countersign      FCM double on a port of its own      WithOutside: Twilio and Duo behind a proxy
//	Bed.Serve ─▶ countersign serve on a new data directory (its own PostgreSQL) ─▶ Server
//	Server.NewPerson ─▶ user with a password, over the API      Server.NewPhone ─▶ enrolled through the set-up flow
//
// It owns the processes and ends them all in Close. It knows nothing of browsers that render: see package chromium.
package testbed
