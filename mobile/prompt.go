package mobile

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators/throttle"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/flows"
	"countersign/mobile/wire"
	"countersign/push"
)

// The states of a prompt, as stored.
const (
	statusWait       = "wait"
	statusAccept     = "accept"
	statusDeny       = "deny"
	statusWrong      = "wrong"
	statusSuperseded = "superseded"
	statusExpired    = "expired"
)

// app is the application label in events and model names.
const app = "authentik_stages_authenticator_mobile"

// target is a device as it is about to be asked.
type target struct {
	device       uuid.UUID
	userID       int
	name         string
	channel      string
	address      *string
	canFetch     bool
	pending      *uuid.UUID // a prompt that still waits
	pendingNode  *uuid.UUID
	pendingUntil *time.Time
	listening    *uuid.UUID // the node that holds the phone on a poll or a socket
	asks         asker      // who asked it
	changed      bool       // its keys or push address, within the longest cool-down
	known        bool       // the user approved a login from this source before
	history      []past
	blocked      *time.Time // no phone of the user is asked before, as a prompt was reported
	everywhere   bool       // not even for a known browser
}

// nextRing is the place that the next ring of the user takes.
func (t *target) nextRing() int64 {
	if len(t.history) == 0 {
		return 1
	}
	return t.history[0].Ring + 1
}

// aiming reads all that opening a prompt needs.
type aiming struct {
	device uuid.UUID
	source string
	now    time.Time

	target *target // nil: the device is gone
	done   bool
}

// aimSQL is written without EXISTS, for which the planner may answer "known" by a hash of the whole table.
const aimSQL = `SELECT d.user_id, d.name, d.push_channel, d.push_address, d.can_fetch, p.tx_id, p.node, p.expires, p.source, p.browser,
		(SELECT true FROM mobile_transactions k WHERE k.user_id = d.user_id AND k.source = $2 AND k.status = 'accept' LIMIT 1) IS NOT NULL,
		b.until, b.everywhere, h.places, h.statuses, h.sources, h.browsers, h.rings, h.rung, h.warned,
		CASE WHEN d.listening_until > $4 THEN d.listening_node END, d.changed > $4 - interval '30 days'
	FROM mobile_devices d LEFT JOIN mobile_transactions p ON p.device = d.uuid AND p.status = 'wait'
		LEFT JOIN mobile_blocks b ON b.user_id = d.user_id
		CROSS JOIN LATERAL (SELECT array_agg(ring) AS places, array_agg(status) AS statuses, array_agg(source) AS sources, array_agg(browser) AS browsers,
			array_agg(rings) AS rings, array_agg(coalesce(rung, created)) AS rung, array_agg(warned) AS warned
			FROM (SELECT ring, status, source, browser, rings, rung, created, warned FROM mobile_transactions
				WHERE user_id = d.user_id AND ring IS NOT NULL ORDER BY ring DESC LIMIT $3) t) h
	WHERE d.uuid = $1 AND d.confirmed`

func (a *aiming) args() []any { return []any{a.device, a.source, remembered, a.now} }

func (a *aiming) scan(row pgx.Row) error {
	t := &target{device: a.device}
	var source, browser *string
	var everywhere, changed *bool
	var h struct {
		places                      []int64
		statuses, sources, browsers []string
		rings                       []int
		rung                        []time.Time
		warned                      []bool
	}
	err := row.Scan(&t.userID, &t.name, &t.channel, &t.address, &t.canFetch, &t.pending, &t.pendingNode, &t.pendingUntil, &source, &browser, &t.known,
		&t.blocked, &everywhere, &h.places, &h.statuses, &h.sources, &h.browsers, &h.rings, &h.rung, &h.warned, &t.listening, &changed)
	if errors.Is(err, pgx.ErrNoRows) {
		a.done = true
		return nil
	}
	if err != nil {
		return err
	}
	t.changed = changed != nil && *changed
	t.everywhere = everywhere != nil && *everywhere
	t.history = make([]past, len(h.statuses))
	for i := range t.history {
		t.history[i] = past{h.places[i], h.statuses[i], h.sources[i], h.browsers[i], h.rings[i], h.rung[i], h.warned[i]}
	}
	if source != nil {
		t.asks = asker{source: *source, browser: *browser, known: *source == a.source && t.known || approvedFrom(t.history, *source)}
	}
	a.target, a.done = t, true
	return nil
}

// Queue adds the query to a batch.
func (a *aiming) Queue(b *pgx.Batch) { b.Queue(aimSQL, a.args()...).QueryRow(a.scan) }

// aim is what opening a prompt on a device needs: as it was read ahead for this request, or read now. nil: the device is gone.
func (s *Service) aim(ctx context.Context, run *flows.Run, device uuid.UUID) (*target, error) {
	a, ok := run.Ahead().(*aiming)
	if source := throttle.Source(run.Origin.ClientIP); !ok || !a.done || a.device != device || a.source != source {
		a = &aiming{device: device, source: source, now: run.Now()}
		if err := a.scan(run.DB().QueryRow(ctx, aimSQL, a.args()...)); err != nil {
			return nil, fmt.Errorf("read device %s: %w", device, db.Fault(err))
		}
	}
	return a.target, nil
}

// prompt is one question about to be asked.
type prompt struct {
	id      uuid.UUID
	mode    wire.Mode
	items   []string
	correct string
	tries   int // wrong answers that it takes
	context wire.Context
	created time.Time
	expires time.Time
	follows bool // the page wants to hear how far it comes

	approval bool // it is no login
}

// The indexes that allow one waiting prompt a device, and one ring at each place among a user's: of two requests that found
// the same history, one is told to look again.
const (
	pendingKey = "mobile_transactions_pending_key"
	ringKey    = "mobile_transactions_ring_key"
)

// open queues the prompt with the run, and the push for when it is durable.
func (s *Service) open(ctx context.Context, run *flows.Run, t *target, p prompt, by asker) error {
	if t.pending != nil {
		run.Queue(`UPDATE mobile_transactions SET status = CASE WHEN expires <= $2 THEN 'expired' ELSE 'superseded' END
			WHERE tx_id = $1 AND status = 'wait'`, *t.pending, p.created)
		if t.asks.source == sourceAPI && !p.created.Before(*t.pendingUntil) { // nobody can answer it any more
			err := run.Emit(ctx, event.Event{Action: actionApprovalExpired, App: app, Owner: t.userID, Context: map[string]any{
				"transaction": *t.pending, "device": deviceRef(t.device, t.name),
			}})
			if err != nil {
				return err
			}
		}
		old, node := *t.pending, *t.pendingNode
		run.AfterCommit(func() {
			s.Push.Cancel(old.String())
			s.wake(node, old)
		})
	}
	run.AfterCommit(func() {
		s.metrics.stage(stageCreated, "", 0)
		s.waiters.opened(p.id, p.created, p.expires)
		s.rouse(t.device, t.listening)
		if by.stranger() {
			s.crowd.add(p.id, by.source, p.created)
		}
	})
	run.Contended(pendingKey)
	run.Contended(ringKey)
	run.Queue(`INSERT INTO mobile_transactions (tx_id, device, user_id, source, mode, items, correct, context, node, created, expires, ring, browser, session,
			attempts_left, carried, follows)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		p.id, t.device, t.userID, by.source, string(p.mode), p.items, p.correct, p.context, s.Bus.Node(), p.created, p.expires,
		t.nextRing(), by.browser, run.Session.UUID, p.tries, !p.mode.Shows(), p.follows)
	return s.announce(ctx, run, t, p)
}

// announce queues the event of a prompt, and its push for when that is durable.
func (s *Service) announce(ctx context.Context, run *flows.Run, t *target, p prompt) error {
	err := run.Emit(ctx, event.Event{
		Action: actionPrompted, App: app,
		Context: map[string]any{"transaction": p.id, "device": deviceRef(t.device, t.name), "mode": p.mode, "expires": p.expires},
	})
	if err != nil {
		return err
	}
	job := s.job(t, p, run.Title)
	run.AfterCommit(func() {
		s.metrics.stage(string(DeliverySent), "", s.Now().Sub(p.created))
		s.Push.Dispatch(job)
	})
	return nil
}

// actionPrompted is the event of a prompt that was sent, in the form that the contract leaves to others.
const actionPrompted event.Action = "custom_mobile_prompt"

func deviceRef(id uuid.UUID, name string) event.Ref {
	return event.Model(id, app, "mobiledevice", name)
}

func addressOf(o *event.Origin) string {
	if !o.ClientIP.IsValid() {
		return ""
	}
	return o.ClientIP.Unmap().WithZone("").String()
}

// networkOf is the network around a phone's address by which it is compared with the browser's: /24 of IPv4, /64 of IPv6; nil
// where the address is not known.
func networkOf(o *event.Origin) *netip.Prefix {
	a := o.ClientIP.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return nil
	}
	return &p
}

// job is the push about a prompt. It names no user, and neither the right item nor anything that is typed is in it.
func (s *Service) job(t *target, p prompt, brand string) push.Job {
	data := wire.Push{Kind: wire.Wake, TxID: p.id.String()}
	if !t.canFetch && p.mode.Picks() {
		data = wire.Push{Kind: wire.Challenge, TxID: p.id.String(), Items: p.items, Mode: p.mode}
	}
	m := push.Message{
		Title: brand + " authentication request", Body: "Somebody is logging in to " + p.context.Host + ". Is it you?",
		Data: data.Data(), CollapseKey: t.device.String(),
	}
	if p.approval {
		m.Title, m.Body = "Approval requested", "Something waits for your approval. Open the app to see it."
	}
	if t.address != nil {
		m.Address = *t.address
	}
	l := leg{tx: p.id, device: t.device, name: t.name, created: p.created, node: s.Bus.Node(), follows: p.follows}
	return push.Job{
		ID: p.id.String(), Channel: t.channel, Message: m, Deadline: p.expires,
		Report: func(r push.Report) { s.pushed(l, m.Address, r) },
	}
}

// undelivered notes why a push did not go out and tells the browser that waits. It is off the dispatcher's
// goroutines, which must not wait for the database, and bounded by its own time limit.
func (s *Service) undelivered(l leg, address string, r push.Report) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := db.InTx(ctx, s.Pool, func(q pgx.Tx) error {
		_, err := q.Exec(ctx, `UPDATE mobile_transactions SET failure = $2 WHERE tx_id = $1 AND status = 'wait'`, l.tx, string(r.Reason))
		if err != nil {
			return err
		}
		err = s.Events.Emit(ctx, q, event.Event{Action: actionDelivery, App: app, Context: map[string]any{
			"transaction": l.tx, "device": deviceRef(l.device, l.name),
			"stages": []map[string]any{{"stage": DeliveryFailed, "reason": r.Reason, "final": r.Final, "time": s.Now()}},
		}})
		if err != nil || r.State != push.Dead {
			return err
		}
		tag, err := q.Exec(ctx, `UPDATE mobile_devices SET push_address = NULL WHERE uuid = $1 AND push_address = $2`, l.device, address)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return s.Events.Emit(ctx, q, event.Event{
			Action: "custom_mobile_address_dead", App: app,
			Context: map[string]any{"device": deviceRef(l.device, l.name), "reason": r.Reason},
		})
	})
	if err != nil {
		s.Log.Error("note failed push", "transaction", l.tx, "reason", r.Reason, "error", err)
	}
	s.wake(l.node, l.tx)
}

// standing is a prompt as the browser's request finds it.
type standing struct {
	outcome
	failure   string
	delivery  Delivery
	expires   time.Time
	*progress // nil: as it was
}

// progress is what happened to a prompt that still waits.
type progress struct {
	left     int  // wrong answers that it takes still
	carried  bool // the browser has sent what it has to
	approved bool // by the phone
}

// standing tells how a prompt stands: from memory if this process opened it and heard all of it, else by reading it. A
// request that has slept in vain reads: what ended its sleep may be something that nobody told.
func (s *Service) standing(ctx context.Context, q db.Querier, tx uuid.UUID, expires time.Time, slept bool) (*standing, error) {
	if heard, known := s.waiters.heard(tx); known && !(slept && heard.status == statusWait) {
		return &standing{outcome: heard, delivery: s.waiters.delivery(tx), expires: expires}, nil
	}
	st, err := s.stand(ctx, q, tx)
	if st != nil {
		st.delivery = st.delivery.later(s.waiters.delivery(tx)) // the row hears of it a little later
	}
	return st, err
}

// stand reads a prompt, after making this node the one that its answer wakes. nil: it is gone, with its device.
func (s *Service) stand(ctx context.Context, q db.Querier, tx uuid.UUID) (*standing, error) {
	for {
		st := standing{progress: &progress{}}
		var node uuid.UUID
		err := q.QueryRow(ctx, `SELECT status, signed, hardware_key, same_network, coalesce(failure, ''), expires, node, attempts_left, carried, approved, `+deliverySQL+`
			FROM mobile_transactions WHERE tx_id = $1`, tx).
			Scan(&st.status, &st.signed, &st.hardware, &st.sameNetwork, &st.failure, &st.expires, &node, &st.left, &st.carried, &st.approved, &st.delivery)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read prompt: %w", db.Fault(err))
		}
		if node == s.Bus.Node() || st.status != statusWait {
			return &st, nil
		}
		if _, err := q.Exec(ctx, `UPDATE mobile_transactions SET node = $2 WHERE tx_id = $1 AND status = 'wait'`, tx, s.Bus.Node()); err != nil {
			return nil, fmt.Errorf("move prompt to this node: %w", db.Fault(err))
		}
		s.wake(node, tx) // which can no longer tell by what it hears
		if st.delivery == DeliverySent {
			s.tookOver(tx)
		}
	}
}

// answerSQL decides a prompt: one statement, so that token, owner, key, what the stage accepts, state and time hold together. The key
// is in force, and a possession key, unless the owner was verified; to approve it has to suffice. It writes the event
// of the answer too. Nothing is changed unless every condition holds. Each wrong number takes one of the attempts that are
// left, the last of them ends the prompt; where nothing is typed there is one. A prompt without items is one whose number is
// typed, and what has not its form is no attempt.
const answerSQL = `WITH d AS (
	SELECT t.device, v.name, v.listening_node, v.replaces, u.id AS user_id, u.username, u.email, coalesce(k.hardware, false) AS hardware
	FROM mobile_tokens t JOIN mobile_devices v ON v.uuid = t.device JOIN users u ON u.id = v.user_id LEFT JOIN stages s ON s.stage_uuid = v.stage
		LEFT JOIN mobile_keys k ON k.thumbprint = $19 AND k.device = v.uuid AND k.use IN ('possession', $14) AND k.pending_until IS NULL
	WHERE t.token_hash = $1 AND t.purpose = 'device' AND (t.expires IS NULL OR t.expires > $5) AND v.confirmed AND u.is_active
		AND v.signs = ($14 <> 'bearer') AND v.signs = (k.thumbprint IS NOT NULL) AND (v.signs OR ` + acceptedSQL + ` = 'bearer')
		AND ($4 = 'deny' OR $14 = 'user_verification' OR ` + acceptedSQL + ` <> 'signed_user_verified')
), p AS (
	INSERT INTO mobile_proofs (proof_hash, expires) SELECT $15, $16 FROM d WHERE $15::bytea IS NOT NULL ON CONFLICT DO NOTHING RETURNING 1
), a AS (
	UPDATE mobile_transactions x SET selected = $4, answered = $5, signed = $14, key = nullif($19, ''), hardware_key = d.hardware, approved = $4 = x.correct,
		same_network = nullif(x.context->>'ip', '')::inet <<= $18::cidr,
		status = CASE WHEN $4 = x.correct AND x.carried THEN 'accept' WHEN $4 = x.correct THEN 'wait' WHEN $4 = 'deny' THEN 'deny'
			WHEN x.attempts_left > 1 THEN 'wait' ELSE 'wrong' END,
		attempts_left = x.attempts_left - CASE WHEN $4 IN (x.correct, 'deny') THEN 0 ELSE 1 END
	FROM d WHERE x.tx_id = $3 AND x.device = d.device AND d.device = $2 AND x.status = 'wait' AND x.expires > $5
		AND ($4 = 'deny' OR NOT x.approved AND ($4 = ANY(x.items) OR x.items = '{}' AND length($4) = length(x.correct) AND $4 ~ '^[0-9]+$'))
		AND ($15::bytea IS NULL OR EXISTS (SELECT FROM p))
	RETURNING x.status, x.node, x.created, x.approval IS NOT NULL AS approval, x.items = '{}' AS typed, x.approved, x.attempts_left, x.same_network, x.hardware_key
), e AS (
	INSERT INTO events (event_uuid, action, app, context, "user", brand, client_ip, created, expires)
	SELECT $6, CASE WHEN a.approved THEN $7 WHEN a.status = 'wait' THEN $17 WHEN a.approval THEN 'custom_mobile_approval_denied' ELSE 'login_failed' END, $8,
		$9::jsonb || CASE WHEN a.typed THEN jsonb_build_object('attempts_left', a.attempts_left) ELSE '{}' END ||
			jsonb_build_object('device_class', 'mobile', 'mobile_response', a.status, 'signed', $14, 'key', nullif($19, ''), 'hardware_key', a.hardware_key, 'username', d.username,
			'same_network', a.same_network,
			'device', jsonb_build_object('pk', replace(d.device::text, '-', ''), 'app', $8::text, 'name', d.name, 'model_name', 'mobiledevice')),
		jsonb_build_object('pk', d.user_id, 'username', d.username, 'email', d.email), $10, $11, $12, $13
	FROM a, d
)
SELECT (SELECT device FROM d), EXISTS (SELECT FROM p), (SELECT listening_node FROM d), (SELECT replaces FROM d), a.status, a.node, a.typed AND NOT a.approved, a.attempts_left, a.same_network, a.created, coalesce(a.hardware_key, false)
	FROM (VALUES (1)) one LEFT JOIN a ON true`

// decide takes a phone's answer, whose signature by holds where it has to have one. Errors: Denied for a token that is none,
// or not enough, NotFound for a prompt that is not there to be answered by this device (any more), Invalid for an item that
// is none of the prompt's, and for a number that was typed wrong: wire.Refusal says that it was, and the attempt is gone.
func (s *Service) decide(ctx context.Context, token string, device uuid.UUID, r wire.Response, by credential) error {
	tx, err := uuid.Parse(r.TxID)
	if err != nil {
		return fault.Field("tx_id", "invalid", "Must be a valid UUID.")
	}
	args, err := s.Events.Args(ctx, event.Event{
		Action: actionApproved, App: app, Context: by.told(tx),
	})
	if err != nil {
		return err
	}
	now := s.Now()
	hash := hashToken(token)
	var owner, node, listening, replaces *uuid.UUID
	var status *string
	var fresh, hardware bool
	var created *time.Time
	var mistyped *bool // or denied
	var left *int
	var same *bool
	answer := func(q db.Querier) error {
		return q.QueryRow(ctx, answerSQL, hash, device, tx, r.SelectedItem, now, args[0], args[1], app, args[3], args[5], args[6], args[7], args[8],
			by.signed, by.proof, by.expires, actionWrong, networkOf(event.From(ctx)), by.key).
			Scan(&owner, &fresh, &listening, &replaces, &status, &node, &mistyped, &left, &same, &created, &hardware)
	}
	if by.verb == wire.Report {
		err = db.InTx(ctx, s.Pool, func(q pgx.Tx) error {
			if err := answer(q); err != nil || status == nil {
				return err
			}
			return s.reported(ctx, q, tx, now)
		})
	} else {
		err = answer(s.Pool)
	}
	switch {
	case err != nil:
		return fmt.Errorf("answer prompt: %w", db.Fault(err))
	case owner == nil:
		return errToken
	case by.proof != nil && !fresh:
		return errReplay
	case status != nil:
		s.metrics.stage(stageAnswered, by.reason(*status, *mistyped), now.Sub(*created))
		if *node == s.Bus.Node() && *status != statusWait {
			s.waiters.settle(tx, outcome{*status, by.signed, hardware, same})
		} else {
			s.wake(*node, tx)
		}
		s.challenges.forget(r.TxID)
		s.Push.Cancel(tx.String())
		s.rouse(device, listening)
		if *mistyped && *status != statusDeny {
			return wrongNumber(*left)
		}
		if replaces != nil && *status == statusAccept {
			s.firstUse(ctx, device, *replaces)
		}
		return nil
	}
	return s.whyNot(ctx, *owner, device, tx, r.SelectedItem, now)
}

// actionApproved is the event of an approved prompt; a refused one is login_failed.
const actionApproved event.Action = "custom_mobile_approved"

// actionWrong is the event of a wrong number that was typed, while there are attempts left.
const actionWrong event.Action = "custom_mobile_wrong_number"

// wrongNumber tells a phone that its number was wrong, and a person how many tries there are.
func wrongNumber(left int) error {
	f := fault.Field("selected_item", wire.WrongNumber, wrongText(left))
	f.Facts = map[string]any{"code": wire.WrongNumber, "attempts_left": left}
	return f
}

func wrongText(left int) string {
	if left == 0 {
		return "That was not the number, and no tries are left. Nobody was let in."
	}
	return "That is not the number. " + leftText(left)
}

func leftText(left int) string {
	if left == 1 {
		return "One try is left."
	}
	return fmt.Sprintf("%d tries are left.", left)
}

// whyNot tells a wrong item, which may be mended, from a prompt that is not the phone's to answer.
func (s *Service) whyNot(ctx context.Context, owner, device, tx uuid.UUID, item string, now time.Time) error {
	if owner != device {
		return fault.Missing()
	}
	var waits bool
	err := s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mobile_transactions
		WHERE tx_id = $1 AND device = $2 AND status = 'wait' AND expires > $3 AND $4 <> ALL(items))`, tx, device, now, item).Scan(&waits)
	if err != nil {
		return fmt.Errorf("read prompt: %w", db.Fault(err))
	}
	if waits {
		return fault.Field("selected_item", "invalid_choice", fmt.Sprintf("%q is not a valid choice.", item))
	}
	return fault.Missing()
}
