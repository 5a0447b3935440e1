// Package bootstrap is the first start: what an empty installation needs so that a person can take it over, and only
// the right person.
//
// It owns the table installation (install id, setup link) and the making of the group, the user and the brand that
// every installation begins with. The default flows are the flows' (the composition root runs both).
//
//	Run ── advisory lock, one transaction ─▶ installation row is new? ─▶ install id, group `authentik Admins`,
//	                                             │                       user akadmin (no password), brand
//	                                             ▼
//	        environment: password, e-mail (while akadmin has no password), token (while there is none)
//	                                             │
//	        a superuser has a password? ── yes ──▶ done
//	                                    └─ no ───▶ setup token, 24 h, only its SHA-256 is kept ─▶ the caller prints the link
//
//	/if/setup/<token>/ ─▶ Check ─▶ Setup: consumes the link, sets e-mail and password of akadmin
//
// There is no open set-up page and no usual password (core.md §10 item 44): who can read the server's output is who
// may set it up. The link is void as soon as any superuser has a password. Of several nodes that start at once one
// makes the link; the others say that it was made (Result.LinkElsewhere) rather than make it void with one of theirs.
package bootstrap
