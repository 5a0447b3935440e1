package session

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"countersign/core/db"
	"countersign/core/rbac"
	"countersign/core/resource"
)

// AuthenticatedSession is a session in which somebody is logged in, as /core/authenticated_sessions/ shows it.
type AuthenticatedSession struct {
	UUID          uuid.UUID  `json:"uuid" db:"session_uuid" api:"pk"`
	Current       bool       `json:"current" api:"ro" doc:"Check if session is currently active session"`
	UserAgent     Agent      `json:"user_agent" api:"ro" doc:"Get parsed user agent"`
	GeoIP         *Place     `json:"geo_ip" api:"ro,nullable" doc:"Get GeoIP Data"`
	ASN           *Network   `json:"asn" api:"ro,nullable" doc:"Get ASN Data"`
	User          int        `json:"user" db:"user_id" api:"required,ref=user"`
	LastIP        string     `json:"last_ip" db:"last_ip" api:"required"`
	LastUserAgent string     `json:"last_user_agent" db:"last_user_agent"`
	LastUsed      time.Time  `json:"last_used" db:"last_used" api:"ro"`
	Expires       *time.Time `json:"expires" db:"expires"`
}

// Mount adds /core/authenticated_sessions/: to look at and to delete, which ends the session at once.
func (s *Store) Mount(reg *resource.Registry) *resource.Resource[AuthenticatedSession] {
	const username = `(SELECT u.username FROM users u WHERE u.id = t.user_id)`
	return resource.Mount(reg, resource.Def[AuthenticatedSession]{
		Name: "authenticatedsession", App: "authentik_core", Label: "Authenticated Session", Path: "/core/authenticated_sessions/",
		Table: "sessions", Doc: "AuthenticatedSession Viewset", Display: "uuid", Param: "uuid",
		Verbs:   resource.Verbs{resource.List, resource.Retrieve, resource.Destroy, resource.UsedBy},
		Base:    db.Pred{SQL: `t.user_id IS NOT NULL AND t.expires > now()`},
		Filter:  []string{"last_ip", "last_user_agent"},
		Filters: []resource.Filter{{Name: "user__username", SQL: username + ` = $1`}},
		Search:  []string{username, "last_ip", "last_user_agent"},
		Order:   []string{"user__username"},
		OrderBy: map[string]string{"user__username": username},
		Visible: func(a *rbac.Actor) db.Pred { return db.Pred{SQL: `t.user_id = $1`, Args: []any{a.ID}} },
		Allow: func(a *rbac.Actor, v resource.Verb, row *AuthenticatedSession) bool {
			return a.Can(v.Permission("authentik_core", "authenticatedsession")) || row == nil || row.User == a.ID
		},
		Load: s.load,
	})
}

func (s *Store) load(_ context.Context, _ db.Querier, v *resource.View, rows []*AuthenticatedSession) error {
	for _, r := range rows {
		r.Current = v.Actor != nil && v.Actor.Session == r.UUID
		r.UserAgent = ParseAgent(r.LastUserAgent)
		addr, err := netip.ParseAddr(r.LastIP)
		if s.Where == nil || err != nil {
			continue
		}
		if p, ok := s.Where.Place(addr); ok {
			r.GeoIP = &p
		}
		if n, ok := s.Where.Network(addr); ok {
			r.ASN = &n
		}
	}
	return nil
}
