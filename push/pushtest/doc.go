// Package pushtest holds what tests of push need: the suite that every channel must pass, and a channel that does as
// it is told.
//
// Run is called by the test of each push/<channel>, with a Fixture that drives a stand-in for the provider. Channel
// is for the tests of packages that send: it records, and answers by a script. It owns no stand-in for any provider.
//
//	push/fcm test ── Run(t, fixture) ──▶ suite ── Send ──▶ fcm.Channel ──▶ stand-in (the fixture's)
//	mobile test ──▶ push.Dispatcher ── Send ──▶ pushtest.Channel ── Next ──▶ mobile test
package pushtest
