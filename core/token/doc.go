// Package token is the keys that programs log in with: api tokens (the bearer of the API), app passwords (taken by the
// password stage), and the short-lived ones of verification and recovery links. It serves /core/tokens/.
//
// It owns the table tokens. A key is found by its SHA-256 and sealed with the server's key for those who may see it
// again (view_key/); it is in no list, no log and no event. It does not own OAuth2 tokens nor the tokens of phones.
//
//	POST /core/tokens/ ─▶ key drawn ─▶ row {key_hash, key_sealed} ─▶ view_key/ (event secret_view) ─▶ the key
//	Authorization: Bearer <key> ─▶ Store.Authenticate ─▶ rbac.Actor (one query, rights of the moment)
//	                                    └─ unknown, expired, other intent, user not active: one and the same 403
//	Store.Clean ─▶ expired api token: new key, new end, event secret_rotate · any other: deleted
//
// An expired token is refused, never deleted by being used (core.md §10 item 25). The defaults of a new token (intent,
// user, end) are not applied again when it is changed (item 26).
package token
