package mobile

import (
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

// asked is a prompt with what an answer to it is checked by.
type asked struct {
	prompt   wire.Prompt
	status   string
	keys     map[string]wire.Key // by thumbprint
	uses     map[string]wire.Use
	accepted Accepted
}

// asked reads who holds a device token, by which keys that phone signs, and a prompt of it; tx of the prompt is "" where it has
// none of that id. nil: nobody who signs holds the token.
func (s *Service) asked(ctx context.Context, token string, tx uuid.UUID) (*caller, *asked, error) {
	c, a := &caller{}, &asked{keys: map[string]wire.Key{}, uses: map[string]wire.Use{}}
	var keys []struct {
		Use wire.Use `json:"use"`
		JWK wire.Key `json:"jwk"`
	}
	p := &a.prompt
	var shown *wire.Context
	err := s.Pool.QueryRow(ctx, `SELECT d.uuid, `+acceptedSQL+`, coalesce(x.tx_id::text, ''), coalesce(x.mode, ''), x.items, x.context,
			coalesce(x.created, $3), coalesce(x.expires, $3), coalesce(x.status, ''),
			(SELECT coalesce(json_agg(json_build_object('use', k.use, 'jwk', k.jwk)), '[]') FROM mobile_keys k WHERE k.device = d.uuid)
		FROM mobile_tokens t JOIN mobile_devices d ON d.uuid = t.device JOIN users u ON u.id = d.user_id LEFT JOIN stages s ON s.stage_uuid = d.stage
			LEFT JOIN mobile_transactions x ON x.tx_id = $2 AND x.device = d.uuid
		WHERE t.token_hash = $1 AND t.purpose = 'device' AND (t.expires IS NULL OR t.expires > $3) AND u.is_active AND d.confirmed AND d.signs`,
		hashToken(token), tx, s.Now()).
		Scan(&c.device, &a.accepted, &p.TxID, &p.Mode, &p.Items, &shown, &p.Created, &p.Expires, &a.status, &keys)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read prompt: %w", db.Fault(err))
	}
	if shown != nil {
		p.Context = *shown
	}
	for _, k := range keys {
		a.keys[k.JWK.Thumbprint], a.uses[k.JWK.Thumbprint] = k.JWK, k.Use
		if k.Use == wire.UsePossession {
			c.key = &k.JWK
		}
	}
	return c, a, nil
}

// check gives what a signed answer says and which key signed it. Errors: Invalid about signed_answer.
func (a *asked) check(r wire.Response, server, device string) (wire.Answer, wire.Use, error) {
	refuse := func(code, text string, cause error) (wire.Answer, wire.Use, error) {
		return wire.Answer{}, "", fault.Field("signed_answer", code, text).Wrap(cause)
	}
	if r.Signed == "" {
		return refuse("required", "This phone has to sign its answers.", nil)
	}
	name := wire.KeyNamed(r.Signed)
	key, ok := a.keys[name]
	if !ok {
		return refuse("invalid", "The answer is not signed by a key of this phone.", nil)
	}
	use := a.uses[name]
	answer, err := key.CheckAnswer(r.Signed, use)
	if err == nil {
		err = answer.Of(a.prompt, server, device)
	}
	if err != nil {
		return refuse("invalid", "The signed answer does not hold.", err)
	}
	item := answer.Item
	if answer.Verb != wire.Approve {
		item = wire.ItemDeny
	}
	if item != r.SelectedItem || answer.TxID != r.TxID {
		return refuse("invalid", "The signed answer says something else than the request.", nil)
	}
	// A refusal needs no fingerprint: whoever holds the phone may say no.
	if answer.Verb == wire.Approve && !a.accepted.suffices(string(use)) {
		return refuse("user_verification", "This needs the key that checks the phone's owner.", nil)
	}
	return answer, use, nil
}

// respondSigned takes the answer of a phone that has keys: its proof is checked, then its signature, then the answer is
// decided and the proof used up in one statement. Errors: as respond, and Unauthorized.
func (s *Service) respondSigned(ctx context.Context, r *api.Request, token string, device uuid.UUID, in wire.Response) error {
	tx, err := uuid.Parse(in.TxID)
	if err != nil {
		return fault.Field("tx_id", "invalid", "Must be a valid UUID.")
	}
	c, a, err := s.asked(ctx, token, tx)
	if err != nil {
		return err
	}
	if c == nil || c.key == nil {
		return errToken
	}
	if c.proof, err = s.checkProof(r, *c.key, token); err != nil {
		return err
	}
	if c.device != device || a.status != statusWait || !s.Now().Before(a.prompt.Expires) {
		return fault.Missing()
	}
	answer, use, err := a.check(in, r.BaseURL(), device.String())
	if err != nil {
		return err
	}
	return s.decide(ctx, token, device, in, credential{signed: string(use), verb: answer.Verb, proof: c.proof, expires: s.proofExpiry()})
}

// credential is by what an answer is authenticated beside its token.
type credential struct {
	signed  string
	verb    wire.Verb
	proof   []byte // nil: none
	expires time.Time
}

var byToken = credential{signed: signedBearer}

// told is what the event says beside the prompt's end.
func (c credential) told(tx uuid.UUID) map[string]any {
	told := map[string]any{"transaction": tx}
	if c.verb == wire.Report {
		told["reported"] = true
	}
	return told
}
