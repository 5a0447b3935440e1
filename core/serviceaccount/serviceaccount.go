package serviceaccount

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/group"
	"countersign/core/token"
	"countersign/core/user"
)

const (
	path     = "goauthentik.io/service-accounts" // wire name
	lifetime = 360 * 24 * time.Hour
	// tokenExpires is the attribute that says whether the tokens that a user makes expire.
	tokenExpires = "goauthentik.io/user/token-expires"
)

// Service makes service accounts.
type Service struct {
	Users  *user.Store
	Tokens *token.Store
	Events *event.Log
	Now    func() time.Time
}

// UserServiceAccount asks for an account.
type UserServiceAccount struct {
	Name        string     `json:"name" api:"required"`
	CreateGroup bool       `json:"create_group" api:"default=false"`
	Expiring    *bool      `json:"expiring,omitempty" api:"default=true"`
	Expires     *time.Time `json:"expires,omitempty" doc:"If not provided, valid for 360 days"`
}

// UserServiceAccountResponse is the account and its app password, shown this once.
type UserServiceAccountResponse struct {
	Username string  `json:"username" api:"required"`
	Token    string  `json:"token" api:"required"`
	UserUID  string  `json:"user_uid" api:"required"`
	UserPK   int     `json:"user_pk" api:"required"`
	GroupPK  *string `json:"group_pk,omitempty"`
}

// Mount adds the operation.
func (s *Service) Mount(a *api.API) {
	api.Handle(a, api.Operation{Method: "POST", Path: "/core/users/service_account/", Status: 200, Permission: "authentik_core.add_user",
		Description: "Create a new user account that is marked as a service account"}, s.create)
}

func (s *Service) create(ctx context.Context, r *api.Request, in UserServiceAccount) (UserServiceAccountResponse, error) {
	var out UserServiceAccountResponse
	if !r.Actor.Can("authentik_core.add_token") || in.CreateGroup && !r.Actor.Can("authentik_core.add_group") {
		return out, fault.Forbidden()
	}
	limit := 150
	if in.CreateGroup {
		limit = 80 // of a group's name
	}
	if utf8.RuneCountInString(in.Name) > limit {
		return out, fault.Field("name", "max_length", fmt.Sprintf("Ensure this field has no more than %d characters.", limit))
	}
	err := db.InTx(ctx, s.Users.Pool, func(tx pgx.Tx) (err error) {
		out, err = s.make(ctx, tx, in)
		return err
	})
	if f := fault.As(err); err != nil && f.Kind == fault.Invalid {
		// The name stands behind every key that can be taken; a client knows no other field of this request.
		return out, fault.Field(fault.NonField, "unique", "A user, group or token of this name exists already.").Wrap(err)
	}
	return out, err
}

func (s *Service) make(ctx context.Context, tx pgx.Tx, in UserServiceAccount) (UserServiceAccountResponse, error) {
	var out UserServiceAccountResponse
	now := s.Now()
	expiring := in.Expiring == nil || *in.Expiring
	err := tx.QueryRow(ctx, `INSERT INTO users (uuid, username, name, type, path, attributes, password_changed, date_joined)
		VALUES ($1, $2, $2, $3, $4, $5, $6, $6) RETURNING id`, uuid.New(), in.Name, string(user.ServiceAccount), path,
		map[string]any{tokenExpires: expiring}, now).Scan(&out.UserPK)
	if err != nil {
		return out, fmt.Errorf("make service account: %w", db.Fault(err))
	}
	out.Username, out.UserUID = in.Name, s.Users.UID(out.UserPK)
	if err := s.created(ctx, tx, event.Model(out.UserPK, user.App, "user", in.Name)); err != nil {
		return out, err
	}
	if in.CreateGroup {
		id, err := uuid.NewV7()
		if err != nil {
			return out, fmt.Errorf("make group of service account: %w", err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO groups (group_uuid, name) VALUES ($1, $2)`, id, in.Name); err != nil {
			return out, fmt.Errorf("make group of service account: %w", db.Fault(err))
		}
		if _, err := tx.Exec(ctx, `INSERT INTO group_members (group_uuid, user_id) VALUES ($1, $2)`, id, out.UserPK); err != nil {
			return out, fmt.Errorf("make group of service account: %w", db.Fault(err))
		}
		if err := s.created(ctx, tx, event.Model(id, group.App, "group", in.Name)); err != nil {
			return out, err
		}
		pk := id.String()
		out.GroupPK = &pk
	}
	t := token.Token{Identifier: slug("service-account-" + in.Name + "-password"), Intent: token.AppPassword, User: out.UserPK, Expiring: expiring}
	if expiring {
		end := now.Add(lifetime)
		if in.Expires != nil {
			end = *in.Expires
		}
		t.Expires = &end
	}
	if out.Token, err = s.Tokens.Issue(ctx, tx, &t, ""); err != nil {
		return out, err
	}
	return out, s.created(ctx, tx, event.Model(t.PK, token.App, "token", t.Identifier))
}

func (s *Service) created(ctx context.Context, tx pgx.Tx, model event.Ref) error {
	return s.Events.Emit(ctx, tx, event.Event{Action: event.ModelCreated, Context: map[string]any{"model": model}})
}

var (
	notSlug = regexp.MustCompile(`[^a-z0-9_\s-]+`)
	gaps    = regexp.MustCompile(`[-\s]+`)
)

// slug makes a token's identifier of a text: lower case, ASCII letters, digits, _ and single dashes.
func slug(text string) string {
	return strings.Trim(gaps.ReplaceAllString(notSlug.ReplaceAllString(strings.ToLower(text), ""), "-"), "-")
}
