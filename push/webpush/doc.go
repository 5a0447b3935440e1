// Package webpush is the push channel to browsers, by Web Push, and to phones without Google, by UnifiedPush: both are
// RFC 8030 with the encryption of RFC 8291, and differ in name alone.
//
// It owns the request, the encryption, the proof of who sends (VAPID, RFC 8292) and what a push service's answers mean. It
// does not own the key of that proof (mobile keeps it), retries or metrics (push.Dispatcher), nor who has which subscription.
//
//	Send ─▶ Parse the subscription ─▶ encrypt to its key ─▶ POST endpoint ─▶ push service ··▶ browser or distributor
//	                                                          TTL, Urgency, Topic, Authorization: vapid t=…, k=…
//
// # What a push service's answers mean
//
//	status                          Reason                      again?
//	2xx                             accepted
//	404, 410                        unregistered: dead          no
//	3xx, or a private address       invalid_address: dead       no
//	401                             credentials                 no
//	403                             sender_mismatch             no (subscribed with another key than ours)
//	400, 413, other 4xx             bad_message                 no
//	429                             quota                       after Retry-After, else a minute
//	500                             internal                    yes
//	503, other 5xx, 408             unavailable                 yes, after Retry-After
//	no connection                   unavailable                 yes
//	no answer in time               timeout                     yes
//
// # Where it connects to
//
// An endpoint is what a phone says it is, and the server calls it: anybody who may enrol a phone could make it call into
// the operator's own network. So it calls https alone, connects to public addresses alone, which is judged for each
// connection after the name was resolved, follows no redirection, and reads 4 KiB of the answer. Config.AllowedHosts lifts
// the first two for push services of one's own.
//
// # Why no library
//
// The library that Go has for this (webpush-go) calls the part of crypto/elliptic that is deprecated, signs a new token for
// each message, knows nothing of where it may connect to, and its errors hold the endpoint. What is left of it once those
// are replaced is the hundred lines of encrypt, which the vector of RFC 8291 holds to its bytes; the cryptography is the
// standard library's, and the token is go-jose's.
//
// Sources: RFC 8030, 8188, 8291, 8292; unifiedpush.org/developers/spec.
package webpush
