// Package scene is one person at the pages of a server, as the suites tell it: the tabs that they have open, the login up to
// the second factor, whether they are inside. When a spec fails, its report holds the server's log and what the tabs show.
//
//	Prepare ─▶ Chromium and the built program, once a suite      New ─▶ a person of the spec's own ─▶ Tab ─▶ LogIn ─▶ Inside
//
// It asserts with Gomega and belongs into Ginkgo's specs only. Second factors are the suites' affair.
package scene
