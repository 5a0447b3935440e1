// Package webpush is a double of a push service that speaks Web Push: RFC 8030 with the encryption of RFC 8291 and the proof
// of RFC 8292. It owns subscriptions with their private keys, and so reads what it is sent, as the browser would; what it
// shares with other doubles (storing, faults, history) is simulator/inbox. It speaks to nobody outside.
//
//	POST /push/<id>
//	  │ fault on command? → its status
//	  │ Authorization: a vapid token, ES256, for this origin, that ends within a day? else 401
//	  │ by the key that the subscription was made with? else 403
//	  │ TTL, Urgency, Topic as RFC 8030 has them? else 400        aes128gcm? else 415        4096 bytes at most? else 413
//	  │ subscription known? else 404, once known 410
//	  ▼
//	201, and decrypted: what cannot be is taken as well, as by the original, and its record says so
//
// With Options.Channel unifiedpush it is the server behind a UnifiedPush distributor: the same, and each endpoint says so by
// GET, {"unifiedpush":{"version":1}}; a message has one byte at least.
//
// A subscription is made in process (Double.Subscribe…), or by POST /-/subscriptions {"application_server_key": "…"}, which
// answers with what a browser's pushManager.subscribe gives. GET /-/ lists the controls.
package webpush
