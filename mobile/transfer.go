package mobile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/authenticators/qr"
	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/secret"
	"countersign/mobile/wire"
)

// actionTransfer is the event of each step of a transfer; that of its end is that the old phone was removed.
const actionTransfer event.Action = "custom_mobile_transfer"

// defaultOverlap is how long both phones are good where the stage does not say.
const defaultOverlap = 24 * time.Hour

// mountTransfer adds the operations by which a phone moves its account to another one.
func (s *Service) mountTransfer(a *api.API, op func(method, action, description string) api.Operation) {
	api.Handle(a, op("POST", wire.ActionTransfer, "Begin to move the account to a new phone; one that was begun before is given up"), s.beginTransfer)
	look := op("GET", wire.ActionTransfer, "How the move to a new phone stands")
	look.ID = "authenticators_mobile_transfer_retrieve"
	look.Query = []api.Parameter{{Name: "wait", Type: "integer", Description: "Seconds to hold the answer while the new phone has not arrived, at most 25."}}
	api.Handle(a, look, s.lookAtTransfer)
	give := op("DELETE", wire.ActionTransfer, "Give up the move to a new phone")
	give.ID = "authenticators_mobile_transfer_destroy"
	api.Handle(a, give, func(ctx context.Context, r *api.Request, _ api.None) (api.None, error) {
		c, err := s.authenticate(ctx, r)
		if err != nil {
			return api.None{}, err
		}
		return api.None{}, db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			return s.giveUpTransfer(ctx, tx, c.device, "The move to a new phone was given up on the old one.")
		})
	})
	api.Handle(a, op("POST", wire.ActionApprove, "Approve the new phone"), s.approveTransfer)
}

// beginTransfer makes the device of the new phone, and a one-time token for it.
func (s *Service) beginTransfer(ctx context.Context, r *api.Request, _ api.None) (wire.Transfer, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return wire.Transfer{}, err
	}
	if c.proof == nil {
		return wire.Transfer{}, fault.Field(fault.NonField, "invalid", "This phone has no keys, by which it could approve another. Add the new phone on your account page.")
	}
	out := wire.Transfer{
		State: wire.TransferOffered, Expires: s.Now().Add(enrollmentWindow),
		Payload: &wire.Payload{URL: r.BaseURL(), Device: uuid.NewString(), Token: secret.Token(tokenLength)},
	}
	device, err := uuid.Parse(out.Payload.Device)
	if err != nil {
		return wire.Transfer{}, fmt.Errorf("name device: %w", err)
	}
	code, hash, err := s.newCode()
	if err != nil {
		return wire.Transfer{}, err
	}
	out.Link, out.Code = wire.Link(r.BaseURL(), code), wire.ShowCode(code)
	if out.QRLink, err = qr.Image(out.Link); err != nil {
		return wire.Transfer{}, err
	}
	return out, db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		d, err := lockDevice(ctx, tx, c.device)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM mobile_transfers WHERE old_device = $1 AND approved IS NULL`, c.device); err != nil {
			return fmt.Errorf("give up transfer: %w", db.Fault(err))
		}
		var moved bool
		var own int
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mobile_transfers WHERE old_device = $1), (SELECT count(*) FROM mobile_devices WHERE user_id = $2)`,
			c.device, d.owner.PK).Scan(&moved, &own)
		switch {
		case err != nil:
			return fmt.Errorf("read transfer: %w", db.Fault(err))
		case moved:
			return fault.Field(fault.NonField, "invalid", "This phone has been moved already, and is about to be removed.")
		case own > authenticators.MaxDevices: // one more than may be added otherwise, since another goes
			return fault.Field(fault.NonField, "invalid", authenticators.TooMany)
		}
		_, err = tx.Exec(ctx, `INSERT INTO mobile_devices (uuid, user_id, stage, name, push_channel, created)
			SELECT $2, user_id, stage, 'Phone', $3, $4 FROM mobile_devices WHERE uuid = $1`, c.device, device, s.Channel, s.Now())
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO mobile_transfers (new_device, old_device, expires) VALUES ($1, $2, $3)`, device, c.device, out.Expires)
		}
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO mobile_enrollments (device, code_hash, expires) VALUES ($1, $2, $3)`, device, hash, out.Expires)
		}
		if err != nil {
			return fmt.Errorf("begin transfer: %w", db.Fault(err))
		}
		if err := issue(ctx, tx, device, out.Payload.Token, purposeEnrollment, &out.Expires); err != nil {
			return err
		}
		return s.tellTransfer(ctx, tx, d, c.device, device, "The phone offers its account to a new one.")
	})
}

func (s *Service) tellTransfer(ctx context.Context, tx pgx.Tx, d owned, from, to uuid.UUID, what string) error {
	return s.Events.Emit(ctx, tx, event.Event{Action: actionTransfer, App: app, User: &d.owner, Context: map[string]any{
		"device": deviceRef(from, d.name), "new_device": deviceRef(to, ""), "message": what,
	}})
}

// transfer reads that of an old phone.
func (s *Service) transfer(ctx context.Context, q db.Querier, old uuid.UUID) (wire.Transfer, error) {
	out := wire.Transfer{State: wire.TransferNone}
	var approved bool
	err := q.QueryRow(ctx, `SELECT t.new_device::text, d.name, t.approved IS NOT NULL, coalesce(t.ends, t.expires), coalesce(t.token_hash, ''), coalesce(t.salt, ''),
			coalesce((SELECT thumbprint FROM mobile_keys k WHERE k.device = d.uuid AND k.use = 'possession' AND k.pending_until IS NULL), ''),
			coalesce((SELECT thumbprint FROM mobile_keys k WHERE k.device = d.uuid AND k.use = 'user_verification' AND k.pending_until IS NULL), '')
		FROM mobile_transfers t JOIN mobile_devices d ON d.uuid = t.new_device WHERE t.old_device = $1 AND (t.approved IS NOT NULL OR t.expires > $2)`, old, s.Now()).
		Scan(&out.Device, &out.Name, &approved, &out.Expires, &out.TokenHash, &out.Salt, &out.Possession, &out.Verification)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return wire.Transfer{State: wire.TransferNone}, nil
	case err != nil:
		return out, fmt.Errorf("read transfer: %w", db.Fault(err))
	case approved:
		return wire.Transfer{State: wire.TransferApproved, Device: out.Device, Name: out.Name, Expires: out.Expires}, nil
	case out.Salt == "": // it comes with the keys
		return wire.Transfer{State: wire.TransferOffered, Expires: out.Expires}, nil
	}
	out.State = wire.TransferArrived
	return out, nil
}

// lookAtTransfer tells the old phone how it stands, and waits for the new one if it is asked to.
func (s *Service) lookAtTransfer(ctx context.Context, r *api.Request, _ api.None) (wire.Transfer, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return wire.Transfer{}, err
	}
	n, _ := strconv.Atoi(r.Query().Get("wait"))
	hold := min(time.Duration(max(n, 0))*time.Second, statusHold)
	var wake <-chan struct{}
	if hold > 0 {
		var device uuid.UUID
		err := s.Pool.QueryRow(ctx, `UPDATE mobile_transfers SET node = $2 WHERE old_device = $1 RETURNING new_device`, c.device, s.Bus.Node()).Scan(&device)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return wire.Transfer{}, fmt.Errorf("wait for transfer: %w", db.Fault(err))
		}
		changed, cancel := s.waiters.subscribe(device, false)
		defer cancel()
		wake = changed
	}
	timer := time.NewTimer(hold)
	defer timer.Stop()
	for {
		out, err := s.transfer(ctx, s.Pool, c.device)
		if err != nil || hold == 0 || out.State != wire.TransferOffered {
			return out, err
		}
		select {
		case <-wake:
		case <-timer.C:
			hold = 0
		case <-ctx.Done():
			return wire.Transfer{}, ctx.Err()
		}
	}
}

// arrival is the transfer by which a device enrols.
type arrival struct {
	old  uuid.UUID
	node *uuid.UUID // where the old phone waits
}

// arrive prolongs the transfer of a device that has enrolled by a token, for its approval, and keeps what the old phone makes the
// fingerprint of; nil: it enrols otherwise. Errors: Invalid for a phone that cannot sign, which gets no salt.
func (s *Service) arrive(ctx context.Context, tx pgx.Tx, device uuid.UUID, token, salt string) (*arrival, error) {
	a := &arrival{}
	err := tx.QueryRow(ctx, `UPDATE mobile_transfers SET expires = $2, token_hash = $3, salt = $4 WHERE new_device = $1 AND approved IS NULL
		RETURNING old_device, node`, device, s.Now().Add(enrollmentWindow), wire.HashToken(token), salt).Scan(&a.old, &a.node)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // no transfer
	case err != nil:
		return nil, fmt.Errorf("read transfer: %w", db.Fault(err))
	case salt == "":
		return nil, fault.Field("keys", "required", "Only a phone that signs its answers can take the place of another. Update the app.")
	}
	return a, nil
}

// giveUpTransfer ends that of an old phone, if there is one that is not approved; the new phone's device goes with it.
func (s *Service) giveUpTransfer(ctx context.Context, tx pgx.Tx, old uuid.UUID, why string) error {
	d, err := lockDevice(ctx, tx, old)
	if err != nil {
		return err
	}
	var device uuid.UUID
	err = tx.QueryRow(ctx, `DELETE FROM mobile_transfers WHERE old_device = $1 AND approved IS NULL RETURNING new_device`, old).Scan(&device)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("give up transfer: %w", db.Fault(err))
	}
	return s.tellTransfer(ctx, tx, d, old, device, why)
}

// approveTransfer makes the new phone one of the account.
func (s *Service) approveTransfer(ctx context.Context, r *api.Request, in wire.Approval) (wire.Transfer, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return wire.Transfer{}, err
	}
	t, err := s.transfer(ctx, s.Pool, c.device)
	if err != nil {
		return wire.Transfer{}, err
	}
	switch t.State {
	case wire.TransferApproved: // again, since the reply was lost
		return t, nil
	case wire.TransferArrived:
	default:
		return wire.Transfer{}, fault.Field("endorsement", "invalid", "No new phone waits for this. It may have taken too long: begin again.")
	}
	own, err := s.keyring(ctx, s.Pool, c.device)
	if err != nil {
		return wire.Transfer{}, err
	}
	err = s.endorsed(ctx, r, c, own, in.Endorsement, in.Verification, wire.Endorsement{
		Act: wire.ActTransfer, Server: r.BaseURL(), Device: c.device.String(), For: t.Device, Possession: t.Possession, Verification: t.Verification,
	})
	if err != nil {
		return wire.Transfer{}, err
	}
	device, err := uuid.Parse(t.Device)
	if err != nil {
		return wire.Transfer{}, fmt.Errorf("device of transfer: %w", err)
	}
	e := enrollment{device: device}
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := s.confirmTransfer(ctx, tx, c.device, device, in.AtFirstUse); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `DELETE FROM mobile_enrollments WHERE device = $1 RETURNING phone_node`, device).Scan(&e.phoneNode)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("end enrolment: %w", db.Fault(err))
		}
		return nil
	})
	if err != nil {
		return wire.Transfer{}, err
	}
	s.wakeEnrollment(&e)
	return s.transfer(ctx, s.Pool, c.device)
}

// confirmTransfer confirms the new device within tx, and says when the old one goes.
func (s *Service) confirmTransfer(ctx context.Context, tx pgx.Tx, old, device uuid.UUID, atFirstUse bool) error {
	d, err := lockDevice(ctx, tx, old)
	if err != nil {
		return err
	}
	var overlap *string
	err = tx.QueryRow(ctx, `SELECT s.settings->>'transfer_overlap' FROM mobile_devices d LEFT JOIN stages s ON s.stage_uuid = d.stage WHERE d.uuid = $1`, old).Scan(&overlap)
	if err != nil {
		return fmt.Errorf("read stage of device: %w", db.Fault(err))
	}
	ends := s.Now().Add(settingOf(overlap, defaultOverlap))
	tag, err := tx.Exec(ctx, `UPDATE mobile_transfers SET approved = $3, ends = $4 WHERE old_device = $1 AND new_device = $2 AND approved IS NULL AND expires > $3`,
		old, device, s.Now(), ends)
	if err != nil {
		return fmt.Errorf("approve transfer: %w", db.Fault(err))
	}
	if tag.RowsAffected() == 0 {
		return fault.Field("endorsement", "invalid", "No new phone waits for this. It may have taken too long: begin again.")
	}
	var name string
	var replaces *uuid.UUID
	if atFirstUse {
		replaces = &old
	}
	err = tx.QueryRow(ctx, `UPDATE mobile_devices SET confirmed = true, replaces = $2 WHERE uuid = $1 AND NOT confirmed RETURNING name`, device, replaces).Scan(&name)
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE mobile_tokens SET purpose = 'device' WHERE device = $1 AND purpose = 'unconfirmed'`, device)
	}
	if err != nil {
		return fmt.Errorf("confirm device: %w", db.Fault(err))
	}
	if err := s.tellTransfer(ctx, tx, d, old, device, "The phone approved the new one."); err != nil {
		return err
	}
	return s.Events.Emit(ctx, tx, event.Event{Action: event.ModelCreated, App: app, User: &d.owner, Context: map[string]any{
		"model": deviceRef(device, name), "message": "It takes the place of another phone, which approved it.", "instead_of": deviceRef(old, d.name), "until": ends,
	}})
}

// leave removes a phone whose place another has taken, within tx.
func (s *Service) leave(ctx context.Context, tx pgx.Tx, old uuid.UUID) error {
	var d owned
	err := tx.QueryRow(ctx, `DELETE FROM mobile_devices d USING users u WHERE d.uuid = $1 AND u.id = d.user_id
			AND EXISTS (SELECT FROM mobile_transfers t JOIN mobile_devices n ON n.uuid = t.new_device WHERE t.old_device = d.uuid AND t.approved IS NOT NULL AND n.confirmed)
		RETURNING d.name, u.id, u.username, u.email`, old).Scan(&d.name, &d.owner.PK, &d.owner.Username, &d.owner.Email)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove moved phone: %w", db.Fault(err))
	}
	return s.Events.Emit(ctx, tx, event.Event{Action: event.ModelDeleted, App: app, User: &d.owner, Context: map[string]any{
		"model": deviceRef(old, d.name), "message": "A new phone has taken its place.",
	}})
}

// firstUse removes the phone that another one replaces, which has just approved a login.
func (s *Service) firstUse(ctx context.Context, device, old uuid.UUID) {
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := s.leave(ctx, tx, old); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE mobile_devices SET replaces = NULL WHERE uuid = $1`, device)
		return db.Fault(err)
	})
	if err != nil { // the answer stands, and the end of the overlap removes it
		s.Log.ErrorContext(ctx, "remove moved phone", "device", old, "error", err)
	}
}

// collectTransfers gives up what took too long, and removes the phones whose overlap is over.
func (s *Service) collectTransfers(ctx context.Context, tx pgx.Tx) error {
	for sql, do := range map[string]func(uuid.UUID) error{
		`SELECT old_device FROM mobile_transfers WHERE approved IS NULL AND expires <= $1`: func(old uuid.UUID) error {
			return s.giveUpTransfer(ctx, tx, old, "The move to a new phone took too long.")
		},
		`SELECT old_device FROM mobile_transfers WHERE ends <= $1`: func(old uuid.UUID) error { return s.leave(ctx, tx, old) },
	} {
		rows, err := tx.Query(ctx, sql, s.Now())
		if err != nil {
			return fmt.Errorf("collect transfers: %w", db.Fault(err))
		}
		devices, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return fmt.Errorf("collect transfers: %w", db.Fault(err))
		}
		for _, d := range devices {
			if err := do(d); err != nil {
				return err
			}
		}
	}
	return nil
}
