// Package world is the servers of a run, where it starts its own: a database and some nodes on it, as processes that can be
// killed. It owns the processes, their ports and settings, and the way to a node that lives; what the nodes do is theirs.
//
//	database: absent ─ start ─▶ up ─ stop │ kill ─▶ absent        `countersign database`
//	node:     absent ─ start ─▶ up ─ stop │ kill ─▶ absent        `countersign serve`, on one port for good
//
//	Dial: any address ─▶ the next node that is up; none ─▶ an error, as of a load balancer without servers
//
// The program is the one that is given, or one beside this program, or in PATH, or is built where the sources are.
package world
