package mobile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/mobile/wire"
)

// asked is a prompt of the phone that calls, with what an answer to it is checked by.
type asked struct {
	device   uuid.UUID
	prompt   wire.Prompt
	status   string
	keys     keyring
	passkey  *wire.Passkey // that asserted the answer, with its counter; set by check
	accepted Accepted
}

// asked reads who holds a device token, by which keys that phone signs, and a prompt of it; tx of the prompt is "" where it has
// none of that id. nil: nobody who signs holds the token.
func (s *Service) asked(ctx context.Context, token string, tx uuid.UUID) (*asked, error) {
	a := &asked{}
	p := &a.prompt
	var shown *wire.Context
	err := s.Pool.QueryRow(ctx, `SELECT d.uuid, `+acceptedSQL+`, coalesce(x.tx_id::text, ''), coalesce(x.mode, ''), x.items, x.context,
			coalesce(x.created, $3), coalesce(x.expires, $3), coalesce(x.status, ''), x.approval,
			`+keyringSQL+`
		FROM mobile_tokens t JOIN mobile_devices d ON d.uuid = t.device JOIN users u ON u.id = d.user_id LEFT JOIN stages s ON s.stage_uuid = d.stage
			LEFT JOIN mobile_transactions x ON x.tx_id = $2 AND x.device = d.uuid
		WHERE t.token_hash = $1 AND t.purpose = 'device' AND (t.expires IS NULL OR t.expires > $3) AND u.is_active AND d.confirmed AND d.signs`,
		hashToken(token), tx, s.Now()).
		Scan(&a.device, &a.accepted, &p.TxID, &p.Mode, &p.Items, &shown, &p.Created, &p.Expires, &a.status, &p.Transaction, &a.keys)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read prompt: %w", db.Fault(err))
	}
	if shown != nil {
		p.Context = *shown
	}
	return a, nil
}

// check gives by what a signed answer is authenticated; calls is the key of the request's proof. Errors: Invalid about
// signed_answer or user_verification.
func (a *asked) check(r wire.Response, calls wire.Key, server, device string) (credential, error) {
	refuse := func(code, text string, cause error) (credential, error) {
		return credential{}, fault.Field("signed_answer", code, text).Wrap(cause)
	}
	if r.Signed == "" {
		return refuse("required", "This phone has to sign its answers.", nil)
	}
	key, use, err := a.keys.named(wire.KeyNamed(r.Signed), calls)
	if use == "" || err != nil {
		return refuse("invalid", "The answer is not signed by a key of this phone.", err)
	}
	answer, err := key.CheckAnswer(r.Signed, use)
	if err == nil {
		err = answer.Of(a.prompt, server, device)
	}
	if err != nil {
		return refuse("invalid", "The signed answer does not hold.", err)
	}
	if !says(answer, r) {
		return refuse("invalid", "The signed answer says something else than the request.", nil)
	}
	if r.Verification != nil {
		if a.passkey, err = a.keys.asserted(*r.Verification, r.Signed, server); err != nil {
			return credential{}, err
		}
		use = wire.UseVerification
	}
	// A refusal needs no fingerprint: whoever holds the phone may say no.
	if answer.Verb == wire.Approve && !a.accepted.suffices(string(use)) {
		return refuse("user_verification", "This needs the key that checks the phone's owner.", nil)
	}
	return credential{signed: string(use), key: key.Thumbprint, verb: answer.Verb}, nil
}

// says tells whether an answer is what its request says in the open.
func says(a wire.Answer, r wire.Response) bool {
	item := a.Item
	if a.Verb != wire.Approve {
		item = wire.ItemDeny
	}
	return item == r.SelectedItem && a.TxID == r.TxID
}

// recall is check for an answer to what this process showed the phone, by the key that proves the request, without reading
// anything: that the key is the possession key of the device, and that it suffices, is left to answerSQL. false: this cannot be told
// from memory; it says nothing about the answer.
func (s *Service) recall(r wire.Response, calls wire.Key, server, device string) (credential, bool) {
	shown, ok := s.challenges.of(r.TxID)
	if !ok || r.Signed == "" || r.Verification != nil || shown.Server != server || shown.Device != device {
		return credential{}, false
	}
	answer, err := calls.CheckAnswer(r.Signed, wire.UsePossession)
	if err != nil || answer.To(shown) != nil || !says(answer, r) {
		return credential{}, false
	}
	return credential{signed: string(wire.UsePossession), key: calls.Thumbprint, verb: answer.Verb}, true
}

// respondSigned takes the answer of a phone that has keys: its proof is checked, then its signature, then the answer is
// decided and the proof used up in one statement, which demands the key and all else that may have changed since it was read. Most
// answers come to the node that showed the question, which then need not read it. Errors: as decide, and Unauthorized.
func (s *Service) respondSigned(ctx context.Context, r *api.Request, token string, device uuid.UUID, in wire.Response) error {
	tx, err := uuid.Parse(in.TxID)
	if err != nil {
		return fault.Field("tx_id", "invalid", "Must be a valid UUID.")
	}
	by, err := s.checkProof(r, token)
	if err != nil {
		return err
	}
	if c, ok := s.recall(in, by.key, r.BaseURL(), device.String()); ok {
		c.proof, c.expires = by.proof, s.proofExpiry()
		// Where token or key are not what they were, nothing was changed or used up, and what is read tells what is wrong.
		if err := s.decide(ctx, token, device, in, c); !errors.Is(err, errToken) {
			return err
		}
	}
	a, err := s.asked(ctx, token, tx)
	if err != nil {
		return err
	}
	if a == nil {
		return errToken
	}
	if _, use, _ := a.keys.named(by.key.Thumbprint, by.key); use != wire.UsePossession {
		// The phone may have just changed its keys.
		adopted, err := s.adopt(ctx, a.device, by.key.Thumbprint)
		if err != nil {
			return err
		}
		if !adopted {
			return challengeFor(r, "invalid_dpop_proof", "The proof is by another key than this phone's.", nil)
		}
		if a, err = s.asked(ctx, token, tx); err != nil || a == nil {
			return cmp.Or(err, errToken)
		}
	}
	if a.device != device || a.status != statusWait || !s.Now().Before(a.prompt.Expires) {
		return fault.Missing()
	}
	c, err := a.check(in, by.key, r.BaseURL(), device.String())
	if err != nil {
		return s.tellCopied(ctx, device, a.passkey, err)
	}
	if err := s.count(ctx, device, a.passkey); err != nil {
		return err
	}
	c.proof, c.expires = by.proof, s.proofExpiry()
	return s.decide(ctx, token, device, in, c)
}

// credential is by what an answer is authenticated beside its token.
type credential struct {
	signed  string
	key     string // the thumbprint of the key that signed; "" for none
	verb    wire.Verb
	proof   []byte // nil: none
	expires time.Time
}

var byToken = credential{signed: signedBearer}

// reason is how an answer counts in the metrics: the status that it gave the prompt, or what it was if it ended nothing.
func (c credential) reason(status string, mistyped bool) string {
	switch {
	case c.verb == wire.Report:
		return string(wire.Report)
	case status != statusWait:
		return status
	case mistyped:
		return "mistyped"
	}
	return "approve" // and the browser has its part to do
}

// told is what the event says beside the prompt's end.
func (c credential) told(tx uuid.UUID) map[string]any {
	told := map[string]any{"transaction": tx}
	if c.verb == wire.Report {
		told["reported"] = true
	}
	return told
}
