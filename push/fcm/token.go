package fcm

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"
)

// scope is all that sending needs.
const scope = "https://www.googleapis.com/auth/firebase.messaging"

// early is how long before its end a token is replaced, so that it does not end on the way.
const early = time.Minute

// key is a service account's.
type key struct {
	jwt     *jwt.Config
	project string
}

// parseKey reads the JSON form of a service account's key. Its errors show nothing of the text.
func parseKey(text []byte) (*key, error) {
	var file struct {
		Project string `json:"project_id"`
	}
	conf, err := google.JWTConfigFromJSON(text, scope)
	if err != nil || json.Unmarshal(text, &file) != nil {
		return nil, errors.New("not the JSON key of a service account")
	}
	if conf.Email == "" {
		return nil, errors.New("the key has no client_email")
	}
	if err := absolute(conf.TokenURL); err != nil {
		return nil, errors.New("the key's token_uri is not an absolute http or https URL")
	}
	block, _ := pem.Decode(bytes.TrimSpace(conf.PrivateKey))
	if block == nil {
		return nil, errors.New("the key's private_key is not in PEM form")
	}
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return nil, errors.New("the key's private_key is neither PKCS #8 nor PKCS #1")
		}
	}
	return &key{jwt: conf, project: file.Project}, nil
}

// tokens holds the access token and fetches the next. One fetch at a time: the others wait for it, each no longer
// than its own context, and use what it brought.
type tokens struct {
	conf *jwt.Config
	base http.RoundTripper
	now  func() time.Time

	turn    chan struct{} // held by one while it reads or changes what follows
	current string
	expires time.Time
}

func newTokens(conf *jwt.Config, base http.RoundTripper, now func() time.Time) *tokens {
	return &tokens{conf: conf, base: base, now: now, turn: make(chan struct{}, 1)}
}

// get is a token that holds for another minute, and is not the one that was refused, if any was. Its error is a
// *tokenError.
func (t *tokens) get(ctx context.Context, refused string) (string, error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return "", &tokenError{cause: ctx.Err()}
	}
	defer func() { <-t.turn }()
	if t.current != "" && t.current != refused && t.now().Before(t.expires.Add(-early)) {
		return t.current, nil
	}
	// The library's fetch takes no context; the transport gives it one.
	client := &http.Client{Transport: within{ctx, t.base}, CheckRedirect: noRedirect}
	got, err := t.conf.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, client)).Token()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", newTokenError(err)
	}
	if got.AccessToken == "" {
		return "", &tokenError{cause: errors.New("no access_token in the answer")}
	}
	seconds, _ := got.Extra("expires_in").(float64) // without it the token is used once
	t.current = got.AccessToken
	t.expires = t.now().Add(time.Duration(seconds) * time.Second)
	return t.current, nil
}

// within makes requests that carry no context of their own end with one.
type within struct {
	ctx  context.Context
	base http.RoundTripper
}

func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	return w.base.RoundTrip(r.WithContext(w.ctx))
}

// tokenError is a failure to get an access token.
type tokenError struct {
	status int         // of token_uri's answer; 0: there was none
	header http.Header // of that answer
	code   string      // its error code (RFC 6749 §5.2)
	cause  error       // when there was no answer
}

func newTokenError(err error) *tokenError {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return &tokenError{cause: err}
	}
	var body struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(refused.Body, &body) // what is not JSON has no code
	return &tokenError{status: refused.Response.StatusCode, header: refused.Response.Header, code: body.Error}
}

func (e *tokenError) Error() string {
	if e.status == 0 {
		return "get access token: " + e.cause.Error()
	}
	text := "get access token: " + http.StatusText(e.status)
	if e.code != "" {
		text += ": " + e.code
	}
	return text
}

func (e *tokenError) Unwrap() error { return e.cause }
