// Package browser is the login side: it walks the server's flow executor over HTTP as the pages do,
// with a cookie jar, and reports how the login ended and how long each step took. It owns cookies
// and the reading of challenges; it runs no script and renders nothing.
//
//	GET /if/flow/<slug>/                       cookies
//	GET executor ──▶ challenge ◀────────────────────────────┐
//	   │ ak-stage-identification    POST uid_field          │ 302 → GET
//	   │ ak-stage-password          POST password           │
//	   │ ak-stage-authenticator-validate                    │
//	   │    POST selected_challenge     (the push goes out) │
//	   │    POST mobile ⟲ while waiting (held by the server)│
//	   │ ak-stage-authenticator-mobile  QR payload → phone; │
//	   │    poll enrollment_status; POST {}                 │
//	   │ ak-stage-user-login        POST remember_me ───────┘
//	   ├▶ xak-flow-redirect       the flow is done
//	   └▶ ak-stage-access-denied  it is refused
package browser
