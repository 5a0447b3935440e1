// Package wire owns what crosses the network between the server and a phone: the bodies of the
// device operations, the QR payload, the data of a push and the list of pending prompts, with the
// limits on their sizes, and the signatures on them. Server and simulator both build on it; it
// imports the standard library only and knows neither storage nor HTTP.
//
// # A prompt
//
// A prompt is one question to one phone ("is this you?"), named by its tx_id. The server owns the
// state; a phone sees only that the prompt is pending, or that it no longer is.
//
//	                  selected_item is the right one
//	                ┌────────────────────────────────▶ accept
//	                │ selected_item is another item
//	                ├────────────────────────────────▶ wrong
//	created ──▶ wait│ selected_item is "deny"
//	                ├────────────────────────────────▶ deny
//	                │ a newer prompt for the same phone
//	                ├────────────────────────────────▶ superseded
//	                │ the clock passed expires
//	                └────────────────────────────────▶ expired
//
// Every state but wait is final, and the first answer wins. The reply to an answer is 204 for the
// right item, a wrong item and "deny" alike, so that a phone cannot try items out; an answer to a
// prompt that is not in wait, or not of that phone, is 404.
//
// Where the person types a number instead of picking an item, a few wrong ones leave the prompt in
// wait: each is a 400 that says so and how many tries are left ([WrongNumber]), and the last one ends
// it. Where the phone shows a code, its approval leaves the prompt in wait until the browser has sent
// the code, or the other way around.
//
// # How a prompt reaches the phone
//
//	server ── push, kind "wake": tx_id ──────────────▶ phone that can fetch
//	server ◀── GET …/pending/ with the device token ── phone
//	server ── Pending: items, context, expiry ───────▶ phone
//
//	server ── push, kind "challenge": tx_id, items ──▶ stock phone, which cannot fetch
//
// A phone says that it can fetch by the marker in [Info].Others; see [Info.CanFetch]. No push
// carries the name of a user nor says which item is right, nor a code: what is typed reaches a phone,
// if at all, by its own call alone.
//
// # Signatures
//
// A phone that signs has a [Key] for possession and may have one for user verification. Each request
// carries a proof of the first ([Signer.Prove], RFC 9449 with a digest of the body); what it is asked is
// signed by the server ([Signer.SignPrompt]); its answer is signed over the digest of what it was shown
// ([Signer.SignAnswer]). All three are compact JWS whose algorithm is that of the stored key, and whose
// claims have one canonical form. A browser's key for user verification is a [Passkey], which asserts an answer of the
// possession key ([AnswerChallenge]). docs/phone-app.md tells a stranger how; testdata/vectors.json shows it.
package wire
