package user

import (
	"time"

	"github.com/google/uuid"
)

// App is the application label of users in permissions and events.
const App = "authentik_core"

// Type says what an account is for.
type Type string

// The types. An internal service account belongs to the server itself and cannot be made or changed through the API.
const (
	Internal               Type = "internal"
	External               Type = "external"
	ServiceAccount         Type = "service_account"
	InternalServiceAccount Type = "internal_service_account"
)

// Enum lists the values for the document.
func (Type) Enum() []string {
	return []string{string(Internal), string(External), string(ServiceAccount), string(InternalServiceAccount)}
}

// SchemaName is the component's name in the document.
func (Type) SchemaName() string { return "UserTypeEnum" }

// User is one account: its row, and what /core/users/ shows of it (core.md §6.1). Store fills the fields that have a
// column; the others (IsSuperuser, Groups, GroupsObj, Avatar, UID) are the resource's.
type User struct {
	ID          int            `json:"pk" db:"id" api:"pk,ro,title=ID"`
	Username    string         `json:"username" db:"username" api:"required,unique,max=150"`
	Name        string         `json:"name" db:"name" api:"required,blank" doc:"User's display name."`
	IsActive    bool           `json:"is_active" db:"is_active" api:"title=Active" doc:"Designates whether this user should be treated as active. Unselect this instead of deleting accounts."`
	LastLogin   *time.Time     `json:"last_login" db:"last_login"`
	IsSuperuser bool           `json:"is_superuser" api:"ro"`
	Groups      []uuid.UUID    `json:"groups" api:"ref=group,reset"`
	GroupsObj   []UserGroup    `json:"groups_obj" api:"ro,nullable"`
	Email       string         `json:"email" db:"email" api:"blank,max=254,format=email,title=Email address"`
	Avatar      string         `json:"avatar" api:"ro" doc:"User's avatar, either a http/https URL or a data URI"`
	Attributes  map[string]any `json:"attributes" db:"attributes"`
	UID         string         `json:"uid" api:"ro"`
	Path        string         `json:"path" db:"path"`
	Type        Type           `json:"type" db:"type"`
	UUID        uuid.UUID      `json:"uuid" db:"uuid" api:"ro"`

	Password        *string   `json:"-" db:"password"` // encoded; nil is unusable
	PasswordChanged time.Time `json:"-" db:"password_changed"`
	DateJoined      time.Time `json:"-" db:"date_joined"`
}

// UserGroup is a group as /core/users/ shows it.
type UserGroup struct { //nolint:revive // the contract's name of the component
	PK          uuid.UUID      `json:"pk" db:"group_uuid" api:"pk,ro,title=Group uuid"`
	NumPK       int            `json:"num_pk" db:"num_pk" api:"ro" doc:"Get a numerical, int32 ID for the group"`
	Name        string         `json:"name" db:"name" api:"required,max=80"`
	IsSuperuser bool           `json:"is_superuser" db:"is_superuser" doc:"Users added to this group will be superusers."`
	Parent      *uuid.UUID     `json:"parent" db:"parent"`
	ParentName  *string        `json:"parent_name" db:"parent_name" api:"ro,nullable"`
	Attributes  map[string]any `json:"attributes" db:"attributes"`
}
