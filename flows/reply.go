package flows

import (
	"context"
	"errors"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/user"
)

func (e *Engine) show(ctx context.Context, run *Run, c Challenge, fields fault.Fields) (Reply, error) {
	if err := e.envelope(ctx, run, c); err != nil {
		return Reply{}, err
	}
	c.common().ResponseErrors = responseErrors(fields)
	if err := e.commit(ctx, run, save); err != nil {
		return Reply{}, err
	}
	return Reply{Challenge: c, Cookies: run.cookies}, nil
}

// deny ends the plan against the person.
func (e *Engine) deny(ctx context.Context, run *Run, reason string) (Reply, error) {
	if reason == "" {
		reason = "Unknown error"
	}
	run.moved = true
	c := &AccessDeniedChallenge{ErrorMessage: reason}
	c.Type, c.Component = TypeNative, ComponentAccessDenied
	if err := e.envelope(ctx, run, c); err != nil {
		return Reply{}, err
	}
	if err := e.commit(ctx, run, drop); err != nil {
		return Reply{}, err
	}
	return Reply{Challenge: c, Cookies: run.cookies}, nil
}

// finish ends a plan that has no step left.
func (e *Engine) finish(ctx context.Context, run *Run) (Reply, error) {
	to := run.Context.Redirect
	if to == "" {
		next := run.Query().Get("next")
		switch {
		case next == "":
			to = "/"
		case !LocalURL(next):
			return e.deny(ctx, run, "Invalid next URL")
		default:
			to = next
		}
	}
	run.plan.DoneTo, run.plan.DoneAt, run.plan.Steps, run.plan.Context = to, e.now(), nil, Context{}
	run.dirty = true
	if err := e.commit(ctx, run, save); err != nil {
		return Reply{}, err
	}
	return Reply{Challenge: redirectTo(to), Cookies: run.cookies}, nil
}

// inapplicable answers for a flow that the caller may not walk (core.md §1.6). A plan that was being walked ends.
func (e *Engine) inapplicable(ctx context.Context, run *Run, req Request, err error) (Reply, error) {
	var na *NotApplicable
	if !errors.As(err, &na) {
		return Reply{}, err
	}
	if run.plan == nil {
		run.plan = &Plan{}
		run.Context = &run.plan.Context
	}
	to := ""
	switch {
	case run.Flow.DeniedAction == DeniedMessage:
	case req.Next != "" && LocalURL(req.Next):
		to = req.Next
	case run.Flow.DeniedAction == DeniedContinue:
		to = "/"
	}
	if to == "" {
		return e.deny(ctx, run, na.Message)
	}
	run.moved = true
	if err := e.commit(ctx, run, drop); err != nil {
		return Reply{}, err
	}
	return Reply{Challenge: redirectTo(to), Cookies: run.cookies}, nil
}

// failed maps a stage's error: faults go to the one error writer, anything else is told as a flow error.
func (e *Engine) failed(ctx context.Context, run *Run, entry *Entry, err error) (Reply, error) {
	var f *fault.Error
	if errors.Is(err, ErrOvertaken) || errors.As(err, &f) || ctx.Err() != nil || db.Away(err) {
		return Reply{}, db.Fault(err)
	}
	run.rollback(ctx)
	e.log.ErrorContext(ctx, "stage failed", "flow", run.Flow.Slug, "stage", entry.Name, "request_id", run.Origin.RequestID, "error", err)
	emit := e.events.Emit(ctx, e.pool, event.Event{
		Action: event.SystemException, App: "authentik.flows",
		Context: map[string]any{"message": "A stage failed.", "flow": run.Flow.Slug, "stage": entry.Name},
	})
	if emit != nil {
		e.log.ErrorContext(ctx, "write event", "error", emit)
	}
	c := &FlowErrorChallenge{RequestID: run.Origin.RequestID}
	c.Type, c.Component = TypeNative, ComponentFlowError
	if run.Actor.Can("authentik_flows.inspect_flow") {
		c.Error = err.Error()
	}
	return Reply{Challenge: c}, nil
}

// envelope fills what every challenge of a stage has.
func (e *Engine) envelope(ctx context.Context, run *Run, c Challenge) error {
	u, err := run.shown(ctx)
	if err != nil {
		return err
	}
	name := ""
	if u != nil {
		name = u.Username
	}
	common := c.common()
	if common.Type == "" {
		common.Type = TypeNative
	}
	common.FlowInfo = &ContextualFlowInfo{
		Title: title(run.Flow.Title, run.Context.Application, name), Background: run.Flow.BackgroundURL(),
		CancelURL: "/flows/-/cancel/", Layout: ContextualFlowInfoLayoutEnum(run.Flow.Layout),
	}
	if w, ok := c.(interface{ who() *WithUser }); ok {
		who := w.who()
		who.PendingUser, who.PendingUserAvatar = name, avatar(u)
		if id := run.Context.PendingUserIdentifier; id != "" {
			who.PendingUser, who.PendingUserAvatar = id, user.Avatar(id, id)
		}
	}
	return nil
}

func avatar(u *Shown) string {
	if u == nil {
		return user.Avatar("", "")
	}
	return user.Avatar(u.Name, u.Username)
}
