// Package db is the way to PostgreSQL: the pool, transactions, the schema's migrations, what its errors mean to a
// client, the LISTEN hub, and a PostgreSQL of our own where none is configured.
//
// It owns the schema as a whole (migrations/*.sql, ordered files) and no table's meaning: the SQL that reads and writes
// a table lives beside its code in that table's package. There is no ORM; callers use pgx.
//
//	URL configured ───────────────────────┐
//	none: StartManaged ── Managed.URL() ──┴─▶ Open ──▶ *pgxpool.Pool ──▶ Migrate ──▶ InTx(func(tx)) ──▶ error ──▶ Fault
//	                                                        └─ NewHub ── LISTEN ──▶ core/bus
//
// A public method of a store opens the transaction and passes it on; unexported helpers take a Querier, so that they
// compose inside one transaction.
package db
