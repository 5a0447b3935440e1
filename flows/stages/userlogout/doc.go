// Package userlogout is the stage that ends the browser's session (core.md §2.4). The session's plans go with it, so
// stages after it in the same flow are not walked; the flow ends where it leads.
package userlogout
