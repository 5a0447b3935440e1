// Package fault is the application error: what went wrong in a way that a client may be told, and the private
// cause that only the log sees.
//
// It owns the kinds of error, their HTTP status and the per-field violations of a bad request. It does not write
// responses: core/api does, in one place, for API clients, and flows/executor does for challenges. An error that
// is not a *fault.Error is by definition internal: its text never reaches a client.
//
//	handler ── returns error ──▶ core/api ── fault.As ──▶ status, body (safe text), log line (cause)
package fault
