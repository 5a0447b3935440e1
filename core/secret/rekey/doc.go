// Package rekey seals everything anew that an older key sealed, so that the older key can be taken away.
//
// It owns the walk through the columns that packages describe (secret.Column) and the report of it. It does not own the
// list of columns (cmd/app) nor the keys (core/secret).
//
//	for each column, in the order of its primary key, a page of rows at a time:
//
//	value ─▶ open with its row's associated data ─┬─ no key, damaged ─────▶ failed: told by its primary key, left as it is
//	                                              ├─ sealed by the first ─▶ current
//	                                              └─ by an older key ─────▶ sealed anew ─▶ UPDATE … WHERE value = as it was read
//
// A page is one transaction, which locks the rows that it changes and no others, so servers go on meanwhile. Whoever
// changed a value between the reading and the writing wins: the page is rolled back and read again. So a walk may be
// broken off and begun anew at any time, two may run at once, and one that finds nothing to do changes nothing.
//
// What is stored only as a keyed hash, without its value, cannot be made anew; the report counts it as Bound.
package rekey
