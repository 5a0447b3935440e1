package pushtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/push"
)

// Fixture is a channel together with a stand-in for its provider. Each case of the suite has its own.
type Fixture struct {
	Channel push.Channel
	Address string   // one that the provider knows; at least 20 bytes, so that it can be looked for
	Secrets []string // what besides the address must never show in an error: keys, access tokens

	// Reasons are those that the provider can give. The suite asks for each.
	Reasons []push.Reason

	// Answer sets what the provider says from now on: the reason, with that pause if it is not 0, or for the reason
	// "" that it takes the message. Its words should repeat the address, as real ones may.
	Answer func(r push.Reason, pause time.Duration)

	// Hang has the provider answer nothing from now on. Each request that reaches it puts a token into the channel.
	Hang func() (reached <-chan struct{})

	// Sent is the JSON documents that the provider got, decrypted where the channel encrypts.
	Sent func() [][]byte

	// Withholds says that the channel, on purpose, sends nothing of the title, the body and the data.
	Withholds bool

	// Fixed reports whether a channel may put this value of its own at this place of the document, such as "high" at
	// "message.android.priority". Everything else must come from the message. Elements of a list have no index.
	Fixed func(path, value string) bool
}

// limit is how long one call may take before the suite takes it as hanging.
const limit = 10 * time.Second

// Run holds a channel to what push.Channel promises. newFixture is called once for each case; it starts the stand-in
// and has it stopped at the end of the test.
func Run(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if err := c.check(ctx, newFixture(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// check is one promise; its error says how it was broken. Not a func(*testing.T), so that the suite can be tested.
type check struct {
	name  string
	check func(context.Context, Fixture) error
}

func cases() []check {
	return []check{
		{"has a name", named},
		{"accepted", accepted},
		{"reasons", reasons},
		{"pause", pause},
		{"one attempt", oneAttempt},
		{"cancelled before", cancelledBefore},
		{"hanging provider", hanging},
		{"redaction", redaction},
		{"payload", payload},
		{"concurrent", concurrent},
	}
}

// message is one of which each part can be told apart.
func (f Fixture) message() push.Message {
	return push.Message{
		Address: f.Address, Title: "Login request", Body: "Open the app to answer",
		Data:        map[string]string{"v": "1", "kind": "wake", "tx_id": "0190d3b1-7c5e-7000-8000-00000000abcd"},
		TTL:         time.Minute,
		CollapseKey: "collapse-4711",
	}
}

// failure is the *push.Error that Send returned.
func failure(err error) (*push.Error, error) {
	var e *push.Error
	if err == nil {
		return nil, errors.New("Send returned nil although the message was not taken")
	}
	if !errors.As(err, &e) {
		return nil, fmt.Errorf("Send returned a %T, want a *push.Error: %w", err, err)
	}
	return e, nil
}

func named(_ context.Context, f Fixture) error {
	if n := f.Channel.Name(); n == "" || n != strings.ToLower(n) || strings.ContainsAny(n, " \t\n/") {
		return fmt.Errorf("name %q is not one lower-case word", n)
	}
	return nil
}

func accepted(ctx context.Context, f Fixture) error {
	if err := f.Channel.Send(ctx, f.message()); err != nil {
		return fmt.Errorf("a provider that accepts: %w", err)
	}
	if n := len(f.Sent()); n != 1 {
		return fmt.Errorf("the provider got %d messages, want 1", n)
	}
	return nil
}

func reasons(ctx context.Context, f Fixture) error {
	if len(f.Reasons) == 0 {
		return errors.New("the fixture names no reasons")
	}
	for _, r := range f.Reasons {
		f.Answer(r, 0)
		e, err := failure(f.Channel.Send(ctx, f.message()))
		if err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
		if e.Reason != r || e.Permanent != r.Permanent() {
			return fmt.Errorf("%s: reason %s, permanent %t; want permanent %t", r, e.Reason, e.Permanent, r.Permanent())
		}
		if e.RetryAfter != 0 {
			return fmt.Errorf("%s: a pause of %v that the provider did not ask for", r, e.RetryAfter)
		}
		f.Answer("", 0)
		if err := f.Channel.Send(ctx, f.message()); err != nil {
			return fmt.Errorf("after %s the channel does not recover: %w", r, err)
		}
	}
	return nil
}

func pause(ctx context.Context, f Fixture) error {
	const wish = 17 * time.Second
	for _, r := range []push.Reason{push.Quota, push.Unavailable} {
		if !slices.Contains(f.Reasons, r) {
			continue
		}
		f.Answer(r, wish)
		e, err := failure(f.Channel.Send(ctx, f.message()))
		if err != nil {
			return err
		}
		if e.RetryAfter != wish {
			return fmt.Errorf("%s: pause %v, want the provider's %v", r, e.RetryAfter, wish)
		}
	}
	return nil
}

// oneAttempt: the dispatcher retries, within the window and no longer than it is wanted; a channel that retries by
// itself hides the first failure.
func oneAttempt(ctx context.Context, f Fixture) error {
	for _, r := range f.Reasons {
		if r == push.Credentials {
			continue // a fresh access token may be tried
		}
		f.Answer(r, 0)
		before := len(f.Sent())
		_ = f.Channel.Send(ctx, f.message()) // reasons looks at the error
		if n := len(f.Sent()) - before; n != 1 {
			return fmt.Errorf("%s: %d attempts, want 1", r, n)
		}
	}
	return nil
}

func cancelledBefore(ctx context.Context, f Fixture) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	e, err := failure(f.Channel.Send(ctx, f.message()))
	if err != nil {
		return err
	}
	if e.Permanent || !errors.Is(e, context.Canceled) {
		return fmt.Errorf("permanent %t, error %w; want one that wraps context.Canceled and may be tried again", e.Permanent, e)
	}
	if n := len(f.Sent()); n != 0 {
		return fmt.Errorf("the provider got %d messages after the end", n)
	}
	return nil
}

func hanging(ctx context.Context, f Fixture) error {
	reached := f.Hang()
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.Channel.Send(sending, f.message()) }()
	select {
	case <-reached:
	case err := <-done:
		return fmt.Errorf("a provider that does not answer: Send returned %w", err)
	case <-ctx.Done():
		return errors.New("the provider was not reached")
	}
	cancel()
	select {
	case sent := <-done:
		e, err := failure(sent)
		if err != nil {
			return err
		}
		if e.Reason != push.Timeout || e.Permanent {
			return fmt.Errorf("reason %s, permanent %t; want timeout, false", e.Reason, e.Permanent)
		}
		return nil
	case <-ctx.Done():
		return errors.New("Send goes on although its context is over")
	}
}

func redaction(ctx context.Context, f Fixture) error {
	for _, r := range f.Reasons {
		f.Answer(r, 0)
		err := f.Channel.Send(ctx, f.message())
		for ; err != nil; err = errors.Unwrap(err) { // what is wrapped gets logged one day
			for _, secret := range append([]string{f.Address}, f.Secrets...) {
				for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
					if strings.Contains(text, secret) {
						return fmt.Errorf("%s: the error shows a secret: %q", r, text)
					}
				}
			}
		}
	}
	return nil
}

// payload: a channel sends the message and the fixed words of its protocol, so that no user name, number or answer
// can come from anywhere but the message, whose makers answer for it (push.md T13).
func payload(ctx context.Context, f Fixture) error {
	m := f.message()
	if err := f.Channel.Send(ctx, m); err != nil {
		return err
	}
	sent := f.Sent()
	if len(sent) != 1 {
		return fmt.Errorf("the provider got %d messages, want 1", len(sent))
	}
	missing := map[string]bool{m.Address: true, m.Title: true, m.Body: true}
	for _, v := range m.Data {
		missing[v] = true
	}
	if f.Withholds {
		missing = map[string]bool{m.Address: true}
	}
	ours := map[string]bool{m.CollapseKey: !f.Withholds}
	for v := range missing {
		ours[v] = true
	}
	dec := json.NewDecoder(bytes.NewReader(sent[0]))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return fmt.Errorf("the document is not JSON: %w", err)
	}
	return errors.Join(walk(doc, "", func(path, value string) error {
		delete(missing, value)
		if ours[value] || f.Fixed(path, value) {
			return nil
		}
		return fmt.Errorf("%s: %q is neither of the message nor a fixed word of the protocol", path, value)
	}), lost(missing))
}

func lost(missing map[string]bool) error {
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("not sent: %v", missing)
}

// walk visits the leaves of a JSON document.
func walk(v any, path string, leaf func(path, value string) error) error {
	var all []error
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			at := name
			if path != "" {
				at = path + "." + name
			}
			all = append(all, walk(inner, at, leaf))
		}
	case []any:
		for _, inner := range v {
			all = append(all, walk(inner, path, leaf))
		}
	default:
		all = append(all, leaf(path, fmt.Sprint(v)))
	}
	return errors.Join(all...)
}

func concurrent(ctx context.Context, f Fixture) error {
	const sends = 20
	done := make(chan error, sends)
	for range sends {
		go func() { done <- f.Channel.Send(ctx, f.message()) }()
	}
	var all []error
	for range sends {
		all = append(all, <-done)
	}
	if n := len(f.Sent()); n != sends {
		all = append(all, fmt.Errorf("the provider got %d messages, want %d", n, sends))
	}
	return errors.Join(all...)
}
