// Package mail tells users by e-mail what was done to their accounts: that an authenticator was added or removed, that the
// address or the password was changed (NIST SP 800-63B-4, chapter 4; ASVS 6.3.7).
//
// It owns the notices, from the event to the mail server, and their texts (template). It does not own the events that
// they tell of, nor the retries, which are River's (core/task).
//
//	deed ── event.Log.Statement ── Beside ──▶ one statement: event and mail_outbox, in the deed's transaction
//	                                               │ NOTIFY countersign_mail, else the periodic Tidy
//	     a node that works jobs: Relay ◀───────────┘
//	        │ one transaction: rows out of the outbox, quotas, jobs in
//	        ▼
//	     job send_mail, eight attempts ──▶ render ──▶ Sender ──SMTP──▶ event email_sent
//	        ▲             │ 4xx, network, password      │ 5xx, no address
//	        └─ pause ─────┘                             ▼
//	                         last attempt ──▶ event system_task_exception, a line in the log, a week in River's table
//
// Every way to add or remove an authenticator writes its event, so no kind knows of mails, and an event that no mail tells
// of costs a map look-up. A mail goes to the address that the user had when the deed was done: whoever takes an account
// over would change the address first. The old address is told of the change, too.
//
// An address gets twenty mails an hour about a user; the twentieth waits for the end of the hour and tells how many more
// there would have been. A link is sent only to hosts that an administrator named (a brand, or the domain of the sender's
// address), as the Host header of a request is its maker's choice. Texts of users are one line, bounded, and shown as they
// stand.
//
// A mail may come twice after a crash, with the same Message-ID.
package mail
