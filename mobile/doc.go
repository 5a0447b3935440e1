// Package mobile is the phone as an authenticator: its enrolment, the operations that it calls, the prompts that it
// answers, and the waiting of the browser for the answer (core.md §4).
//
// It owns the tables mobile_… (devices, tokens, keys, proofs, transactions, server_keys) and push_keys, the enrolment stage, the eleven device
// operations and pending/, and the kind "mobile" of the validation stage. It does not own the sending (push), the
// bodies on the wire (mobile/wire), nor the decision whether a login needs a phone (authenticators/validate).
//
// # A device
//
//	enrolment stage ─▶ shown: one-time token, and a code that is exchanged for another one (10 minutes)
//	     redeem ─▶ opened ─ redeem again ─▶ contested: the page warns
//	     enrollment_callback without keys ─▶ confirmed, device token
//	     enrollment_callback with keys ─▶ called in: a token that may ask how it stands, and nothing else (10 minutes)
//	          page: the same fingerprint ─▶ confirmed ─▶ check_in, set_notification_key, pending, receive_response
//	          page: another one ─▶ removed, with its token and keys
//	     nothing for an hour ─▶ collected
//
// Whoever is first to read a QR code or a link is the one who enrols; that race cannot be seen from the server. So a phone with
// keys is good for nothing before its owner has said at the page that both screens show the same fingerprint: nine digits,
// 30 bits, of a SHA-256 over the device, the token, the thumbprints of the phone's keys and of the server's, and a salt. The
// phone computes its own and is never told the server's. Somebody who was faster is seen, as the owner's phone then shows an
// error or other digits. Somebody who knows what the owner's phone will show, having had it enrol elsewhere, would have to make
// keys until theirs show the same: a matter of minutes for 30 bits, were it not for the salt, which the server draws once the
// keys are there. So every guess takes an enrolment of its own, and the owner's consent to none but one: 2^-30.
// It does not hold against a page that is itself the attacker's, nor for stock phones, which have no keys: where a stage
// accepts bearer, the first to scan is confirmed at once, as the contract has it. A code that was redeemed demands keys.
//
// Tokens are stored as SHA-256. A device token is good for the device in the path and for nothing else. A phone that brings
// keys to its enrolment proves the first of them with every request from then on, and its token alone is worth nothing; a
// proof names a nonce that only the server makes, and counts once on all nodes (table mobile_proofs). The stage says by
// accepted_answers what it takes: the token alone, a signature, or one of the key that checks the phone's owner. Which it was
// stands in the transaction, the event and the session. A phone that is a web page has a passkey for that key: it signs nothing
// itself, but asserts an answer of the possession key.
//
// A phone changes its keys by rotate_keys: the new ones wait beside the old until the phone first proves the new possession key, and
// are forgotten if it does not within ten minutes, so that no loss on the way leaves it without keys that are good. The
// user-verification key changes by its own word alone.
//
// A phone moves to another one by a transfer, which the old one begins and, by the key that checks its owner, approves:
//
//	POST transfer/ ─▶ offered ─ enrollment_callback ─▶ arrived ─ approve_transfer/ ─▶ approved ─ overlap, or first use ─▶ the old one is removed
//	                     └── ten minutes, DELETE, the old phone is removed ──┘ the new device is gone
//
// Until it is approved the new device is not confirmed, and its token is good for asking how it stands. The fingerprint that is
// compared before is that of any enrolment; the old phone makes it of what it is about to vouch for (wire.Binding).
//
// What the phone's maker says of the keys is checked before they are taken, as the stage demands (mobile/attestation): a
// phone that falls short is refused with an event, and its one-time token stays good.
//
// # A prompt
//
//	                   ┌─ right item ────▶ accept ──▶ the login goes on
//	        select     ├─ other item ────▶ wrong ───▶ the challenge is over, nobody is let in
//	(items) ────▶ wait ┼─ "deny" ────────▶ deny ────▶ the flow is over
//	                   ├─ newer prompt ──▶ superseded
//	                   └─ time ──────────▶ expired
//
// Where the person types a number on the phone there are no items, and a wrong number leaves the prompt in wait while attempts are
// left. Where the phone shows a code, two things are needed, in either order, and each is counted by an UPDATE of its own:
//
//	wait ─┬─ the phone approves ─▶ approved ─┬─ the browser sends the code ─▶ accept
//	      └─ the browser sends it ▶ carried ─┴─ the phone approves ─────────▶ accept
//	wrong codes in the browser ─▶ attempts_left ─▶ 0: wrong
//
// The code alone would prove that somebody reads the phone, but not with which key, and not that its owner was asked: the signature
// is what the server trusts. The approval alone carries nothing. The code goes to the phone in its own call and never to the browser.
//
// What a mode is worth is in assurance.go, in one place: the ladder that administrators see, the check of what a stage demands, and
// what a login may claim.
//
// The items are drawn when the device is offered and bound to a row when it is chosen (core.md §10 item 8). The
// answer is one UPDATE that demands the owner's token, a key in force that suffices, the state wait and the time: the first answer
// wins, also over nodes and under replay. One prompt a device is pending; the database's unique index says so. What a phone signed is
// checked by the challenge that this node remembers to have shown it, else by reading the prompt first.
//
// # How often, and what a refusal sets off
//
//	Select ─▶ aim (one query) ─▶ blocked by a report? ─▶ Budget: own count, shared count ─▶ known one's prompt open? ─▶ crowd ─▶ open
//	                                 │                        │                                  │                      │
//	                                 └──────────── throttled: the offer says until when, and why ┴──────────────────────┘
//	receive_response, report ─▶ one transaction: answer, effects that the set-up stage names, event ─▶ mobile_blocks
//	                            administrator: unblock ─▶ lifted, rings forgotten
//
// Each ring takes the user's next place (mobile_transactions.ring), so that of two at once one is told to look again.
// An answer notes whether the phone is in the browser's network; what that means is the validation stage's to say.
//
// # An approval
//
// Where an application asks (approvals/) the prompt is about a transaction in place of a login. Only a phone that signs and says that
// it can show one is asked; what it shows is in the bytes that it signs (wire.Transaction), so that an answer to other fields does not
// hold. It ends as a prompt does, or by the application: cancelled. A login may supersede it; it supersedes nothing. Each application
// has a budget of its own. Whatever ends an approval with a webhook, a trigger puts it into mobile_webhook_outbox in the same
// transaction, from where it becomes a background job (core/task) that tells the application.
//
// # Waiting
//
//	browser ── POST {"mobile": uuid} ──▶ subscribe ─▶ read the row ─▶ sleep on a channel ─▶ read the row ─▶ reply
//	phone ──── receive_response ───────▶ UPDATE … RETURNING node ─▶ wake: this node by the channel, another by the bus
//
//	phone ──── pending/?wait, socket/ ─▶ take the seat ─▶ note the node ─▶ read ─▶ sleep ─▶ read ─▶ reply, or message
//	browser ── a prompt opens, ends ───▶ stir the seat: here by a call, on the node that the device's row names by the bus
//
// A device's row names, for half an hour at a time, the node that holds the phone, and the query that aims at a phone reads it:
// one node is woken, and only where one is named. A node that died is named in vain; the push, and the next poll, cover that.
// The deletion of a device or its token, and the deactivation of its user, stir the seat by a trigger.
//
// # On the way
//
//	created ─▶ sent ─▶ accepted ─▶ fetched ─▶ displayed ─▶ answered ─▶ released
//	             └───▶ failed (why)
//
// A page that shows how far its question came says so when it asks ("delivery" in the challenge that it sends along); its request
// comes back, softly, at each news. All others are left to sleep. The stages go to the metrics at once; into the row and the audit
// log they are written a quarter of a second later, many prompts at once (record.go), so that no login waits for that.
//
// Of requests no goroutine outlives its own; a socket keeps one. Nothing asks the database in a loop. A prompt's row names the node whose request
// waits; a browser that comes back on another node moves the name there before it reads. The row is the outbox of its push as well: of a
// node that died with a push in its hands nothing is ever heard, and the one that took the prompt over sends it (rescue.go).
package mobile
