// Package fcm is the push channel to Android and Apple phones through Firebase Cloud Messaging, HTTP v1.
//
// It owns the shape of the message at FCM, the access token, and what FCM's errors mean to us. It does not own
// retries, deadlines or metrics: push.Dispatcher does.
//
//	Send ─▶ messaging.Client (Firebase SDK) ─▶ wire ─▶ POST BaseURL/projects/<project>/messages:send
//	                                            │ access token, an hour
//	                                            └────▶ POST token_uri of the credentials (RFC 7523)
//
// # One attempt for each Send
//
// The SDK retries network errors and 503 by itself, up to four times over seven seconds, and offers no way to change
// that. Here a login must hear of the first failure within a second, and the Dispatcher retries with jitter, within
// the answer window and with an eye on Cancel. So the transport below the SDK (wire) ends its loop: after a network
// error it cancels the context of this Send, with the error as the cause, and a 503 is shown to the SDK as a 502,
// which it does not retry; what a 503 means is in its body and headers, which stay. The code path is the same whatever
// the URLs, so a test against a stand-in tests production.
//
// The token is fetched here too and not by the SDK, for three reasons: its fetch ignores the context and so may hang
// past every deadline; it asks for six scopes where one is enough; and after a 401 it goes on with the same token.
//
// # What FCM's answers mean
//
//	FCM error code, or HTTP status           Reason                      again?
//	UNREGISTERED (404)                       unregistered: dead          no
//	INVALID_ARGUMENT (400), about the token  invalid_address: dead       no
//	INVALID_ARGUMENT (400), other; 413       bad_message                 no
//	SENDER_ID_MISMATCH (403)                 sender_mismatch             no
//	THIRD_PARTY_AUTH_ERROR (401)             credentials                 no
//	401 of other kind                        credentials                 once, with a new access token
//	403 or 404 of other kind                 credentials                 no (API off, role missing, no such project)
//	QUOTA_EXCEEDED (429)                     quota                       after Retry-After, else a minute
//	INTERNAL (500)                           internal                    yes
//	UNAVAILABLE (503), other 5xx, 408        unavailable                 yes, after Retry-After
//	no connection                            unavailable                 yes
//	no answer in time                        timeout                     yes
//	token_uri says 4xx                       credentials                 no
//	token_uri says 429 or 5xx                unavailable                 yes
//
// Sources: firebase.google.com/docs/cloud-messaging/error-codes, …/docs/reference/fcm/rest/v1/projects.messages.
//
// # Addresses
//
// An address of the channel "fcm" is a registration token, one of "fcm:fid" (Channel.Installations) a Firebase installation
// id, to which FCM is moving. The SDK can send to those from version 4.21 on, whose requirements do not build with ours; so
// the SDK is given the id as a token, and the transport below it writes the target as FCM wants it.
package fcm
