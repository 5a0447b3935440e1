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

// asked reads a prompt of a device; nil: it has none of that id.
func (s *Service) asked(ctx context.Context, device, tx uuid.UUID) (*asked, error) {
	a := &asked{keys: map[string]wire.Key{}, uses: map[string]wire.Use{}}
	var keys []struct {
		Use wire.Use `json:"use"`
		JWK wire.Key `json:"jwk"`
	}
	p := &a.prompt
	err := s.Pool.QueryRow(ctx, `SELECT x.tx_id::text, x.mode, x.items, x.context, x.created, x.expires, x.status, `+acceptedSQL+`,
			(SELECT coalesce(json_agg(json_build_object('use', k.use, 'jwk', k.jwk)), '[]') FROM mobile_keys k WHERE k.device = d.uuid)
		FROM mobile_transactions x JOIN mobile_devices d ON d.uuid = x.device LEFT JOIN stages s ON s.stage_uuid = d.stage
		WHERE x.tx_id = $1 AND x.device = $2`, tx, device).
		Scan(&p.TxID, &p.Mode, &p.Items, &p.Context, &p.Created, &p.Expires, &a.status, &a.accepted, &keys)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("read prompt: %w", db.Fault(err))
	}
	for _, k := range keys {
		a.keys[k.JWK.Thumbprint], a.uses[k.JWK.Thumbprint] = k.JWK, k.Use
	}
	return a, nil
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
func (s *Service) respondSigned(ctx context.Context, r *api.Request, device uuid.UUID, in wire.Response) error {
	c, err := s.identify(ctx, r, purposeDevice)
	if err != nil {
		return err
	}
	tx, err := uuid.Parse(in.TxID)
	if err != nil {
		return fault.Field("tx_id", "invalid", "Must be a valid UUID.")
	}
	if c.device != device {
		return fault.Missing()
	}
	a, err := s.asked(ctx, device, tx)
	if err != nil {
		return err
	}
	if a == nil || a.status != statusWait || !s.Now().Before(a.prompt.Expires) {
		return fault.Missing()
	}
	answer, use, err := a.check(in, r.BaseURL(), device.String())
	if err != nil {
		return err
	}
	token, _, err := credentials(r.HTTP)
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
