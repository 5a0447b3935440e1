// Package apns is a double of the Apple Push Notification service: POST /3/device/<token> over HTTP/2, with provider tokens.
// It owns the key that the server under test is to be configured with; what it shares with other doubles (storing, faults,
// history) is simulator/inbox. It speaks to nobody outside.
//
//	POST /3/device/<token>
//	  │ fault on command? → its reason, and that one's status
//	  │ HTTP/2? else 505
//	  │ provider token: ES256, our key id and team, made within the hour? else 403, with the reason
//	  │ topic, push type, priority, expiration, collapse id as Apple has them? else 400, with the reason
//	  │ payload of 4096 bytes at most? else 413      JSON with aps? else 400
//	  │ device known? else 400 BadDeviceToken, once known 410 Unregistered
//	  ▼
//	200 ─▶ delivered to the phones that are connected, or stored until apns-expiration (0: now or never; none: 30 days). Of several for a
//	       phone that is offline the newest is kept, as by the original, or with Options.KeepAll the newest of each collapse id.
//
// Every reason of Apple's table comes on command: see [Reasons].
//
// Serve it with TLS: httptest.Server with EnableHTTP2, or http.Server. Source: Apple's "Sending notification requests to APNs".
package apns
