package mobile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/secret"
	"countersign/mobile/wire"
)

// Accepted says by what the answers of the phones of a stage must be authenticated, at the least.
type Accepted string

// The levels, the weakest first.
const (
	AcceptBearer   Accepted = "bearer"               // the device token alone: stock phones
	AcceptSigned   Accepted = "signed"               // a signature of the possession key
	AcceptVerified Accepted = "signed_user_verified" // one of the key that asks for a fingerprint, a face or a code
)

// Enum lists the levels.
func (Accepted) Enum() []string {
	return []string{string(AcceptBearer), string(AcceptSigned), string(AcceptVerified)}
}

// SchemaName is the component's name.
func (Accepted) SchemaName() string { return "AcceptedAnswersEnum" }

// signedBearer is how a transaction says that the token was all; the others are those of wire.Use.
const signedBearer = "bearer"

// suffices tells whether an answer that is authenticated so passes.
func (a Accepted) suffices(signed string) bool {
	switch a {
	case AcceptVerified:
		return signed == string(wire.UseVerification)
	case AcceptSigned:
		return signed != signedBearer
	}
	return a == AcceptBearer
}

// accepted reads what a stage demands within SQL; s is the alias of the stage's row, which may be absent.
const acceptedSQL = `coalesce(nullif(s.settings->>'accepted_answers', ''), 'bearer')`

// phoneKeys are the keys that a phone brings. One that is no passkey has no RP.
type phoneKeys map[wire.Use]wire.Passkey

// uses names them, for the event.
func (k phoneKeys) uses() []string {
	out := []string{}
	for use := range k {
		out = append(out, string(use))
	}
	slices.Sort(out)
	return out
}

// bring checks the keys of an enrolment: that they are what the stage of the device demands, that they are public keys, and
// that the phone has the private ones. proof is that of the request, not yet used up; nil keys and proof: a stock phone.
func (s *Service) bring(ctx context.Context, r *api.Request, in *wire.EnrollmentKeys, token string, device uuid.UUID) (keys phoneKeys, proof []byte, err error) {
	var demanded Accepted
	var redeemed bool
	err = s.Pool.QueryRow(ctx, `SELECT `+acceptedSQL+`, EXISTS (SELECT FROM mobile_enrollments e WHERE e.device = d.uuid AND e.redeemed IS NOT NULL)
		FROM mobile_devices d LEFT JOIN stages s ON s.stage_uuid = d.stage WHERE d.uuid = $1`, device).Scan(&demanded, &redeemed)
	if err != nil {
		return nil, nil, fmt.Errorf("read stage of device: %w", db.Fault(err))
	}
	if in == nil {
		if demanded != AcceptBearer || redeemed { // no stock phone knows of codes
			return nil, nil, fault.Field("keys", "required", "Only phones that sign their answers may be added here. Update the app.")
		}
		return nil, nil, nil
	}
	possession, err := wire.ParseKey(in.Possession)
	if err != nil {
		return nil, nil, fault.Field("keys.possession", "invalid", "Must be a public key on P-256 or Ed25519, as JWK.").Wrap(err)
	}
	p, err := s.checkProof(r, token)
	if err != nil {
		return nil, nil, err
	}
	if p.key.Thumbprint != possession.Thumbprint {
		return nil, nil, challengeFor(r, "invalid_dpop_proof", "The proof is by another key than the one brought.", nil)
	}
	proof = p.proof
	keys = phoneKeys{wire.UsePossession: {Key: possession}}
	second, err := bringSecond(r, in, token, possession)
	switch {
	case err != nil:
		return nil, nil, err
	case second != nil:
		keys[wire.UseVerification] = *second
	case demanded == AcceptVerified:
		return nil, nil, fault.Field("keys.user_verification", "required", "Only phones that check their owner for each answer may be added here.")
	}
	return keys, proof, nil
}

// bringSecond checks the user-verification key, of either kind; nil: none was brought.
func bringSecond(r *api.Request, in *wire.EnrollmentKeys, token string, possession wire.Key) (*wire.Passkey, error) {
	switch {
	case len(in.UserVerification) > 0 && in.Passkey != nil:
		return nil, fault.Field("keys.user_verification_passkey", "invalid", "A phone has one key that checks its owner.")
	case len(in.UserVerification) > 0:
		verification, err := bringVerification(r, in, token, possession)
		return &wire.Passkey{Key: verification}, err
	case in.Passkey != nil:
		passkey, err := bringPasskey(*in.Passkey, token, possession, wire.SiteOf(r.BaseURL()))
		return &passkey, err
	}
	return nil, nil //nolint:nilnil // a phone may have one key
}

// bringVerification checks the second key.
func bringVerification(r *api.Request, in *wire.EnrollmentKeys, token string, possession wire.Key) (wire.Key, error) {
	verification, err := wire.ParseKey(in.UserVerification)
	if err != nil {
		return wire.Key{}, fault.Field("keys.user_verification", "invalid", "Must be a public key on P-256 or Ed25519, as JWK.").Wrap(err)
	}
	if verification.Thumbprint == possession.Thumbprint {
		return wire.Key{}, fault.Field("keys.user_verification", "invalid", "Must be another key than the first.")
	}
	_, err = verification.CheckProof(in.VerificationProof, wire.Request{
		Method: http.MethodPost, URL: strings.TrimSuffix(r.BaseURL(), "/") + r.HTTP.URL.Path, Body: []byte(possession.Thumbprint), Token: token,
	})
	if err != nil {
		return wire.Key{}, fault.Field("keys.user_verification_proof", "invalid", "The proof of the key does not hold.").Wrap(err)
	}
	return verification, nil
}

// keep stores the keys of a device within tx, with what was found of them; with pending they are not in force, and are forgotten at
// that time.
func (k phoneKeys) keep(ctx context.Context, tx pgx.Tx, device uuid.UUID, found findings, pending *time.Time) error {
	for use, key := range k {
		_, err := tx.Exec(ctx, `INSERT INTO mobile_keys (thumbprint, device, use, jwk, passkey_rp, passkey_counter, pending_until, hardware)
			VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8)`,
			key.Thumbprint, device, string(use), key.Key, key.RP, int64(key.Counter), pending, found.inHardware(use))
		if err != nil {
			if f := fault.As(db.Fault(err)); f.Kind == fault.Invalid {
				return fault.Field("keys."+string(use), "unique", "This key is in use. A phone makes new ones for each enrolment.").Wrap(err)
			}
			return fmt.Errorf("keep key: %w", db.Fault(err))
		}
	}
	return nil
}

// serverKey is the key by which phones know the server: one for all nodes, made when it is first needed.
type serverKey struct {
	mu     sync.Mutex
	signer *wire.Signer
}

// Sealed is where phones keep sealed values.
func Sealed() []secret.Column { return []secret.Column{sealedKey, pushKeyColumn} }

var sealedKey = secret.Column{Table: "mobile_server_keys", Name: "private_sealed", Key: []string{"thumbprint"}}

// signer gives the server's key.
func (s *Service) signer(ctx context.Context) (*wire.Signer, error) {
	s.serverKey.mu.Lock()
	defer s.serverKey.mu.Unlock()
	if s.serverKey.signer != nil {
		return s.serverKey.signer, nil
	}
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE mobile_server_keys IN EXCLUSIVE MODE`); err != nil {
			return db.Fault(err)
		}
		var thumbprint string
		var sealed []byte
		err := tx.QueryRow(ctx, `SELECT thumbprint, private_sealed FROM mobile_server_keys ORDER BY created LIMIT 1`).Scan(&thumbprint, &sealed)
		if err == nil {
			return s.openKey(thumbprint, sealed)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return db.Fault(err)
		}
		return s.makeKey(ctx, tx)
	})
	if err != nil {
		return nil, fmt.Errorf("load the server's key: %w", err)
	}
	return s.serverKey.signer, nil
}

// publicKey is the server's key, as a JWK.
func (s *Service) publicKey(ctx context.Context) (json.RawMessage, error) {
	signer, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(signer.Key)
}

// signAll signs the prompts for a phone that checks who asks, and remembers what it was shown.
func (s *Service) signAll(ctx context.Context, prompts []wire.Prompt, server string, device uuid.UUID) error {
	signer, err := s.signer(ctx)
	if err != nil {
		return err
	}
	for i := range prompts {
		var shown wire.Presented
		if prompts[i].Challenge, shown, err = signer.Present(prompts[i], server, device.String()); err != nil {
			return err
		}
		s.challenges.add(shown, s.Now())
	}
	return nil
}

func (s *Service) openKey(thumbprint string, sealed []byte) error {
	plain, err := s.Keeper.Open(sealed, sealedKey.AAD(thumbprint))
	if err != nil {
		return fault.New(fault.Unavailable, "sealed", "The server cannot sign: the key that sealed its own is gone.").Wrap(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return err
	}
	key, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("not a key on P-256")
	}
	s.serverKey.signer, err = wire.NewSigner(key)
	return err
}

func (s *Service) makeKey(ctx context.Context, tx pgx.Tx) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	signer, err := wire.NewSigner(private)
	if err != nil {
		return err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO mobile_server_keys (thumbprint, private_sealed) VALUES ($1, $2)`,
		signer.Thumbprint, s.Keeper.Seal(plain, sealedKey.AAD(signer.Thumbprint)))
	if err != nil {
		return db.Fault(err)
	}
	s.serverKey.signer = signer
	return nil
}
