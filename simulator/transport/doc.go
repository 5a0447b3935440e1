// Package transport is an HTTP/1.1 client for many phones at once: what net/http's own does with three goroutines a connection,
// it does on that of its caller. A phone that waits on a long poll so costs a socket and a stack, and a request no more than one
// write and one read.
//
// It owns the connections, and leaves the bytes to net/http: requests are written by Request.Write, replies read by ReadResponse.
// It does not own TLS and HTTP/2: for https it is net/http's Transport.
//
//	RoundTrip ─▶ an idle connection that still stands, the last used first, or a new one
//	               │ write, read the reply and its whole body; ctx cuts both off
//	               ├─▶ idle again
//	               └─▶ closed: an error, "Connection: close", or too many that idle
package transport
