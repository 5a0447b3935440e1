package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/gin-gonic/gin"

	"countersign/core/event"
	"countersign/core/fault"
)

// statusClosed is what the log and the metrics say of a client that went away; nobody receives it.
const statusClosed = 499

// serve is what every request goes through.
func (a *API) serve(rt *route, fn func(ctx context.Context, r *Request) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		began := a.o.Now()
		r := a.request(c, rt)
		h := c.Writer.Header()
		h.Set("X-authentik-id", r.id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if r.Secure() {
			h.Set("Strict-Transport-Security", "max-age=31536000") // RFC 6797: a year, this host alone
		}
		if rt.page == "" {
			h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
			h.Set("Cache-Control", "no-store")
			h.Set("Vary", "Accept, Authorization, Cookie")
		}
		err := a.run(r, rt, fn)
		status := c.Writer.Status()
		switch {
		case err != nil && errors.Is(err, context.Canceled) && r.HTTP.Context().Err() != nil:
			status = statusClosed
		case err != nil && c.Writer.Written():
			a.o.Log.Error("response broken off", "id", r.id, "operation", rt.id, "error", err)
		case err != nil:
			status = a.fail(r, err)
		default:
			c.Writer.WriteHeaderNow()
		}
		took := a.o.Now().Sub(began)
		a.metrics.observe(rt, r.HTTP.Method, status, took)
		a.log(r, rt, status, c.Writer.Size(), took.Seconds()*1000)
	}
}

// request makes the Request and puts its origin into the context.
func (a *API) request(c *gin.Context, rt *route) *Request {
	r := &Request{HTTP: c.Request, Writer: c.Writer, api: a, route: rt, params: c.Params}
	var raw [16]byte
	if _, err := io.ReadFull(a.o.Random, raw[:]); err != nil {
		panic(fmt.Sprintf("api: no randomness: %v", err))
	}
	r.id = hex.EncodeToString(raw[:])
	r.client = a.client(c.Request)
	r.origin = &event.Origin{
		RequestID: r.id, ClientIP: r.client.ip, UserAgent: c.Request.UserAgent(), Method: c.Request.Method,
		Path: c.Request.URL.Path, Query: r.Query(), Host: r.client.host, Scheme: r.client.scheme,
	}
	r.HTTP = c.Request.WithContext(event.WithOrigin(c.Request.Context(), r.origin))
	c.Request = r.HTTP
	return r
}

// run authenticates and calls the handler. A panic becomes an error that only the log sees.
func (a *API) run(r *Request, rt *route, fn func(ctx context.Context, r *Request) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			err = &fault.Error{Kind: fault.Internal, Code: "internal", Detail: internalText, Cause: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	if !a.answers(r.client.host, r.HTTP.URL.Path) {
		return &fault.Error{Kind: fault.Misdirected, Code: "misdirected", Detail: "This server does not answer under the name " + r.client.host + "."}
	}
	if a.o.Brand != nil && rt.page == "" {
		r.origin.Brand = a.o.Brand(r.HTTP.Context(), r.client.host)
	}
	if err := a.authenticate(r, rt.op.Access); err != nil {
		return err
	}
	if p := rt.op.Permission; p != "" && !r.Actor.Can(p) {
		return fault.Forbidden()
	}
	return fn(r.HTTP.Context(), r)
}

// log writes the access log's line: never the query, and of pages the pattern only, since both may hold secrets.
func (a *API) log(r *Request, rt *route, status, size int, ms float64) {
	path := rt.page
	if path == "" {
		path = r.HTTP.URL.Path
	}
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("id", r.id), slog.String("method", r.HTTP.Method), slog.String("path", path), slog.String("operation", rt.id),
		slog.Int("status", status), slog.Int("bytes", max(size, 0)), slog.Float64("ms", ms),
	}
	if r.client.ip.IsValid() {
		attrs = append(attrs, slog.String("client", r.client.ip.String()))
	}
	if r.Actor != nil {
		attrs = append(attrs, slog.String("user", r.Actor.Username), slog.String("via", string(r.Actor.Via)))
	}
	a.o.Log.LogAttrs(r.HTTP.Context(), level, "request", attrs...)
}
