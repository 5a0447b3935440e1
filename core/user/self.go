package user

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
)

// SessionUser is who is logged in. Original is the person behind an impersonation; there is none yet.
type SessionUser struct {
	User     UserSelf  `json:"user" api:"required"`
	Original *UserSelf `json:"original,omitempty"`
}

// UserSelf is what users see of themselves.
type UserSelf struct { //nolint:revive // the contract's name of the component
	PK                int              `json:"pk" api:"ro,title=ID"`
	Username          string           `json:"username" api:"required,max=150,pattern=^[\\w.@+-]+$" doc:"Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only."`
	Name              string           `json:"name" api:"required" doc:"User's display name."`
	IsActive          bool             `json:"is_active" api:"ro,title=Active" doc:"Designates whether this user should be treated as active. Unselect this instead of deleting accounts."`
	IsSuperuser       bool             `json:"is_superuser" api:"ro"`
	Groups            []UserSelfGroups `json:"groups" api:"ro"`
	Email             string           `json:"email" api:"max=254,format=email,title=Email address"`
	Avatar            string           `json:"avatar" api:"ro" doc:"User's avatar, either a http/https URL or a data URI"`
	UID               string           `json:"uid" api:"ro"`
	Settings          map[string]any   `json:"settings" api:"ro" doc:"Get user settings with brand and group settings applied"`
	Type              Type             `json:"type"`
	SystemPermissions []string         `json:"system_permissions" api:"ro" doc:"Get all system permissions assigned to the user"`
}

// UserSelfGroups is one group of a user, inherited ones included.
type UserSelfGroups struct { //nolint:revive // the contract's name of the component
	Name string `json:"name" api:"ro"`
	PK   string `json:"pk" api:"ro"`
}

// systemPermissions are the permissions of authentik_rbac (ring.md §6.1), by which a client decides what to show.
var systemPermissions = []string{"access_admin_interface", "add_role", "assign_role_permissions", "change_role", "delete_role",
	"edit_system_settings", "run_system_tasks", "unassign_role_permissions", "view_role", "view_system_info",
	"view_system_settings", "view_system_tasks"}

func (s *Service) me(ctx context.Context, r *api.Request, _ api.None) (SessionUser, error) {
	u, err := s.Users.ByID(ctx, s.Users.Pool, r.Actor.ID)
	switch {
	case err != nil:
		return SessionUser{}, err
	case u == nil:
		return SessionUser{}, fault.Missing()
	}
	groups, err := s.Users.Membership(ctx, s.Users.Pool, u.ID)
	if err != nil {
		return SessionUser{}, err
	}
	b, err := s.Brands.For(ctx, r.Host())
	if err != nil {
		return SessionUser{}, err
	}
	if s.Renew != nil {
		if err := s.Renew(ctx, r); err != nil {
			return SessionUser{}, err
		}
	}
	self := UserSelf{
		PK: u.ID, Username: u.Username, Name: u.Name, IsActive: u.IsActive, IsSuperuser: r.Actor.Superuser, Groups: []UserSelfGroups{},
		Email: u.Email, Avatar: Avatar(u.Name, u.Username), UID: s.Users.UID(u.ID), Type: u.Type, Settings: map[string]any{}, SystemPermissions: []string{},
	}
	for _, g := range groups {
		self.Groups = append(self.Groups, UserSelfGroups{Name: g.Name, PK: g.PK.String()})
	}
	if settings, ok := MergedAttributes(b.Values(), groups, u)["settings"].(map[string]any); ok {
		self.Settings = settings
	}
	for _, p := range systemPermissions {
		if r.Actor.Can("authentik_rbac." + p) {
			self.SystemPermissions = append(self.SystemPermissions, p)
		}
	}
	return SessionUser{User: self}, nil
}

// Membership is a group that a user has, directly or through a group below it.
type Membership struct {
	PK         uuid.UUID
	Name       string
	Attributes map[string]any
}

// Membership reads all groups of a user by name, inherited ones included.
func (s *Store) Membership(ctx context.Context, q db.Querier, id int) ([]Membership, error) {
	rows, err := q.Query(ctx, `SELECT group_uuid, name, attributes FROM user_groups($1) ORDER BY name`, id)
	if err != nil {
		return nil, fmt.Errorf("read groups of user %d: %w", id, db.Fault(err))
	}
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Membership])
	if err != nil {
		return nil, fmt.Errorf("read groups of user %d: %w", id, db.Fault(err))
	}
	return groups, nil
}

// MergedAttributes are a user's attributes laid over those of their groups by name, laid over base (the brand's, or
// nil): maps are merged key by key, lists are joined, anything else is replaced (core.md §6.1, settings).
func MergedAttributes(base map[string]any, groups []Membership, u *User) map[string]any {
	out := merge(nil, base)
	for _, g := range groups {
		out = merge(out, g.Attributes)
	}
	return merge(out, u.Attributes)
}

// merge lays over on base. Neither is changed, and the result shares no map with them that a further merge writes to.
func merge(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range over {
		switch v := v.(type) {
		case map[string]any:
			old, _ := out[k].(map[string]any)
			out[k] = merge(old, v)
			continue
		case []any:
			if old, ok := out[k].([]any); ok {
				out[k] = slices.Concat(old, v)
				continue
			}
		}
		out[k] = v
	}
	return out
}
