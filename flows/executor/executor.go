package executor

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/session"
	"countersign/flows"
)

// Brand is what pages and flows take from the brand of a host.
type Brand struct {
	Title          string
	Authentication *uuid.UUID // flow
	Invalidation   *uuid.UUID // flow
}

// Options are what an Executor needs.
type Options struct {
	Engine   *flows.Engine
	Sessions *session.Store
	Pool     *pgxpool.Pool
	// Bearer finds the caller of a request with an Authorization header.
	Bearer api.Authenticator
	// Brand gives the brand of a host.
	Brand func(ctx context.Context, host string) (Brand, error)
	// Page writes the page of a flow; it sets the anti-forgery cookie.
	Page func(r *api.Request, flow *flows.Flow)
	// ErrorPage writes an error to a person.
	ErrorPage func(r *api.Request, err error)
	Kinds     []*flows.Kind
}

// Executor serves flows over HTTP.
type Executor struct{ Options }

// Mount adds the operations and pages to the API.
func Mount(a *api.API, o Options) *Executor {
	x := &Executor{o}
	challenges, responses := documents(o.Kinds)
	operation := func(method, id, text string) api.Operation {
		return api.Operation{
			Method: method, Path: "/flows/executor/{flow_slug}/", ID: id, Tag: "flows", Description: text,
			Access:   api.Open,
			Query:    []api.Parameter{{Name: "query", Required: true, Description: "Querystring as received"}},
			Response: challenges,
		}
	}
	a.Raw(operation("GET", "flows_executor_get", "Get the next pending challenge from the currently active flow."),
		func(ctx context.Context, r *api.Request) error {
			frameable(r)
			return x.serve(ctx, r, false, nil)
		})
	solve := operation("POST", "flows_executor_solve", "Solve the previously retrieved challenge and advanced to the next stage.")
	solve.Request = responses
	a.Raw(solve, func(ctx context.Context, r *api.Request) error {
		frameable(r)
		body, err := r.Object()
		if err != nil {
			return err
		}
		return x.serve(ctx, r, true, body)
	})
	x.mountPages(a)
	return x
}

func documents(kinds []*flows.Kind) (challenges, responses api.Union) {
	challenges = api.Union{Name: "ChallengeTypes", Property: "component", Types: map[string]any{
		flows.ComponentAccessDenied: flows.AccessDeniedChallenge{}, flows.ComponentFlowError: flows.FlowErrorChallenge{},
		flows.ComponentRedirect: flows.RedirectChallenge{}, flows.ComponentShell: flows.ShellChallenge{},
	}}
	responses = api.Union{Name: "FlowChallengeResponseRequest", Property: "component", Types: map[string]any{}}
	for _, k := range kinds {
		for _, e := range k.Exchanges {
			challenges.Types[e.Component] = e.Challenge
			if e.Response != nil {
				responses.Types[e.Component] = e.Response
			}
		}
	}
	return challenges, responses
}

// frameable lets pages of this server frame the response (core.md §1.5); the platform's own answer is never.
func frameable(r *api.Request) { r.Writer.Header().Set("X-Frame-Options", "SAMEORIGIN") }

// serve runs one request of the executor.
func (x *Executor) serve(ctx context.Context, r *api.Request, post bool, body flows.Answer) error {
	origin := event.From(ctx)
	early, along := x.Engine.Early(r.Param("flow_slug"), body, origin)
	sess, cookies, err := x.session(ctx, r, along)
	if errors.Is(err, errElsewhere) {
		return r.JSON(http.StatusOK, flows.Leave(r.Query().Get("query")))
	}
	if err != nil {
		return err
	}
	query := r.Query().Get("query")
	if page, err := url.ParseQuery(query); err == nil && query != "" {
		origin.Query = page // events tell of the page's parameters
	}
	brand, err := x.Brand(ctx, origin.Host)
	if err != nil {
		return err
	}
	reply, err := x.Engine.Serve(ctx, flows.Request{
		Slug: r.Param("flow_slug"), Post: post, Answer: body, Query: query, Next: r.Query().Get("next"),
		Session: sess, Actor: r.Actor, Origin: origin, Title: brand.Title, BaseURL: r.BaseURL(), Cookies: r.HTTP.Cookies(), Early: early,
	})
	if err != nil {
		return err
	}
	for _, c := range append(cookies, reply.Cookies...) {
		http.SetCookie(r.Writer, c)
	}
	if reply.Continue {
		// Location equals the request's own URL to the letter: clients take any other redirect for the end.
		r.Writer.Header().Set("Location", r.HTTP.URL.RequestURI())
		r.Writer.WriteHeader(http.StatusFound)
		return nil
	}
	return r.JSON(http.StatusOK, reply.Challenge)
}

// errElsewhere says that another tab of this browser has just logged in, and that this request still has the old cookie.
var errElsewhere = errors.New("logged in from another tab")

// session finds the browser's session, or begins one, and who calls: the holder of a bearer token if there is one, else
// who is logged in.
func (x *Executor) session(ctx context.Context, r *api.Request, along *session.Along) (*session.Session, []*http.Cookie, error) {
	sess, err := x.Sessions.LoadWith(ctx, r.HTTP, along)
	if err != nil {
		return nil, nil, err
	}
	actor, err := x.Bearer(ctx, r.HTTP)
	if err != nil {
		return nil, nil, err
	}
	if actor == nil {
		actor = sess.Who()
	}
	if err := r.Identify(actor); err != nil {
		return nil, nil, err
	}
	if sess != nil {
		return sess, nil, nil
	}
	if rotated, err := x.Sessions.Rotated(ctx, r.HTTP); err != nil || rotated {
		return nil, nil, cmp.Or(err, errElsewhere)
	}
	if known, err := x.Engine.Knows(ctx, r.Param("flow_slug")); err != nil || !known {
		return nil, nil, cmp.Or(err, error(fault.Missing())) // and no session is begun for it
	}
	sess, cookie, err := x.Sessions.Start(ctx, r.HTTP)
	if err != nil {
		return nil, nil, err
	}
	return sess, []*http.Cookie{cookie}, nil
}

func keepQuery(path string, q string) string {
	if q == "" {
		return path
	}
	return path + "?" + q
}

func flowPage(slug, query string) string {
	return keepQuery("/if/flow/"+url.PathEscape(slug)+"/", query)
}

func redirect(r *api.Request, to string) error {
	http.Redirect(r.Writer, r.HTTP, to, http.StatusFound)
	return nil
}
