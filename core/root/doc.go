// Package root serves GET /root/config/: what a client may know before anyone has logged in (ring.md §6.2).
//
// It owns the shape and nothing else; what the server can do is told to it by the composition root.
package root
