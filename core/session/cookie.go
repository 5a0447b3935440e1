package session

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"countersign/core/event"
)

// CookieName is the name of the session cookie (core.md §6.4).
const CookieName = "authentik_session"

const (
	issuer        = "authentik"                   // wire name
	contextClass  = "goauthentik.io/core/default" // wire name
	anonymous     = "anonymous"
	maxCookieSize = 2048
)

// claims are the cookie's JWT. The sid alone counts: who it belongs to stands in the database. The others are for
// programs that read the cookie, such as authentik's outposts.
type claims struct {
	SID           string `json:"sid"`
	Authenticated bool   `json:"authenticated"`
	ACR           string `json:"acr"`
	jwt.RegisteredClaims
}

// sign makes the cookie's value for a session key.
func (s *Store) sign(sid, subject string) (string, error) {
	c := claims{SID: sid, Authenticated: subject != anonymous, ACR: contextClass,
		RegisteredClaims: jwt.RegisteredClaims{Issuer: issuer, Subject: subject}}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(s.Key)
}

// verify gives the session key of a cookie's value, and whether an older key of the server signed it; "" for one that we
// did not sign.
func (s *Store) verify(value string) (sid string, old bool) {
	if value == "" || len(value) > maxCookieSize {
		return "", false
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer), jwt.WithTimeFunc(s.Now))
	signed := func(key []byte) bool {
		var c claims
		_, err := parser.ParseWithClaims(value, &c, func(*jwt.Token) (any, error) { return key, nil })
		sid = c.SID
		return err == nil
	}
	if signed(s.Key) {
		return sid, false
	}
	if slices.ContainsFunc(s.OldKeys, signed) {
		return sid, true
	}
	return "", false
}

// cookie makes the cookie for a session key. expires zero is a cookie that ends with the browser. Over TLS it is
// Secure and SameSite=None, as applications put login pages into frames; writes are guarded by the CSRF token, not by
// SameSite. Without TLS browsers refuse None, so it is Lax.
func (s *Store) cookie(ctx context.Context, sid, subject string, expires time.Time) (*http.Cookie, error) {
	value, err := s.sign(sid, subject)
	if err != nil {
		return nil, err
	}
	c := attributes(ctx)
	c.Value, c.Expires = value, expires
	return c, nil
}

// expired makes the cookie that has the browser forget its session.
func expired(ctx context.Context) *http.Cookie {
	c := attributes(ctx)
	c.MaxAge = -1
	return c
}

func attributes(ctx context.Context) *http.Cookie {
	c := &http.Cookie{Name: CookieName, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if event.From(ctx).Scheme == "https" {
		c.Secure, c.SameSite = true, http.SameSiteNoneMode
	}
	return c
}
