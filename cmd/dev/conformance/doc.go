// Package conformance says of each requirement on a push authenticator by which tests it is proved, and whether they pass.
//
// It owns the list of requirements (T1–T24), the way from a requirement to its tests, and the report. It does not own the
// tests: one that proves a requirement begins its doc comment with the ids,
//
//	// T3, T22: a wrong number ends the challenge …
//	func TestWrongNumber(t *testing.T) {
//
// and a browser's spec has such a comment directly above its It. Goals (G1–G25) and flaws of other servers may stand in the
// same list; only requirements are reported.
//
//	test files ── find ──▶ tests by id ── go test -json, a run a package ──▶ results ──▶ text · JSON · JUnit
//
// A requirement holds when it has a test, all its tests ran and none failed. A test that was skipped proves nothing: a spec
// that needs a browser is named as not run where there is none, and the requirement rests on its other tests.
package conformance
