// Package brand is what the server looks like and which flows it uses, by the host that it is reached at.
//
// It owns the table brands, the choice of a brand for a host (Store.For), and /core/brands/. It does not own the
// flows that a brand names, nor the certificates: until there are any, web_certificate is always null.
//
//	request ── host ──▶ Store.For ──▶ snapshot of all brands (this process, Store.TTL old at most)
//	                                       ▲ dropped by each write through this process
//	/core/brands/ ── write ── commit ──────┘   (other nodes see it when their snapshot ages)
//
// For answers from memory; it reads the database once per TTL. While the database is away the old snapshot serves on.
package brand
