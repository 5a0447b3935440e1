package api

import "countersign/core/rbac"

// Identify says who makes the request, for an operation with Access Open that finds out by itself. A write by session
// without the anti-forgery token is refused as everywhere. Errors: Denied.
func (r *Request) Identify(actor *rbac.Actor) error {
	r.Actor, r.origin.Actor = actor, actor
	if actor != nil && actor.Via == rbac.ViaSession && !safe(r.HTTP.Method) {
		return r.checkForgery()
	}
	return nil
}
