// Package flowtest holds what tests of flows need: an engine over a database of its own, flows made in a line, a browser
// that plays GET and POST in process, stages made of functions, and the conformance suite that every kind of stage runs.
//
// It owns no behaviour of the product and is imported by tests alone.
//
//	Bench ─▶ database behind a Gate · stores · Engine · Clock
//	   │
//	   ├─ Flow(slug, steps…) ─▶ rows of flows, stages, flow_bindings
//	   └─ Browser ─▶ Get, Post, Follow ─▶ Page{Continue, Component, JSON, Err}
//
//	Stage(t, Suite{…}) ─▶ envelope, reload, fields, double submit, restart, deny, database away, hostile text
package flowtest
