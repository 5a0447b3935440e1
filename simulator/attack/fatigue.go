package attack

import (
	"context"
	"fmt"
	"net/http"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
)

var fatigueAttacks = []Attack{
	{
		Name: "push-bombing", Proves: []string{"T7", "T8"}, run: pushBombing,
		Does:    "logs in with the stolen password again and again, and asks for the phone each time",
		Expects: "the phone rings a few times at the most, and its owner still gets in by the browser that they use",
	},
	{
		Name: "retry-storm", Proves: []string{"T22"}, run: retryStorm,
		Does:    "goes on asking from the page whose login was denied, and logs in anew at once",
		Expects: "a denial ends the login, and nothing rings by itself; a new login has to wait",
	},
	{
		Name: "relay-page", Proves: []string{"T23", "T18"}, run: relayPage,
		Does:    "a phishing page stands between owner and server: it shows the number of the attacker's login, and relays the QR code and what the phone sends",
		Expects: "the number alone lets the attacker in, which no number can stop; but the phone shows the attacker's browser, and neither its requests nor its keys can be relayed",
	},
}

func pushBombing(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	// The owner logs in once, so that the server knows the browser.
	v.own.Restart()
	l, q, err := t.askFrom(ctx, v.own, v)
	if err != nil {
		return err
	}
	result, err := t.approve(ctx, v, l, q)
	if err != nil {
		return err
	}
	if result.Outcome != browser.Approved {
		return fmt.Errorf("the owner does not get in before the attack: %s: %s", result.Outcome, result.Detail)
	}
	rang := map[string]bool{}
	for i := range t.o.Tries {
		tab, err := t.tab(attackerAgent)
		if err != nil {
			return err
		}
		l, err := tab.login(ctx, v)
		if err != nil {
			return err
		}
		if l.wasAsked() {
			list, err := v.app.pending(ctx)
			if err != nil {
				return fmt.Errorf("after %d tries: %w", i+1, err)
			}
			for _, q := range list {
				rang[q.TxID] = true
			}
			l.abandon()
			continue
		}
		result, err := l.end(ctx)
		if err != nil {
			return err
		}
		if let(result) {
			t.expect(false, fmt.Sprintf("try %d", i+1), "it let the attacker in: %s", result.Outcome)
			return nil
		}
	}
	t.expect(len(rang) <= t.o.Rings, fmt.Sprintf("%d logins with the stolen password", t.o.Tries), "the phone rang %d times", len(rang))
	v.own.Restart()
	l, err = v.own.login(ctx, v)
	if err != nil {
		return err
	}
	if !l.wasAsked() {
		result, err := l.end(ctx)
		t.expect(false, "the owner logs in meanwhile", "%s: %s", result.Outcome, result.Detail)
		return err
	}
	list, err := v.app.pending(ctx)
	if err != nil || len(list) == 0 {
		t.expect(false, "the owner logs in meanwhile", "the phone is asked nothing (%v)", err)
		return nil
	}
	result, err = t.approve(ctx, v, l, list[len(list)-1])
	if err != nil {
		return err
	}
	t.expect(result.Outcome == browser.Approved, "the owner logs in meanwhile", "%s %s", result.Outcome, result.Detail)
	t.note("of %d tries %d rang the phone; the owner got in meanwhile", t.o.Tries, len(rang))
	return nil
}

func retryStorm(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	in, err := v.app.answer(q, wire.ItemDeny)
	if err != nil {
		return err
	}
	got, err := v.app.respond(ctx, in)
	if err := t.accepted("the owner's denial", got, err); err != nil {
		return err
	}
	result, err := l.end(ctx)
	if err != nil {
		return err
	}
	t.expect(result.Outcome == browser.Denied, "the owner denies", "%s %s", result.Outcome, result.Detail)
	for range 5 {
		_, err := l.tab.Do(ctx, http.MethodPost, t.executor(), map[string]any{"component": "ak-stage-authenticator-validate", "mobile": l.device.UID})
		if err == nil {
			_, err = l.tab.Do(ctx, http.MethodGet, t.executor(), nil)
		}
		if err != nil {
			return err
		}
	}
	list, err := v.app.pending(ctx)
	if err != nil {
		return err
	}
	t.expect(len(list) == 0, "the page goes on asking, ten requests", "%d new rings", len(list))
	tab, err := t.tab(attackerAgent)
	if err != nil {
		return err
	}
	if l, err = tab.login(ctx, v); err != nil {
		return err
	}
	if l.wasAsked() {
		list, err := v.app.pending(ctx)
		l.abandon()
		if err != nil {
			return err
		}
		t.expect(len(list) == 0, "a new login at once", "the phone rings again")
		return nil
	}
	result, err = l.end(ctx)
	t.expect(result.Outcome == browser.Throttled, "a new login at once", "%s: %s", result.Outcome, result.Detail)
	t.note("nothing rang after the denial")
	return err
}
