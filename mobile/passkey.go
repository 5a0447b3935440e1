package mobile

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/mobile/wire"
)

// bringPasskey checks the passkey that a browser brings as its user-verification key.
func bringPasskey(in wire.PasskeyRegistration, token string, possession wire.Key, at wire.Site) (wire.Passkey, error) {
	refuse := func(text string, err error) (wire.Passkey, error) {
		return wire.Passkey{}, fault.Field("keys.user_verification_passkey", "invalid", text).Wrap(err)
	}
	var response protocol.AuthenticatorAttestationResponse
	for field, text := range map[*protocol.URLEncodedBase64]string{&response.ClientDataJSON: in.ClientData, &response.AttestationObject: in.Attestation} {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err != nil {
			return refuse("Must be the answer of the browser, in base64url.", err)
		}
		*field = raw
	}
	parsed, err := response.Parse()
	if err != nil {
		return refuse("The answer of the browser could not be read.", err)
	}
	data := parsed.AttestationObject.AuthData
	if err := wire.CheckRegistration(response.ClientDataJSON, wire.PasskeyChallenge(token, possession.Thumbprint), at); err != nil {
		return refuse("The passkey was made for something else.", err)
	}
	if err := wire.CheckAuthenticatorData(parsed.AttestationObject.RawAuthData, at.RP); err != nil {
		return refuse("The passkey is for another address, or the device did not check that it is you.", err)
	}
	key, err := passkeyOf(data.AttData.CredentialPublicKey)
	if err != nil {
		return refuse("The passkey must be on P-256 or Ed25519.", err)
	}
	if key.Thumbprint == possession.Thumbprint {
		return refuse("Must be another key than the first.", nil)
	}
	return wire.Passkey{Key: key, RP: at.RP, Counter: data.Counter}, nil
}

// passkeyOf reads a COSE key (RFC 9052 §7).
func passkeyOf(cose []byte) (wire.Key, error) {
	parsed, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return wire.Key{}, err
	}
	switch k := parsed.(type) {
	case webauthncose.EC2PublicKeyData:
		if webauthncose.COSEAlgorithmIdentifier(k.Algorithm) != webauthncose.AlgES256 {
			return wire.Key{}, errors.New("not ES256")
		}
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, k.XCoord...), k.YCoord...))
		if err != nil {
			return wire.Key{}, err
		}
		return wire.NewKey(public)
	case webauthncose.OKPPublicKeyData:
		if webauthncose.COSEAlgorithmIdentifier(k.Algorithm) != webauthncose.AlgEdDSA || len(k.XCoord) != ed25519.PublicKeySize {
			return wire.Key{}, errors.New("not Ed25519")
		}
		return wire.NewKey(ed25519.PublicKey(k.XCoord))
	}
	return wire.Key{}, errors.New("neither ES256 nor EdDSA")
}

// count stores a passkey's counter, unless another request was faster with one as high. nil: no passkey was used.
func (s *Service) count(ctx context.Context, device uuid.UUID, p *wire.Passkey) error {
	if p == nil || p.Counter == 0 {
		return nil
	}
	tag, err := s.Pool.Exec(ctx, `UPDATE mobile_keys SET passkey_counter = $2 WHERE thumbprint = $1 AND passkey_counter < $2`, p.Thumbprint, int64(p.Counter))
	if err != nil {
		return fmt.Errorf("count passkey: %w", db.Fault(err))
	}
	if tag.RowsAffected() == 0 {
		return s.tellCopied(ctx, device, p, refusedAssertion(wire.ErrCopied))
	}
	return nil
}

// tellCopied writes an event if the cause is a passkey's counter that went back, and gives the cause.
func (s *Service) tellCopied(ctx context.Context, device uuid.UUID, p *wire.Passkey, cause error) error {
	if !errors.Is(cause, wire.ErrCopied) {
		return cause
	}
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var name string
		var owner event.User
		err := tx.QueryRow(ctx, `SELECT d.name, u.id, u.username, u.email FROM mobile_devices d JOIN users u ON u.id = d.user_id WHERE d.uuid = $1`, device).
			Scan(&name, &owner.PK, &owner.Username, &owner.Email)
		if err != nil {
			return db.Fault(err)
		}
		return s.Events.Emit(ctx, tx, event.Event{Action: event.SuspiciousRequest, App: app, User: &owner, Context: map[string]any{
			"model": deviceRef(device, name), "thumbprint": p.Thumbprint, "message": "The counter of the phone's passkey went back: there may be a copy of it.",
		}})
	})
	if err != nil {
		return fmt.Errorf("tell of a copied passkey: %w", err)
	}
	return cause
}
