// Package user is people and service accounts: the row, how one is found, passwords, and /core/users/.
//
// It owns the table users, the membership that the field groups writes (group_members is shared with core/group,
// which writes it from the other side), and the rule that a user who is deactivated or gets a new password loses
// their sessions. It does not own groups (core/group), sessions (core/session), tokens (core/token), nor how a login
// goes (flows). A password never leaves the package and is in no body but set_password/.
//
//	flows/stages ── Store.Find ──▶ *User ── Store.CheckPassword ──▶ Hasher: argon2id | pbkdf2_sha256 (upgraded)
//	                                             │                  (bounded in parallel, same work for nobody)
//	core/api ── /core/users/ ── Service.Resource ┴─ set_password ──▶ Store.SetPassword ──▶ event password_set,
//	                                                                                       other sessions end
//
// Rights are never stored in a session: who is a superuser is asked of the groups at each request, so a change of
// groups needs to end none (core.md §10 item 24); a user who is not active has no session and no token.
package user
