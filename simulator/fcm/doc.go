// Package fcm is a double of Firebase Cloud Messaging's HTTP v1 API: the OAuth token endpoint and
// messages:send, true enough that the official Admin SDK runs against it unmodified with two URLs
// changed, and faults on command. It owns addresses, stored messages, faults and the history of
// sends; it knows nothing of phones or logins, and never speaks to Google.
//
//	POST /token                       service account's signed assertion → bearer token
//	POST /v1/projects/<p>/messages:send
//	  │ outage? → its error             (an outage is the service's, before any check)
//	  │ bearer token known, not expired? else 401
//	  │ project ours? else 403
//	  │ body a valid message? else 400, with the field or with FcmError
//	  │ quota left? else 429 + Retry-After
//	  │ address registered? else 404 UNREGISTERED
//	  │ quota of the address left? else 429 + Retry-After
//	  │ scripted step of the address, or the error rate's draw → that error
//	  ▼
//	accepted (200, name) ──▶ stored ──▶ delivered to every connected phone
//	                            │ phone sleeps (Doze), and the priority is not high → dozing, until it wakes or has a window of
//	                            │     maintenance; high counts as normal once the phone is demoted, for high ones that showed nothing
//	                            │ ttl over → expired        ttl 0 and no phone connected, or it sleeps → expired
//	                            │ newer message, same collapse key → collapsed
//	                            └ lost (on command) → never delivered, the sender does not learn it
//
// Phones connect in process by [Double.Subscribe] or over HTTP by [Client]. Control endpoints lie
// under /-/ and are listed by GET /-/. They are open to whoever reaches the port: bind it to the
// loopback interface.
//
// Known differences from the original: topics and conditions are checked and recorded but have no
// subscribers; the size limit counts keys and values as sent, before the original's own framing; messages with a collapse key have no
// limit of their own (the original takes bursts of 20 to a device); after how many unseen messages a phone is demoted the original
// does not say, here [Conditions.DemoteAfter] does.
//
// Sources: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages,
// https://firebase.google.com/docs/cloud-messaging/error-codes,
// https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas.
package fcm
