// Package cli is the countersign command: its sub-commands, flags and texts, and what signals do.
//
// It owns the command line; cmd/app has the server, cmd/app/demo the demonstration.
//
//	first SIGINT or SIGTERM ─▶ the command's context ends ─▶ orderly stop
//	second ───────────────────▶ exit at once, with 130
package cli
