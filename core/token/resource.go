package token

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/duration"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/resource"
	"countersign/core/secret"
	"countersign/core/user"
)

// The attributes of users and their groups that bind the tokens that they make themselves (core.md §6.3).
const (
	attributeExpires  = "goauthentik.io/user/token-expires"
	attributeLifetime = "goauthentik.io/user/token-maximum-lifetime"
)

// ViewKey and SetKey are the permissions of view_key/ and set_key/. Both are declared (core.md §10 item 35).
const (
	ViewKey = App + ".view_token_key"
	SetKey  = App + ".set_token_key"
)

// Mount adds /core/tokens/ and all below it. Superusers see every token, everybody else their own.
func (s *Store) Mount(reg *resource.Registry) *resource.Resource[Token] {
	return resource.Mount(reg, resource.Def[Token]{
		Name: "token", App: App, Label: "Token", Path: "/core/tokens/", Table: "tokens", Doc: "Token Viewset",
		Lookup: "identifier", Display: "identifier",
		Filter:  []string{"identifier", "intent", "description", "expires", "expiring", "managed"},
		Filters: []resource.Filter{{Name: "user__username", SQL: `(SELECT u.username FROM users u WHERE u.id = t.user_id) = $1`}},
		Search:  []string{"identifier", "intent", `(SELECT u.username FROM users u WHERE u.id = t.user_id)`, "description"},
		Order:   []string{"identifier", "expires"},
		New: func() Token {
			return Token{Intent: API, Expiring: true, Created: s.Now()}
		},
		Visible: func(a *rbac.Actor) db.Pred { return db.Pred{SQL: `t.user_id = $1`, Args: []any{a.ID}} },
		Allow: func(a *rbac.Actor, v resource.Verb, row *Token) bool {
			if v == "set_key" {
				return a.Can(SetKey)
			}
			return a.Can(v.Permission(App, "token")) || row == nil || row.User == a.ID
		},
		Validate: s.validate, BeforeSave: s.beforeSave, Load: s.load,
		Actions: []resource.Action[Token]{
			resource.OnRow(api.Operation{Method: "GET", Path: "view_key/", Description: "Return token key and log access", NotFound: true}, s.viewKey),
			resource.OnRow(api.Operation{Method: "POST", Path: "set_key/", NotFound: true,
				Description: "Set token key. Action is logged as event. `authentik_core.set_token_key` permission is required."}, s.setKeyAction),
		},
	})
}

// validate applies what may be given, and on create the defaults.
func (s *Store) validate(ctx context.Context, tx pgx.Tx, c *resource.Change[Token]) error {
	row, errs := c.Row, fault.Fields{}
	created := c.Old == nil
	if (created || c.Sent("intent") && row.Intent != c.Old.Intent) && row.Intent != API && row.Intent != AppPassword {
		errs.Add("intent", "invalid_choice", fmt.Sprintf("Invalid intent %s", row.Intent))
		return errs.Err()
	}
	if created && !c.Sent("user") {
		row.User = c.Actor.ID
	}
	attributes, err := s.attributes(ctx, tx, c.Actor.ID)
	if err != nil {
		return err
	}
	if !c.Actor.Superuser {
		row.User = c.Actor.ID
		if created || c.Sent("expiring") {
			row.Expiring = attributes[attributeExpires] != false
		}
	}
	now := s.Now()
	usual := now.Add(s.duration())
	asked := c.Sent("expires") && row.Expires != nil
	switch row.Intent {
	case API:
		// An api token lives for the usual time from its making, or from the change that asks for another end.
		switch {
		case created || c.Sent("expires"):
			row.Expires = &usual
		case c.Old.Intent != API:
			row.Expires = earlier(row.Expires, usual)
		}
	case AppPassword:
		limit := s.duration()
		if text, ok := attributes[attributeLifetime].(string); ok {
			if d, err := duration.Parse(text); err == nil && d > 0 {
				limit = d
			}
		}
		if asked && row.Expires.After(now.Add(limit)) && !(c.Actor.Superuser && !row.Expiring) {
			errs.Add("expires", "invalid", fmt.Sprintf("Token expires exceeds maximum lifetime (%s).", now.Add(limit).UTC().Format(time.RFC3339)))
		}
		if created && row.Expires == nil {
			row.Expires = &usual
		}
	}
	if row.Expiring && row.Expires == nil {
		row.Expires = &usual // or it would never end
	}
	return errs.Err()
}

func earlier(a *time.Time, b time.Time) *time.Time {
	if a != nil && a.Before(b) {
		return a
	}
	return &b
}

func (s *Store) attributes(ctx context.Context, q db.Querier, id int) (map[string]any, error) {
	u, err := s.Users.ByID(ctx, q, id)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return nil, fault.Missing()
	}
	groups, err := s.Users.Membership(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return user.MergedAttributes(nil, groups, u), nil
}

// beforeSave draws the key of a new token. Validation comes before it, and the row has its pk.
func (s *Store) beforeSave(_ context.Context, _ pgx.Tx, c *resource.Change[Token]) error {
	if c.Old == nil {
		s.setKey(c.Row, s.draw())
	}
	return nil
}

func (s *Store) load(ctx context.Context, q db.Querier, _ *resource.View, rows []*Token) error {
	ids := make([]int, len(rows))
	for i, t := range rows {
		ids[i] = t.User
	}
	users, err := s.UserObj.Load(ctx, q, ids)
	if err != nil {
		return err
	}
	for _, t := range rows {
		t.UserObj = users[t.User]
	}
	return nil
}

// TokenView is a token's key.
type TokenView struct { //nolint:revive // the contract's name of the component
	Key string `json:"key" api:"ro"`
}

// viewKey shows the key to the token's user and to whoever may see all keys, and says so in the log. An expired token
// is 404, one that no key of the server opens 409.
func (s *Store) viewKey(ctx context.Context, c *resource.Call[Token], _ api.None) (TokenView, error) {
	a := c.Request.Actor
	if c.Row.User != a.ID && !a.Can(ViewKey) {
		return TokenView{}, fault.Forbidden()
	}
	if c.Row.Expired(s.Now()) {
		return TokenView{}, fault.Missing()
	}
	key, err := s.Keeper.Open(c.Row.KeySealed, sealedKey.AAD(c.Row.PK))
	if err != nil {
		return TokenView{}, fault.New(fault.Conflict, "sealed", "This key cannot be shown: the server's key that sealed it is gone. It still works.").
			Wrap(fmt.Errorf("open key of token %s: %w", c.Row.Identifier, err))
	}
	err = s.Events.Emit(ctx, c.Tx, event.Event{Action: event.SecretView, Context: map[string]any{
		"secret": event.Model(c.Row.PK, App, "token", c.Row.Identifier),
	}})
	return TokenView{Key: string(key)}, err
}

// TokenSetKey is a new key; it is taken as it is.
type TokenSetKey struct { //nolint:revive // the contract's name of the component
	Key string `json:"key" api:"required,raw,max=1024"`
}

func (s *Store) setKeyAction(ctx context.Context, c *resource.Call[Token], in TokenSetKey) (api.None, error) {
	if c.Row.Expired(s.Now()) {
		return api.None{}, fault.Missing()
	}
	s.setKey(c.Row, in.Key)
	tag, err := c.Tx.Exec(ctx, `UPDATE tokens SET key_hash = $2, key_sealed = $3 WHERE token_uuid = $1
		AND NOT EXISTS (SELECT FROM tokens WHERE key_hash = $2 AND token_uuid <> $1)`, c.Row.PK, secret.Hash(in.Key), c.Row.KeySealed)
	if err != nil {
		return api.None{}, fmt.Errorf("set key of token %s: %w", c.Row.Identifier, db.Fault(err))
	}
	if tag.RowsAffected() == 0 {
		return api.None{}, fault.Field("key", "invalid", "This key cannot be used.")
	}
	return api.None{}, s.Events.Emit(ctx, c.Tx, event.Event{Action: event.ModelUpdated, Context: map[string]any{
		"model": event.Model(c.Row.PK, App, "token", c.Row.Identifier), "message": "The key was set.",
	}})
}
