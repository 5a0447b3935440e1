package api

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"countersign/core/fault"
	"countersign/core/rbac"
)

// Authenticator finds who makes a request. nil, nil means that the request has none of its credentials, so that the
// next one is asked. Errors: Denied for credentials that are wrong (Bearer, TokenInvalid).
type Authenticator func(ctx context.Context, r *http.Request) (*rbac.Actor, error)

// The names of the anti-forgery cookie and header, as the wire has them.
const (
	csrfCookie = "authentik_csrf"
	csrfHeader = "X-authentik-CSRF"
)

// authenticate fills in Actor and refuses forged and anonymous calls.
func (a *API) authenticate(r *Request, access Access) error {
	if access == Open {
		return nil
	}
	for _, find := range a.o.Authenticators {
		actor, err := find(r.HTTP.Context(), r.HTTP)
		if err != nil {
			return err
		}
		if actor != nil {
			r.Actor, r.origin.Actor = actor, actor
			break
		}
	}
	if r.Actor == nil {
		if access == Authenticated {
			return Unauthenticated()
		}
		return nil
	}
	if r.Actor.Via == rbac.ViaSession && !safe(r.HTTP.Method) {
		return r.checkForgery()
	}
	return nil
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// checkForgery refuses what a foreign page made the browser send: the page can send the cookie, but not read it.
func (r *Request) checkForgery() error {
	refuse := func(why string) error { return fault.New(fault.Denied, "csrf_failed", "CSRF Failed: "+why) }
	if origin := r.HTTP.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Scheme+"://"+u.Host+"/", r.BaseURL()) {
			return refuse("Origin checking failed.")
		}
	}
	if r.HTTP.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return refuse("Origin checking failed.")
	}
	cookie, err := r.HTTP.Cookie(csrfCookie)
	sent := r.HTTP.Header.Get(csrfHeader)
	if err != nil || cookie.Value == "" || sent == "" {
		return refuse("CSRF token missing.")
	}
	if subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(sent)) != 1 {
		return refuse("CSRF token incorrect.")
	}
	return nil
}

// CSRF gives the anti-forgery token of the browser and sets its cookie authentik_csrf when it has none; pages that
// will write call it. The script sends the token back in the header X-authentik-CSRF.
func (r *Request) CSRF() string {
	if c, err := r.HTTP.Cookie(csrfCookie); err == nil && len(c.Value) >= 32 && len(c.Value) <= 128 {
		return c.Value
	}
	var raw [32]byte
	if _, err := io.ReadFull(r.api.o.Random, raw[:]); err != nil {
		panic(fmt.Sprintf("api: no randomness: %v", err))
	}
	token := base64.RawURLEncoding.EncodeToString(raw[:])
	http.SetCookie(r.Writer, &http.Cookie{ // read by scripts, so not HttpOnly
		Name: csrfCookie, Value: token, Path: "/", MaxAge: 365 * 24 * 3600, Secure: r.Secure(), SameSite: http.SameSiteLaxMode,
	})
	return token
}

// Bearer reads "Authorization: Bearer <token>". ok is false when there is no such header, or one without a space
// (core.md §7.1). Errors: Denied "Unsupported authentication type" and "Malformed header".
func Bearer(r *http.Request) (token string, ok bool, err error) {
	kind, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case !found:
		return "", false, nil
	case !strings.EqualFold(kind, "bearer"):
		return "", false, denied("Unsupported authentication type")
	case token == "":
		return "", false, denied("Malformed header")
	}
	return token, true, nil
}

func denied(text string) error { return fault.New(fault.Denied, "authentication_failed", text) }

// TokenInvalid is the answer to a bearer token that is unknown, expired or not for this: 403 "Token invalid/expired".
func TokenInvalid() error { return denied("Token invalid/expired") }

// Unauthenticated is the answer to a call without credentials where some are needed.
func Unauthenticated() error {
	return fault.New(fault.Denied, "not_authenticated", "Authentication credentials were not provided.")
}
