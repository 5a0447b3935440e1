package phone

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"countersign/simulator/word"
)

// Kind is a behaviour by a name, for scenarios that are written down.
type Kind struct {
	Name  string
	About string
	Param string // what its parameter may be; "": it takes none
	// Outcomes are those of the browser ("approved", "denied", "wrong_number", "expired") of which one has to come, as long as the
	// server lets the phone be asked; none where it depends on more than the phone.
	Outcomes []string
	// New makes the behaviour of a person who reads that screen, and waits for the delay before they act.
	New func(s *Screen, delay time.Duration, param string) (Behaviour, error)
	// Before is what befalls the phone before it is asked; nil: nothing.
	Before func(ctx context.Context, p *Phone, delay time.Duration, param string) error
}

// away is for how long a phone is out of reach where no delay says so.
const away = 20 * time.Second

// oldVersion is that of an app from before approvals that are no logins.
const oldVersion = "0.1.0"

var (
	approved = []string{"approved"}
	denied   = []string{"denied"}
	expired  = []string{"expired"}
)

// Behaviours lists the kinds. With another phone, other rings and malice of one's own there is more to be had than the kinds: see the
// functions that return a [Behaviour].
func Behaviours() []Kind {
	return []Kind{
		{Name: "approve", About: "taps or types what the browser shows", Outcomes: approved, New: slow(Approve)},
		{Name: "deny", About: "says no", Outcomes: denied, New: slow(always(Deny))},
		{Name: "report", About: "says no, and that it was somebody else", Outcomes: denied, New: slow(always(Report))},
		{Name: "wrong_number", About: "taps or types another number, as often as it may; says no where there is none", Outcomes: []string{"wrong_number"}, New: slow(WrongNumber)},
		{Name: "late", About: "approves, the delay after the end", Outcomes: expired, New: plain(func(s *Screen, d time.Duration) Behaviour { return Late(d, Approve(s)) })},
		{Name: "ignore", About: "lets it ring", Outcomes: expired, New: slow(always(Ignore))},
		{Name: "double_answer", About: "sends its approval twice at a time", Outcomes: approved, New: slow(around(DoubleAnswer))},
		{
			Name: "other_device", About: "another account of the phone sends the approval, or nobody's", Outcomes: expired,
			New: slow(around(func(b Behaviour) Behaviour { return OtherDevice(nil, b) })),
		},
		{
			Name: "airplane_then_poll", About: "is in flight mode for the delay, 20 s if it is left out, then looks by itself and approves", Outcomes: approved,
			New: now(Approve), Before: leave(func(p *Phone) { p.SetNetwork(Offline) }, func(ctx context.Context, p *Phone) error {
				p.SetNetwork(Online)
				return p.Refresh(ctx)
			}),
		},
		{
			Name: "app_killed", About: "has its app killed; the person opens it after the delay, 20 s if it is left out, and approves", Outcomes: approved,
			New: now(Approve), Before: leave((*Phone).Kill, func(ctx context.Context, p *Phone) error { return p.Open(ctx) }),
		},
		{
			Name: "rotate_address", About: "has a fresh push address, tells the server, and approves", Outcomes: approved, New: slow(Approve),
			Before: func(ctx context.Context, p *Phone, _ time.Duration, _ string) error { return p.RotateAddress(ctx) },
		},
		{Name: "lose_key", About: "has its keys no more, and can neither fetch nor answer", Outcomes: expired, New: slow(Approve), Before: loseKeys},
		{
			Name: "old_app", About: "is an app of an old version, and approves", Param: "the version; " + oldVersion + " if it is left out", Outcomes: approved,
			New: with(func(s *Screen, _ string) (Behaviour, error) { return Approve(s), nil }), Before: age,
		},
		{
			Name: "tampered", About: "changes a claim of its approval after it was signed", Param: "the claim; ch if it is left out", Outcomes: expired,
			New: with(func(s *Screen, claim string) (Behaviour, error) {
				return Forging(Approve(s), Tampered(cmp.Or(claim, "ch"), nil)), nil
			}),
		},
		{Name: "replay", About: "approves the first time, and sends that answer to every later ring", Outcomes: []string{"approved", "expired"}, New: slow(around(Replay))},
		{
			Name: "wrong_alg", About: "signs its approval by another algorithm", Param: "HS256, or none, which it is if it is left out", Outcomes: expired,
			New: with(func(s *Screen, alg string) (Behaviour, error) {
				alg = cmp.Or(alg, AlgNone)
				if alg != AlgNone && alg != AlgHS256 {
					return nil, fmt.Errorf("param: %q is neither %s nor %s", alg, AlgNone, AlgHS256)
				}
				return Forging(Approve(s), WrongAlg(alg)), nil
			}),
		},
		{
			Name: "foreign_challenge", About: "approves what its server never showed", Outcomes: expired,
			New: slow(around(func(b Behaviour) Behaviour { return Forging(b, ForeignChallenge(Ring{})) })),
		},
	}
}

// BehaviourNamed is the kind of that name. The error for another name says which is most like it.
func BehaviourNamed(name string) (Kind, error) {
	kinds := Behaviours()
	for _, k := range kinds {
		if k.Name == name {
			return k, nil
		}
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return Kind{}, fmt.Errorf("phone: %w", word.Unknown("behaviour", name, names))
}

// Play has the phone behave as the kind of that name does from the next ring on, and lets befall it what comes before. Call it just
// before the login begins: delays of what befalls the phone run from here.
func (p *Phone) Play(ctx context.Context, name string, s *Screen, delay time.Duration, param string) (Kind, error) {
	k, err := BehaviourNamed(name)
	if err != nil {
		return Kind{}, err
	}
	b, err := k.New(s, delay, param)
	if err != nil {
		return Kind{}, fmt.Errorf("phone: behaviour %s: %w", name, err)
	}
	p.SetBehaviour(b)
	if k.Before == nil {
		return k, nil
	}
	if err := k.Before(ctx, p, delay, param); err != nil {
		return Kind{}, fmt.Errorf("phone: behaviour %s: %w", name, err)
	}
	return k, nil
}

type recipe = func(*Screen, time.Duration, string) (Behaviour, error)

// plain is a recipe that takes no parameter.
func plain(of func(*Screen, time.Duration) Behaviour) recipe {
	return func(s *Screen, d time.Duration, param string) (Behaviour, error) {
		if param != "" {
			return nil, fmt.Errorf("param: %q: it takes none", param)
		}
		return of(s, d), nil
	}
}

// slow waits for the delay first, and now does not.
func slow(of func(*Screen) Behaviour) recipe {
	return plain(func(s *Screen, d time.Duration) Behaviour { return Delay(d, of(s)) })
}

func now(of func(*Screen) Behaviour) recipe {
	return plain(func(s *Screen, _ time.Duration) Behaviour { return of(s) })
}

// with is slow with a parameter.
func with(of func(s *Screen, param string) (Behaviour, error)) recipe {
	return func(s *Screen, d time.Duration, param string) (Behaviour, error) {
		b, err := of(s, param)
		return Delay(d, b), err
	}
}

func always(b Behaviour) func(*Screen) Behaviour { return func(*Screen) Behaviour { return b } }

// around puts an approval into another behaviour.
func around(wrap func(Behaviour) Behaviour) func(*Screen) Behaviour {
	return func(s *Screen) Behaviour { return wrap(Approve(s)) }
}

// leave has the phone go at once and come back after the delay.
func leave(off func(*Phone), on func(context.Context, *Phone) error) func(context.Context, *Phone, time.Duration, string) error {
	return func(_ context.Context, p *Phone, delay time.Duration, _ string) error {
		if delay == 0 {
			delay = away
		}
		off(p)
		p.spawn(func() {
			if p.pause(p.ctx, delay) == nil {
				p.act(func(ctx context.Context) error { return on(ctx, p) })
			}
		})
		return nil
	}
}

func loseKeys(_ context.Context, p *Phone, _ time.Duration, _ string) error {
	for _, a := range p.Accounts() {
		if err := p.LoseKeys(a.Device); err != nil {
			return err
		}
	}
	return nil
}

// age makes the app one from before approvals that are no logins.
func age(ctx context.Context, p *Phone, _ time.Duration, version string) error {
	info := p.Info()
	info.AppVersion, info.Others = cmp.Or(version, oldVersion), map[string]any{}
	if p.o.Stock {
		return p.SetInfo(ctx, info)
	}
	return p.SetInfo(ctx, info.WithFetch())
}
