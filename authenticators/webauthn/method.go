package webauthn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"

	"countersign/authenticators"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/user"
	"countersign/flows"
)

// method is the passkey's part in the validation stage, under the rules of one.
type method struct {
	s     *Service
	rules authenticators.Rules
}

var (
	_ authenticators.Ruled        = method{}
	_ authenticators.Passwordless = method{}
)

// Under is the method under the rules of a stage.
func (m method) Under(r authenticators.Rules) authenticators.Method {
	if r.UserVerification == "" {
		r.UserVerification = authenticators.VerificationPreferred
	}
	return method{m.s, r}
}

// asked is what an offer keeps: the question, and which credentials may answer it. Anyone's is answered by any.
type asked struct {
	question
	Allow []descriptor `json:"allow,omitempty"`
}

// Offer prepares one question for all of the user's passkeys that the rules take; none, if there is no such.
func (m method) Offer(_ context.Context, run *flows.Run, devices []authenticators.Device) ([]*authenticators.Offer, error) {
	var offer *authenticators.Offer
	var a asked
	for _, d := range devices {
		var f facts
		if err := d.Read(&f); err != nil {
			return nil, err
		}
		if f.refusal(m.rules.DeviceTypes) != "" {
			continue
		}
		if offer == nil {
			offer = &authenticators.Offer{Class: Class, UID: d.UID, Name: d.Name}
		}
		a.Allow = append(a.Allow, descriptor{Type: "public-key", ID: encode(f.Credential), Transports: f.Transports})
	}
	if offer == nil {
		return nil, nil
	}
	return []*authenticators.Offer{offer}, m.pose(run, offer, a)
}

// OfferAnyone prepares a question for whoever has a passkey of this site.
func (m method) OfferAnyone(_ context.Context, run *flows.Run) (*authenticators.Offer, error) {
	if !siteOf(run.BaseURL).named() {
		return nil, nil //nolint:nilnil // no passkey is for a bare address
	}
	o := &authenticators.Offer{Class: Class, UID: authenticators.Anyone, Name: "Passkey"}
	return o, m.pose(run, o, asked{})
}

func (m method) pose(run *flows.Run, o *authenticators.Offer, a asked) error {
	q, err := pose(run.Now())
	if err != nil {
		return err
	}
	a.question = q
	return o.Keep(a)
}

// Show gives the browser PublicKeyCredentialRequestOptionsJSON (WebAuthn §5.5; core.md §3.2), with a new challenge where
// the old one is used up.
func (m method) Show(_ context.Context, run *flows.Run, o *authenticators.Offer) (map[string]any, error) {
	var a asked
	if _, err := o.Kept(&a); err != nil {
		return nil, err
	}
	if !a.open(run.Now()) {
		if err := m.pose(run, o, a); err != nil {
			return nil, err
		}
		if _, err := o.Kept(&a); err != nil {
			return nil, err
		}
	}
	if a.Allow == nil {
		a.Allow = []descriptor{}
	}
	return map[string]any{
		"challenge": a.Challenge, "timeout": promptTime, "rpId": siteOf(run.BaseURL).id, "allowCredentials": a.Allow,
		"userVerification": m.rules.UserVerification,
	}, nil
}

// Select does nothing: the browser asks the authenticator by itself.
func (m method) Select(context.Context, *flows.Run, *authenticators.Offer) (fault.Fields, error) {
	return nil, nil //nolint:nilnil // no field is wrong
}

// Answer checks a signature. The challenge is gone with it, and whoever let the login go on by it has moved the counter
// in the same transaction.
func (m method) Answer(ctx context.Context, run *flows.Run, o *authenticators.Offer, value json.RawMessage) (flows.Outcome, error) {
	var a asked
	if _, err := o.Kept(&a); err != nil {
		return flows.Outcome{}, err
	}
	q := a.question
	a.question = question{}
	if err := o.Keep(a); err != nil {
		return flows.Outcome{}, err
	}
	u, err := run.PendingUser(ctx)
	if err != nil {
		return flows.Outcome{}, err
	}
	p, err := parseAssertion(value)
	if err != nil {
		return m.fail(ctx, run, u, nil, err)
	}
	d, owner, err := m.find(ctx, run, o, a, u, p)
	if err != nil {
		return flows.Outcome{}, err
	}
	if d == nil {
		if err := m.failed(ctx, run, u, nil, "the credential is not one that was asked for"); err != nil {
			return flows.Outcome{}, err
		}
		return flows.StayField(Class, "invalid", "Invalid device"), nil
	}
	if why := d.refusal(m.rules.DeviceTypes); why != "" {
		if err := m.failed(ctx, run, owner, d, why); err != nil {
			return flows.Outcome{}, err
		}
		return flows.Stay(restricted(Class, run.Title, why)), nil
	}
	if !q.open(run.Now()) {
		return m.fail(ctx, run, owner, d, &errAnswer{"The answer came too late or belongs to another try.", nil})
	}
	after, err := asserted(siteOf(run.BaseURL), q, m.rules.UserVerification, m.s.handleOf(d.UserID), *d, p)
	if err != nil {
		return m.fail(ctx, run, owner, d, err)
	}
	m.grant(run, o, owner, *d, after, p)
	return flows.Next(), nil
}

// find gives the device of an answer and its owner; nil if it may not be the one that answers.
func (m method) find(ctx context.Context, run *flows.Run, o *authenticators.Offer, a asked, u *user.User, p *protocol.ParsedCredentialAssertionData) (*stored, *user.User, error) {
	d, err := deviceBy(ctx, run.DB(), p.RawID)
	if err != nil || d == nil {
		return nil, nil, err
	}
	if o.UID != authenticators.Anyone {
		asked := slices.ContainsFunc(a.Allow, func(c descriptor) bool { return c.ID == encode(p.RawID) })
		if !asked || u == nil || u.ID != d.UserID {
			return nil, nil, nil
		}
		return d, u, nil
	}
	// The handle says whose it is; whoever was named meanwhile stays the one that the flow is about.
	if !bytes.Equal(p.Response.UserHandle, m.s.handleOf(d.UserID)) || u != nil && u.ID != d.UserID {
		return nil, nil, nil
	}
	if u == nil {
		if u, err = m.s.Users.ByID(ctx, run.DB(), d.UserID); err != nil {
			return nil, nil, err
		}
	}
	if u == nil {
		return nil, nil, nil
	}
	return d, u, nil
}

// moveCounter stores the use of a passkey, if nobody used it since it was read.
const moveCounter = `WITH w AS (
	UPDATE webauthn_devices SET sign_count = $3, backup_state = $4, last_used = $5 WHERE id = $1 AND sign_count = $2 RETURNING 1)
	SELECT require_one(count(*)) FROM w`

func (m method) grant(run *flows.Run, o *authenticators.Offer, owner *user.User, before, after stored, p *protocol.ParsedCredentialAssertionData) {
	run.Queue(moveCounter, before.ID, before.SignCount, after.SignCount, after.BackupState, run.Now())
	o.Proof = &authenticators.Proof{
		UID: uid(before.ID), Name: before.Name, UserVerified: p.Response.AuthenticatorData.Flags.HasUserVerified(),
	}
	if o.UID != authenticators.Anyone {
		return
	}
	run.SetPendingUser(owner)
	run.Context.AuthMethod = "auth_webauthn_pwl"
	run.Context.AuthMethodArgs = map[string]any{"device": ref(before.ID, before.Name), "device_type": typeRef(before.model)}
	run.Changed()
}

// fail answers an answer that proves nothing; an error that is none of that kind is passed on.
func (m method) fail(ctx context.Context, run *flows.Run, u *user.User, d *stored, err error) (flows.Outcome, error) {
	var bad *errAnswer
	if !errors.As(err, &bad) {
		return flows.Outcome{}, err
	}
	level := slog.LevelInfo
	if errors.Is(err, errCopied) {
		level = slog.LevelWarn
	}
	m.s.Log.Log(ctx, level, "passkey refused", "reason", bad.text, "detail", bad.inner())
	if err := m.failed(ctx, run, u, d, bad.detail()); err != nil {
		return flows.Outcome{}, err
	}
	return flows.Stay(fault.Fields{
		Class: {{Code: "invalid", Text: "Assertion failed"}}, fault.NonField: {{Code: "invalid", Text: bad.text}},
	}), nil
}

// failed queues the event of an attempt that failed.
func (m method) failed(ctx context.Context, run *flows.Run, u *user.User, d *stored, reason string) error {
	e := event.Event{Action: event.LoginFailed, App: app, Context: map[string]any{"device_class": Class, "reason": reason}}
	if d != nil {
		e.Context["device"], e.Context["device_type"] = ref(d.ID, d.Name), typeRef(d.model)
	}
	if u != nil {
		e.User = &event.User{PK: u.ID, Username: u.Username, Email: u.Email}
	}
	return run.Emit(ctx, e)
}
