// Package task runs background jobs: on a period, once in the whole installation however many nodes there are, and once
// for something that happened.
//
// It owns the runner, a thin coat over River (which keeps jobs in PostgreSQL, in the schema "river", and elects
// one node to enqueue), and no job: each area gives its own as a Periodic or a OneOff, listed in cmd/app.
//
//	[]Periodic ── New ──▶ Runner.Start ── elected node enqueues each Every ──▶ one of the nodes works it ──▶ Run(ctx)
//	[]OneOff   ── New ──▶ Runner.InsertTx(tx, facts) ── tx commits ──▶ one of the nodes works it ──▶ Run(ctx, facts)
//	                                                        ▲                 │ error
//	                                                        └── growing pause ┴─▶ Final, or the last attempt ──▶ Failed
//
// A job is at-least-once: it may run again after a crash, so Run must bear that. A run that fails is tried again a few
// times with growing pauses; a periodic job is never queued twice at once. What must answer at once, pushes above all, does
// not belong here.
package task
