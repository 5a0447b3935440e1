// Package server is the relay: it rings phones for servers that have no credentials of their own at Google or Apple. What
// crosses the wire, and what the relay gets to see, is told in push/relay.
//
// It owns handles (made, opened, never stored), the admission of instances, limits, and the metrics. It does not own the
// channels to providers, retries (the instance's Dispatcher has them), or TLS.
//
//	POST /relay/v1/handles ──▶ limit by network ──▶ seal {channel, address} to the instance ──▶ 200
//
//	POST /relay/v1/wakes
//	  │ over 4 KiB? 413          │ proof good? ticket good, or open, and not revoked? else 401
//	  │ seen before? 401         │ within the instance's limit? else 429
//	  │ handle opens for this instance? else 410
//	  │ within the handle's limit? else 429
//	  │ a free place, or one in the queue within its time? else 503
//	  ▼
//	one attempt at the provider ──▶ 202, or its reason
//
// It keeps no state beyond its process: which proofs came in the last minutes, and how much each instance and handle used
// of its limit. Several relays with one secret key may share the work; each then counts for itself, and a proof that is
// caught on its way could ring the phone once more on each, within two minutes.
//
// # Keys
//
// Handles and tickets are sealed by AES-256-GCM under keys derived from the relay's own. To change that, the old one stays
// among the keys that open until the apps have fetched new handles.
package server
