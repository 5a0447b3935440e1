package attack

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/verdict"
)

var sessionAttacks = []Attack{
	{
		Name: "session-theft", Proves: []string{"T21"}, run: sessionTheft,
		Does:    "copies the address of the owner's waiting page, and all that it sends, into another browser",
		Expects: "the approval lets in the browser that began, and no other",
	},
	{
		Name: "removed-phone", Proves: []string{"T11"}, run: removedPhone,
		Does:    "answers with a stolen phone that was removed while it rang",
		Expects: "its answer is refused at once, it may do nothing more, and nobody is let in",
	},
	{
		Name: "account-discovery", Proves: []string{"T10"}, run: accountDiscovery,
		Does:    "tries a name that nobody has, and those of users with and without a phone, with a wrong password",
		Expects: "the pages are the same",
	},
}

func (t *trial) executor() string {
	flow := t.o.LoginFlow
	if flow == "" {
		flow = "default-authentication-flow"
	}
	return "/api/v3/flows/executor/" + flow + "/?query="
}

func sessionTheft(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	tab, err := t.tab(ownerAgent)
	if err != nil {
		return err
	}
	l, q, err := t.askFrom(ctx, tab, v)
	if err != nil {
		return err
	}
	other, err := browser.New(browser.Options{Base: t.o.Base, Transport: t.transport, UserAgent: attackerAgent})
	if err != nil {
		return err
	}
	copied := map[string]any{"component": "ak-stage-authenticator-validate", "mobile": l.device.UID}
	if _, err := other.Do(ctx, http.MethodPost, t.executor(), copied); err != nil {
		return err
	}
	if err := t.control(ctx, v, l, q); err != nil {
		return err
	}
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		body := any(copied)
		if method == http.MethodGet {
			body = nil
		}
		r, err := other.Do(ctx, method, t.executor(), body)
		if err != nil {
			return err
		}
		var c struct{ Component string }
		t.expect(json.Unmarshal(r.Body, &c) != nil || c.Component != "xak-flow-redirect",
			"the waiting page's "+method+" from another browser, after the approval", "%d %s", r.Status, c.Component)
	}
	r, err := other.Do(ctx, http.MethodGet, "/api/v3/core/users/me/", nil)
	if err != nil {
		return err
	}
	t.expect(r.Status != http.StatusOK, "the other browser asks who it is", "%d", r.Status)
	t.note("only the browser that began was let in")
	return nil
}

func removedPhone(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	in, err := v.app.answer(q, l.right(q))
	if err != nil {
		return err
	}
	if err := t.admin.Call(ctx, http.MethodDelete, "/authenticators/admin/mobile/"+v.app.device+"/", nil, nil); err != nil {
		return verdict.Skip{Reason: "the server's API removes no phone: " + excerpt(err)}
	}
	began := time.Now()
	got, err := v.app.respond(ctx, in)
	t.refused("the removed phone approves", got, err)
	t.expect(time.Since(began) < time.Second, "and is told so", "after %s", time.Since(began).Round(time.Millisecond))
	for _, c := range []call{v.app.good(wire.ActionCheckIn, info()), v.app.good(wire.ActionPushKey, wire.PushKey{FirebaseKey: "-", Channel: wire.ChannelNone})} {
		got, err = v.app.do(ctx, c)
		t.refused("the removed phone calls: "+c.action, got, err)
	}
	t.note("the removed phone was refused at once")
	return t.notLetIn(ctx, l, "the login that it rang for")
}

func accountDiscovery(ctx context.Context, t *trial) error {
	with, err := t.victim(ctx, t.name+"-with")
	if err != nil {
		return err
	}
	without, err := t.user(ctx, t.name+"-without")
	if err != nil {
		return err
	}
	names := map[string]string{"nobody's": t.o.Prefix + "nobody-at-all", "that of a user without a phone": without.name, "that of a user with a phone": with.name}
	var first browser.Result
	for i, what := range []string{"nobody's", "that of a user without a phone", "that of a user with a phone"} {
		tab, err := t.tab(attackerAgent)
		if err != nil {
			return err
		}
		result, err := tab.Login(ctx, names[what], "a wrong password")
		if err != nil {
			return err
		}
		if i == 0 {
			first = result
		}
		steps := func(r browser.Result) string {
			out := ""
			for _, s := range r.Steps {
				out += s.Name + " "
			}
			return out
		}
		same := result.Outcome == first.Outcome && result.Detail == first.Detail && steps(result) == steps(first)
		t.expect(same && !let(result), "a name that is "+what, "%s: %s (%s)", result.Outcome, result.Detail, steps(result))
	}
	t.note("all three look alike")
	return nil
}
