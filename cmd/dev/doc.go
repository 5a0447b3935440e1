// Command dev does the tasks of developing Countersign, the same on a desk and in the continuous integration:
//
//	verify     what must hold before anything else: formatting, go.mod, go vet, golden files, import rules
//	lint       golangci-lint with .golangci.yml, in the version named here
//	test       go test ./..., or with --race the packages in which things happen at once
//	e2e        the end-to-end suites: built programs, a real PostgreSQL, a real browser
//	fuzz       every fuzz target for some seconds
//	contract   how much of the wire contract the OpenAPI document holds
//	bench      measurements: package bench
//	conformance
//	           each requirement on a push authenticator with the tests that prove it: package conformance
//
// It owns the order and the versions of tools; each task runs programs that also work by themselves.
package main
