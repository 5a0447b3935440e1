// Package resourcetest is what every resource must pass: Run drives one through its HTTP face, knowing only the served
// OpenAPI document and a way to make valid bodies, and looks into the audit log behind it.
//
// It owns the rules that hold for all resources (core.md §7): verbs, paging, order, filters, bodies, errors,
// permissions, events. What is special about a resource its own tests show.
package resourcetest
