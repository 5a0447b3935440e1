package webauthn

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/go-webauthn/webauthn/protocol"
	library "github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
)

// descriptor names a credential to a browser (WebAuthn §5.8.3).
type descriptor struct {
	Type       string   `json:"type"`
	ID         string   `json:"id"` // base64url
	Transports []string `json:"transports,omitempty"`
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// stored is a device as it is in the table, with its make.
type stored struct {
	ID, UserID                  int
	Name                        string
	CredentialID, PublicKey     []byte
	SignCount                   int64
	Transports                  []string
	BackupEligible, BackupState bool
	model
}

func (d stored) descriptor() descriptor {
	return descriptor{Type: "public-key", ID: encode(d.CredentialID), Transports: d.Transports}
}

// credential is the device as the library takes it.
func (d stored) credential() library.Credential {
	return library.Credential{
		ID: d.CredentialID, PublicKey: d.PublicKey,
		Flags:         library.CredentialFlags{BackupEligible: d.BackupEligible, BackupState: d.BackupState},
		Authenticator: library.Authenticator{AAGUID: d.AAGUID[:], SignCount: uint32(d.SignCount)},
	}
}

const selectStored = `SELECT d.id, d.user_id, d.name, d.credential_id, d.public_key, d.sign_count, d.transports, d.backup_eligible,
	d.backup_state, d.aaguid, coalesce(t.description, ''), coalesce(t.attests, false), d.attested
	FROM webauthn_devices d LEFT JOIN webauthn_device_types t ON t.aaguid = d.aaguid AND NOT t.revoked `

func scanStored(row pgx.CollectableRow) (d stored, err error) {
	err = row.Scan(&d.ID, &d.UserID, &d.Name, &d.CredentialID, &d.PublicKey, &d.SignCount, &d.Transports, &d.BackupEligible,
		&d.BackupState, &d.AAGUID, &d.Description, &d.Attests, &d.Attested)
	return d, err
}

// facts are what offering a device takes.
type facts struct {
	Credential []byte
	Transports []string
	model
}

const factsSQL = `(SELECT json_build_object('credential', encode(w.credential_id, 'base64'), 'transports', w.transports, 'aaguid', w.aaguid,
	'description', coalesce(t.description, ''), 'attests', coalesce(t.attests, false), 'attested', w.attested)
	FROM webauthn_devices w LEFT JOIN webauthn_device_types t ON t.aaguid = w.aaguid AND NOT t.revoked WHERE w.id = d.pk)`

// devicesOf reads a user's devices, the oldest first.
func devicesOf(ctx context.Context, q db.Querier, userID int) ([]stored, error) {
	rows, _ := q.Query(ctx, selectStored+`WHERE d.user_id = $1 AND d.confirmed ORDER BY d.created, d.id`, userID)
	devices, err := pgx.CollectRows(rows, scanStored)
	if err != nil {
		return nil, wrap("list passkeys", err)
	}
	return devices, nil
}

// deviceBy finds the device of a credential; nil if there is none.
func deviceBy(ctx context.Context, q db.Querier, credentialID []byte) (*stored, error) {
	rows, _ := q.Query(ctx, selectStored+`WHERE d.credential_id = $1 AND d.confirmed`, credentialID)
	d, err := pgx.CollectExactlyOneRow(rows, scanStored)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nobody has it
	}
	if err != nil {
		return nil, wrap("find passkey", err)
	}
	return &d, nil
}

// modelOf reads what is known of a make.
func modelOf(ctx context.Context, q db.Querier, id uuid.UUID) (model, error) {
	m := model{AAGUID: id}
	err := q.QueryRow(ctx, `SELECT description, attests FROM webauthn_device_types WHERE aaguid = $1 AND NOT revoked`, id).
		Scan(&m.Description, &m.Attests)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return m, wrap("read device type", err)
	}
	return m, nil
}

// holder is a user as the library wants one.
type holder struct {
	handle      []byte
	credentials []library.Credential
}

func (h holder) WebAuthnID() []byte                        { return h.handle }
func (h holder) WebAuthnName() string                      { return "" }
func (h holder) WebAuthnDisplayName() string               { return "" }
func (h holder) WebAuthnCredentials() []library.Credential { return h.credentials }

// handleOf is the user handle (WebAuthn §5.4.3): the uid, 64 characters, which tells nothing of the person.
func (s *Service) handleOf(userID int) []byte { return []byte(s.Users.UID(userID)) }

// transportsOf keeps the transports that WebAuthn knows (§5.8.4): a browser repeats them to the authenticator's owner.
func transportsOf(list []protocol.AuthenticatorTransport) []string {
	out := []string{}
	for _, t := range list {
		switch t {
		case protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal:
			if len(out) < 8 {
				out = append(out, string(t))
			}
		}
	}
	return out
}
