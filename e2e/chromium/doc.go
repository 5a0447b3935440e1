// Package chromium is a real browser for tests: it starts Chromium, opens tabs, types and clicks as a person does, tells
// what the page shows, and plugs authenticators in that hold passkeys. It owns the processes; what pages mean is the affair
// of those who drive it: the end-to-end suites, and the tests of packages that have pages.
//
//	Start / StartFor ─▶ Browser ─▶ NewTab (a new person) ─▶ Tab ─▶ Another (the same person)
//	                                                         └──▶ Plug ─▶ Authenticator
//
// Methods that look return an error rather than fail, so that they can be polled: a page may go away under the question.
package chromium
