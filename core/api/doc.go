// Package api is the HTTP face: typed operations on gin, authentication, the one error writer, pagination and the
// OpenAPI document.
//
// It owns what every request goes through, and how bodies are read and answers written. It knows no resource and no
// page: those hand their routes in. Sub-package schema knows what a struct says about its JSON.
//
//	request ─▶ id, origin (client address through trusted proxies), headers ─▶ route ─▶ authenticators ─▶ CSRF ─▶ permission
//	        ─▶ body: limit, time, JSON, schema ─▶ handler ─▶ JSON │ error ─▶ fault.As ─▶ status and body
//	        ─▶ log line, metrics by operation
//
// Every response carries X-authentik-id, 32 hex digits, which the log line has too. A client learns of an error only
// what a fault says: {"field": ["text"]} for 400, {"detail", "code"} otherwise (core.md §7.4); the cause goes to the log.
// Paths end in a slash; without it they are 404 for every method (core.md §7.2).
//
// Credentials are asked of a list of Authenticators, in order. Bad ones are 403, as missing ones are where some are
// needed; 401 is not used (core.md §7.1). Requests of a session with an unsafe method must also prove that they come
// from a page of ours: header X-authentik-CSRF equal to cookie authentik_csrf, and no foreign Origin.
//
// The document is built from the operations at start-up and checked by kin-openapi; /api/v3/schema/ serves it as YAML, or as
// JSON for "Accept: application/json" and ?format=json, and /api/browser/ shows it to people.
package api
