package pushtest

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"countersign/push"
)

// patience is how long Next waits before it fails the test.
const patience = 10 * time.Second

// Step is how a Channel answers one Send.
type Step func(ctx context.Context, m push.Message) error

// Accept takes the message.
func Accept(context.Context, push.Message) error { return nil }

// Hang answers nothing until ctx is over.
func Hang(ctx context.Context, _ push.Message) error {
	<-ctx.Done()
	return &push.Error{Reason: push.Timeout, Cause: push.Redact(ctx.Err())}
}

// Fail refuses the message, for good if that is usual for the reason.
func Fail(r push.Reason) Step { return FailFor(r, 0) }

// FailFor refuses the message and asks for a pause before the next attempt.
func FailFor(r push.Reason, pause time.Duration) Step {
	return func(context.Context, push.Message) error {
		return &push.Error{Reason: r, Permanent: r.Permanent(), RetryAfter: pause}
	}
}

// Channel is a push.Channel that records what it is sent and answers by a script.
type Channel struct {
	name string

	mu      sync.Mutex
	script  []Step
	rest    Step
	sent    []push.Message
	taken   int           // by Next
	arrived chan struct{} // holds a token after something was sent
}

// New makes a channel that accepts everything.
func New(name string) *Channel {
	return &Channel{name: name, rest: Accept, arrived: make(chan struct{}, 1)}
}

// Name is the name given to New.
func (c *Channel) Name() string { return c.name }

// Script appends answers, one for each message to come.
func (c *Channel) Script(steps ...Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.script = append(c.script, steps...)
}

// Otherwise sets how messages are answered that the script has no step for.
func (c *Channel) Otherwise(s Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = s
}

// Send records the message and answers.
func (c *Channel) Send(ctx context.Context, m push.Message) error {
	m.Data = maps.Clone(m.Data)
	c.mu.Lock()
	c.sent = append(c.sent, m)
	step := c.rest
	if len(c.script) > 0 {
		step, c.script = c.script[0], c.script[1:]
	}
	c.mu.Unlock()
	select {
	case c.arrived <- struct{}{}:
	default:
	}
	return step(ctx, m)
}

// Sent is every message so far, including those refused.
func (c *Channel) Sent() []push.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]push.Message(nil), c.sent...)
}

// Next is the first message that no earlier Next returned. It waits for one, and fails the test after 10 seconds.
func (c *Channel) Next(t testing.TB) push.Message {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		c.mu.Lock()
		if c.taken < len(c.sent) {
			c.taken++
			m := c.sent[c.taken-1]
			c.mu.Unlock()
			return m
		}
		c.mu.Unlock()
		select {
		case <-c.arrived:
		case <-late.C:
			t.Fatalf("no push was sent on %s within %v", c.name, patience)
		}
	}
}
