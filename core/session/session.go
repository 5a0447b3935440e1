package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/rbac"
	"countersign/core/secret"
	"countersign/core/user"
)

// The usual lifetimes, where Store leaves its own at zero.
const (
	DefaultAnonymousIdle = time.Hour
	DefaultBrowserIdle   = 14 * 24 * time.Hour // the wire's framework has two weeks
)

// touchEvery is how often at most a session's last use is written down.
const touchEvery = time.Minute

// keyLength is the length of a session's random key: 238 bits.
const keyLength = 40

// Store keeps sessions. Make it with its exported fields; it is safe for use by several goroutines.
type Store struct {
	Pool    *pgxpool.Pool
	Users   *user.Store
	Events  *event.Log
	Key     []byte   // signs cookies; secret.Keeper.Derive("session")
	OldKeys [][]byte // whose cookies are still taken; secret.Keeper.DeriveOld("session")
	Now     func() time.Time
	Log     *slog.Logger

	AnonymousIdle time.Duration // how long a session lives on in which nobody is logged in and nothing happens
	BrowserIdle   time.Duration // the same for one that is logged in until the browser ends
	Where         Locator       // nil: no databases; every binding breaks when the address changes
}

// Session is one browser's.
type Session struct {
	UUID      uuid.UUID
	Actor     *rbac.Actor // nil: nobody is logged in
	Auth      Auth
	Created   time.Time
	LastUsed  time.Time
	Expires   time.Time
	LastIP    string
	LastAgent string

	key string // the cookie's sid; "" once the session has ended
	old bool   // an older key of the server signed the cookie
}

// Auth is how the person of a session proved themselves, and what the session is bound to.
type Auth struct {
	Method   string         `json:"method,omitempty"` // password, token, auth_mfa …
	Args     map[string]any `json:"args,omitempty"`   // the event's auth_method_args
	Factors  []string       `json:"factors,omitempty"`
	At       time.Time      `json:"at,omitzero"`
	Duration int64          `json:"duration,omitempty"` // seconds; 0 ends with the browser
	Network  string         `json:"network_binding,omitempty"`
	GeoIP    string         `json:"geoip_binding,omitempty"`
}

// Load reads the session of a request: one query, and a second one when the last use is written down, at most once a
// minute. A request from another address than the last is held against the session's bindings (core.md §2.3); a broken
// one ends the session. nil and no error: no cookie, or one that is forged, expired, ended, or of a user who is not active.
func (s *Store) Load(ctx context.Context, r *http.Request) (*Session, error) {
	return s.LoadWith(ctx, r, nil)
}

// Along is what LoadWith reads in the same query as the session, from tables joined to it (its alias is s). Columns
// begins with a comma; Args are $3 and on; Into are the targets of the columns. Then, if not nil, adds queries of their own
// to the same round trip.
type Along struct {
	Columns, Join string
	Args, Into    []any
	Then          func(*pgx.Batch)
}

// LoadWith is Load that reads along something else. It means nothing when there is no session.
func (s *Store) LoadWith(ctx context.Context, r *http.Request, along *Along) (*Session, error) {
	c, err := r.Cookie(CookieName)
	if err != nil {
		return nil, nil //nolint:nilerr // no cookie is no session
	}
	key, old := s.verify(c.Value)
	if key == "" {
		return nil, nil
	}
	sess, err := s.byKey(ctx, key, along)
	if err != nil || sess == nil {
		return nil, err
	}
	sess.old = old
	return s.use(ctx, sess)
}

// The query of byKey, in the parts between which Along goes.
const (
	byKeyColumns = `SELECT s.session_uuid, s.auth, s.created, s.last_used, s.expires, s.last_ip, s.last_user_agent,
			u.id, u.uuid, u.username, u.name, u.email, u.type, u.attributes,
			CASE WHEN u.id IS NULL THEN false ELSE user_is_superuser(u.id) END`
	byKeyFrom  = ` FROM sessions s LEFT JOIN users u ON u.id = s.user_id AND u.is_active`
	byKeyWhere = ` WHERE s.key_hash = $1 AND s.expires > $2 AND (s.user_id IS NULL OR u.id IS NOT NULL)`
)

func (s *Store) byKey(ctx context.Context, key string, along *Along) (*Session, error) {
	sess := &Session{key: key}
	var id *int
	var uid *uuid.UUID
	var username, name, email, kind *string
	var attributes map[string]any
	var superuser bool
	sql, args := byKeyColumns+byKeyFrom+byKeyWhere, []any{secret.Hash(key), s.Now()}
	into := []any{
		&sess.UUID, &sess.Auth, &sess.Created, &sess.LastUsed, &sess.Expires, &sess.LastIP, &sess.LastAgent,
		&id, &uid, &username, &name, &email, &kind, &attributes, &superuser,
	}
	if along != nil {
		sql = byKeyColumns + along.Columns + byKeyFrom + along.Join + byKeyWhere
		args, into = append(args, along.Args...), append(into, along.Into...)
	}
	var err error
	if along == nil || along.Then == nil {
		err = s.Pool.QueryRow(ctx, sql, args...).Scan(into...)
	} else {
		batch := &pgx.Batch{}
		batch.Queue(sql, args...).QueryRow(func(row pgx.Row) error { return row.Scan(into...) })
		along.Then(batch)
		err = s.Pool.SendBatch(ctx, batch).Close()
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("load session: %w", db.Fault(err))
	}
	if id != nil {
		sess.Actor = &rbac.Actor{ID: *id, UUID: *uid, Username: *username, Name: *name, Email: *email, Type: *kind,
			Superuser: superuser, Attributes: attributes, Via: rbac.ViaSession, Session: sess.UUID}
	}
	return sess, nil
}

// use checks the bindings of a session that has come to another address and writes down that it was used.
func (s *Store) use(ctx context.Context, sess *Session) (*Session, error) {
	o := event.From(ctx)
	moved := false
	if sess.Actor != nil && o.ClientIP.IsValid() {
		now := o.ClientIP.Unmap().WithZone("")
		before, _ := netip.ParseAddr(sess.LastIP)
		if moved = before != now; moved {
			if why := checkBindings(sess.Auth, before, now, s.Where); why != nil {
				return nil, s.endBroken(ctx, sess, why, before, now)
			}
		}
	}
	now := s.Now()
	if !moved && now.Sub(sess.LastUsed) < touchEvery {
		return sess, nil
	}
	ip, agent := sess.LastIP, sess.LastAgent
	if o.ClientIP.IsValid() {
		ip, agent = o.ClientIP.Unmap().WithZone("").String(), clip(o.UserAgent)
	}
	expires := s.slide(sess, now)
	_, err := s.Pool.Exec(ctx, `UPDATE sessions SET last_used = $2, expires = $3, last_ip = $4, last_user_agent = $5
		WHERE session_uuid = $1 AND last_used <= $2`, sess.UUID, now, expires, ip, agent)
	if err != nil {
		return nil, fmt.Errorf("touch session: %w", db.Fault(err))
	}
	sess.LastUsed, sess.Expires, sess.LastIP, sess.LastAgent = now, expires, ip, agent
	return sess, nil
}

// slide is when a session that is used now ends. One with a duration of its own keeps its end: see Renew.
func (s *Store) slide(sess *Session, now time.Time) time.Time {
	switch {
	case sess.Actor == nil:
		return now.Add(or(s.AnonymousIdle, DefaultAnonymousIdle))
	case sess.Auth.Duration > 0:
		return sess.Expires
	}
	return now.Add(or(s.BrowserIdle, DefaultBrowserIdle))
}

func or(d, usual time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return usual
}

// Start begins a session in which nobody is logged in. The cookie is to be sent.
func (s *Store) Start(ctx context.Context, _ *http.Request) (*Session, *http.Cookie, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, nil, fmt.Errorf("start session: %w", err)
	}
	now, o := s.Now(), event.From(ctx)
	sess := &Session{UUID: id, Created: now, LastUsed: now, LastAgent: clip(o.UserAgent), key: secret.Token(keyLength)}
	sess.Expires = s.slide(sess, now)
	if o.ClientIP.IsValid() {
		sess.LastIP = o.ClientIP.Unmap().WithZone("").String()
	}
	cookie, err := s.cookie(ctx, sess.key, anonymous, time.Time{})
	if err != nil {
		return nil, nil, fmt.Errorf("sign session cookie: %w", err)
	}
	_, err = s.Pool.Exec(ctx, `INSERT INTO sessions (session_uuid, key_hash, last_ip, last_user_agent, created, last_used, expires)
		VALUES ($1, $2, $3, $4, $5, $5, $6)`, sess.UUID, secret.Hash(sess.key), sess.LastIP, sess.LastAgent, now, sess.Expires)
	if err != nil {
		return nil, nil, fmt.Errorf("start session: %w", db.Fault(err))
	}
	return sess, cookie, nil
}

// rotationGrace is how long after a login a request that was sent with the key from before is recognised.
const rotationGrace = 10 * time.Second

// Rotated tells whether the request's cookie is the one from before a login of moments ago: another tab of the same
// browser was faster. It gives no access to anything; it says not to begin a new session, whose cookie would take the
// place of the good one.
func (s *Store) Rotated(ctx context.Context, r *http.Request) (bool, error) {
	c, err := r.Cookie(CookieName)
	if err != nil {
		return false, nil //nolint:nilerr // no cookie
	}
	key, _ := s.verify(c.Value)
	if key == "" {
		return false, nil
	}
	var rotated bool
	err = s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM sessions WHERE former_hash = $1 AND rotated > $2)`,
		secret.Hash(key), s.Now().Add(-rotationGrace)).Scan(&rotated)
	if err != nil {
		return false, fmt.Errorf("look for a rotated session: %w", db.Fault(err))
	}
	return rotated, nil
}

// Authenticate is the api.Authenticator for the session cookie.
func (s *Store) Authenticate(ctx context.Context, r *http.Request) (*rbac.Actor, error) {
	sess, err := s.Load(ctx, r)
	if err != nil || sess == nil {
		return nil, err
	}
	return sess.Actor, nil
}

// cleanBatch bounds one statement of the clean-up, so that it holds no lock for long.
const cleanBatch = 1000

// Clean deletes the sessions that have expired, with their plans, and tells how many.
func (s *Store) Clean(ctx context.Context) (int, error) {
	total := 0
	for {
		tag, err := s.Pool.Exec(ctx, `DELETE FROM sessions WHERE session_uuid IN
			(SELECT session_uuid FROM sessions WHERE expires <= $1 ORDER BY expires LIMIT $2)`, s.Now(), cleanBatch)
		if err != nil {
			return total, fmt.Errorf("clean up sessions: %w", db.Fault(err))
		}
		n := int(tag.RowsAffected())
		total += n
		if n < cleanBatch {
			return total, nil
		}
	}
}

// Who is who is logged in; nil for nobody, and for no session.
func (sess *Session) Who() *rbac.Actor {
	if sess == nil {
		return nil
	}
	return sess.Actor
}
