package group

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/user"
)

// App is the application label of groups in permissions and events.
const App = "authentik_core"

// Group is one row and what /core/groups/ shows of it (core.md §6.2).
type Group struct {
	PK          uuid.UUID      `json:"pk" db:"group_uuid" api:"pk,ro,title=Group uuid"`
	NumPK       int            `json:"num_pk" api:"ro"`
	Name        string         `json:"name" db:"name" api:"required,unique,max=80"`
	IsSuperuser bool           `json:"is_superuser" db:"is_superuser" doc:"Users added to this group will be superusers."`
	Parent      *uuid.UUID     `json:"parent" db:"parent" api:"ref=group"`
	ParentName  *string        `json:"parent_name" api:"ro,nullable"`
	Users       []int          `json:"users" api:"ref=user,reset"`
	UsersObj    []Member       `json:"users_obj" api:"ro,nullable"`
	Attributes  map[string]any `json:"attributes" db:"attributes"`
	Roles       []uuid.UUID    `json:"roles"`
	RolesObj    []Role         `json:"roles_obj" api:"ro"`
}

// Member is a user as /core/groups/ shows them.
type Member struct {
	PK         int            `json:"pk" api:"pk,ro,title=ID"`
	Username   string         `json:"username" api:"required,max=150,pattern=^[\\w.@+-]+$" doc:"Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only."`
	Name       string         `json:"name" api:"required" doc:"User's display name."`
	IsActive   bool           `json:"is_active" api:"title=Active" doc:"Designates whether this user should be treated as active. Unselect this instead of deleting accounts."`
	LastLogin  *time.Time     `json:"last_login"`
	Email      string         `json:"email" api:"max=254,format=email,title=Email address"`
	Attributes map[string]any `json:"attributes"`
	UID        string         `json:"uid" api:"ro"`
}

// SchemaName is the component's name in the document.
func (Member) SchemaName() string { return "GroupMember" }

// Role is a role of a group; there are none yet.
type Role struct {
	PK   uuid.UUID `json:"pk" api:"pk,ro,title=Uuid"`
	Name string    `json:"name" api:"required,max=150"`
}

// Service serves /core/groups/.
type Service struct {
	Users  *user.Store
	Events *event.Log
}

// Mount adds /core/groups/ and all below it.
func (s *Service) Mount(reg *resource.Registry) *resource.Resource[Group] {
	return resource.Mount(reg, resource.Def[Group]{
		Name: "group", App: App, Label: "Group", Path: "/core/groups/", Table: "groups", Doc: "Group Viewset",
		Computed: map[string]string{"num_pk": `t.num_pk`, "parent_name": `(SELECT p.name FROM groups p WHERE p.group_uuid = t.parent)`},
		Many:     []resource.Many{{Field: "users", Table: "group_members", Own: "group_uuid", Other: "user_id"}},
		Filter:   []string{"name", "is_superuser"},
		Filters: []resource.Filter{
			{Name: "attributes", Type: resource.Object, SQL: user.MatchAttributes, Doc: "Attributes"},
			{Name: "members_by_pk", Type: resource.Integers,
				SQL: `EXISTS (SELECT FROM group_members m WHERE m.group_uuid = t.group_uuid AND m.user_id = ANY($1))`},
			{Name: "members_by_username", Type: resource.Texts,
				SQL: `EXISTS (SELECT FROM group_members m JOIN users u ON u.id = m.user_id WHERE m.group_uuid = t.group_uuid AND u.username = ANY($1))`,
				Doc: "Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only."},
		},
		Flags:    []resource.Flag{{Name: "include_users", Default: true}},
		Search:   []string{"name", "t.is_superuser::text"},
		Order:    []string{"name"},
		New:      func() Group { return Group{Attributes: map[string]any{}} },
		Validate: s.validate, AfterSave: s.afterSave, Load: s.load,
		Actions: []resource.Action[Group]{
			resource.OnRow(api.Operation{Method: "POST", Path: "add_user/", Permission: App + ".add_user_to_group",
				Description: "Add user to group", NotFound: true}, s.addUser),
			resource.OnRow(api.Operation{Method: "POST", Path: "remove_user/", Permission: App + ".remove_user_from_group",
				Description: "Add user to group", NotFound: true}, s.removeUser),
		},
	})
}

// treeLock is the transaction lock under which parents are changed, so that two changes at once cannot close a circle
// that neither of them sees.
const treeLock = `SELECT pg_advisory_xact_lock(hashtextextended('countersign groups.parent', 0))`

func (s *Service) validate(ctx context.Context, tx pgx.Tx, c *resource.Change[Group]) error {
	errs := fault.Fields{}
	for _, role := range c.Row.Roles {
		errs.Add("roles", "does_not_exist", fmt.Sprintf("Invalid pk %q - object does not exist.", role))
	}
	parent := c.Row.Parent
	if c.Old == nil || parent == nil || c.Old.Parent != nil && *c.Old.Parent == *parent {
		return errs.Err() // a new group is nobody's parent yet
	}
	if *parent == c.Row.PK {
		errs.Add("parent", "invalid", "Cannot set group as parent of itself.")
		return errs.Err()
	}
	if _, err := tx.Exec(ctx, treeLock); err != nil {
		return fmt.Errorf("lock the tree of groups: %w", db.Fault(err))
	}
	var below bool
	err := tx.QueryRow(ctx, `WITH RECURSIVE up AS (
			SELECT group_uuid, parent FROM groups WHERE group_uuid = $1
			UNION
			SELECT g.group_uuid, g.parent FROM groups g JOIN up ON g.group_uuid = up.parent
		) SELECT EXISTS (SELECT FROM up WHERE group_uuid = $2)`, parent, c.Row.PK).Scan(&below)
	if err != nil {
		return fmt.Errorf("look for a circle of groups: %w", db.Fault(err))
	}
	if below {
		errs.Add("parent", "invalid", "Cannot set a group that is below this group as its parent.")
	}
	return errs.Err()
}

func (s *Service) afterSave(ctx context.Context, tx pgx.Tx, c *resource.Change[Group]) error {
	var before []int
	if c.Old != nil {
		before = c.Old.Users
	}
	added, removed := user.Difference(before, c.Row.Users)
	return s.membersChanged(ctx, tx, c.Row, added, removed)
}

// membersChanged writes the event of a change of members, if there was one.
func (s *Service) membersChanged(ctx context.Context, tx pgx.Tx, g *Group, added, removed []int) error {
	if len(added)+len(removed) == 0 {
		return nil
	}
	return s.Events.Emit(ctx, tx, event.Event{Action: event.ModelUpdated, Context: map[string]any{
		"model": event.Model(g.PK, App, "group", g.Name),
		"diff":  map[string]any{"users": map[string]any{"add": added, "remove": removed}},
	}})
}

// UserAccount names a user.
type UserAccount struct {
	PK int `json:"pk" api:"required"`
}

func (s *Service) addUser(ctx context.Context, c *resource.Call[Group], in UserAccount) (api.None, error) {
	changed, err := s.membership(ctx, c, in.PK, `INSERT INTO group_members (group_uuid, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`)
	if err != nil || !changed {
		return api.None{}, err
	}
	return api.None{}, s.membersChanged(ctx, c.Tx, c.Row, []int{in.PK}, nil)
}

func (s *Service) removeUser(ctx context.Context, c *resource.Call[Group], in UserAccount) (api.None, error) {
	changed, err := s.membership(ctx, c, in.PK, `DELETE FROM group_members WHERE group_uuid = $1 AND user_id = $2`)
	if err != nil || !changed {
		return api.None{}, err
	}
	return api.None{}, s.membersChanged(ctx, c.Tx, c.Row, nil, []int{in.PK})
}

// membership runs a statement on the membership of a user, who must exist (404), and tells whether it changed any.
func (s *Service) membership(ctx context.Context, c *resource.Call[Group], id int, sql string) (bool, error) {
	u, err := s.Users.ByID(ctx, c.Tx, id)
	switch {
	case err != nil:
		return false, err
	case u == nil:
		return false, fault.Missing()
	}
	tag, err := c.Tx.Exec(ctx, sql, c.Row.PK, u.ID)
	if err != nil {
		return false, fmt.Errorf("change membership of user %d in group %s: %w", u.ID, c.Row.PK, db.Fault(err))
	}
	return tag.RowsAffected() == 1, nil
}

func (s *Service) load(ctx context.Context, q db.Querier, v *resource.View, rows []*Group) error {
	byID := make(map[uuid.UUID]*Group, len(rows))
	ids := make([]uuid.UUID, len(rows))
	for i, g := range rows {
		g.Roles, g.RolesObj = []uuid.UUID{}, []Role{}
		byID[g.PK], ids[i] = g, g.PK
	}
	if !v.Flag("include_users") || len(rows) == 0 {
		return nil
	}
	for _, g := range rows {
		g.UsersObj = []Member{}
	}
	found, err := q.Query(ctx, `SELECT m.group_uuid, u.id, u.username, u.name, u.is_active, u.last_login, u.email, u.attributes
		FROM group_members m JOIN users u ON u.id = m.user_id WHERE m.group_uuid = ANY($1) ORDER BY u.username`, ids)
	if err != nil {
		return fmt.Errorf("load users of groups: %w", db.Fault(err))
	}
	var id uuid.UUID
	var m Member
	_, err = pgx.ForEachRow(found, []any{&id, &m.PK, &m.Username, &m.Name, &m.IsActive, &m.LastLogin, &m.Email, &m.Attributes}, func() error {
		m.UID = s.Users.UID(m.PK)
		byID[id].UsersObj = append(byID[id].UsersObj, m)
		m = Member{} // its map and pointer belong to the row now
		return nil
	})
	if err != nil {
		return fmt.Errorf("load users of groups: %w", db.Fault(err))
	}
	return nil
}
