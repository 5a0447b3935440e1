package app

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"countersign/core/api"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/web"
	"countersign/flows"
)

// mountPages adds what people and machines see beside the API.
func (s *services) mountPages(a *App) error {
	var err error
	s.web, err = web.New(web.Options{
		Brand: s.pageBrand, Log: s.log, APIBrowser: api.Prefix + "/",
		CSRF: func(http.ResponseWriter, *http.Request) {}, // page sets it: the request knows whether it came over TLS
	})
	if err != nil {
		return err
	}
	page := func(method, path, name string, show func(w http.ResponseWriter, r *http.Request)) {
		s.api.Page(method, path, name, api.Open, func(_ context.Context, r *api.Request) error {
			r.CSRF()
			show(r.Writer, r.HTTP)
			return nil
		})
	}
	page(http.MethodGet, "/if/user/", "user", s.web.UserPage)
	page(http.MethodGet, "/if/admin/", "admin", s.web.AdminPage)
	for _, path := range []string{web.PhonePath, web.PhonePath + ":part"} {
		s.api.Page(http.MethodGet, path, "phone", api.Open, func(_ context.Context, r *api.Request) error {
			s.web.PhonePage(r.Writer, r.HTTP)
			return nil
		})
	}
	static := s.web.Static()
	s.api.Page(http.MethodGet, "/static/*file", "static", api.Open, func(_ context.Context, r *api.Request) error {
		static.ServeHTTP(r.Writer, r.HTTP)
		return nil
	})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		s.api.Page(method, "/if/setup/:token/", "setup", api.Open, s.setupPage)
	}
	s.api.Page(http.MethodGet, "/-/health/live/", "health_live", api.Open, func(_ context.Context, r *api.Request) error {
		r.Writer.WriteHeader(http.StatusNoContent)
		return nil
	})
	s.api.Page(http.MethodGet, "/-/health/ready/", "health_ready", api.Open, func(ctx context.Context, r *api.Request) error {
		return a.healthy(ctx, r)
	})
	metrics := promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{})
	s.api.Page(http.MethodGet, "/-/metrics/", "metrics", api.Open, func(_ context.Context, r *api.Request) error {
		if err := a.mayMeasure(r.HTTP); err != nil {
			return err
		}
		metrics.ServeHTTP(r.Writer, r.HTTP)
		return nil
	})
	return nil
}

// mayMeasure lets clients read the metrics that are on this machine and speak for themselves, or have the token.
func (a *App) mayMeasure(r *http.Request) error {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	forwarded := r.Header.Get("Forwarded") + r.Header.Get("X-Forwarded-For") + r.Header.Get("X-Real-IP") + r.Header.Get("Via")
	if err == nil && peer.Addr().Unmap().IsLoopback() && forwarded == "" {
		return nil
	}
	sent, ok, err := api.Bearer(r)
	switch {
	case err != nil:
		return err
	case !ok:
		return api.Unauthenticated()
	case a.config.Metrics.Token == "" || subtle.ConstantTimeCompare([]byte(sent), []byte(a.config.Metrics.Token)) != 1:
		return api.TokenInvalid()
	}
	return nil
}

// healthy answers 204 when the server can work and goes on working: the database answers within two seconds.
func (a *App) healthy(ctx context.Context, r *api.Request) error {
	if a.stopping.Load() {
		return fault.New(fault.Unavailable, "stopping", "The server is stopping.")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := a.pool.Ping(ctx); err != nil {
		return fault.New(fault.Unavailable, "database", "The database does not answer.").Wrap(err)
	}
	r.Writer.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *services) pageBrand(r *http.Request) web.Brand {
	b, err := s.brands.For(r.Context(), event.From(r.Context()).Host)
	if err != nil {
		return web.Brand{}
	}
	return web.Brand{Title: b.Title, Logo: b.Logo, Favicon: b.Favicon}
}

func (s *services) flowPage(r *api.Request, f *flows.Flow) {
	r.CSRF()
	s.web.FlowPage(r.Writer, r.HTTP, web.Flow{Slug: f.Slug, Title: f.Title})
}

// errorPage tells a person what went wrong; the log has the cause.
func (s *services) errorPage(r *api.Request, err error) {
	f := fault.As(err)
	title, text := "Something went wrong", f.Detail
	var na *flows.NotApplicable
	switch {
	case errors.As(err, &na):
		f = fault.New(fault.Denied, "", na.Message)
		title, text = "Not for you", na.Message
	case f.Kind == fault.NotFound:
		title, text = "Not found", "There is nothing at this address."
	case f.Kind == fault.Unavailable:
		title, text = "Back in a moment", "The server cannot reach its database. Please try again in a few seconds."
	case f.Kind == fault.Internal:
		text = "The server could not do this. Its log has more under the number " + r.ID() + "."
	}
	if f.Status() >= http.StatusInternalServerError {
		s.log.Error("page failed", "id", r.ID(), "path", r.HTTP.URL.Path, "error", err)
	}
	s.web.ErrorPage(r.Writer, r.HTTP, f.Status(), title, text)
}

// setupPage is the one-time page by which the first administrator chooses a password.
func (s *services) setupPage(_ context.Context, r *api.Request) error {
	token := r.Param("token")
	s.web.SetupPage(web.Setup{
		Check: func(h *http.Request) error { return s.first.Check(h.Context(), token) },
		Submit: func(h *http.Request, form web.SetupForm) (string, error) {
			if err := s.first.Setup(h.Context(), token, form.Email, form.Password); err != nil {
				return "", err
			}
			return "/", nil
		},
	}).ServeHTTP(r.Writer, r.HTTP)
	return nil
}
