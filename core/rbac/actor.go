package rbac

import "github.com/google/uuid"

// Via is how an actor proved who they are.
type Via string

// The ways. Only ViaSession needs protection against cross-site requests: a browser adds the cookie by itself.
const (
	ViaSession Via = "session"
	ViaToken   Via = "token"
)

// Actor is the authenticated caller of a request. It is read-only once made and may be shared by goroutines.
type Actor struct {
	ID         int
	UUID       uuid.UUID
	Username   string
	Name       string
	Email      string
	Type       string // internal, external, service_account, internal_service_account
	Superuser  bool   // member of a superuser group, directly or through a parent
	Attributes map[string]any
	Via        Via
	Session    uuid.UUID // the session's public key; zero unless Via is ViaSession
}

// Can tells whether the actor holds the permission everywhere, for example "authentik_core.add_user". Superusers
// hold every permission; nobody else holds one yet. A nil actor holds none.
func (a *Actor) Can(permission string) bool {
	return a != nil && permission != "" && a.Superuser
}
