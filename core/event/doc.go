// Package event writes the audit log: who did what, from where, in the same transaction as the deed.
//
// It owns the events' actions, their shape, what a request adds to them (Origin) and what is taken out (secrets). It
// does not read them: core/eventlog serves /events/events/.
//
//	core/api ── WithOrigin(ctx) ──▶ handler, stage, hook ── Log.Emit(ctx, tx, Event) ──▶ sanitised ──▶ events row
//	                                                        Log.Statement ──▶ a statement of the caller's batch
//	                                                        Log.Args + InsertSQL ──▶ a part of the caller's statement
//	                                         Log.Beside ── what else is to happen with it, in the same statement
//
// A change of state whose event cannot be written is not made: Emit's error must roll the transaction back. Events are
// not changed after they are written; they expire (Log.Retention).
//
// The shapes are the wire's (ring.md §5.1): user {pk, username, email}, brand and models {pk, app, name, model_name},
// context.http_request {path, method, args, user_agent, request_id}, values under a key that sounds like a secret as
// twenty asterisks.
package event
