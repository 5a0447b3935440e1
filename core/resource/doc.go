// Package resource turns one declaration into a resource: routes, SQL, validation, filters, permissions, audit events,
// used_by and the three schemas X, XRequest and PatchedXRequest.
//
// It owns what all resources have in common. A Go struct says the facts of each field (package core/api/schema), a Def
// says the facts of the resource, and hooks with one signature say what is special; operations that do not fit are plain
// api.Handle. Behaviour is never in tags, and there is no inheritance. Everything is compiled once, by Mount, and a wrong
// declaration panics there with what to do about it.
//
//	Mount(Def[T]) ── compile ──▶ plan: columns, SQL, filters, references ──▶ routes in core/api
//	Finish ── references by name ──▶ what used_by and deletions look at
//
//	GET list       authenticate ─▶ seen: Base AND Visible ─▶ filters, search ─▶ count and page in one round trip ─▶ Load ─▶ 200
//	POST           may ─▶ decode over New ─▶ BEGIN ─▶ references exist, locked ─▶ Validate ─▶ BeforeSave ─▶ INSERT ─▶ link tables
//	               ─▶ AfterSave ─▶ event model_created ─▶ Load ─▶ COMMIT ─▶ 201
//	PUT, PATCH     BEGIN ─▶ seen, FOR UPDATE ─▶ may ─▶ decode over the stored row ─▶ as POST, UPDATE of what differs ─▶ 200
//	DELETE         BEGIN ─▶ seen, FOR UPDATE ─▶ may ─▶ references in settings released ─▶ DELETE ─▶ AfterDelete ─▶ event ─▶ COMMIT ─▶ 204
//
// # Who may what
//
// A caller with view_<name> sees all rows, another one those of Visible, and without Visible none (403). A row that is not
// seen is 404 in every verb; a row that is seen, but not to be changed, is 403 (core.md §5, §7.1). used_by shows of each
// referring resource what the caller sees of it.
//
// # PUT
//
// As the contract has it (core.md §7.3), PUT needs the required fields and leaves absent optional ones as they are
// stored; fields marked reset are the exception.
//
// # Families
//
// A family is one table for many kinds: common columns and a jsonb column that holds the kind's settings, so that a new
// kind needs no migration. No foreign key guards a reference in there. Instead a write checks that the row exists and locks
// it against deletion, and a deletion, which locks the row first, releases what refers to it: empties it, takes it out
// of the list, or deletes the referring row as well.
package resource
