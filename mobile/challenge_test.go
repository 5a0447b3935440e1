package mobile

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/bus"
	"countersign/mobile/wire"
)

// statements notes what goes to the database.
type statements struct {
	mu  sync.Mutex
	sql []string
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sql = append(s.sql, q.SQL)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// The node that showed a question takes its answer in one round trip; another one reads first. Both say the same.
func TestAnswerToWhatThisNodeShowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.pool.Config()
	seen := &statements{}
	config.ConnConfig.Tracer = seen
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	traced := *b
	traced.pool = pool
	traced.service, traced.server = traced.node(bus.NewMemory())
	stage := b.demanding(AcceptSigned)
	for name, x := range map[string]struct {
		forget bool
		trips  int
	}{"showed": {false, 1}, "did not": {true, 2}} {
		h, err := traced.signing(b.makeUser(name), stage, false)
		if err != nil {
			t.Fatal(err)
		}
		tx := b.ask(h.device, value[int](b, `SELECT user_id FROM mobile_devices WHERE uuid = $1`, h.device), b.service.Bus.Node())
		r := h.response("22")
		if x.forget {
			traced.service.challenges.forget(tx.String())
		}
		seen.sql = nil
		if status, text := h.respond(r); status != 204 {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if len(seen.sql) != x.trips {
			t.Errorf("%s: %d round trips: %s", name, len(seen.sql), strings.Join(seen.sql, "\n"))
		}
		if got := value[string](b, `SELECT status || ' ' || signed || ' ' || key FROM mobile_transactions WHERE tx_id = $1`, tx); got != "accept possession "+h.signer.Thumbprint {
			t.Errorf("%s: %s", name, got)
		}
		if _, kept := traced.service.challenges.of(tx.String()); kept {
			t.Errorf("%s: the challenge is still remembered", name)
		}
		if status, text := h.respond(r); status != 404 {
			t.Errorf("%s, again: %d %s", name, status, text)
		}
	}
}

// T3, T4, T6, T17: whatever happens between the showing of a question and its answer counts, though the answer is checked by what was
// remembered of the question.
func TestRememberedChallengeDecidesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, x := range map[string]struct {
		meanwhile func(h *hand, r *wire.Response)
		status    int
		says      string
	}{
		"the key is another device's": {func(h *hand, _ *wire.Response) {
			other, _ := h.phone(h.user)
			h.exec(`UPDATE mobile_keys SET device = $2 WHERE device = $1`, h.device, other)
		}, 401, "another key"},
		"the key was replaced": {func(h *hand, _ *wire.Response) {
			next := newSigner(h.t)
			h.exec(`UPDATE mobile_keys SET thumbprint = $2, jwk = $3 WHERE device = $1`, h.device, next.Thumbprint, string(h.jwk(next.Key)))
		}, 401, "another key"},
		"the phone was removed": {func(h *hand, _ *wire.Response) { h.exec(`DELETE FROM mobile_devices WHERE uuid = $1`, h.device) }, 403, "Token invalid"},
		"its token was revoked": {func(h *hand, _ *wire.Response) { h.exec(`DELETE FROM mobile_tokens WHERE device = $1`, h.device) }, 403, "Token invalid"},
		"its owner was locked": {func(h *hand, _ *wire.Response) {
			h.exec(`UPDATE users u SET is_active = false FROM mobile_devices d WHERE d.uuid = $1 AND u.id = d.user_id`, h.device)
		}, 403, "Token invalid"},
		"the stage demands more": {func(h *hand, _ *wire.Response) {
			h.exec(`UPDATE stages s SET settings = settings || '{"accepted_answers": "signed_user_verified"}' FROM mobile_devices d WHERE d.uuid = $1 AND s.stage_uuid = d.stage`, h.device)
		}, 400, "checks the phone's owner"},
		"a newer question came": {func(h *hand, r *wire.Response) {
			h.exec(`UPDATE mobile_transactions SET status = 'superseded' WHERE tx_id = $1`, r.TxID)
		}, 404, ""},
		"it is over": {func(h *hand, r *wire.Response) {
			h.exec(`UPDATE mobile_transactions SET expires = $2 WHERE tx_id = $1`, r.TxID, h.clock.now())
		}, 404, ""},
		"another item is chosen in the open": {func(_ *hand, r *wire.Response) { r.SelectedItem = "11" }, 400, "something else than the request"},
		"the proof was used before": {func(h *hand, r *wire.Response) {
			body, err := json.Marshal(r)
			if err != nil {
				h.t.Fatal(err)
			}
			proof := h.prove("POST", h.url(wire.ActionResponse), body)
			h.exec(`UPDATE mobile_transactions SET status = 'superseded' WHERE tx_id = $1`, r.TxID)
			_, _, _ = h.send(wire.ActionResponse, "DPoP "+h.token, proof, body)
			h.exec(`UPDATE mobile_transactions SET status = 'wait' WHERE tx_id = $1`, r.TxID)
			if status, text, _ := h.send(wire.ActionResponse, "DPoP "+h.token, proof, body); status != 401 || !strings.Contains(text, "used before") {
				h.t.Errorf("the same proof again: %d %s", status, text)
			}
			h.exec(`UPDATE mobile_transactions SET status = 'superseded' WHERE tx_id = $1 AND status = 'wait'`, r.TxID)
		}, 404, ""},
		"the other key signs as if it were this one": {func(h *hand, r *wire.Response) {
			verifier := newSigner(h.t)
			h.exec(`INSERT INTO mobile_keys (thumbprint, device, use, jwk) VALUES ($1, $2, 'user_verification', $3)`, verifier.Thumbprint, h.device, string(h.jwk(verifier.Key)))
			a, err := h.signer.CheckAnswer(r.Signed, wire.UsePossession)
			if err != nil {
				h.t.Fatal(err)
			}
			h.signer = verifier
			if r.Signed, err = verifier.SignAnswer(a, wire.UsePossession); err != nil {
				h.t.Fatal(err)
			}
		}, 401, "another key"},
	} {
		t.Run(name, func(t *testing.T) {
			owner := b.makeUser(name)
			h, err := b.signing(owner, b.demanding(AcceptSigned), false)
			if err != nil {
				t.Fatal(err)
			}
			tx := b.ask(h.device, owner, b.service.Bus.Node())
			r := h.response("22")
			if _, ok := b.service.challenges.of(tx.String()); !ok {
				t.Fatal("the challenge is not remembered")
			}
			x.meanwhile(h, &r)
			if status, text := h.respond(r); status != x.status || !strings.Contains(text, x.says) {
				t.Errorf("%d %s", status, text)
			}
			if n := value[int](b, `SELECT count(*) FROM mobile_transactions WHERE tx_id = $1 AND status = 'accept'`, tx); n != 0 {
				t.Error("the login was let in")
			}
		})
	}
}

// G16: a phone that fetched by its old key may use the new one for the first time by answering, and the old one is gone by that.
func TestAnsweringUsesNewKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h, err := b.signing(b.user, b.demanding(AcceptSigned), false)
	if err != nil {
		t.Fatal(err)
	}
	b.ask(h.device, b.user, b.service.Bus.Node())
	r := h.response("22")
	next := h.renewed(false, false)
	if status, text := h.operate(wire.ActionRotate, h.rotation(next)); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	a, err := h.signer.CheckAnswer(r.Signed, wire.UsePossession)
	if err != nil {
		t.Fatal(err)
	}
	if r.Signed, err = next.signer.SignAnswer(a, wire.UsePossession); err != nil {
		t.Fatal(err)
	}
	if status, text := next.respond(r); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	if got := value[[]string](b, `SELECT array_agg(thumbprint || coalesce(' until ' || pending_until, '')) FROM mobile_keys WHERE device = $1`, h.device); len(got) != 1 || got[0] != next.signer.Thumbprint {
		t.Errorf("the phone's keys are %v", got)
	}
}

// What is over is forgotten as others come.
func TestChallengesAreForgotten(t *testing.T) {
	t.Parallel()
	c, now := newChallenges(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range 3 {
		c.add(wire.Presented{TxID: now.String(), Expires: now.Add(time.Minute)}, now)
		now = now.Add(sweepEvery)
	}
	if len(c.m) != 1 {
		t.Errorf("%d are remembered", len(c.m))
	}
}
