package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/secret"
	"countersign/core/user"
)

// LoginOptions say who is logged in and how. Method, Args and Factors are for the record and for those who ask for a
// fresh or a second factor.
type LoginOptions struct {
	User            *user.User
	Method          string         // auth_method of the event; "" is not known
	Args            map[string]any // auth_method_args of the event
	Factors         []string       // the kinds of proof, in their order: "password", "mobile"
	Duration        time.Duration  // 0: until the browser ends
	NetworkBinding  string
	GeoIPBinding    string
	TerminateOthers bool           // ends the user's other sessions
	Context         map[string]any // more for the event, such as the source
}

// ErrEnded is a session that was deleted, or logged in by another request, since it was loaded.
var ErrEnded = errors.New("the session has ended meanwhile")

// Login makes sess the session of a user within tx, in one round trip: a new key for the same session, the end of the
// others if asked, last_login, and the event login. sess is changed at once: when tx is rolled back, load it anew.
// Errors: Denied for a user who is not active (core.md §10 item 22), a fault around ErrEnded.
func (s *Store) Login(ctx context.Context, tx pgx.Tx, sess *Session, o LoginOptions) (*http.Cookie, error) {
	inactive := fault.New(fault.Denied, "inactive", "This account is not active.")
	if o.User == nil || o.User.ID == 0 || !o.User.IsActive {
		return nil, inactive
	}
	now, origin := s.Now(), event.From(ctx)
	auth := Auth{Method: o.Method, Args: o.Args, Factors: o.Factors, At: now, Duration: int64(o.Duration / time.Second),
		Network: o.NetworkBinding, GeoIP: o.GeoIPBinding}
	actor := &rbac.Actor{ID: o.User.ID, UUID: o.User.UUID, Username: o.User.Username, Name: o.User.Name, Email: o.User.Email,
		Type: string(o.User.Type), Attributes: o.User.Attributes, Via: rbac.ViaSession, Session: sess.UUID}
	next := *sess
	next.Actor, next.Auth, next.key, next.LastUsed = actor, auth, secret.Token(keyLength), now
	if origin.ClientIP.IsValid() {
		next.LastIP, next.LastAgent = origin.ClientIP.Unmap().WithZone("").String(), clip(origin.UserAgent)
	}
	next.Expires = s.slide(&next, now)
	var cookieEnd time.Time
	if auth.Duration > 0 {
		next.Expires = now.Add(o.Duration)
		cookieEnd = next.Expires
	}
	cookie, err := s.cookie(ctx, next.key, s.Users.UID(actor.ID), cookieEnd)
	if err != nil {
		return nil, fmt.Errorf("sign session cookie: %w", err)
	}
	record, err := json.Marshal(auth)
	if err != nil {
		return nil, fmt.Errorf("encode how user %d logged in: %w", actor.ID, err)
	}
	values := maps.Clone(o.Context)
	if values == nil {
		values = map[string]any{}
	}
	if o.Method != "" {
		values["auth_method"], values["auth_method_args"] = o.Method, o.Args
	}
	eventArgs, err := s.Events.Args(ctx, event.Event{Action: event.Login, Context: values, User: event.ActorUser(actor)})
	if err != nil {
		return nil, err
	}

	var batch pgx.Batch
	batch.Queue(`UPDATE sessions SET key_hash = $3, former_hash = $2, rotated = $7, user_id = $4, expires = $5, auth = $6, last_used = $7, last_ip = $8, last_user_agent = $9
		WHERE session_uuid = $1 AND key_hash = $2 RETURNING session_uuid`, sess.UUID, secret.Hash(sess.key), secret.Hash(next.key),
		actor.ID, next.Expires, record, now, next.LastIP, next.LastAgent)
	batch.Queue(`UPDATE users SET last_login = $2 WHERE id = $1 AND is_active RETURNING user_is_superuser(id)`, actor.ID, now)
	if o.TerminateOthers {
		batch.Queue(`DELETE FROM sessions WHERE user_id = $1 AND session_uuid <> $2`, actor.ID, sess.UUID)
	}
	batch.Queue(event.InsertSQL, eventArgs...)
	results := tx.SendBatch(ctx, &batch)
	err = results.QueryRow().Scan(&next.UUID)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ended()
	}
	if err == nil {
		err = results.QueryRow().Scan(&actor.Superuser)
		if errors.Is(err, pgx.ErrNoRows) {
			err = inactive
		}
	}
	if closed := results.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("log in user %d: %w", actor.ID, db.Fault(err))
	}
	*sess = next
	return cookie, nil
}

func ended() error {
	return fault.New(fault.Conflict, "session_ended", "Your session has ended. Please try again.").Wrap(ErrEnded)
}

// Logout ends a session within tx: its row and plans are deleted and the event logout is written, if anybody was
// logged in. The cookie has the browser forget it. sess is of no use afterwards.
func (s *Store) Logout(ctx context.Context, tx pgx.Tx, sess *Session) (*http.Cookie, error) {
	if err := s.end(ctx, tx, sess, nil, event.ActorUser(sess.Actor)); err != nil {
		return nil, err
	}
	return expired(ctx), nil
}

func (s *Store) end(ctx context.Context, tx pgx.Tx, sess *Session, values map[string]any, who *event.User) error {
	tag, err := tx.Exec(ctx, `DELETE FROM sessions WHERE session_uuid = $1`, sess.UUID)
	if err != nil {
		return fmt.Errorf("end session: %w", db.Fault(err))
	}
	if tag.RowsAffected() == 0 || who == nil {
		return nil
	}
	return s.Events.Emit(ctx, tx, event.Event{Action: event.Logout, Context: values, User: who})
}

// EndOf ends sessions of a user within tx: those of ids, all of them if ids is nil. It tells how many there were, and the event
// logout says so, with why.
func (s *Store) EndOf(ctx context.Context, tx pgx.Tx, who event.User, ids []uuid.UUID, why map[string]any) (int, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM sessions WHERE user_id = $1 AND ($2::uuid[] IS NULL OR session_uuid = ANY($2))`, who.PK, ids)
	if err != nil {
		return 0, fmt.Errorf("end sessions of user %d: %w", who.PK, db.Fault(err))
	}
	n := int(tag.RowsAffected())
	if n == 0 {
		return 0, nil
	}
	values := maps.Clone(why)
	if values == nil {
		values = map[string]any{}
	}
	values["sessions"] = n
	return n, s.Events.Emit(ctx, tx, event.Event{Action: event.Logout, Context: values, User: &who})
}

// Renew has the session of a request run for its duration again, from now, and gives the cookie to send; nil where
// there is nothing to renew: no session, one that ends with the browser (it slides by itself), or one renewed within
// the last minute. A cookie that an older key of the server signed is signed with the present one in any case.
func (s *Store) Renew(ctx context.Context, r *http.Request) (*http.Cookie, error) {
	sess, err := s.Load(ctx, r)
	if err != nil || sess == nil || sess.Actor == nil {
		return nil, err
	}
	if sess.Auth.Duration == 0 {
		if !sess.old {
			return nil, nil
		}
		return s.cookie(ctx, sess.key, s.Users.UID(sess.Actor.ID), time.Time{})
	}
	expires := s.Now().Add(time.Duration(sess.Auth.Duration) * time.Second)
	if expires.Sub(sess.Expires) < touchEvery && !sess.old {
		return nil, nil
	}
	if _, err := s.Pool.Exec(ctx, `UPDATE sessions SET expires = $2 WHERE session_uuid = $1`, sess.UUID, expires); err != nil {
		return nil, fmt.Errorf("renew session: %w", db.Fault(err))
	}
	return s.cookie(ctx, sess.key, s.Users.UID(sess.Actor.ID), expires)
}

// RenewFor is Renew for a call of the API: it sends the cookie. A call that was made with a token renews nothing.
func (s *Store) RenewFor(ctx context.Context, r *api.Request) error {
	if r.Actor == nil || r.Actor.Via != rbac.ViaSession {
		return nil
	}
	cookie, err := s.Renew(ctx, r.HTTP)
	if err == nil && cookie != nil {
		http.SetCookie(r.Writer, cookie)
	}
	return err
}
