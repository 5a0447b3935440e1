// Package scenario reads what a run of the simulator is to be: phones, people, logins, faults, acts upon the servers, and what
// must hold in the end. It owns the YAML, its schema and its words; it runs nothing, which is package engine's.
//
//	file ─▶ include … ─▶ vars and matrix put in ─▶ decoded, strictly ─▶ checked against each other ─▶ one Scenario a case
//	  │                                                │
//	  └───────────────── []Problem: file, line, column, field, and the nearest known word ◀┘
//
// One mistake or a hundred: all are told at once, and nothing is run. The tags of the structs in scenario.go are the one
// description: the reader, the schema and the reference page are made from them.
package scenario
