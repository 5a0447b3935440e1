// Package e2e drives the product as people do: the built program, a real PostgreSQL, a real browser, and what people have
// at hand besides: phones, authenticator apps, passkeys. Nothing in it reaches into the server.
//
//	testbed         builds the program, runs servers with the services around them, makes people and their phones
//	chromium        a browser: tabs, typing, clicking, what the page says, authenticators; also for tests of pages elsewhere
//	scene           one person at the pages of a server: the login, whether they are inside, what went wrong
//	login           the suite of the main job, label main-job: a phone approves a login
//	phone           the suite of the phone as a page, label phone: a phone's browser is the authenticator
//	authenticators  the suite of the second factors, label authenticators: each is set up and signs in
//	desk            the suite of the simulator's own pages, label desk: a run is watched and steered, and its report read
//
// Run all with `go run ./cmd/dev e2e`, or one suite by its label:
//
//	go test ./e2e/... -ginkgo.label-filter=authenticators
//
// The filter is a flag of Ginkgo's: a package without it would not take it, so that all packages below with tests are suites.
//
// Where no Chromium is, the specs say so and skip; with CI=true that is a failure. When a spec fails, its report holds
// the server's log and what the browser showed.
package e2e
