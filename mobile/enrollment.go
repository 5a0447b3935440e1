package mobile

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/flows"
	"countersign/mobile/wire"
)

// The events of an enrolment whose phone has keys, beside model_created, which is when it is confirmed.
const (
	actionCalledIn event.Action = "custom_mobile_enrolment_called_in"
	actionDisowned event.Action = "custom_mobile_enrolment_disowned"
)

// underway is how far an enrolment is; "" where there is none, or none any more.
type underway struct {
	wire.Progress
	name        string // of the phone, once it has called in
	fingerprint string // as it is shown
	expires     time.Time
}

func (s *Service) underway(ctx context.Context, q db.Querier, device uuid.UUID) (underway, error) {
	var u underway
	err := q.QueryRow(ctx, `SELECT CASE WHEN d.confirmed THEN 'confirmed' WHEN e.fingerprint IS NOT NULL THEN 'called_in'
			WHEN e.contested IS NOT NULL THEN 'contested' WHEN e.redeemed IS NOT NULL THEN 'opened' ELSE 'shown' END,
			d.name, coalesce(e.fingerprint, ''), coalesce(e.expires, d.created)
		FROM mobile_devices d LEFT JOIN mobile_enrollments e ON e.device = d.uuid WHERE d.uuid = $1`, device).
		Scan(&u.Progress, &u.name, &u.fingerprint, &u.expires)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return u, fmt.Errorf("read enrolment: %w", db.Fault(err))
	}
	return u, nil
}

// enrollment is one under way, as its events and wake-ups need it.
type enrollment struct {
	device      uuid.UUID
	name        string
	owner       event.User
	info        *wire.Info
	uses        []string // of its keys
	attestation any      // what its maker says of them
	browserNode *uuid.UUID
	phoneNode   *uuid.UUID
}

func (e *enrollment) event(action event.Action, what string) event.Event {
	return event.Event{Action: action, App: app, User: &e.owner, Context: map[string]any{"device": deviceRef(e.device, e.name), "message": what}}
}

// fingerprint draws the salt of a phone's reply and gives what its owner is to compare; "" for a stock phone. The salt is
// drawn once the keys are known, so that nobody can choose keys that give the fingerprint of other ones.
func (s *Service) fingerprint(device uuid.UUID, token string, keys phoneKeys, reply *wire.EnrollmentCallback) (string, error) {
	if keys == nil {
		return "", nil
	}
	server, err := wire.ParseKey(reply.ServerKey)
	if err != nil {
		return "", fmt.Errorf("the server's %w", err)
	}
	salt := make([]byte, 16)
	if _, err := io.ReadFull(s.Random, salt); err != nil {
		return "", fmt.Errorf("draw salt: %w", err)
	}
	reply.Status, reply.Salt = wire.Waiting, base64.RawURLEncoding.EncodeToString(salt)
	return wire.Binding{
		Device: device.String(), TokenHash: wire.HashToken(token), Possession: keys[wire.UsePossession].Thumbprint, Verification: keys[wire.UseVerification].Thumbprint,
		Server: server.Thumbprint, Salt: reply.Salt,
	}.Fingerprint()
}

// callIn has a phone with keys wait for its owner, within tx: its token is good for little until then.
func (s *Service) callIn(ctx context.Context, tx pgx.Tx, e *enrollment, once, token, fingerprint string) error {
	expires := s.Now().Add(enrollmentWindow)
	if err := issue(ctx, tx, e.device, token, purposeUnconfirmed, &expires); err != nil {
		return err
	}
	err := tx.QueryRow(ctx, `INSERT INTO mobile_enrollments (device, code_hash, fingerprint, expires) VALUES ($1, $2, $3, $4)
		ON CONFLICT (device) DO UPDATE SET fingerprint = excluded.fingerprint, expires = excluded.expires RETURNING browser_node, phone_node`,
		e.device, hashToken(once), fingerprint, expires).Scan(&e.browserNode, &e.phoneNode)
	if err != nil {
		return fmt.Errorf("keep fingerprint: %w", db.Fault(err))
	}
	told := e.event(actionCalledIn, "A phone called in and waits until its owner has compared the fingerprint.")
	told.Context["signs"], told.Context["attestation"] = e.uses, e.attestation
	return s.Events.Emit(ctx, tx, told)
}

// admit ends an enrolment whose phone is confirmed, within tx: the phone has its token, and the owner a mail. token is that of a
// stock phone; "" makes the one of a phone that waited good for everything.
func (s *Service) admit(ctx context.Context, tx pgx.Tx, e *enrollment, token string) error {
	if token != "" {
		if err := issue(ctx, tx, e.device, token, purposeDevice, nil); err != nil {
			return err
		}
	} else if _, err := tx.Exec(ctx, `UPDATE mobile_tokens SET purpose = 'device', expires = NULL WHERE device = $1 AND purpose = 'unconfirmed'`, e.device); err != nil {
		return fmt.Errorf("confirm device: %w", db.Fault(err))
	}
	err := tx.QueryRow(ctx, `DELETE FROM mobile_enrollments WHERE device = $1 RETURNING browser_node, phone_node`, e.device).Scan(&e.browserNode, &e.phoneNode)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("end enrolment: %w", db.Fault(err))
	}
	told := map[string]any{"model": deviceRef(e.device, e.name), "signs": e.uses}
	if e.attestation != nil {
		told["attestation"] = e.attestation
	}
	if e.info != nil {
		told["platform"], told["app_version"] = e.info.Platform, e.info.AppVersion
	}
	return s.Events.Emit(ctx, tx, event.Event{Action: event.ModelCreated, App: app, User: &e.owner, Context: told})
}

// compared confirms the device of an enrolment if the fingerprint is the one that is shown now.
func (s *Service) compared(ctx context.Context, run *flows.Run, device uuid.UUID, fingerprint string) (bool, error) {
	tx, err := run.Tx(ctx)
	if err != nil {
		return false, err
	}
	e := enrollment{device: device, info: &wire.Info{}}
	var found findings
	err = tx.QueryRow(ctx, `UPDATE mobile_devices d SET confirmed = true FROM mobile_enrollments e, users u
		WHERE d.uuid = $1 AND NOT d.confirmed AND e.device = d.uuid AND replace(e.fingerprint, ' ', '') = $2 AND e.expires > $3 AND u.id = d.user_id
		RETURNING d.name, d.info, d.attestation, u.id, u.username, u.email, ARRAY(SELECT k.use FROM mobile_keys k WHERE k.device = d.uuid ORDER BY 1)`,
		device, strings.Join(strings.Fields(fingerprint), ""), run.Now()).
		Scan(&e.name, e.info, &found, &e.owner.PK, &e.owner.Username, &e.owner.Email, &e.uses)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("confirm device: %w", db.Fault(err))
	}
	e.attestation = found
	if err := s.admit(ctx, tx, &e, ""); err != nil {
		return false, err
	}
	run.AfterCommit(func() { s.wakeEnrollment(&e) })
	return true, nil
}

// refuse ends an enrolment that is not confirmed: the device is gone, and all tokens and keys with it.
func (s *Service) refuse(ctx context.Context, run *flows.Run, device uuid.UUID, what string) error {
	tx, err := run.Tx(ctx)
	if err != nil {
		return err
	}
	e := enrollment{device: device}
	var seen bool
	err = tx.QueryRow(ctx, `DELETE FROM mobile_devices d USING users u, mobile_enrollments e
		WHERE d.uuid = $1 AND NOT d.confirmed AND u.id = d.user_id AND e.device = d.uuid
		RETURNING d.name, u.id, u.username, u.email, e.browser_node, e.phone_node, e.redeemed IS NOT NULL OR e.fingerprint IS NOT NULL`, device).
		Scan(&e.name, &e.owner.PK, &e.owner.Username, &e.owner.Email, &e.browserNode, &e.phoneNode, &seen)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("refuse device: %w", db.Fault(err))
	}
	run.AfterCommit(func() { s.wakeEnrollment(&e) })
	if !seen { // no phone had a part in it
		return nil
	}
	return s.Events.Emit(ctx, tx, e.event(actionDisowned, what))
}

// awaited says that this node holds a request about an enrolment, of the phone or of the page, so that other nodes can wake it.
func (s *Service) awaited(ctx context.Context, device uuid.UUID, phone bool) error {
	column := "browser_node"
	if phone {
		column = "phone_node"
	}
	_, err := s.Pool.Exec(ctx, `UPDATE mobile_enrollments SET `+column+` = $2 WHERE device = $1 AND `+column+` IS DISTINCT FROM $2`, device, s.Bus.Node())
	if err != nil {
		return fmt.Errorf("wait for enrolment: %w", db.Fault(err))
	}
	return nil
}

// wakeEnrollment lets the page and the phone of an enrolment look again, wherever their requests are held.
func (s *Service) wakeEnrollment(e *enrollment) {
	if e.device == uuid.Nil {
		return
	}
	for _, node := range []*uuid.UUID{e.browserNode, e.phoneNode} {
		if node != nil && *node != s.Bus.Node() {
			s.wake(*node, e.device)
		}
	}
	s.waiters.wake(e.device)
}
