package mobile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/mobile/wire"
)

// phoneKey is a key as it is stored; most answers need only one of them read.
type phoneKey struct {
	Thumbprint string          `json:"thumbprint"`
	Use        wire.Use        `json:"use"`
	JWK        json.RawMessage `json:"jwk"`
	RP         string          `json:"rp"` // of a passkey, which signs nothing itself; "" for any other
	Counter    uint32          `json:"counter"`
}

// keyring are the keys of a phone that are in force.
type keyring []phoneKey

// keyringSQL reads that of the device d.
const keyringSQL = `(SELECT coalesce(json_agg(json_build_object('thumbprint', k.thumbprint, 'use', k.use, 'jwk', k.jwk, 'rp', coalesce(k.passkey_rp, ''),
	'counter', k.passkey_counter)), '[]') FROM mobile_keys k WHERE k.device = d.uuid AND k.pending_until IS NULL)`

// keyring reads the keys of a device.
func (s *Service) keyring(ctx context.Context, q db.Querier, device uuid.UUID) (keyring, error) {
	var keys keyring
	err := q.QueryRow(ctx, `SELECT `+keyringSQL+` FROM mobile_devices d WHERE d.uuid = $1`, device).Scan(&keys)
	if err != nil {
		return nil, fmt.Errorf("read keys of device: %w", db.Fault(err))
	}
	return keys, nil
}

// named is the key of a thumbprint that signs by itself, and its use; "" where the phone has none of it.
func (k keyring) named(thumbprint string, calls wire.Key) (wire.Key, wire.Use, error) {
	for _, one := range k {
		switch {
		case one.Thumbprint != thumbprint, one.RP != "":
		case thumbprint == calls.Thumbprint:
			return calls, one.Use, nil
		default:
			key, err := wire.ParseKey(one.JWK)
			return key, one.Use, err
		}
	}
	return wire.Key{}, "", nil
}

// verification is the key that checks the phone's owner; nil: the phone has none.
func (k keyring) verification() *phoneKey {
	i := slices.IndexFunc(k, func(one phoneKey) bool { return one.Use == wire.UseVerification })
	if i < 0 {
		return nil
	}
	return &k[i]
}

// asserted checks that the phone's passkey asserts a JWS, and gives it with its new counter. The error wraps wire.ErrCopied
// where only that is wrong; then the passkey is given too. Errors: Invalid about user_verification.
func (k keyring) asserted(a wire.PasskeyAssertion, jws, server string) (*wire.Passkey, error) {
	own := k.verification()
	if own == nil || own.RP == "" {
		return nil, fault.Field("user_verification", "invalid", "This phone has no passkey.")
	}
	key, err := wire.ParseKey(own.JWK)
	if err != nil {
		return nil, fmt.Errorf("read passkey: %w", err)
	}
	p := &wire.Passkey{Key: key, RP: own.RP, Counter: own.Counter}
	counter, err := p.CheckAssertion(a, wire.AnswerChallenge(jws), wire.SiteOf(server))
	if err != nil {
		return p, refusedAssertion(err)
	}
	p.Counter = counter
	return p, nil
}

func refusedAssertion(cause error) error {
	return fault.Field("user_verification", "invalid", "The passkey does not assert this.").Wrap(cause)
}

// endorsed demands that the phone that calls endorses e by its user-verification key, or by the other where it has one key
// alone. Errors: Invalid about endorsement or user_verification.
func (s *Service) endorsed(ctx context.Context, r *api.Request, c *caller, keys keyring, jws string, a *wire.PasskeyAssertion, e wire.Endorsement) error {
	refuse := func(text string, cause error) error { return fault.Field("endorsement", "invalid", text).Wrap(cause) }
	if jws == "" {
		return fault.Field("endorsement", "required", "The phone has to sign this by the key that checks its owner.")
	}
	best := keys.verification()
	demanded := wire.UsePossession
	if best != nil && best.RP == "" {
		demanded = wire.UseVerification
	}
	key, use, err := keys.named(wire.KeyNamed(jws), c.key)
	if err != nil || use != demanded {
		return refuse("This has to be signed by the key that checks the phone's owner.", err)
	}
	if err := key.CheckEndorsement(jws, e, use); err != nil {
		return refuse("The endorsement does not hold.", err)
	}
	if best == nil || best.RP == "" {
		return nil
	}
	if a == nil {
		return fault.Field("user_verification", "required", "The passkey of this phone has to assert this.")
	}
	p, err := keys.asserted(*a, jws, r.BaseURL())
	if err != nil {
		return s.tellCopied(ctx, c.device, p, err)
	}
	return s.count(ctx, c.device, p)
}
