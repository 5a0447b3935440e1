// Package e2e drives the product as people do: the built program, a real PostgreSQL, a real browser, and phones that
// speak HTTP. Nothing in it reaches into the server.
//
//	testbed    builds the program, runs servers with a push service beside them, makes people and their phones
//	chromium   a browser for the suites: tabs, typing, clicking, what the page says
//	login      the suite of the main job, label main-job: a phone approves a login
//
// Run all with `go run ./cmd/dev e2e`, or one suite by its label:
//
//	go test ./e2e/... -ginkgo.label-filter=main-job
//
// Where no Chromium is, the specs say so and skip; with CI=true that is a failure. When a spec fails, its report holds
// the server's log and what the browser showed.
package e2e
