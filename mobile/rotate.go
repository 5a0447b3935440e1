package mobile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/mobile/wire"
)

// rotationWindow is how long new keys wait for their first use. A phone makes it at once; what it loses until then, the old
// keys make good.
const rotationWindow = 10 * time.Minute

// rotateKeys takes new keys of a phone, as often as it sends them. They replace those that waited before.
func (s *Service) rotateKeys(ctx context.Context, r *api.Request, in wire.Rotation) (api.None, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return api.None{}, err
	}
	if c.proof == nil {
		return api.None{}, fault.Field("keys", "invalid", "This phone has no keys. Enrol it again with some.")
	}
	if err := violations(in.Keys.Validate()); err != nil {
		return api.None{}, err
	}
	keys, err := s.successors(ctx, r, c, in)
	if err != nil {
		return api.None{}, err
	}
	token, _, err := credentials(r.HTTP)
	if err != nil {
		return api.None{}, err
	}
	// What a stage demands of the keys of an enrolment it demands of those that follow.
	found, err := s.attest(ctx, c.device, token, &in.Keys, keys)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		d, err := lockDevice(ctx, tx, c.device)
		if err != nil {
			return err
		}
		var inForce, same bool
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mobile_keys WHERE thumbprint = $2 AND device = $1 AND pending_until IS NULL),
			EXISTS (SELECT FROM mobile_keys WHERE thumbprint = $3 AND device = $1)`, c.device, c.key.Thumbprint, keys[wire.UsePossession].Thumbprint).
			Scan(&inForce, &same)
		if err != nil {
			return fmt.Errorf("read keys of device: %w", db.Fault(err))
		}
		if !inForce { // meanwhile the phone used those that it brought before
			return challengeFor(r, "invalid_dpop_proof", "The proof is by another key than this phone's.", nil)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM mobile_keys WHERE device = $1 AND pending_until IS NOT NULL`, c.device); err != nil {
			return fmt.Errorf("forget keys of device: %w", db.Fault(err))
		}
		until := s.Now().Add(rotationWindow)
		if err := keys.keep(ctx, tx, c.device, found, &until); err != nil || same {
			return err
		}
		if err := found.replace(ctx, tx, c.device, keys); err != nil {
			return err
		}
		return s.Events.Emit(ctx, tx, event.Event{Action: event.ModelUpdated, App: app, User: &d.owner, Context: map[string]any{
			"model": deviceRef(c.device, d.name), "message": "The phone brought new keys.", "attestation": found,
			"thumbprint": c.key.Thumbprint, "new_thumbprint": keys[wire.UsePossession].Thumbprint,
		}})
	})
}

// successors checks the keys that are to follow those of the caller.
func (s *Service) successors(ctx context.Context, r *api.Request, c *caller, in wire.Rotation) (phoneKeys, error) {
	token, _, err := credentials(r.HTTP)
	if err != nil {
		return nil, err
	}
	possession, err := wire.ParseKey(in.Keys.Possession)
	if err != nil {
		return nil, fault.Field("keys.possession", "invalid", "Must be a public key on P-256 or Ed25519, as JWK.").Wrap(err)
	}
	if possession.Thumbprint == c.key.Thumbprint {
		return nil, fault.Field("keys.possession", "invalid", "This is the key that the phone has.")
	}
	_, err = possession.CheckProof(in.PossessionProof, wire.Request{
		Method: http.MethodPost, URL: strings.TrimSuffix(r.BaseURL(), "/") + r.HTTP.URL.Path, Body: []byte(c.key.Thumbprint), Token: token,
	})
	if err != nil {
		return nil, fault.Field("possession_proof", "invalid", "The proof of the key does not hold.").Wrap(err)
	}
	keys := phoneKeys{wire.UsePossession: {Key: possession}}
	second, err := bringSecond(r, &in.Keys, token, possession)
	if err != nil || second == nil {
		return keys, err
	}
	own, err := s.keyring(ctx, s.Pool, c.device)
	if err != nil {
		return nil, err
	}
	if own.verification() == nil { // else whoever has the possession key gives himself the other
		return nil, fault.Field("keys.user_verification", "invalid", "A phone that came without this key cannot add it. Remove the phone and enrol it again.")
	}
	keys[wire.UseVerification] = *second
	return keys, s.endorsed(ctx, r, c, own, in.Endorsement, in.Verification, wire.Endorsement{
		Act: wire.ActRotate, Server: r.BaseURL(), Device: c.device.String(), For: c.device.String(),
		Possession: possession.Thumbprint, Verification: second.Thumbprint,
	})
}

// adopt puts the keys in force that a device brought with the possession key of that thumbprint, which has just been proved,
// and forgets those that they replace. false: there are none, or no more.
func (s *Service) adopt(ctx context.Context, device uuid.UUID, thumbprint string) (adopted bool, err error) {
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		d, err := lockDevice(ctx, tx, device)
		if err != nil {
			return err
		}
		var pending bool
		err = tx.QueryRow(ctx, `SELECT pending_until IS NOT NULL FROM mobile_keys
			WHERE thumbprint = $1 AND device = $2 AND use = 'possession' AND (pending_until IS NULL OR pending_until > $3)`, thumbprint, device, s.Now()).Scan(&pending)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read keys of device: %w", db.Fault(err))
		}
		if adopted = true; !pending { // another request was faster
			return nil
		}
		_, err = tx.Exec(ctx, `DELETE FROM mobile_keys k WHERE k.device = $1 AND k.pending_until IS NULL
			AND EXISTS (SELECT FROM mobile_keys n WHERE n.device = $1 AND n.use = k.use AND n.pending_until IS NOT NULL)`, device)
		if err == nil {
			_, err = tx.Exec(ctx, `UPDATE mobile_keys SET pending_until = NULL WHERE device = $1`, device)
		}
		if err == nil {
			_, err = tx.Exec(ctx, `UPDATE mobile_devices SET changed = $2 WHERE uuid = $1`, device, s.Now())
		}
		if err != nil {
			return fmt.Errorf("replace keys of device: %w", db.Fault(err))
		}
		return s.Events.Emit(ctx, tx, event.Event{Action: event.ModelUpdated, App: app, User: &d.owner, Context: map[string]any{
			"model": deviceRef(device, d.name), "message": "The phone uses its new keys.", "thumbprint": thumbprint, event.PhoneKeys: event.Replaced,
		}})
	})
	return adopted, err
}

// owned is a device with its owner, locked.
type owned struct {
	name  string
	owner event.User
}

func lockDevice(ctx context.Context, tx pgx.Tx, device uuid.UUID) (owned, error) {
	var d owned
	err := tx.QueryRow(ctx, `SELECT d.name, u.id, u.username, u.email FROM mobile_devices d JOIN users u ON u.id = d.user_id
		WHERE d.uuid = $1 FOR UPDATE OF d`, device).Scan(&d.name, &d.owner.PK, &d.owner.Username, &d.owner.Email)
	if err != nil {
		return d, fmt.Errorf("read device: %w", db.Fault(err))
	}
	return d, nil
}
