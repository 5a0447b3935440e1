package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/brand"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/group"
	"countersign/core/secret"
	"countersign/core/token"
	"countersign/core/user"
)

// What an installation begins with (core.md §9.2).
const (
	AdminGroup      = "authentik Admins"
	AdminUser       = "akadmin"
	adminName       = "authentik Default Admin"
	defaultEmail    = "root@example.com"
	TokenIdentifier = "authentik-bootstrap-token"
)

// LinkLifetime is how long a setup link is good for.
const LinkLifetime = 24 * time.Hour

// siblings is how long after one node made a setup link another node's start leaves it alone.
const siblings = time.Minute

// Given is what the environment says of the first administrator; empty is nothing.
type Given struct {
	Password string // AUTHENTIK_BOOTSTRAP_PASSWORD
	Token    string // AUTHENTIK_BOOTSTRAP_TOKEN
	Email    string // AUTHENTIK_BOOTSTRAP_EMAIL
}

// FromEnvironment reads the variables of core.md §9.2 with get, which is os.Getenv outside of tests.
func FromEnvironment(get func(string) string) Given {
	return Given{Password: get("AUTHENTIK_BOOTSTRAP_PASSWORD"), Token: get("AUTHENTIK_BOOTSTRAP_TOKEN"), Email: get("AUTHENTIK_BOOTSTRAP_EMAIL")}
}

// Service does the first start. Make it with its fields.
type Service struct {
	Pool   *pgxpool.Pool
	Hasher *user.Hasher
	Events *event.Log
	Keeper *secret.Keeper
	Now    func() time.Time
}

// Result is an installation that is ready.
type Result struct {
	InstallID uuid.UUID
	Fresh     bool // this call made it
	// SetupToken is the secret of the setup link, to be printed once; "" when a superuser has a password, or when
	// LinkElsewhere says that another start has printed a link within the last minute.
	SetupToken    string
	LinkElsewhere bool
}

// Run makes what is missing. It may be called at each start, by several nodes at once; it changes nothing in an
// installation that is set up, but for the token that the environment gives: it is made whenever it is missing.
// Errors: a given password or e-mail that may not be (the 400 says why), the database's.
func (s *Service) Run(ctx context.Context, given Given) (Result, error) {
	var r Result
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('countersign bootstrap', 0))`); err != nil {
			return fmt.Errorf("lock: %w", db.Fault(err))
		}
		err := tx.QueryRow(ctx, `INSERT INTO installation (install_id, created) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING install_id`,
			uuid.New(), s.Now()).Scan(&r.InstallID)
		switch {
		case err == nil:
			r.Fresh = true
			if err := s.first(ctx, tx, given); err != nil {
				return err
			}
		case errors.Is(err, pgx.ErrNoRows):
			if err := tx.QueryRow(ctx, `SELECT install_id FROM installation`).Scan(&r.InstallID); err != nil {
				return fmt.Errorf("read the install id: %w", db.Fault(err))
			}
		default:
			return fmt.Errorf("make the install id: %w", db.Fault(err))
		}
		if err := s.applyEnvironment(ctx, tx, given); err != nil {
			return err
		}
		return s.link(ctx, tx, &r)
	})
	if err != nil {
		return Result{}, fmt.Errorf("first start: %w", err)
	}
	return r, nil
}

// first makes the group, the user and the brand.
func (s *Service) first(ctx context.Context, tx pgx.Tx, given Given) error {
	if _, err := s.admin(ctx, tx, cmp.Or(given.Email, defaultEmail)); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make the default brand: %w", err)
	}
	b := brand.New()
	_, err = tx.Exec(ctx, `INSERT INTO brands (brand_uuid, domain, is_default, branding_title, branding_logo, branding_favicon, attributes)
		SELECT $1, $2, true, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM brands WHERE is_default)`,
		id, brand.DefaultDomain, b.Title, b.Logo, b.Favicon, b.Attributes)
	if err != nil {
		return fmt.Errorf("make the default brand: %w", db.Fault(err))
	}
	return nil
}

// admin gives akadmin as a superuser; the user, the group of administrators and the membership are made where missing.
func (s *Service) admin(ctx context.Context, tx pgx.Tx, email string) (*user.User, error) {
	if err := checkEmail(email); err != nil {
		return nil, err
	}
	users, now := s.users(), s.Now()
	u, err := users.Find(ctx, tx, AdminUser, []string{user.ByUsername}, false)
	if err != nil {
		return nil, err
	}
	if u == nil {
		var id int
		err := tx.QueryRow(ctx, `INSERT INTO users (uuid, username, name, email, password_changed, date_joined)
			VALUES ($1, $2, $3, $4, $5, $5) RETURNING id`, uuid.New(), AdminUser, adminName, email, now).Scan(&id)
		if err != nil {
			return nil, fmt.Errorf("make the first administrator: %w", db.Fault(err))
		}
		if err := s.made(ctx, tx, event.Model(id, user.App, "user", AdminUser)); err != nil {
			return nil, err
		}
		if u, err = users.ByID(ctx, tx, id); err != nil {
			return nil, err
		}
	}
	return u, s.makeSuperuser(ctx, tx, u)
}

func (s *Service) makeSuperuser(ctx context.Context, tx pgx.Tx, u *user.User) error {
	var already bool
	if err := tx.QueryRow(ctx, `SELECT user_is_superuser($1)`, u.ID).Scan(&already); err != nil {
		return fmt.Errorf("look whether %s is a superuser: %w", u.Username, db.Fault(err))
	}
	if already {
		return nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make the group of administrators: %w", err)
	}
	err = tx.QueryRow(ctx, `INSERT INTO groups (group_uuid, name, is_superuser) VALUES ($1, $2, true)
		ON CONFLICT (name) DO UPDATE SET is_superuser = true RETURNING group_uuid`, id, AdminGroup).Scan(&id)
	if err != nil {
		return fmt.Errorf("make the group of administrators: %w", db.Fault(err))
	}
	if _, err := tx.Exec(ctx, `INSERT INTO group_members (group_uuid, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, u.ID); err != nil {
		return fmt.Errorf("add %s to the administrators: %w", u.Username, db.Fault(err))
	}
	return s.made(ctx, tx, event.Model(id, group.App, "group", AdminGroup))
}

func (s *Service) made(ctx context.Context, tx pgx.Tx, model event.Ref) error {
	return s.Events.Emit(ctx, tx, event.Event{Action: event.ModelCreated, Context: map[string]any{"model": model}})
}

func (s *Service) users() *user.Store {
	return &user.Store{Pool: s.Pool, Hasher: s.Hasher, Events: s.Events, Now: s.Now}
}

func checkEmail(email string) error {
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != email || len(email) > 254 {
		return fault.Field("email", "invalid", "Enter a valid email address.")
	}
	return nil
}

// applyEnvironment gives akadmin what the environment says. A password that somebody has chosen is never replaced.
func (s *Service) applyEnvironment(ctx context.Context, tx pgx.Tx, given Given) error {
	if given.Password == "" && given.Token == "" {
		return nil
	}
	users := s.users()
	u, err := users.Find(ctx, tx, AdminUser, []string{user.ByUsername}, false)
	if err != nil || u == nil {
		return err // an installation that has deleted akadmin does without
	}
	if given.Password != "" && !user.Usable(u.Password) {
		if err := users.SetPassword(ctx, tx, u, given.Password); err != nil {
			return err
		}
		if given.Email != "" {
			if err := setEmail(ctx, tx, u.ID, given.Email); err != nil {
				return err
			}
		}
	}
	if given.Token == "" {
		return nil
	}
	var have bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tokens WHERE identifier = $1)`, TokenIdentifier).Scan(&have); err != nil {
		return fmt.Errorf("look for the first token: %w", db.Fault(err))
	}
	if have {
		return nil
	}
	tokens := &token.Store{Pool: s.Pool, Events: s.Events, Keeper: s.Keeper, Now: s.Now}
	t := token.Token{Identifier: TokenIdentifier, Intent: token.API, User: u.ID, Description: "Made at the first start from the environment."}
	if _, err := tokens.Issue(ctx, tx, &t, given.Token); err != nil {
		return err
	}
	return s.made(ctx, tx, event.Model(t.PK, token.App, "token", t.Identifier))
}

func setEmail(ctx context.Context, tx pgx.Tx, id int, email string) error {
	if err := checkEmail(email); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE users SET email = $2 WHERE id = $1`, id, email); err != nil {
		return fmt.Errorf("set e-mail address of user %d: %w", id, db.Fault(err))
	}
	return nil
}
