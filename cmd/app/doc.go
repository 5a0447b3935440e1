// Package app is the composition root: it joins configuration, database, services and routes into a server, and sees
// every package, which no other does.
//
// It owns the settings (Config), the list of kinds and resources (kinds.go), the default flows (seed.go), and the
// start and the end of a server. It owns no behaviour: a handler or a query here is in the wrong room.
//
//	Open: data directory ─▶ secret key ─▶ PostgreSQL (managed or given) ─▶ migrate ─▶ first start ─▶ services ─▶ routes
//	Run:  jobs, listener ─▶ until the context ends ─▶ no new requests, waiting logins end ─▶ jobs ─▶ bus ─▶ PostgreSQL
package app
