// Package dbtest gives each test a real PostgreSQL database of its own, migrated and empty.
//
// It owns the test server: one for each test binary, started at the first use, without the disk's durability, gone with the
// binary. Set COUNTERSIGN_TEST_DATABASE_URL to use a server that runs already (its user must be allowed to create
// databases). A test needs no TestMain and may run in parallel with all others:
//
//	Pool(t) ──first──▶ start server ─▶ template database, migrated once
//	   └────every────▶ CREATE DATABASE test_… TEMPLATE … ─▶ pool ─▶ t.Cleanup: close, drop
//
// A whole database rather than a rolled-back transaction: then NOTIFY, several connections, commits and constraints
// behave as in earnest, and a clone costs about as much as a few statements.
package dbtest
