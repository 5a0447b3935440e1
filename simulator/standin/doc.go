// Package standin is a stand-in for the server: the least of the wire contract that a phone, a browser and a load run need, in
// memory. It is for the simulator's own tests, for virtual time, for a phone app in the making, and to measure the simulator. It is
// its own push service. It owns no rule of the product: what it lets through proves nothing about the server.
//
//	mux ─▶ executor   flow of a login: name and password ─▶ phone ─▶ in
//	    ├▶ deviceAPI  what phones call: enrol, pending, socket, response
//	    └▶ admin      users, set-up flows, approvals
//	flaw, guard: what a server does against attacks, and which one of it this one does wrong
package standin
