// Package flows is the flow engine: it plans a flow, holds the plan between requests, asks the current stage,
// and decides what the browser gets next.
//
// It owns the flow, its bindings, the stage family, the plan, and the steps that no stage may forget: the
// requirement check, the lock on a plan, the compare-and-set that commits a stage's effect together with the
// advance, expiry, and the audit events of an ended flow. It does not own HTTP (flows/executor), any stage
// (flows/stages/<kind>, authenticators, mobile), sessions or users (core/session, core/user).
//
// # One request
//
//	executor ─▶ Engine.Serve ─▶ load plan ─▶ lock(session, flow) ─▶ Stage.Begin | Stage.Answer ─▶ Outcome
//	                 ▲                                                                             │
//	                 │       Show, Stay ── 200 and the challenge                                   │
//	                 │       Next ──────── step popped, plan saved, 302 (POST) or on to the next   │
//	                 │       Deny ──────── plan ended, 200 access-denied (or replanned: restart)   │
//	                 └─ wake, Wait ─────── lock given back, the request sleeps on a channel ◀──────┘
//
// # The states of a plan
//
//	            GET/POST                  last step passed
//	(none) ───────────────▶ running ───────────────────────▶ done   (kept for a moment, so that a second tab ends too)
//	   ▲                    │  ▲ │
//	   │   cancel, expiry   │  └─┘ stay, next, restart: version + 1
//	   └────────────────────┘
//	                        └── deny ──▶ (none)
//
// A plan is one row per session and flow (core.md §10 item 28): versioned JSON, written only by compare-and-set on
// its version, in the same transaction as what the stage did. Whoever loses the race has changed nothing: the answer is
// tried again while the plan still stands at the step that it was meant for, else the browser is told to look again (302),
// as is a request whose session somebody logged in, or ended, after it was loaded. A plan belongs to the user who was
// logged in when it was made; another one who logs in at the same browser begins anew. Two requests on one plan in one
// process take turns; an answer that was overtaken while it waited for its turn is not fed to a stage it was never meant
// for.
//
// # Adding a stage
//
// One folder that implements Stage, a settings struct for the API, and one line in cmd/app/kinds.go. flows/flowtest
// is the suite that each kind runs.
package flows
