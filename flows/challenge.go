package flows

import (
	"net/url"
	"sort"
	"strings"

	"countersign/core/fault"
)

// The types of a challenge (core.md §1.6).
const (
	TypeNative   = "native"
	TypeShell    = "shell"
	TypeRedirect = "redirect"
)

// Layout says where the page puts the form.
type Layout string

// Enum lists the layouts.
func (Layout) Enum() []string {
	return []string{"stacked", "content_left", "content_right", "sidebar_left", "sidebar_right"}
}

// ChallengeChoices is the type of a challenge.
type ChallengeChoices string

// Enum lists the types.
func (ChallengeChoices) Enum() []string { return []string{TypeNative, TypeShell, TypeRedirect} }

// ContextualFlowInfoLayoutEnum is the layout inside flow_info.
type ContextualFlowInfoLayoutEnum string

// Enum lists the layouts.
func (ContextualFlowInfoLayoutEnum) Enum() []string { return Layout("").Enum() }

// ContextualFlowInfo tells the page about the flow that it is in.
type ContextualFlowInfo struct {
	Title      string                       `json:"title"`
	Background string                       `json:"background"`
	CancelURL  string                       `json:"cancel_url" api:"required"`
	Layout     ContextualFlowInfoLayoutEnum `json:"layout" api:"required"`
}

// ErrorDetail is one thing wrong with one field of an answer.
type ErrorDetail struct {
	String string `json:"string" api:"required"`
	Code   string `json:"code" api:"required"`
}

// Challenge is what a stage asks the browser: a struct that embeds Common or WithUser.
type Challenge interface{ common() *Common }

// Common is the envelope of every challenge; the engine fills it.
type Common struct {
	Type           ChallengeChoices         `json:"type" api:"required"`
	FlowInfo       *ContextualFlowInfo      `json:"flow_info,omitempty"`
	Component      string                   `json:"component"`
	ResponseErrors map[string][]ErrorDetail `json:"response_errors,omitempty"`
}

func (c *Common) common() *Common { return c }

// WithUser is the envelope of a challenge that shows whom it is for; the engine fills it.
type WithUser struct {
	Common
	PendingUser       string `json:"pending_user" api:"required"`
	PendingUserAvatar string `json:"pending_user_avatar" api:"required"`
}

func (c *WithUser) who() *WithUser { return c }

// RedirectChallenge sends the browser elsewhere: the flow is over.
type RedirectChallenge struct {
	Common
	To string `json:"to" api:"required"`
}

// ShellChallenge is a page of HTML of the server's own.
type ShellChallenge struct {
	Common
	Body string `json:"body" api:"required"`
}

// AccessDeniedChallenge says that the flow ended against the person.
type AccessDeniedChallenge struct {
	WithUser
	ErrorMessage string `json:"error_message,omitempty"`
}

// FlowErrorChallenge says that the server failed; the log has more under the request id.
type FlowErrorChallenge struct {
	Common
	RequestID string `json:"request_id" api:"required"`
	Error     string `json:"error,omitempty"`
	Traceback string `json:"traceback,omitempty"`
}

// The components that are no stage's.
const (
	ComponentRedirect     = "xak-flow-redirect"
	ComponentShell        = "xak-flow-shell"
	ComponentAccessDenied = "ak-stage-access-denied"
	ComponentFlowError    = "ak-stage-flow-error"
)

func redirectTo(to string) Challenge {
	return &RedirectChallenge{Common: Common{Type: TypeRedirect, Component: ComponentRedirect}, To: to}
}

// Leave is the end of a flow for a tab that another one overtook: to where its page's query string says, or to "/".
func Leave(query string) Challenge {
	page, _ := url.ParseQuery(query) // what cannot be read names no place
	if next := page.Get("next"); LocalURL(next) {
		return redirectTo(next)
	}
	return redirectTo("/")
}

func responseErrors(fields fault.Fields) map[string][]ErrorDetail {
	if len(fields) == 0 {
		return nil
	}
	out := make(map[string][]ErrorDetail, len(fields))
	for name, violations := range fields {
		for _, v := range violations {
			out[name] = append(out[name], ErrorDetail{String: v.Text, Code: v.Code})
		}
	}
	return out
}

// title puts the user and the application into a flow's title. One with any other percent sign than the two
// placeholders and %% is shown as it is (core.md §1.6).
func title(raw, app, user string) string {
	var out strings.Builder
	rest := raw
	for {
		text, after, found := strings.Cut(rest, "%")
		out.WriteString(text)
		if !found {
			return out.String()
		}
		value, known := "", false
		for sign, v := range map[string]string{"(app)s": app, "(user)s": user, "%": "%"} {
			if left, ok := strings.CutPrefix(after, sign); ok {
				rest, value, known = left, v, true
			}
		}
		if !known {
			return raw
		}
		out.WriteString(value)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
