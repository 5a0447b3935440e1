// Package egress makes calls to places that others have named: push services that phones choose, webhooks of applications.
//
// Whoever may name a place could make the server call into its operator's own network. So it connects to public addresses
// alone, which is judged for each connection after the name was resolved, and speaks https alone; the operator's settings name
// the hosts that are excepted. It owns that judgement. It does not own what is sent, redirections (the caller's client refuses
// them) or how much of an answer is read.
package egress
