package attack

import (
	"context"
	"fmt"
	"strings"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/leak"
	"countersign/simulator/verdict"
)

var pushAttacks = []Attack{
	{
		Name: "push-payload", Proves: []string{"T13"}, run: pushPayload,
		Does:    "reads what the push service gets to see, and what stands on a locked screen, of a login",
		Expects: "a push wakes the app, and says neither who logs in, nor from where, nor which number is right",
	},
}

// pushKey is an address as the server is told it.
func (r *run) pushKey(address string) wire.PushKey {
	if n, ok := r.o.Push.(interface{ PushKey(string) wire.PushKey }); ok {
		return n.PushKey(address)
	}
	return wire.PushKey{FirebaseKey: address}
}

func pushPayload(ctx context.Context, t *trial) error {
	if t.o.Push == nil {
		return verdict.Skip{Reason: "no push service was named that the server sends to, and all phones ask by themselves"}
	}
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	source := t.o.Push
	address, err := source.Register(ctx, "")
	if err != nil {
		return err
	}
	pushes, err := source.Subscribe(ctx, address)
	if err != nil {
		return err
	}
	got, err := v.app.do(ctx, v.app.good(wire.ActionPushKey, t.pushKey(address)))
	if err := t.accepted("tell the push address", got, err); err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	wait := time.NewTimer(30 * time.Second)
	defer wait.Stop()
	select {
	case m := <-pushes:
		forbidden := []string{v.name, v.app.token, q.Context.Browser}
		if !strings.Contains(q.Context.Host, q.Context.IP) {
			forbidden = append(forbidden, q.Context.IP)
		}
		if q.Mode.Types() || q.Mode.Shows() {
			forbidden = append(forbidden, l.right(q))
		}
		found := leak.In(m.Data, []string{m.Title, m.Body}, forbidden)
		t.expect(len(found) == 0, fmt.Sprintf("a push with %d values, %q and %q", len(m.Data), m.Title, m.Body), "it says: %s", strings.Join(found, "; "))
		t.expect(m.Data["tx_id"] == q.TxID, "it is about the login", "%s", m.Data["tx_id"])
	case <-wait.C:
		l.abandon()
		return fmt.Errorf("no push came; is %T what the server sends to?", source)
	case <-ctx.Done():
		return ctx.Err()
	}
	t.note("the push said that there is something to fetch, and nothing of it")
	return t.control(ctx, v, l, q)
}
