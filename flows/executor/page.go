package executor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/flows"
)

func (x *Executor) mountPages(a *api.API) {
	page := func(path, name string, fn func(ctx context.Context, r *api.Request) error) {
		a.Page(http.MethodGet, path, name, api.Open, func(ctx context.Context, r *api.Request) error {
			if err := fn(ctx, r); err != nil {
				x.ErrorPage(r, err)
			}
			return nil
		})
	}
	page("/if/flow/:slug/", "flow", x.flowPage)
	page("/flows/-/default/:designation/", "flow_default", x.defaultFlow)
	page("/flows/-/cancel/", "flow_cancel", x.cancel)
	page("/flows/-/configure/:stage_uuid/", "flow_configure", x.configure)
	page("/", "root", x.root)
}

func (x *Executor) flowPage(ctx context.Context, r *api.Request) error {
	cat, err := x.Engine.Fresh(ctx)
	if err != nil {
		return err
	}
	flow := cat.Slug(r.Param("slug"))
	if flow == nil {
		return fault.Missing()
	}
	x.Page(r, flow)
	return nil
}

// root sends a person to their account, or to the login with a way back.
func (x *Executor) root(ctx context.Context, r *api.Request) error {
	sess, err := x.Sessions.Load(ctx, r.HTTP)
	if err != nil {
		return err
	}
	if sess.Who() != nil {
		return redirect(r, keepQuery("/if/user/", r.HTTP.URL.RawQuery))
	}
	return redirect(r, loginFor(r))
}

// loginFor is the login that leads back to the page of the request.
func loginFor(r *api.Request) string {
	return "/flows/-/default/authentication/?next=" + url.QueryEscape(r.HTTP.URL.RequestURI())
}

// defaultFlow picks the brand's flow, else the first of the designation by slug.
func (x *Executor) defaultFlow(ctx context.Context, r *api.Request) error {
	brand, err := x.Brand(ctx, event.From(ctx).Host)
	if err != nil {
		return err
	}
	designation := flows.Designation(r.Param("designation"))
	var chosen *uuid.UUID
	switch designation {
	case flows.Authentication:
		chosen = brand.Authentication
	case flows.Invalidation:
		chosen = brand.Invalidation
	default:
		return fault.Missing()
	}
	cat, err := x.Engine.Fresh(ctx)
	if err != nil {
		return err
	}
	flow := cat.First(designation)
	if chosen != nil && cat.Flow(*chosen) != nil {
		flow = cat.Flow(*chosen)
	}
	if flow == nil {
		return fault.Missing()
	}
	return redirect(r, flowPage(flow.Slug, r.HTTP.URL.RawQuery))
}

func (x *Executor) cancel(ctx context.Context, r *api.Request) error {
	sess, err := x.Sessions.Load(ctx, r.HTTP)
	if err != nil {
		return err
	}
	if sess != nil {
		if err := x.Engine.Cancel(ctx, x.Pool, sess.UUID); err != nil {
			return err
		}
	}
	return redirect(r, "/flows/-/default/invalidation/")
}

// configure starts the flow by which a person sets a stage up for themselves.
func (x *Executor) configure(ctx context.Context, r *api.Request) error {
	sess, err := x.Sessions.Load(ctx, r.HTTP)
	if err != nil {
		return err
	}
	if sess.Who() == nil {
		return redirect(r, loginFor(r))
	}
	if err := r.Identify(sess.Who()); err != nil {
		return err
	}
	stage, err := uuid.Parse(r.Param("stage_uuid"))
	if err != nil {
		return fault.Missing()
	}
	var flowID *uuid.UUID
	err = x.Pool.QueryRow(ctx, `SELECT (settings->>'configure_flow')::uuid FROM stages WHERE stage_uuid = $1`, stage).Scan(&flowID)
	if err != nil {
		return fmt.Errorf("read stage to configure: %w", db.Fault(err))
	}
	cat, err := x.Engine.Fresh(ctx)
	if err != nil {
		return err
	}
	if flowID == nil || cat.Flow(*flowID) == nil {
		return fault.Missing()
	}
	flow := cat.Flow(*flowID)
	err = db.InTx(ctx, x.Pool, func(tx pgx.Tx) error {
		return x.Engine.Start(ctx, tx, cat, flow, sess, flows.Context{PendingUser: sess.Who().ID})
	})
	if err != nil {
		return err
	}
	return redirect(r, flowPage(flow.Slug, r.HTTP.URL.RawQuery))
}
