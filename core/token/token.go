package token

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/rbac"
	"countersign/core/secret"
	"countersign/core/user"
)

// App is the application label of tokens in permissions and events.
const App = "authentik_core"

// The usual settings, where Store leaves its own at zero (core.md §6.3).
const (
	DefaultDuration = 24 * time.Hour
	DefaultLength   = 60
)

// Intent says what a token is for.
type Intent string

// The intents. Only API and AppPassword can be given through the API.
const (
	Verification Intent = "verification"
	API          Intent = "api"
	Recovery     Intent = "recovery"
	AppPassword  Intent = "app_password"
)

// Enum lists the values for the document.
func (Intent) Enum() []string {
	return []string{string(Verification), string(API), string(Recovery), string(AppPassword)}
}

// SchemaName is the component's name in the document.
func (Intent) SchemaName() string { return "IntentEnum" }

// Token is one row and what /core/tokens/ shows of it.
type Token struct {
	PK          uuid.UUID  `json:"pk" db:"token_uuid" api:"pk,ro,title=Token uuid"`
	Managed     *string    `json:"managed" db:"managed" api:"unique,title=Managed by the server" doc:"Objects that are managed by the server. These objects are created and updated automatically. This flag only indicates that an object can be overwritten by migrations. You can still modify the objects via the API, but expect changes to be overwritten in a later update."`
	Identifier  string     `json:"identifier" db:"identifier" api:"required,unique,max=255,pattern=^[-a-zA-Z0-9_]+$"`
	Intent      Intent     `json:"intent" db:"intent"`
	User        int        `json:"user" db:"user_id" api:"ref=user"`
	UserObj     *user.User `json:"user_obj" api:"ro"`
	Description string     `json:"description" db:"description" api:"blank"`
	Expires     *time.Time `json:"expires" db:"expires"`
	Expiring    bool       `json:"expiring" db:"expiring"`

	KeyHash   []byte    `json:"-" db:"key_hash"`
	KeySealed []byte    `json:"-" db:"key_sealed"`
	Created   time.Time `json:"-" db:"created"`
}

// Expired tells whether the token's time is over.
func (t *Token) Expired(now time.Time) bool {
	return t.Expiring && t.Expires != nil && !t.Expires.After(now)
}

// Store keeps tokens. Make it with its exported fields; it is safe for use by several goroutines.
type Store struct {
	Pool     *pgxpool.Pool
	Users    *user.Store
	UserObj  *user.Service // completes user_obj
	Events   *event.Log
	Keeper   *secret.Keeper
	Now      func() time.Time
	Duration time.Duration // of api tokens, and of app passwords that ask for none; 0 is DefaultDuration
	Length   int           // of drawn keys; 0 is DefaultLength
}

// Issue makes a token within tx and gives its key. t needs Identifier, Intent and User; an empty key is drawn. No event
// is written: the caller knows what has happened.
func (s *Store) Issue(ctx context.Context, tx pgx.Tx, t *Token, key string) (string, error) {
	if key == "" {
		key = s.draw()
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("issue token %s: %w", t.Identifier, err)
	}
	t.PK, t.Created = id, s.Now()
	s.setKey(t, key)
	_, err = tx.Exec(ctx, `INSERT INTO tokens (token_uuid, managed, identifier, intent, user_id, description, expires, expiring, key_hash, key_sealed, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		t.PK, t.Managed, t.Identifier, string(t.Intent), t.User, t.Description, t.Expires, t.Expiring, t.KeyHash, t.KeySealed, t.Created)
	if err != nil {
		return "", fmt.Errorf("issue token %s: %w", t.Identifier, db.Fault(err))
	}
	return key, nil
}

func (s *Store) draw() string {
	if s.Length > 0 {
		return secret.Token(s.Length)
	}
	return secret.Token(DefaultLength)
}

func (s *Store) setKey(t *Token, key string) {
	t.KeyHash, t.KeySealed = secret.Hash(key), s.Keeper.Seal([]byte(key), sealedKey.AAD(t.PK))
}

// Sealed is where tokens keep sealed values.
func Sealed() []secret.Column { return []secret.Column{sealedKey} }

var sealedKey = secret.Column{Table: "tokens", Name: "key_sealed", Key: []string{"token_uuid"}}

func (s *Store) duration() time.Duration {
	if s.Duration > 0 {
		return s.Duration
	}
	return DefaultDuration
}

// Authenticate is the api.Authenticator for "Authorization: Bearer <key>" with an api token (core.md §7.1). nil and no
// error: there is no such header. Errors: Denied for a malformed header, and in one and the same words for a key that
// is unknown, expired, for something else, or of a user who is not active.
func (s *Store) Authenticate(ctx context.Context, r *http.Request) (*rbac.Actor, error) {
	key, ok, err := api.Bearer(r)
	if err != nil || !ok {
		return nil, err
	}
	a := rbac.Actor{Via: rbac.ViaToken}
	err = s.Pool.QueryRow(ctx, `SELECT u.id, u.uuid, u.username, u.name, u.email, u.type, u.attributes, user_is_superuser(u.id)
		FROM tokens t JOIN users u ON u.id = t.user_id AND u.is_active
		WHERE t.key_hash = $1 AND t.intent = 'api' AND (NOT t.expiring OR t.expires IS NULL OR t.expires > $2)`, secret.Hash(key), s.Now()).
		Scan(&a.ID, &a.UUID, &a.Username, &a.Name, &a.Email, &a.Type, &a.Attributes, &a.Superuser)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, api.TokenInvalid()
	case err != nil:
		return nil, fmt.Errorf("authenticate by token: %w", db.Fault(err))
	}
	return &a, nil
}

// AppPassword finds the app password of a user by its key, for the password stage. nil and no error: there is none
// that is valid now. It does not look at whether the user is active.
func (s *Store) AppPassword(ctx context.Context, userID int, key string) (*Token, error) {
	rows, err := s.Pool.Query(ctx, `SELECT * FROM tokens WHERE key_hash = $1 AND user_id = $2 AND intent = 'app_password'
		AND (NOT expiring OR expires IS NULL OR expires > $3)`, secret.Hash(key), userID, s.Now())
	if err != nil {
		return nil, fmt.Errorf("look for an app password: %w", db.Fault(err))
	}
	t, err := pgx.CollectOneRow(rows, pgx.RowToAddrOfStructByNameLax[Token])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for an app password: %w", db.Fault(err))
	}
	return t, nil
}
