package attack

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/verdict"
)

// crowd is how many phones or answers come at once.
const crowd = 100

var enrolmentAttacks = []Attack{
	{
		Name: "enrolment-race", Proves: []string{"T18"}, run: enrolmentRace,
		Does:    "reads the QR code over the owner's shoulder and enrols first; then many phones use one code at once",
		Expects: "one phone gets the code, and it is worth nothing until the owner has seen its fingerprint on both screens",
	},
	{
		Name: "stolen-qr", Proves: []string{"T18", "T11"}, run: stolenQR,
		Does:    "uses the QR code after the owner did, and uses one that the owner has not confirmed for everything that a phone may do",
		Expects: "a code is good once, and a phone that nobody confirmed is asked nothing and may nothing",
	},
	{
		Name: "stolen-qr-without-keys", Proves: []string{"T18"}, run: stolenQRWithoutKeys,
		Does:    "uses the QR code with a phone without keys, which has no fingerprint to compare",
		Expects: "such a phone is refused",
	},
}

// errEnough ends an enrolment that the attack needs no longer.
var errEnough = errors.New("the attack is over")

// scan begins an enrolment in the owner's browser and has do use the QR code; then the page is left.
func (v *victim) scan(ctx context.Context, do func(payload []byte) error) error {
	var failed error
	_, _ = v.own.EnrolPhone(ctx, func(_ context.Context, payload []byte) (string, error) {
		failed = do(payload)
		return "", errEnough
	})
	return failed
}

func (t *trial) thief(payload []byte, k kind) (*app, error) {
	a, err := t.app(k)
	if err != nil {
		return nil, err
	}
	return a, a.read(payload)
}

func enrolmentRace(ctx context.Context, t *trial) error {
	if !t.target.Keys {
		return verdict.Skip{Reason: "the server takes no phones with keys: whoever scans first has enrolled"}
	}
	v, err := t.user(ctx, t.name)
	if err != nil {
		return err
	}
	var thief, owner *app
	var first reply
	_, _ = v.own.EnrolPhone(ctx, func(ctx context.Context, payload []byte) (string, error) {
		if thief, err = t.thief(payload, verifying); err != nil {
			return "", err
		}
		if first, err = thief.enrol(ctx); err != nil || first.status != http.StatusOK {
			return "", errEnough
		}
		if owner, err = t.thief(payload, verifying); err != nil {
			return "", err
		}
		got, err := owner.enrol(ctx)
		t.refused("the owner's phone, which comes second", got, err)
		return "another", nil // than the page shows: the owner's phone shows nothing
	})
	if err != nil {
		return err
	}
	if first.status != http.StatusOK {
		return errors.New("the first phone does not enrol: " + first.String())
	}
	got, err := thief.do(ctx, thief.good(wire.ActionCheckIn, info()))
	t.refused("the thief's phone calls, after the owner saw the other fingerprint", got, err)
	if err := t.asksNobody(ctx, v, "a login after the race"); err != nil {
		return err
	}
	return t.manyScan(ctx, v)
}

// asksNobody expects that a user has no phone that is asked.
func (t *trial) asksNobody(ctx context.Context, v *victim, what string) error {
	tab, err := t.tab(ownerAgent)
	if err != nil {
		return err
	}
	l, err := tab.login(ctx, v)
	if err != nil {
		return err
	}
	defer l.abandon()
	if l.wasAsked() {
		t.expect(false, what, "a phone is asked that nobody confirmed")
		return nil
	}
	result, err := l.end(ctx)
	t.expect(result.Outcome == browser.NoPhone, what, "%s %s", result.Outcome, result.Detail)
	return err
}

// manyScan has many phones enrol by one code at once.
func (t *trial) manyScan(ctx context.Context, v *victim) error {
	return v.scan(ctx, func(payload []byte) error {
		var calls []func() (reply, error)
		for range crowd / 5 {
			a, err := t.thief(payload, verifying)
			if err != nil {
				return err
			}
			calls = append(calls, func() (reply, error) { return a.enrol(ctx) })
		}
		won, err := atOnce(calls)
		if err != nil {
			return err
		}
		t.expect(won == 1, "twenty phones use one code at once", "%d got it", won)
		t.note("the owner saw the other fingerprint, and of twenty phones at once one got the code")
		return nil
	})
}

// atOnce makes calls at the same time, and counts those that succeeded.
func atOnce(calls []func() (reply, error)) (won int, err error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	start := make(chan struct{})
	for _, one := range calls {
		all.Go(func() {
			<-start
			r, failed := one()
			mu.Lock()
			defer mu.Unlock()
			if failed != nil {
				err = failed
			} else if r.status < 300 {
				won++
			}
		})
	}
	close(start)
	all.Wait()
	return won, err
}

func stolenQR(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	for _, k := range []kind{verifying, stock} {
		thief, err := t.thief(v.qr, k)
		if err != nil {
			return err
		}
		got, err := thief.enrol(ctx)
		t.refused("the code again, after the owner used it, "+[]string{"without keys", "", "with keys"}[k], got, err)
	}
	c := v.app.good(wire.ActionCheckIn, info())
	c.token = v.app.once
	got, err := v.app.do(ctx, c)
	t.refused("the code's token in place of the phone's", got, err)
	if !t.target.Keys {
		return nil
	}
	second, err := t.user(ctx, t.name+"-unconfirmed")
	if err != nil {
		return err
	}
	err = second.scan(ctx, func(payload []byte) error {
		thief, err := t.thief(payload, verifying)
		if err != nil {
			return err
		}
		got, err := thief.enrol(ctx)
		if err := t.accepted("enrol", got, err); err != nil {
			return err
		}
		next, err := thief.rotation()
		if err != nil {
			return err
		}
		for _, c := range []call{
			thief.good(wire.ActionCheckIn, info()),
			thief.good(wire.ActionPushKey, wire.PushKey{FirebaseKey: "-", Channel: "none"}),
			thief.good(wire.ActionPending, nil),
			thief.good(wire.ActionRotate, next),
			thief.good(wire.ActionTransfer, struct{}{}),
			thief.good(wire.ActionTicket, struct{}{}),
		} {
			if c.action == wire.ActionPending {
				c.method = http.MethodGet
			}
			got, err := thief.do(ctx, c)
			t.refused("a phone that nobody confirmed: "+c.action, got, err)
		}
		got, err = thief.do(ctx, thief.good(wire.ActionStatus, struct{}{}))
		t.expect(err != nil || status(got) != wire.Success, "it asks whether it is confirmed", "%s", got)
		return nil //nolint:nilerr // no answer is as good as a refusal
	})
	if err != nil {
		return err
	}
	t.note("the code was good once, and the phone that nobody confirmed could do nothing")
	return t.asksNobody(ctx, second, "a login, while the phone waits to be confirmed")
}

func stolenQRWithoutKeys(ctx context.Context, t *trial) error {
	if t.target.Keys {
		if err := t.overtake(ctx); err != nil {
			return err
		}
	}
	v, err := t.user(ctx, t.name)
	if err != nil {
		return err
	}
	return v.scan(ctx, func(payload []byte) error {
		thief, err := t.thief(payload, stock)
		if err != nil {
			return err
		}
		got, err := thief.enrol(ctx)
		if err == nil && got.status == http.StatusOK {
			return verdict.Skip{Reason: "the server takes phones without keys, and such a phone is good as soon as it has scanned; " +
				"to be safe from that, take signed answers only"}
		}
		t.refused("a phone without keys enrols first", got, err)
		t.note("a phone without keys was refused")
		return nil
	})
}

// overtake has a phone without keys use a code while the owner's phone, which has keys, waits to be confirmed.
func (t *trial) overtake(ctx context.Context) error {
	v, err := t.user(ctx, t.name+"-second")
	if err != nil {
		return err
	}
	return v.scan(ctx, func(payload []byte) error {
		owner, err := t.thief(payload, verifying)
		if err != nil {
			return err
		}
		got, err := owner.enrol(ctx)
		if err := t.accepted("enrol", got, err); err != nil {
			return err
		}
		thief, err := t.thief(payload, stock)
		if err != nil {
			return err
		}
		got, err = thief.enrol(ctx)
		t.refused("a phone without keys overtakes one that waits to be confirmed", got, err)
		return nil
	})
}
