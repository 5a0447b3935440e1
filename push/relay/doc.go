// Package relay rings phones through a relay: a service run by whoever makes the app, which has the credentials at Google and
// Apple that a self-hosted server has not. It owns the channel and what crosses the wire between server and relay; the relay
// itself is push/relay/server.
//
//	phone ── its address, and which server may use it ──▶ relay          POST /relay/v1/handles
//	phone ◀─ a handle: the address, sealed to that server ── relay
//	phone ── the handle ──▶ server                                       set_notification_key
//	server ── handle, signed ──▶ relay ── a wake-up ──▶ provider ··▶ phone   POST /relay/v1/wakes
//
// # What the relay sees
//
// A wake-up names no user, no login and no server by name: the relay sees the key of the server (its instance), an opaque
// handle, how long the wake-up is good for, and a hash that says which replaces which. Title, body and data of the message
// stay here; the phone is told to fetch, and fetches over its own authenticated call. A phone that cannot fetch is no use
// with a relay.
//
// # Who may ring whom
//
// A handle opens for one instance alone, the one that the phone named when it was made: it is sealed with the instance's
// thumbprint as associated data. So neither a stolen handle nor a stolen database of handles rings anybody without the
// instance's key, and the relay need keep nothing. (To bind it to the instance that uses it first would need a store, and
// would give it to a thief who is quicker.)
//
// A request is authenticated by a compact JWS in the header Authorization, scheme Countersign-Relay, ES256, with the public key
// in it (jwk) and the claims {"aud": the relay's host, "bh": SHA-256 of the body, "iat", "jti", "ticket"}. It counts once,
// within two minutes. The ticket is the relay's permission for the instance, from its administrator; a relay may be open, and
// then needs none.
//
// # Answers
//
//	status      body                       Reason
//	202                                    accepted by the provider
//	4xx, 5xx    {"reason": "…"}            that reason, of package push; Retry-After with quota and unavailable
//	401         {"reason": "credentials"}  the proof or the ticket is refused
package relay
