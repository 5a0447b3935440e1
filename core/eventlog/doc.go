// Package eventlog serves the audit log: /events/events/, its statistics, and the clean-up of what has expired.
//
// It reads the table events that core/event writes. The log only grows: events are made by the server, or by POST from
// programs that act for it (outposts) and hold authentik_events.add_event; what was reported that way says who
// reported it (context.reported_by). PUT, PATCH and DELETE are in the contract and so are in the document, but nobody
// has the permission, superusers included: the answer is 403, the one refusal that every client of the contract knows
// on these operations. Events end by their age alone (Log.Clean).
//
//	core/event ──INSERT──▶ events ──▶ /events/events/ (list, retrieve, filters, search)
//	POST ─────────────────▶   │   └─▶ volume/, per_month/, top_per_user/ (Series: one grouped query)
//	                          └─ expires ──▶ Clean
//
// Lists count no further than CountLimit, so a page of a large log costs what a page of a small one does.
package eventlog
