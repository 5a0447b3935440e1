// Package executor is the HTTP face of the flow engine: the executor's two operations and the browser's URLs around
// it (core.md §1.5–§1.7).
//
// It owns the mapping of requests and replies; flows owns what happens in between.
//
//	GET, POST /api/v3/flows/executor/<slug>/?query=…   200 challenge · 302 to itself · 404 · 403 · 503
//	GET /if/flow/<slug>/                               the page that talks to it
//	GET /flows/-/default/<designation>/                302 to the brand's flow
//	GET /flows/-/cancel/                               drops the plans, 302 to the default invalidation flow
//	GET /flows/-/configure/<stage>/                    plans the stage's configure_flow for the user, 302 to its page
//	GET /                                              302 to /if/user/, or to the default authentication flow
package executor
