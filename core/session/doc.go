// Package session is browsers and who is logged in with them: the cookie authentik_session, its row, log in and out,
// and /core/authenticated_sessions/.
//
// It owns the table sessions. It does not own how a person proves themselves (flows), nor the plans that flows keep
// per session (flow_plans, deleted with the row). Users and their rights are read with the session, in one query, at
// each request: nothing about them is cached.
//
//	            Start                      Login (new key, same session)
//	(no cookie) ─────▶ anonymous ────────────────────────▶ logged in
//	   ▲                 │ AnonymousIdle unused                │ Logout · deleted by API · user inactive or deleted ·
//	   │                 ▼                                     │ expired · network or place changed against its binding
//	   └────────────── gone ◀──────────────────────────────────┘
//
// The cookie is a JWT (core.md §6.4) signed with a key of the server; of what it says only the random key (sid) is
// used, and only that key's SHA-256 is stored. A login replaces the key, so one that was planted before it is worth
// nothing after it. A cookie that is forged, of another server, or of a session that is gone is no cookie. One that an
// older key of the server signed (OldKeys) is taken, and signed anew by Renew.
//
// A session ends after its Duration, or after BrowserIdle without use where it has none. The contract has both slide;
// here a session with a duration slides only at /core/users/me/ (Renew), as the cookie's own end must move with it.
package session
