package phone

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/clock"
	"countersign/simulator/fcm"
)

// Network is how a phone is connected.
type Network string

// The networks. In the last two no request gets through either.
const (
	Online  Network = "online"
	Offline Network = "offline" // flight mode: pushes wait at their service and come late, those whose time is over never
	NoPush  Network = "no_push" // the same, and the service keeps nothing: pushes of that time are lost
)

// errOffline is what a request of a phone without network gets.
var errOffline = errors.New("phone: no network")

// maxMissed are the pushes that wait for a phone: FCM keeps no more of one app.
const maxMissed = 100

// errKilled is what a request of an app that does not run gets.
var errKilled = errors.New("phone: the app was killed")

// SetNetwork changes how the phone is connected. What is under way breaks off; what waited comes when it is back.
func (p *Phone) SetNetwork(n Network) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n == p.network {
		return
	}
	p.network = n
	p.relink()
	if n != Online || p.ctx.Err() != nil {
		return
	}
	missed := p.missed
	p.missed = nil
	p.work.Go(func() {
		for _, m := range missed {
			if m.Expires.IsZero() || p.real.Now().Before(m.Expires) {
				p.arrive(m)
			}
		}
	})
}

// relink breaks off what is under way, and gives it a new start if the app runs and has a network. The caller holds the lock.
func (p *Phone) relink() {
	p.cut()
	if p.network == Online && !p.killed {
		p.link, p.cut = context.WithCancel(p.ctx)
	}
	p.signal()
}

// SetSaver has a battery saver hold each push back for so long; 0 switches it off.
func (p *Phone) SetSaver(late time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saver = late
}

// Kill ends the app, as a person does who swipes it away, or an operating system that is short of memory: what rings is forgotten, and
// pushes are lost until [Phone.Open].
func (p *Phone) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	p.rings = slices.DeleteFunc(p.rings, func(r *Ring) bool { return r.State == Ringing })
	p.relink()
}

// Open starts an app that was killed, which looks at once for what is pending.
func (p *Phone) Open(ctx context.Context) error {
	p.mu.Lock()
	p.killed = false
	p.relink()
	p.mu.Unlock()
	return p.Refresh(ctx)
}

// reaches tells whether a push gets to the app now, and after what time; one that does not is kept, or lost.
func (p *Phone) reaches(m fcm.Message) (late time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.network == Online && !p.killed {
		return p.saver, true
	}
	if p.network == Offline && !p.killed && len(p.missed) < maxMissed {
		p.missed = append(p.missed, m)
	}
	return 0, false
}

// online gives ctx an end when the network goes or the app is killed; call done.
func (p *Phone) online(ctx context.Context) (_ context.Context, done func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.killed:
		return nil, nil, errKilled
	case p.network != Online:
		return nil, nil, errOffline
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.link, cancel)
	return ctx, func() { stop(); cancel() }, nil
}

// LoseKeys puts an account's keys out of reach, as a restore from a backup does: the app has its token, and proves and signs no more.
func (p *Phone) LoseKeys(device string) error {
	a, err := p.signing(device)
	if err != nil {
		return err
	}
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	a.keys.lost = true
	return nil
}

// SetInfo has the phone say something else of itself, as after an update, or an older app put in its place, and tells every
// account's server.
func (p *Phone) SetInfo(ctx context.Context, info wire.Info) error {
	if v := info.Validate(); v != nil {
		return fmt.Errorf("phone: info: %s: %s", v[0].Field, v[0].Text)
	}
	p.mu.Lock()
	p.o.Info = info
	p.mu.Unlock()
	return p.CheckIn(ctx)
}

// skewed is a clock that goes wrong by a fixed time.
type skewed struct {
	clock.Clock
	by time.Duration
}

// Now is the time that it shows.
func (s skewed) Now() time.Time { return s.Clock.Now().Add(s.by) }
