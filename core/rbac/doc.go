// Package rbac says who is asking and what they may do.
//
// It owns Actor, the caller of a request once authentication has found one, and the question Can. It does not
// authenticate (sessions and tokens do) and does not hide rows: a resource's visibility is a db.Pred of its own.
//
//	cookie or bearer token ──▶ session / token ──▶ *Actor ──▶ Can("authentik_core.add_user") ──▶ yes | no
//
// Permissions have the wire's names, app_label.codename. A nil Actor is nobody and may do nothing.
package rbac
