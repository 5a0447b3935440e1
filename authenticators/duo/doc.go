// Package duo is Duo Security as an authenticator: a push to the Duo app, sent and answered through Duo's service
// (core.md §2.13, §3.3).
//
// It owns the tables duo_devices, duo_enrollments and duo_pushes, the set-up stage with its polling and the two imports,
// the device resource, and the kind "duo" of the validation stage. It does not own the protocol with Duo
// (github.com/duosecurity/duo_api_golang signs the requests and pins Duo's certificates), the choice among devices
// (authenticators/validate) nor the pages (core/web).
//
// # Set-up
//
//	set-up stage ─▶ Duo: enroll ─▶ duo_enrollments ─▶ QR code ─▶ Duo app
//	browser ─▶ enrollment_status ─▶ Duo: enroll_status ─▶ success | waiting | invalid
//	browser ─▶ executor ─▶ success: duo_devices
//
// Duo makes its user at the first step and refuses a second one of that name, so an enrolment under way belongs to the
// user and not to the browser: who comes back within a day, in another browser say, goes on with it. A person whom Duo
// knows already is imported by an administrator.
//
// # Login
//
//	browser ── POST {"duo": id} ─▶ row in duo_pushes, commit ─▶ sleep ◀─ Duo: auth (async) ─▶ transaction id, kept in the plan
//	                                                            sleep ◀─ Duo: auth_status … allow | deny
//	        ◀─ 302, "Duo denied access", or "waiting" after 40 seconds: the browser comes back, on any node
//
// A request that waits holds no transaction and no connection to the database. The call to Duo runs in a goroutine of
// its own, at most maxCalls of them, which ends with its answer, with its deadline, or with the last request that waits
// for it. Requests of one browser on one node share a call.
//
// Duo decides: "allow" lets the login go on, also where Duo's administrator lets the person pass without asking (bypass),
// which is then noted beside the factor as duo_status. Anything else does not.
//
// # What goes wrong
//
// A denial and a failure look the same to programs (code "denied"), as the contract has it; a failure is an event
// configuration_error besides. How often a device rings is bounded as for phones: an address from which the person has
// approved a push has a count of its own, and all others share one.
package duo
