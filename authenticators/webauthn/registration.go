package webauthn

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"

	library "github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/authenticators"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/user"
	"countersign/flows"
)

// field is where the errors of a registration stand.
const field = "response"

// credentialKey is the constraint that two registrations of one credential meet.
const credentialKey = "webauthn_devices_credential_id_key"

// Stage registers a passkey.
type Stage struct {
	service  *Service
	settings Settings
}

// Begin makes a challenge, unless the plan has one, and shows it. Without a user the stage is passed.
func (st *Stage) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Next(), nil
	}
	at := siteOf(run.BaseURL)
	if !at.named() {
		return flows.Deny("Passkeys need an address with a name. Open this page by its name, not by its IP address."), nil
	}
	var q question
	if _, err := run.State(&q); err != nil {
		return flows.Outcome{}, err
	}
	if !q.open(run.Now()) {
		if q, err = pose(run.Now()); err != nil {
			return flows.Outcome{}, err
		}
		if err := run.SetState(q); err != nil {
			return flows.Outcome{}, err
		}
	}
	own, err := devicesOf(ctx, run.DB(), u.ID)
	if err != nil {
		return flows.Outcome{}, err
	}
	c := &Challenge{Registration: st.options(at, run.Title, u, q, own)}
	c.Component = Component
	return flows.Show(c), nil
}

// options are PublicKeyCredentialCreationOptionsJSON (WebAuthn §5.4).
func (st *Stage) options(at site, brand string, u *user.User, q question, own []stored) map[string]any {
	exclude := make([]descriptor, 0, len(own))
	for _, d := range own {
		exclude = append(exclude, d.descriptor())
	}
	params := make([]map[string]any, 0, len(algorithms))
	for _, a := range algorithms {
		params = append(params, map[string]any{"type": "public-key", "alg": a})
	}
	selection := map[string]any{
		"residentKey": st.settings.ResidentKey, "requireResidentKey": st.settings.ResidentKey == "required",
		"userVerification": st.settings.UserVerification,
	}
	if a := st.settings.Attachment; a != nil {
		selection["authenticatorAttachment"] = *a
	}
	return map[string]any{
		"rp": map[string]any{"name": cmp.Or(brand, at.id), "id": at.id},
		"user": map[string]any{
			"id": encode(st.service.handleOf(u.ID)), "name": u.Username, "displayName": cmp.Or(u.Name, u.Username),
		},
		"challenge": q.Challenge, "pubKeyCredParams": params, "timeout": promptTime, "excludeCredentials": exclude,
		"authenticatorSelection": selection, "attestation": "direct",
	}
}

// Answer stores the passkey. The challenge is gone with any answer that is one.
func (st *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	var r Response
	if fields, err := run.Decode(answer, &r); err != nil || fields != nil {
		return flows.Stay(fields), err
	}
	u, err := authenticators.Owner(ctx, run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if u == nil {
		return flows.Next(), nil
	}
	var q question
	if _, err := run.State(&q); err != nil {
		return flows.Outcome{}, err
	}
	if q.Challenge == "" { // nothing was asked yet
		return flows.Soft(nil), nil
	}
	if err := run.SetState(question{}); err != nil {
		return flows.Outcome{}, err
	}
	fields, err := st.register(ctx, run, u, q, answer[field])
	if err != nil {
		return flows.Outcome{}, err
	}
	if fields != nil {
		return flows.Stay(fields), nil
	}
	return flows.Next(), nil
}

// register checks the answer and queues the device. Fields say why there is none.
func (st *Stage) register(ctx context.Context, run *flows.Run, u *user.User, q question, raw json.RawMessage) (fault.Fields, error) {
	set, err := st.service.metadata(ctx, run.DB())
	if err != nil {
		return nil, err
	}
	c, err := st.check(run, u, q, set, raw)
	var bad *errAnswer
	if errors.As(err, &bad) {
		st.service.Log.InfoContext(ctx, "passkey not registered", "user", u.ID, "reason", bad.text, "detail", bad.inner())
		return refused("Registration failed. Error: " + bad.text), nil
	}
	if err != nil {
		return nil, err
	}
	aaguid := uuid.UUID(c.Authenticator.AAGUID)
	m, err := modelOf(ctx, run.DB(), aaguid)
	if err != nil {
		return nil, err
	}
	m.Attested = set.shows(aaguid, c.AttestationFormat, c.AttestationType)
	if why := m.refusal(st.settings.Restrictions); why != "" {
		st.service.Log.InfoContext(ctx, "passkey not registered", "user", u.ID, "aaguid", aaguid, "reason", why)
		return restricted(field, run.Title, why), nil
	}
	own, err := devicesOf(ctx, run.DB(), u.ID)
	if err != nil {
		return nil, err
	}
	if len(own) >= authenticators.MaxDevices {
		return refused("Registration failed. Error: You have as many passkeys as one account may have. Remove one first."), nil
	}
	taken, err := deviceBy(ctx, run.DB(), c.ID)
	if err != nil {
		return nil, err
	}
	if taken != nil {
		return refused("Credential ID already exists."), nil
	}
	return nil, st.service.store(ctx, run, u, c, m)
}

func (st *Stage) check(run *flows.Run, u *user.User, q question, set *metadataSet, raw json.RawMessage) (*library.Credential, error) {
	if !q.open(run.Now()) {
		return nil, &errAnswer{"The answer came too late or belongs to another try.", nil}
	}
	p, err := parseCreation(raw)
	if err != nil {
		return nil, err
	}
	return created(siteOf(run.BaseURL), q, st.settings.UserVerification, st.service.handleOf(u.ID), set, p)
}

func (s *Service) store(ctx context.Context, run *flows.Run, u *user.User, c *library.Credential, m model) error {
	tx, err := run.Tx(ctx)
	if err != nil {
		return err
	}
	name := "WebAuthn Device"
	if m.known() {
		name = clip(m.Description, maxName)
	}
	var id int
	err = tx.QueryRow(ctx, `INSERT INTO webauthn_devices (user_id, name, confirmed, credential_id, public_key, sign_count, transports,
			backup_eligible, backup_state, rp_id, aaguid, attested, attestation, created)
		VALUES ($1, $2, true, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id`,
		u.ID, name, c.ID, c.PublicKey, int64(c.Authenticator.SignCount), transportsOf(c.Transport),
		c.Flags.BackupEligible, c.Flags.BackupState, siteOf(run.BaseURL).id, m.AAGUID, m.Attested, attestationOf(c), run.Now()).Scan(&id)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.ConstraintName == credentialKey {
		return flows.ErrOvertaken // stored by another request since we looked: that says so when it looks again
	}
	if err != nil {
		return wrap("store passkey", err)
	}
	return run.Emit(ctx, event.Event{
		Action: event.ModelCreated, App: app, User: &event.User{PK: u.ID, Username: u.Username, Email: u.Email},
		Context: map[string]any{
			"model": ref(id, name), "device_type": typeRef(m), "attested": m.Attested, "backup_eligible": c.Flags.BackupEligible,
			"user_verified": c.Flags.UserVerified,
		},
	})
}

func refused(text string) fault.Fields { return fault.Fields{field: {{Code: "invalid", Text: text}}} }
