package flows

import (
	"strings"
	"unicode"

	"countersign/core/rbac"
)

// NotApplicable says that a caller may not walk a flow. Message is safe to show.
type NotApplicable struct{ Message string }

// Error is the message.
func (n *NotApplicable) Error() string { return n.Message }

const notApplicable = "Flow does not apply to current user."

// Plan makes the plan of a flow for a caller (core.md §1.4). A context that names a pending user was made by the
// server, so that the flow's requirement is not asked. Errors: *NotApplicable.
func (e *Engine) Plan(cat *Catalogue, flow *Flow, actor *rbac.Actor, given Context) (*Plan, error) {
	if given.PendingUser == 0 && !meets(flow.Authentication, actor) {
		return nil, &NotApplicable{Message: notApplicable}
	}
	p := &Plan{Format: planFormat, Started: e.now(), Context: given}
	if actor != nil {
		p.Actor = actor.ID
	}
	for _, s := range cat.steps[flow.PK] {
		step := &Step{Stage: s.stage, Binding: s.binding}
		if s.onInvalid != "retry" {
			step.OnInvalid = s.onInvalid
		}
		p.Steps = append(p.Steps, step)
	}
	return p, nil
}

func meets(need Requirement, actor *rbac.Actor) bool {
	switch need {
	case RequireAuthenticated:
		return actor != nil
	case RequireUnauthenticated:
		return actor == nil
	case RequireSuperuser:
		return actor != nil && actor.Superuser
	case RequireOutpost:
		return false // no request carries an outpost's headers yet
	default:
		return true
	}
}

// LocalURL tells whether a next parameter stays on this server: a path, with no host in any browser's reading of it
// (core.md §10 item 42).
func LocalURL(next string) bool {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return false
	}
	return !strings.ContainsFunc(next, func(r rune) bool { return r == '\\' || unicode.IsControl(r) })
}
