package user

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/brand"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/resource"
)

// Service serves /core/users/.
type Service struct {
	Users  *Store
	Brands *brand.Store
	// Renew, where there is one, prolongs the caller's session at me/ (core.md §6.1).
	Renew func(ctx context.Context, r *api.Request) error
}

// IsSuperuser is SQL over a user's row t: a member of a superuser group, or of one below it. The inner part depends on
// no row, so that PostgreSQL computes it once for a page.
const IsSuperuser = `(t.id IN (SELECT m.user_id FROM group_members m WHERE m.group_uuid IN (
	WITH RECURSIVE down AS (
		SELECT group_uuid FROM groups WHERE is_superuser
		UNION
		SELECT g.group_uuid FROM groups g JOIN down ON g.parent = down.group_uuid
	) SELECT group_uuid FROM down)))`

// MatchAttributes is SQL over a row t: its attributes have the value of each key of the object $1; a double underscore
// in a key goes one level down ("settings__locale").
const MatchAttributes = `NOT EXISTS (SELECT FROM jsonb_each($1) e
	WHERE t.attributes #> string_to_array(e.key, '__') IS DISTINCT FROM e.value)`

// Mount adds /core/users/ and all below it but service_account/ (core/serviceaccount), the recovery links and
// impersonation, which are not served yet.
func (s *Service) Mount(a *api.API, reg *resource.Registry) *resource.Resource[User] {
	api.Handle(a, api.Operation{Method: "GET", Path: "/core/users/me/", Description: "Get information about current user"}, s.me)
	return resource.Mount(reg, resource.Def[User]{
		Name: "user", App: App, Label: "User", Path: "/core/users/", Table: "users", Doc: "User Viewset", Display: "username",
		Computed: map[string]string{"is_superuser": IsSuperuser},
		Many:     []resource.Many{{Field: "groups", Table: "group_members", Own: "user_id", Other: "group_uuid"}},
		Filter:   []string{"username", "email", "name", "is_active", "uuid", "path"},
		Filters: []resource.Filter{
			{Name: "attributes", Type: resource.Object, SQL: MatchAttributes, Doc: "Attributes"},
			{Name: "groups_by_name", Type: resource.Texts, SQL: `EXISTS (SELECT FROM group_members m JOIN groups g USING (group_uuid)
				WHERE m.user_id = t.id AND g.name = ANY($1))`},
			{Name: "groups_by_pk", Type: resource.UUIDs, SQL: `EXISTS (SELECT FROM group_members m WHERE m.user_id = t.id AND m.group_uuid = ANY($1))`},
			{Name: "is_superuser", Type: resource.Boolean, SQL: IsSuperuser + ` = $1`},
			{Name: "path_startswith", Type: resource.Text, SQL: `starts_with(t.path, $1)`},
			{Name: "type", Type: resource.Texts, SQL: `t.type = ANY($1)`,
				Enum: []string{string(External), string(Internal), string(InternalServiceAccount), string(ServiceAccount)}},
		},
		Flags:  []resource.Flag{{Name: "include_groups", Default: true}},
		Search: []string{"username", "name", "t.is_active::text", "email", "t.uuid::text"},
		Order:  []string{"username"},
		New: func() User {
			now := s.Users.Now()
			return User{UUID: uuid.New(), IsActive: true, Path: "users", Type: Internal, Attributes: map[string]any{},
				DateJoined: now, PasswordChanged: now}
		},
		Validate: s.validate, AfterSave: s.afterSave, Load: s.load,
		Actions: []resource.Action[User]{
			resource.OnList(api.Operation{Method: "GET", Path: "paths/", Description: "Get all user paths",
				Query: []api.Parameter{{Name: "search", Description: "A search term."}}}, s.paths),
			resource.OnRow(api.Operation{Method: "POST", Path: "set_password/", Permission: "authentik_core.reset_user_password",
				Description: "Set password for user"}, s.setPassword),
			resource.OnRow(api.Operation{Method: "GET", Path: "metrics/", Permission: "authentik_core.view_user",
				Description: "User metrics per 1h"}, s.metrics),
		},
	})
}

func (s *Service) validate(_ context.Context, _ pgx.Tx, c *resource.Change[User]) error {
	errs := fault.Fields{}
	if c.Old != nil && c.Old.Type == InternalServiceAccount {
		errs.Add(fault.NonField, "invalid", "Can't modify internal service account users")
		return errs.Err()
	}
	if c.Row.Type == InternalServiceAccount {
		errs.Add("type", "invalid", "Setting a user to internal service account is not allowed.")
	}
	if text := CheckPath(c.Row.Path); text != "" {
		errs.Add("path", "invalid", text)
	}
	return errs.Err()
}

// CheckPath says what is wrong with a user path, a name of segments between single slashes; "" is nothing.
func CheckPath(path string) string {
	switch {
	case strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/"):
		return "No leading or trailing slashes allowed."
	case slices.Contains(strings.Split(path, "/"), ""):
		return "No empty segments in user path allowed."
	}
	return ""
}

func (s *Service) afterSave(ctx context.Context, tx pgx.Tx, c *resource.Change[User]) error {
	if !c.Row.IsActive {
		if err := EndSessions(ctx, tx, c.Row.ID, uuid.Nil); err != nil {
			return err
		}
	}
	var before []uuid.UUID
	diff := map[string]any{}
	if c.Old != nil {
		before = c.Old.Groups
		if c.Old.Email != c.Row.Email {
			diff["email"] = event.Changed{From: c.Old.Email, To: c.Row.Email}
		}
	}
	if added, removed := Difference(before, c.Row.Groups); len(added)+len(removed) > 0 {
		diff["groups"] = map[string]any{"add": added, "remove": removed}
	}
	if len(diff) == 0 {
		return nil
	}
	return s.Users.Events.Emit(ctx, tx, event.Event{Action: event.ModelUpdated, Owner: c.Row.ID, Context: map[string]any{
		"model": event.Model(c.Row.ID, App, "user", c.Row.Username), "diff": diff,
	}})
}

// Difference tells what after has that before had not, and the other way round.
func Difference[K comparable](before, after []K) (added, removed []K) {
	for _, k := range after {
		if !slices.Contains(before, k) {
			added = append(added, k)
		}
	}
	for _, k := range before {
		if !slices.Contains(after, k) {
			removed = append(removed, k)
		}
	}
	return added, removed
}

func (s *Service) load(ctx context.Context, q db.Querier, v *resource.View, rows []*User) error {
	return s.fill(ctx, q, rows, v.Flag("include_groups"))
}

// fill completes a page of users in one query, in none without groups.
func (s *Service) fill(ctx context.Context, q db.Querier, rows []*User, withGroups bool) error {
	byID := make(map[int]*User, len(rows))
	ids := make([]int, len(rows))
	for i, u := range rows {
		u.UID, u.Avatar = s.Users.UID(u.ID), Avatar(u.Name, u.Username)
		byID[u.ID], ids[i] = u, u.ID
	}
	if !withGroups || len(rows) == 0 {
		return nil
	}
	for _, u := range rows {
		u.GroupsObj = []UserGroup{}
	}
	found, err := q.Query(ctx, `SELECT m.user_id, g.group_uuid, g.num_pk, g.name, g.is_superuser, g.parent, p.name, g.attributes
		FROM group_members m JOIN groups g USING (group_uuid) LEFT JOIN groups p ON p.group_uuid = g.parent
		WHERE m.user_id = ANY($1) ORDER BY g.name`, ids)
	if err != nil {
		return fmt.Errorf("load groups of users: %w", db.Fault(err))
	}
	var id int
	var g UserGroup
	_, err = pgx.ForEachRow(found, []any{&id, &g.PK, &g.NumPK, &g.Name, &g.IsSuperuser, &g.Parent, &g.ParentName, &g.Attributes}, func() error {
		byID[id].GroupsObj = append(byID[id].GroupsObj, g)
		g = UserGroup{} // its map and pointers belong to the row now
		return nil
	})
	if err != nil {
		return fmt.Errorf("load groups of users: %w", db.Fault(err))
	}
	return nil
}

// Load fills what /core/users/ shows beyond the row, groups included, for resources that nest users.
func (s *Service) Load(ctx context.Context, q db.Querier, ids []int) (map[int]*User, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+`, `+IsSuperuser+` AS is_superuser,
		ARRAY(SELECT m.group_uuid FROM group_members m WHERE m.user_id = t.id) AS groups
		FROM users t WHERE t.id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("load users: %w", db.Fault(err))
	}
	users, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByNameLax[User])
	if err != nil {
		return nil, fmt.Errorf("load users: %w", db.Fault(err))
	}
	if err := s.fill(ctx, q, users, true); err != nil {
		return nil, err
	}
	out := make(map[int]*User, len(users))
	for _, u := range users {
		out[u.ID] = u
	}
	return out, nil
}
