package fcm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"firebase.google.com/go/v4/errorutils"
	"firebase.google.com/go/v4/messaging"

	"countersign/push"
)

// errNoID is an answer that says OK and names no message: somebody else's.
var errNoID = errors.New("the answer has no message name")

// failure makes a *push.Error of what the SDK or the transport returned.
func (c *Channel) failure(ctx context.Context, err error, secrets ...string) error {
	if ctx.Err() != nil {
		return &push.Error{Reason: push.Timeout, Cause: push.Redact(ctx.Err())}
	}
	e := &push.Error{}
	var token *tokenError
	if errors.As(err, &token) {
		e.Reason = token.reason()
		e.RetryAfter = push.RetryAfter(token.header, c.now())
	} else if resp := errorutils.HTTPResponse(err); resp != nil { //nolint:bodyclose // the SDK has closed it and kept a copy
		body, _ := io.ReadAll(resp.Body) // buffered by the SDK: cannot fail
		answer := parseAnswer(body)
		e.Reason = reason(err, resp.StatusCode, answer)
		e.RetryAfter = push.RetryAfter(resp.Header, c.now())
		err = errors.New("fcm: " + answer.words(resp.Status))
	} else {
		e.Reason = push.Unavailable // no connection, or an answer that is not FCM's
	}
	e.Permanent = e.Reason.Permanent()
	e.Cause = push.Redact(err, secrets...)
	return e
}

// reason is the table in the package comment.
func reason(err error, status int, a answer) push.Reason {
	switch {
	case messaging.IsUnregistered(err):
		return push.Unregistered
	case messaging.IsSenderIDMismatch(err):
		return push.SenderMismatch
	case messaging.IsThirdPartyAuthError(err):
		return push.Credentials
	case messaging.IsQuotaExceeded(err), status == http.StatusTooManyRequests:
		return push.Quota
	case messaging.IsUnavailable(err), status == http.StatusRequestTimeout:
		return push.Unavailable
	case messaging.IsInternal(err), status == http.StatusInternalServerError:
		return push.Internal
	case status >= 500:
		return push.Unavailable
	case messaging.IsInvalidArgument(err), status == http.StatusBadRequest:
		if a.aboutToken() {
			return push.InvalidAddress
		}
		return push.BadMessage
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound:
		return push.Credentials
	case status >= 400:
		return push.BadMessage
	}
	return push.Unavailable // a redirection: whoever answers is not FCM
}

func (e *tokenError) reason() push.Reason {
	switch {
	case e.status == 0, e.status == http.StatusTooManyRequests, e.status >= 500:
		return push.Unavailable
	}
	return push.Credentials
}

// answer is what FCM says in the body of an error.
type answer struct {
	code    string   // FCM's own, such as UNREGISTERED; empty when the error is not FCM's but that of Google's front
	message string   // for people
	fields  []string // the fields that are wrong, such as "message.token"
}

func parseAnswer(body []byte) answer {
	var doc struct {
		Error struct {
			Message string `json:"message"`
			Details []struct {
				Type       string `json:"@type"`
				Code       string `json:"errorCode"`
				Violations []struct {
					Field string `json:"field"`
				} `json:"fieldViolations"`
			} `json:"details"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &doc) // what is not JSON has nothing to say
	a := answer{message: doc.Error.Message}
	for _, d := range doc.Error.Details {
		switch {
		case strings.HasSuffix(d.Type, "google.firebase.fcm.v1.FcmError"):
			a.code = d.Code
		case strings.HasSuffix(d.Type, "google.rpc.BadRequest"):
			for _, v := range d.Violations {
				a.fields = append(a.fields, v.Field)
			}
		}
	}
	return a
}

// words is the answer for the log. It takes the status line and not the number, which wire may have changed.
func (a answer) words(status string) string {
	all := append([]string{status, a.code, a.message}, a.fields...)
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), ", ")
}

// aboutToken reports whether a 400 is about the address rather than about the rest of the message. FCM names the
// field, or says nothing but "The registration token is not a valid FCM registration token". When both are wrong the
// message is: it would keep good addresses from working too.
func (a answer) aboutToken() bool {
	if len(a.fields) == 0 {
		said := strings.ToLower(a.message)
		return strings.Contains(said, "registration token") || strings.Contains(said, "installation id")
	}
	for _, f := range a.fields {
		if f != "message.token" && f != "message.fid" {
			return false
		}
	}
	return true
}
