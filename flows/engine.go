package flows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api/schema"
	"countersign/core/event"
	"countersign/core/rbac"
	"countersign/core/session"
	"countersign/core/user"
)

// Options are what an Engine needs. All are required except Now.
type Options struct {
	Pool   *pgxpool.Pool
	Users  *user.Store
	Events *event.Log
	Kinds  []*Kind
	Log    *slog.Logger
	Now    func() time.Time
}

// Engine runs flows. It is safe for concurrent use; the state of a run is in the database.
type Engine struct {
	pool      *pgxpool.Pool
	users     *user.Store
	events    *event.Log
	kinds     map[string]*Kind
	ahead     []func(Answer, *event.Origin) Ahead
	log       *slog.Logger
	now       func() time.Time
	turns     *turns
	catalogue atomic.Pointer[Catalogue]
	loading   sync.Mutex
	waiting   atomic.Int64
	schemas   *schema.Set
}

// New makes an engine. Two kinds of one model are a mistake of the caller and panic.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Engine{
		pool: o.Pool, users: o.Users, events: o.Events, log: o.Log, now: o.Now,
		kinds: map[string]*Kind{}, turns: newTurns(), schemas: schema.NewSet(),
	}
	for _, k := range o.Kinds {
		if e.kinds[k.Model] != nil {
			panic("flows: two kinds of the model " + k.Model)
		}
		e.kinds[k.Model] = k
		if k.Ahead != nil {
			e.ahead = append(e.ahead, k.Ahead)
		}
	}
	e.catalogue.Store(&Catalogue{})
	return e
}

// Waiting is how many requests sleep in a Wait now.
func (e *Engine) Waiting() int64 { return e.waiting.Load() }

// Active is how many requests are being served or stand in line for a plan now, without those that sleep.
func (e *Engine) Active() int { return e.turns.taken() }

// Request is one call of the executor.
type Request struct {
	Slug    string
	Post    bool
	Answer  Answer // the body of a POST
	Query   string // the page's query string, as sent along; "" keeps the plan's
	Next    string // the outer URL's own next parameter, for flows that do not apply
	Session *session.Session
	Actor   *rbac.Actor
	Origin  *event.Origin
	Title   string // the brand's
	BaseURL string
	Cookies []*http.Cookie // that the browser sent
	Early   *Early         // the plan, if it was read along with the session
}

// Reply is what the browser gets: go on (302 to the same URL), or a challenge.
type Reply struct {
	Continue  bool
	Challenge Challenge
	Cookies   []*http.Cookie
}

// ErrOvertaken is returned by a stage, or by the commit, when another request was faster: nothing of this one happened.
// The browser is told to look again.
var ErrOvertaken = errors.New("the plan was moved on by another request")

// Serve runs one request. Errors: fault.NotFound for an unknown slug, fault.Unavailable while the database is away;
// any other failure of a stage becomes the flow-error challenge and an event.
//
// A request that was overtaken has had no effect. It is tried again while the plan still stands at the step that the
// answer was meant for (another tab chose a device, or brought another query); else the browser is told to look again.
func (e *Engine) Serve(ctx context.Context, req Request) (Reply, error) {
	var met *position
	for tries := 0; ; tries++ {
		reply, err := e.serve(ctx, req, &met)
		if errors.Is(err, errStale) {
			return Reply{Continue: true}, nil
		}
		if !errors.Is(err, ErrOvertaken) {
			return reply, err
		}
		req.Early = nil
		if tries == 3 || req.Post && met == nil {
			return Reply{Continue: true}, nil
		}
	}
}

// position is a place in a plan: no two steps that are walked in one session and flow have the same.
type position struct {
	started time.Time
	moves   int
}

// serve is one try. met is where the first try found the stored plan; nil if there was none to meet.
func (e *Engine) serve(ctx context.Context, req Request, met **position) (reply Reply, err error) {
	key := turnKey{session: req.Session.UUID, flow: req.Slug}
	overtaken, waited, end, err := e.turns.take(ctx, key)
	if err != nil {
		return Reply{}, err
	}
	advanced := false
	defer func() { end(advanced) }()
	if waited {
		req.Early = nil
	}

	cat, flow, plan, err := e.load(ctx, req, req.Early)
	if err != nil {
		return Reply{}, err
	}
	run := &Run{
		Flow: flow, Session: req.Session, Actor: req.Actor, Origin: req.Origin, Title: req.Title, BaseURL: req.BaseURL,
		received: req.Cookies,
		holder:   req.Session.Who(),
		engine:   e, catalogue: cat, users: map[int]*user.User{},
	}
	defer run.rollback(ctx)
	if req.Early != nil { // what it holds is not to wait with the request
		run.ahead, req.Early.ahead = req.Early.ahead, nil
	}

	if plan != nil && plan.Finished() && flow.Designation == Authentication && e.now().Sub(plan.DoneAt) < doneFor {
		switch {
		case req.Actor != nil && req.Post: // another tab's answer to a login that is over: it ends too
			return Reply{Continue: true}, nil
		case req.Actor != nil:
			return Reply{Challenge: redirectTo(plan.DoneTo)}, nil
		}
	}
	if overtaken && req.Post {
		*met = nil
		return Reply{}, ErrOvertaken
	}
	if plan != nil && !plan.Finished() {
		here := plan.position()
		if *met != nil && !(*met).same(here) {
			*met = nil
			return Reply{}, ErrOvertaken
		}
		*met = &here
	} else if *met != nil {
		*met = nil
		return Reply{}, ErrOvertaken
	}
	if plan == nil || plan.Finished() || e.now().Sub(plan.touched) > planIdle || !plan.belongsTo(req.Actor) {
		fresh, err := e.Plan(cat, flow, req.Actor, Context{})
		if err != nil {
			return e.inapplicable(ctx, run, req, err)
		}
		if plan != nil {
			fresh.version = plan.version
		}
		plan = fresh
		run.dirty = true
	}
	if query := storable(req.Query); query != "" && query != plan.Query {
		plan.Query, run.dirty = query, true
	}
	run.plan, run.Context = plan, &plan.Context

	entry := run.enter(cat)
	if entry == nil {
		advanced = true
		return e.finish(ctx, run)
	}
	outcome, err := e.ask(ctx, run, entry, req)
	for err == nil && outcome.verb == verbWait {
		outcome, err = e.sleep(ctx, run, entry, req, outcome, key, &end, &advanced)
		here := run.plan.position() // stored by now
		*met = &here
	}
	if err != nil {
		return e.failed(ctx, run, entry, err)
	}
	reply, err = e.apply(ctx, run, cat, entry, outcome, req)
	advanced = run.moved && err == nil
	return reply, err
}

func (e *Engine) ask(ctx context.Context, run *Run, entry *Entry, req Request) (Outcome, error) {
	if req.Post {
		return answer(ctx, run, entry, req.Answer)
	}
	return begin(ctx, run, entry)
}

// begin calls the stage. A panic is the stage's failure and not the server's.
func begin(ctx context.Context, run *Run, entry *Entry) (o Outcome, err error) {
	defer recovered(&err)
	o, err = around(ctx, run, entry, func() (Outcome, error) { return entry.Stage.Begin(ctx, run) })
	if err == nil && o.verb != verbShow && o.verb != verbNext && o.verb != verbDeny {
		err = errors.New("Begin gave an outcome that only Answer may give")
	}
	return o, err
}

func answer(ctx context.Context, run *Run, entry *Entry, a Answer) (o Outcome, err error) {
	defer recovered(&err)
	return around(ctx, run, entry, func() (Outcome, error) { return entry.Stage.Answer(ctx, run, a) })
}

func around(ctx context.Context, run *Run, entry *Entry, do func() (Outcome, error)) (Outcome, error) {
	if entry.Kind.Around == nil {
		return do()
	}
	return entry.Kind.Around(ctx, run, do)
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// sleep commits what the stage wrote, gives the turn back, waits, takes the turn again and asks the stage again.
func (e *Engine) sleep(ctx context.Context, run *Run, entry *Entry, req Request, o Outcome, key turnKey, end *func(bool), advanced *bool) (Outcome, error) {
	if o.release != nil {
		defer o.release()
	}
	if err := e.commit(ctx, run, save); err != nil {
		return Outcome{}, err
	}
	(*end)(*advanced)
	*end, *advanced = func(bool) {}, false

	e.waiting.Add(1)
	timer := time.NewTimer(o.limit)
	var gone error
	select {
	case <-o.wake:
	case <-timer.C:
	case <-ctx.Done():
		gone = ctx.Err()
	}
	timer.Stop()
	e.waiting.Add(-1)
	if gone != nil {
		return Outcome{}, gone
	}
	_, _, again, err := e.turns.take(ctx, key)
	if err != nil {
		return Outcome{}, err
	}
	*end = again
	run.Resumed = true
	return answer(ctx, run, entry, req.Answer)
}

func (e *Engine) apply(ctx context.Context, run *Run, cat *Catalogue, entry *Entry, o Outcome, req Request) (Reply, error) {
	switch o.verb {
	case verbShow:
		return e.show(ctx, run, o.challenge, nil)
	case verbNext:
		run.plan.pop(o.insert)
		if who := run.Session.Who(); who != nil && who != run.holder {
			run.plan.Actor = who.ID // the stage logged them in: what follows is theirs
		}
		run.dirty, run.moved = true, true
		if run.enter(cat) == nil {
			return e.finish(ctx, run)
		}
		if err := e.commit(ctx, run, save); err != nil {
			return Reply{}, err
		}
		return Reply{Continue: true, Cookies: run.cookies}, nil
	case verbDeny:
		if restarts(run.step.OnInvalid) {
			return e.restart(ctx, run, cat, req)
		}
		return e.deny(ctx, run, o.reason)
	case verbStay:
		if !o.soft && restarts(run.step.OnInvalid) {
			return e.restart(ctx, run, cat, req)
		}
		again, err := begin(ctx, run, entry)
		if err != nil {
			return e.failed(ctx, run, entry, err)
		}
		if again.verb != verbShow {
			return e.apply(ctx, run, cat, entry, again, req)
		}
		return e.show(ctx, run, again.challenge, o.fields)
	default:
		return e.failed(ctx, run, entry, errors.New("the stage gave no outcome"))
	}
}

func restarts(action string) bool { return action == "restart" || action == "restart_with_context" }

// restart plans anew, as a binding's invalid_response_action asks.
func (e *Engine) restart(ctx context.Context, run *Run, cat *Catalogue, req Request) (Reply, error) {
	kept := Context{}
	if run.step.OnInvalid == "restart_with_context" {
		kept = run.plan.Context
	}
	fresh, err := e.Plan(cat, run.Flow, req.Actor, kept)
	if err != nil {
		return e.inapplicable(ctx, run, req, err)
	}
	fresh.version, fresh.Query, fresh.Moves = run.plan.version, run.plan.Query, run.plan.Moves+1
	run.plan, run.Context, run.dirty, run.moved = fresh, &fresh.Context, true, true
	if err := e.commit(ctx, run, save); err != nil {
		return Reply{}, err
	}
	return Reply{Continue: true, Cookies: run.cookies}, nil
}

// enter makes the plan's first step that still exists the current one; nil when none is left.
func (r *Run) enter(cat *Catalogue) *Entry {
	for step := r.plan.current(); step != nil; step = r.plan.current() {
		if entry := cat.Stage(step.Stage); entry != nil {
			r.step = step
			return entry
		}
		r.plan.pop(nil)
		r.dirty = true
	}
	return nil
}
