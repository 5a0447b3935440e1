package flows

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/session"
	"countersign/core/user"
)

// Run is one request on one plan: what a stage may see and do. It never outlives the request.
type Run struct {
	Flow    *Flow
	Context *Context         // shared with the plan: what is set here is saved
	Session *session.Session // the browser's
	Actor   *rbac.Actor      // who is logged in; nil is nobody
	Origin  *event.Origin    // where the request comes from
	Title   string           // the brand's, for texts
	BaseURL string           // scheme://host/ as the browser sees it
	Resumed bool             // this Answer follows a Wait of the same request

	engine    *Engine
	catalogue *Catalogue
	plan      *Plan
	step      *Step
	users     map[int]*user.User
	tx        pgx.Tx
	queued    []statement
	after     []func()
	contended []string
	cookies   []*http.Cookie
	received  []*http.Cookie
	ahead     Ahead
	holder    *rbac.Actor // whose session it was when the request came
	dirty     bool        // there is something to save
	moved     bool        // the plan left a step, began anew or ended

	sessionEnded bool
}

type statement struct {
	sql  string
	args []any
}

// Now is the server's clock.
func (r *Run) Now() time.Time { return r.engine.now() }

// DB reads outside any transaction, or inside the run's once Tx was called.
func (r *Run) DB() db.Querier {
	if r.tx != nil {
		return r.tx
	}
	return r.engine.pool
}

// Tx is the transaction that commits together with the plan; it is begun at the first call. A stage that only
// writes uses Queue, which costs no round trip.
func (r *Run) Tx(ctx context.Context) (pgx.Tx, error) {
	if r.tx == nil {
		tx, err := r.engine.pool.Begin(ctx)
		if err != nil {
			return nil, fmt.Errorf("begin stage transaction: %w", db.Fault(err))
		}
		r.tx = tx
	}
	return r.tx, nil
}

// Queue adds a statement to what is sent and committed with the plan, in order, in one round trip. If one fails,
// or the plan was overtaken, none has happened.
func (r *Run) Queue(sql string, args ...any) {
	r.queued = append(r.queued, statement{sql, args})
	r.dirty = true
}

// Emit queues an audit event.
func (r *Run) Emit(ctx context.Context, e event.Event) error {
	sql, args, err := r.engine.events.Statement(ctx, e)
	if err != nil {
		return err
	}
	r.Queue(sql, args...)
	return nil
}

// Ahead gives, once, what a kind foresaw of this answer; nil: nothing, or it may be out of date.
func (r *Run) Ahead() Ahead {
	a := r.ahead
	r.ahead = nil
	return a
}

// AfterCommit has fn called once all that the run wrote is durable; never, if it is not.
func (r *Run) AfterCommit(fn func()) { r.after = append(r.after, fn) }

// Started is when the plan was made.
func (r *Run) Started() time.Time { return r.plan.Started }

// Cookie is the value of a cookie that the browser sent; "" for none.
func (r *Run) Cookie(name string) string {
	for _, c := range r.received {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// Contended names a constraint whose violation means that another request was faster, so that this one looks again.
func (r *Run) Contended(constraint string) { r.contended = append(r.contended, constraint) }

// SetCookie sends a cookie along with the answer, if the run's writes are committed.
func (r *Run) SetCookie(c *http.Cookie) { r.cookies = append(r.cookies, c) }

// EndSession says that the stage deleted the browser's session, and every plan with it.
func (r *Run) EndSession() { r.sessionEnded, r.dirty = true, true }

// State reads what SetState kept for the current step. It tells whether there was anything.
func (r *Run) State(into any) (bool, error) {
	if len(r.step.State) == 0 {
		return false, nil
	}
	if err := json.Unmarshal(r.step.State, into); err != nil {
		return false, fmt.Errorf("decode state of stage %s: %w", r.step.Stage, err)
	}
	return true, nil
}

// SetState keeps a JSON value for the current step until it passes.
func (r *Run) SetState(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode state of stage %s: %w", r.step.Stage, err)
	}
	r.step.State, r.dirty = raw, true
	return nil
}

// Changed says that the stage altered Context.
func (r *Run) Changed() { r.dirty = true }

// PendingID is the id of whom the flow is about: the user that a stage named, else the one logged in. known is false for
// nobody; a pretended user, who has a name and nothing else, has the id 0.
func (r *Run) PendingID() (id int, known bool) {
	switch {
	case r.Context.PendingUser != 0:
		return r.Context.PendingUser, true
	case r.Context.Pretended != "":
		return 0, true
	case r.Actor != nil:
		return r.Actor.ID, true
	}
	return 0, false
}

// PendingUser is the user of PendingID; nil is nobody.
func (r *Run) PendingUser(ctx context.Context) (*user.User, error) {
	id, known := r.PendingID()
	if !known {
		return nil, nil
	}
	if u, ok := r.users[id]; ok {
		return u, nil
	}
	u, err := r.engine.users.ByID(ctx, r.DB(), id) // for a pretended one too, so that it takes as long
	if err != nil && (id != 0 || !fault.Is(err, fault.NotFound)) {
		return nil, fmt.Errorf("load pending user %d: %w", id, err)
	}
	if id == 0 {
		u = &user.User{Username: r.Context.Pretended, Email: r.Context.Pretended}
	}
	r.users[id] = u
	return u, nil
}

// SetPendingUser names whom the flow is about. What was proved of somebody else before is forgotten: a flow that
// restarts with its context may come back with another name.
func (r *Run) SetPendingUser(u *user.User) {
	before := r.Context.PendingUser
	if before == 0 && r.Context.Pretended == "" && r.Actor != nil {
		before = r.Actor.ID
	}
	if u.ID == 0 || u.ID != before {
		r.Context.UserBackend, r.Context.AuthMethod, r.Context.AuthMethodArgs, r.Context.Factors = "", "", nil, nil
	}
	r.Context.PendingUser, r.Context.Pretended = u.ID, ""
	if u.ID == 0 {
		r.Context.Pretended = u.Username
	}
	r.Context.PendingUserShown = &Shown{Username: u.Username, Name: u.Name}
	r.users[u.ID] = u
	r.dirty = true
}

// shown is what challenges show of PendingUser; nil for nobody. It asks the database only about whom no stage named.
func (r *Run) shown(ctx context.Context) (*Shown, error) {
	if s := r.Context.PendingUserShown; s != nil && (r.Context.PendingUser != 0 || r.Context.Pretended != "") {
		return s, nil
	}
	u, err := r.PendingUser(ctx)
	if err != nil || u == nil {
		return nil, err
	}
	return &Shown{Username: u.Username, Name: u.Name}, nil
}

// Query is the query string of the page that the flow is shown on.
func (r *Run) Query() url.Values {
	q, err := url.ParseQuery(r.plan.Query)
	if err != nil {
		return url.Values{}
	}
	return q
}

// FlowURL is the page of another flow, with the query kept.
func (r *Run) FlowURL(slug string) string {
	u := "/if/flow/" + url.PathEscape(slug) + "/"
	if r.plan.Query != "" {
		u += "?" + r.plan.Query
	}
	return u
}

// Stages gives the catalogue of stages and flows as it is in this request.
func (r *Run) Stages() *Catalogue { return r.catalogue }

func (r *Run) rollback(ctx context.Context) {
	if r.tx != nil {
		_ = r.tx.Rollback(context.WithoutCancel(ctx)) // a connection that is lost rolls back by itself
		r.tx = nil
	}
}
