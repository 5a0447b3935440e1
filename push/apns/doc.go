// Package apns is the push channel to Apple phones through the Apple Push Notification service itself, without Firebase.
//
// It owns the request, the provider token and what Apple's answers mean to us. It does not own retries, deadlines or metrics:
// push.Dispatcher does.
//
//	Send ─▶ provider token (ES256; 50 minutes) ─▶ POST URL/3/device/<token>, HTTP/2
//
// A token is used for 50 minutes: Apple takes one for an hour, and refuses who makes them more often than every 20 minutes.
// So the one that Apple calls expired is replaced, once, if it is older than that; else our clock is wrong, which is the
// operator's to mend.
//
// # What Apple's answers mean
//
//	reason, or HTTP status                          Reason                      again?
//	Unregistered, ExpiredToken (410)                unregistered: dead          no
//	BadDeviceToken (400)                            invalid_address: dead       no
//	DeviceTokenNotForTopic (400)                    sender_mismatch             no
//	BadTopic, TopicDisallowed, MissingTopic (400)   credentials                 no
//	ExpiredProviderToken (403)                      credentials                 once, with a new token
//	403 of other kind                               credentials                 no
//	PayloadTooLarge (413), 400 of other kind        bad_message                 no
//	TooManyRequests (429) and others of 429         quota                       after Retry-After, else a minute
//	InternalServerError (500)                       internal                    yes
//	ServiceUnavailable, Shutdown (503), other 5xx   unavailable                 yes, after Retry-After
//	no connection                                   unavailable                 yes
//	no answer in time                               timeout                     yes
//
// Source: developer.apple.com/documentation/usernotifications, "Sending notification requests to APNs" and "Handling
// notification responses from APNs".
package apns
