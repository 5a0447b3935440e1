// Package phone is a person's phone: it enrols from the text of a QR code, is rung by pushes,
// fetches what it is asked, and answers by a [Behaviour] or by hand. It owns the accounts on the
// phone, its rings and the timeline of what it did; it talks to the server by the device operations
// of mobile/wire alone.
//
//	EnrolFromQR ──▶ enrollment_callback ──▶ set_notification_key ──▶ check_in ──▶ account
//
//	push "wake" ──▶ GET …/pending/ ──┐
//	push "challenge" (stock) ────────┴▶ ringing ──▶ Behaviour, or Answer ──▶ receive_response
//	Refresh (no push came) ──────────┘     │                                     │
//	                                       ├▶ expired                            ├▶ answered (204)
//	                                       └▶ gone, no longer pending            ├▶ gone (404)
//	                                                                             └▶ failed
//
// A phone never learns whether the number that was tapped was the right one: that is the browser's to show. Where a number is
// typed it does, and rings on while there are tries left; where it shows a code (Ring.Code), the browser's side types it.
//
// [Behaviours] names what persons and phones do, for scenarios; [Phone.Play] has a phone do it. Around that,
// [Phone.SetNetwork], [Phone.SetSaver], [Phone.Kill], [Phone.LoseKeys] and Options.Skew are what befalls a phone, and a
// [Malice] is what an attacker makes of its answer.
//
// A run can be repeated: names, keys and signatures follow from Options.Rand, and time is that of Options.Clock. Only
// the ids of proofs, which no behaviour sees, are drawn by mobile/wire itself.
package phone
