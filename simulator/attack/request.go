package attack

import (
	"context"
	"encoding/json"
	"fmt"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/verdict"
)

var requestAttacks = []Attack{
	{
		Name: "address-hijack", Proves: []string{"T17", "T15"}, run: addressHijack,
		Does:    "registers a push address, and keys, of the attacker's for the owner's phone: with its token alone, its recorded proofs, or another phone's credentials",
		Expects: "all are refused, and the owner's phone goes on as it was",
	},
	{
		Name: "replay", Proves: []string{"T5", "T17"}, run: replay,
		Does:    "sends a recorded request, and a recorded answer, again: as it was, with a new proof, and to a new login",
		Expects: "an answer and a proof count once",
	},
	{
		Name: "algorithm-confusion", Proves: []string{"T14", "T19"}, run: algorithmConfusion,
		Does:    "enrols keys of other kinds, and signs requests and answers by none, by HS256 with public keys, in other forms and by other keys",
		Expects: "only the registered key, with the algorithm of its curve, counts; and nobody's private key is taken",
	},
}

func addressHijack(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	m, err := t.victim(ctx, t.name+"-attacker")
	if err != nil {
		return err
	}
	theirs := wire.PushKey{FirebaseKey: "the-attackers-address", Channel: wire.ChannelNone}
	owner, attacker := v.app, m.app
	try := func(what string, c call) {
		got, err := owner.do(ctx, c)
		t.refused(what, got, err)
	}
	c := owner.good(wire.ActionPushKey, theirs)
	c.token, c.prove = "guess", nil
	try("an address, with a token that is guessed", c)
	c = attacker.good(wire.ActionPushKey, theirs)
	c.device = owner.device
	try("an address, with another phone's credentials", c)
	if t.target.Keys {
		if err := t.hijackSigned(ctx, owner, attacker, theirs, try); err != nil {
			return err
		}
	}
	got, err := owner.do(ctx, owner.good(wire.ActionPushKey, wire.PushKey{FirebaseKey: "-", Channel: wire.ChannelNone}))
	if err := t.accepted("the owner's own address", got, err); err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	t.note("the phone's address and keys stayed its owner's")
	return t.control(ctx, v, l, q)
}

// hijackSigned is what is to be tried where phones have keys.
func (t *trial) hijackSigned(ctx context.Context, owner, attacker *app, theirs wire.PushKey, try func(string, call)) error {
	c := owner.good(wire.ActionPushKey, theirs)
	c.prove = nil
	try("an address, with the phone's token alone", c)
	c.prove = attacker.possession.prove
	try("an address, with the phone's token and a proof by another key", c)
	// A proof that the phone made, and that never arrived, for another request than it was made for.
	c.prove, c.proven = owner.possession.prove, []byte(`{"firebase_key":"-","channel":"none"}`)
	try("an address, with a proof that the phone made for another address", c)
	c.proven = nil
	c.prove = func(r wire.Request, nonce string) (string, error) {
		r.URL = owner.server + wire.Path(owner.device, wire.ActionCheckIn)
		return owner.possession.prove(r, nonce)
	}
	try("an address, with a proof that the phone made for another call", c)
	c.prove = func(r wire.Request, nonce string) (string, error) {
		r.Token = attacker.token
		return owner.possession.prove(r, nonce)
	}
	try("an address, with a proof that the phone made for another token", c)
	c.prove = func(r wire.Request, _ string) (string, error) { return owner.possession.prove(r, "") }
	try("an address, with a proof without the server's nonce", c)
	spent := ""
	c = owner.good(wire.ActionCheckIn, info())
	c.prove = func(r wire.Request, nonce string) (proof string, err error) {
		spent, err = owner.possession.prove(r, nonce)
		return spent, err
	}
	got, err := owner.do(ctx, c)
	if err := t.accepted("the phone calls", got, err); err != nil {
		return err
	}
	c = owner.good(wire.ActionPushKey, theirs)
	c.prove = given(spent)
	try("an address, with a proof that was used", c)

	// Keys: the attacker's in place of the owner's.
	next, err := attackersKeys(owner)
	if err != nil {
		return err
	}
	in, err := owner.rotateTo(next)
	if err != nil {
		return err
	}
	c = owner.good(wire.ActionRotate, in)
	c.prove = attacker.possession.prove
	try("keys, proved by the attacker's key", c)
	c.prove = nil
	try("keys, with the phone's token alone", c)
	c = attacker.good(wire.ActionRotate, in)
	c.device = owner.device
	try("keys, with another phone's credentials", c)
	// Whoever has the possession key alone, as malware may, makes himself no owner.
	thief := &app{http: owner.http, server: owner.server, device: owner.device, token: owner.token, possession: owner.possession, nonce: owner.lastNonce()}
	if in, err = thief.rotateTo(next); err != nil {
		return err
	}
	try("a new owner's key, endorsed by the possession key alone", thief.good(wire.ActionRotate, in))
	in.Endorsement = ""
	try("a new owner's key, endorsed by nobody", thief.good(wire.ActionRotate, in))
	return nil
}

func attackersKeys(of *app) (*app, error) {
	next := &app{server: of.server, device: of.device}
	var err error
	if next.possession, err = newKey(); err == nil {
		next.verification, err = newKey()
	}
	return next, err
}

func replay(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	in, err := v.app.answer(q, l.right(q))
	if err != nil {
		return err
	}
	c := v.app.good(wire.ActionResponse, in)
	spent := ""
	if t.target.Keys {
		c.prove = func(r wire.Request, nonce string) (proof string, err error) {
			spent, err = v.app.possession.prove(r, nonce)
			return spent, err
		}
	}
	got, err := v.app.do(ctx, c)
	if err := t.accepted("the owner's approval", got, err); err != nil {
		return err
	}
	if err := l.typed(ctx, q); err != nil {
		return err
	}
	result, err := l.end(ctx)
	if err != nil {
		return err
	}
	if result.Outcome != browser.Approved {
		return fmt.Errorf("the owner's approval lets nobody in: %s %s", result.Outcome, result.Detail)
	}
	if t.target.Keys {
		c.prove = given(spent)
		got, err = v.app.do(ctx, c)
		t.refused("the answer again, with its proof", got, err)
	}
	got, err = v.app.respond(ctx, in)
	t.refused("the answer again, with a new proof", got, err)
	if t.target.Keys {
		c = v.app.good(wire.ActionCheckIn, info())
		c.prove = func(r wire.Request, nonce string) (proof string, err error) {
			spent, err = v.app.possession.prove(r, nonce)
			return spent, err
		}
		got, err = v.app.do(ctx, c)
		if err := t.accepted("the phone calls", got, err); err != nil {
			return err
		}
		c.prove = given(spent)
		got, err = v.app.do(ctx, c)
		t.refused("a call again, with its proof", got, err)
	}

	l, next, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	if t.target.Keys {
		in.TxID = next.TxID
		got, err = v.app.respond(ctx, in)
		t.refused("the answer to the last login, sent to a new one", got, err)
	}
	t.note("nothing counted twice")
	return t.control(ctx, v, l, next)
}

// keysRefused are keys that no server may take, as JWK; of is one that it does.
func keysRefused(of *key) ([]struct{ what, jwk string }, error) {
	text, err := json.Marshal(of.Key)
	if err != nil {
		return nil, err
	}
	var m map[string]string
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	private, err := of.private.Bytes()
	if err != nil {
		return nil, err
	}
	x, y := m["x"], m["y"]
	return []struct{ what, jwk string }{
		{"a key with its private part", `{"crv":"P-256","d":"` + encode(private) + `","kty":"EC","x":"` + x + `","y":"` + y + `"}`},
		{"a secret key", `{"k":"` + x + `","kty":"oct"}`},
		{"a key on another curve, P-384", `{"crv":"P-384","kty":"EC","x":"` + x + x[:21] + `","y":"` + y + y[:21] + `"}`},
		{"a key on another curve, secp256k1", `{"crv":"secp256k1","kty":"EC","x":"` + x + `","y":"` + y + `"}`},
		{"a point that is not on the curve", `{"crv":"P-256","kty":"EC","x":"` + y + `","y":"` + x + `"}`},
		{"an RSA key", `{"e":"AQAB","kty":"RSA","n":"` + x + y + `"}`},
		{"a key with alg HS256", `{"alg":"HS256","crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`},
	}, nil
}

func algorithmConfusion(ctx context.Context, t *trial) error {
	if !t.target.Keys {
		return verdict.Skip{Reason: "the server takes no phones with keys"}
	}
	if err := t.confuseEnrolment(ctx); err != nil {
		return err
	}
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	mine, err := newKey()
	if err != nil {
		return err
	}
	tries := confusions(v.app.possession, v.app.serverKey, mine)
	for _, one := range tries {
		c := v.app.good(wire.ActionCheckIn, info())
		c.prove = func(r wire.Request, nonce string) (string, error) {
			proof, err := v.app.possession.prove(r, nonce)
			if err != nil {
				return "", err
			}
			contents, err := taken(proof)
			if err != nil {
				return "", err
			}
			jwk, err := json.Marshal(v.app.possession.Key)
			return one.jws(proofType, `"jwk":`+string(jwk), contents.text()), err
		}
		got, err := v.app.do(ctx, c)
		t.refused("a request by "+one.what, got, err)
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	in, err := v.app.answer(q, l.right(q))
	if err != nil {
		return err
	}
	contents, err := taken(in.Signed)
	if err != nil {
		return err
	}
	tries = confusions(v.app.verification, v.app.serverKey, mine)
	for _, one := range tries {
		in.Signed = one.jws(answerType, `"kid":"`+v.app.verification.Thumbprint+`"`, contents.text())
		got, err := v.app.respond(ctx, in)
		t.refused("an approval by "+one.what, got, err)
	}
	t.note("every key and signature of another kind was refused")
	return t.control(ctx, v, l, q)
}

// confuseEnrolment has a phone bring keys that are not to be taken, as one key or the other.
func (t *trial) confuseEnrolment(ctx context.Context) error {
	v, err := t.user(ctx, t.name+"-keys")
	if err != nil {
		return err
	}
	return v.scan(ctx, func(payload []byte) error {
		a, err := t.thief(payload, verifying)
		if err != nil {
			return err
		}
		bad, err := keysRefused(a.possession)
		if err != nil {
			return err
		}
		for _, one := range bad {
			for _, second := range []bool{false, true} {
				c, err := a.enrolment()
				if err != nil {
					return err
				}
				body := c.body.(wire.Enrollment)
				which := "the first key: "
				if body.Keys.Possession = json.RawMessage(one.jwk); second {
					again, err := a.enrolment()
					if err != nil {
						return err
					}
					body = again.body.(wire.Enrollment)
					body.Keys.UserVerification, which = json.RawMessage(one.jwk), "the second key: "
				}
				c.body = body
				got, err := a.do(ctx, c)
				t.refused("enrol, as "+which+one.what, got, err)
			}
		}
		got, err := a.enrol(ctx)
		return t.accepted("then enrol good keys", got, err)
	})
}

func (a *app) lastNonce() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nonce
}
