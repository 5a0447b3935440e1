package pushtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/push"
)

// provider is a provider in memory, and a channel to it that breaks one promise of choice.
type provider struct {
	flaw string

	mu      sync.Mutex
	answer  error
	sent    [][]byte
	reached chan struct{}
}

func (p *provider) Name() string {
	if p.flaw == "name" {
		return "A Channel"
	}
	return "memory"
}

func (p *provider) Send(ctx context.Context, m push.Message) error {
	if ctx.Err() != nil && p.flaw != "ignores ctx" {
		return &push.Error{Reason: push.Timeout, Permanent: p.flaw == "permanent", Cause: push.Redact(ctx.Err())}
	}
	doc := map[string]any{
		"to": m.Address, "show": []string{m.Title, m.Body}, "data": maps.Clone(m.Data), "key": m.CollapseKey, "priority": "high",
	}
	switch p.flaw {
	case "adds":
		doc["user"] = "jane"
	case "drops":
		delete(doc, "data")
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.sent = append(p.sent, text)
	if p.flaw == "retries" && p.answer != nil {
		p.sent = append(p.sent, text)
	}
	reached, answer := p.reached, p.answer
	p.mu.Unlock()
	if reached != nil {
		reached <- struct{}{}
		if p.flaw == "answers" {
			return nil
		}
		<-ctx.Done()
		return &push.Error{Reason: push.Timeout, Cause: push.Redact(ctx.Err())}
	}
	var e *push.Error
	if errors.As(answer, &e) {
		e.Cause = push.Redact(e.Cause, m.Address)
		switch p.flaw {
		case "shows":
			e.Cause = fmt.Errorf("refused: %s", m.Address)
		case "reason":
			e.Reason = push.Internal
		case "plain":
			return errors.New("refused")
		case "pause":
			e.RetryAfter = 0
		}
		return e
	}
	if p.flaw == "silent" {
		return errors.New("no")
	}
	return nil
}

func (p *provider) fixture() Fixture {
	return Fixture{
		Channel: p, Address: "an-address-of-the-memory-provider", Secrets: []string{"key"},
		Reasons: []push.Reason{push.Unregistered, push.Quota, push.Unavailable},
		Answer: func(r push.Reason, pause time.Duration) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.answer = nil
			if r != "" {
				p.answer = &push.Error{
					Reason: r, Permanent: r.Permanent(), RetryAfter: pause, Cause: errors.New("an-address-of-the-memory-provider"),
				}
			}
		},
		Hang: func() <-chan struct{} {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.reached = make(chan struct{}, 1)
			return p.reached
		},
		Sent: func() [][]byte {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.sent
		},
		Fixed: func(path, value string) bool { return path == "priority" && value == "high" },
	}
}

func TestGoodChannelPasses(t *testing.T) {
	t.Parallel()
	Run(t, func(*testing.T) Fixture { return (&provider{}).fixture() })
}

// Each promise, broken, is noticed by the case that is there for it.
func TestBrokenPromisesAreNoticed(t *testing.T) {
	t.Parallel()
	for flaw, by := range map[string]string{
		"name": "has a name", "silent": "accepted", "reason": "reasons", "plain": "reasons", "pause": "pause",
		"retries": "one attempt", "ignores ctx": "cancelled before", "permanent": "cancelled before",
		"answers": "hanging provider", "shows": "redaction", "adds": "payload", "drops": "payload",
	} {
		t.Run(flaw, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases() {
				if c.name == by && c.check(t.Context(), (&provider{flaw: flaw}).fixture()) == nil {
					t.Errorf("%q passed", by)
				}
			}
		})
	}
}

func TestChannel(t *testing.T) {
	t.Parallel()
	c := New("fake")
	c.Script(Fail(push.Unregistered), FailFor(push.Quota, time.Second))
	data := map[string]string{"n": "1"}
	var e *push.Error
	if err := c.Send(t.Context(), push.Message{Data: data}); !errors.As(err, &e) || e.Reason != push.Unregistered || !e.Permanent {
		t.Errorf("first answer %v", err)
	}
	data["n"] = "2" // what was recorded must not change with it
	if err := c.Send(t.Context(), push.Message{}); !errors.As(err, &e) || e.RetryAfter != time.Second || e.Permanent {
		t.Errorf("second answer %v", err)
	}
	if err := c.Send(t.Context(), push.Message{}); err != nil {
		t.Errorf("after the script: %v", err)
	}
	if m := c.Next(t); m.Data["n"] != "1" || len(c.Sent()) != 3 {
		t.Errorf("recorded %+v", c.Sent())
	}
}

func TestNextWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New("fake")
		go func() {
			<-time.After(time.Second)
			_ = c.Send(t.Context(), push.Message{Title: "late"})
		}()
		if m := c.Next(t); m.Title != "late" {
			t.Errorf("got %+v", m)
		}
	})
}
