package phone

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"countersign/mobile/wire"
)

// Malice bends an answer into one that a server has to refuse. Those below are the ones of a thief of the phone, of somebody on the
// wire, and of an app that lies; [Attempt.Claims] and [Attempt.Sign] make others. Send what came out with [Phone.Forge], or, to look
// at the reply, with [Phone.Prepare] and [Phone.Send].
type Malice func(*Attempt) error

// The algorithms of [WrongAlg].
const (
	AlgNone  = "none"  // no signature at all (RFC 7518 §3.6)
	AlgHS256 = "HS256" // a MAC, keyed by the public key, which everybody knows
)

// errUnsigned is of malice to an answer that nobody signed.
var errUnsigned = errors.New("phone: only a signed answer can be forged, and this phone signs none")

// Tampered changes a claim after the answer was signed, so that the signature is of something else: "item", "act", "aud", "ch", "exp",
// "sub", "tx", "use" or "v". With a nil value it is bent: another text of the same length, or the next number.
func Tampered(claim string, value any) Malice {
	return func(a *Attempt) error {
		claims, err := a.changed(claim, value)
		if err != nil {
			return err
		}
		payload, err := canonical(claims)
		if err != nil {
			return err
		}
		parts := strings.Split(a.Response.Signed, ".")
		a.Response.Signed = parts[0] + "." + base64url(payload) + "." + parts[2]
		a.follow(claim, claims)
		return nil
	}
}

// Lying changes a claim as [Tampered] does, before the phone's own key signs it: the signature holds, and what it says is not so.
func Lying(claim string, value any) Malice {
	return func(a *Attempt) error {
		claims, err := a.changed(claim, value)
		if err != nil {
			return err
		}
		a.follow(claim, claims)
		return a.Sign(claims)
	}
}

// Replayed sends an earlier answer, which [Phone.Sent] has, as the answer to this ring.
func Replayed(earlier wire.Response) Malice {
	return func(a *Attempt) error {
		tx := a.Response.TxID
		a.Response = earlier
		a.Response.TxID = tx
		return nil
	}
}

// WrongAlg has the header say another algorithm, [AlgNone] or [AlgHS256], and signs by that.
func WrongAlg(alg string) Malice {
	return func(a *Attempt) error {
		key, err := a.signer()
		if err != nil {
			return err
		}
		claims, err := a.Claims()
		if err != nil {
			return err
		}
		input, err := signingInput(map[string]any{"alg": alg, "kid": key.Thumbprint, "typ": answerType}, claims)
		if err != nil {
			return err
		}
		switch alg {
		case AlgNone:
			a.Response.Signed = input + "."
			return nil
		case AlgHS256:
			public, err := json.Marshal(key.Key)
			if err != nil {
				return err
			}
			mac := hmac.New(sha256.New, public)
			mac.Write([]byte(input))
			a.Response.Signed = input + "." + base64url(mac.Sum(nil))
			return nil
		}
		return fmt.Errorf("phone: no malice has the algorithm %q: none and HS256", alg)
	}
}

// ForeignChallenge answers, well signed, what another ring showed: its digest in place of this one's. The zero Ring stands for a
// challenge that the phone was shown by somebody who is not its server.
func ForeignChallenge(shown Ring) Malice {
	digest := shown.digest
	if digest == "" {
		sum := sha256.Sum256([]byte(`{"iss":"https://foreign.example/"}`))
		digest = base64url(sum[:])
	}
	return Lying("ch", digest)
}

// Possession signs by the key that needs no finger, and leaves the passkey out: what a thief of an unlocked phone can do.
func Possession() Malice {
	return func(a *Attempt) error {
		claims, err := a.changed("use", string(wire.UsePossession))
		if err != nil {
			return err
		}
		a.Response.Verification = nil
		return a.signBy(a.Account.keys.possession, claims)
	}
}

// StrangeKey signs by a key that the server has never seen, under the name of the phone's.
func StrangeKey() Malice {
	return func(a *Attempt) error {
		named, err := a.signer()
		if err != nil {
			return err
		}
		strange, err := newSigner(a.Account.keys.random)
		if err != nil {
			return err
		}
		claims, err := a.Claims()
		if err != nil {
			return err
		}
		return a.signBy(&signer{named.Signer, strange.private}, claims)
	}
}

const answerType = "countersign-answer+jwt"

// Claims are those of the signed answer, numbers as json.Number. Errors: the phone signs none.
func (a *Attempt) Claims() (map[string]any, error) {
	parts := strings.Split(a.Response.Signed, ".")
	if len(parts) != 3 {
		return nil, errUnsigned
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("phone: take the answer apart: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var claims map[string]any
	if err := d.Decode(&claims); err != nil {
		return nil, fmt.Errorf("phone: take the answer apart: %w", err)
	}
	return claims, nil
}

// Sign puts claims in place of those of the signed answer, signed by the key that signed it, in canonical form; where a passkey
// asserted the answer it asserts the new one.
func (a *Attempt) Sign(claims map[string]any) error {
	key, err := a.signer()
	if err != nil {
		return err
	}
	return a.signBy(key, claims)
}

func (a *Attempt) signBy(key *signer, claims map[string]any) error {
	input, err := signingInput(map[string]any{"alg": key.Algorithm, "kid": key.Thumbprint, "typ": answerType}, claims)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(input))
	der, err := key.private.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		return fmt.Errorf("phone: sign: %w", err)
	}
	var point struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &point); err != nil {
		return fmt.Errorf("phone: sign: %w", err)
	}
	signature := make([]byte, 64) // RFC 7518 §3.4
	point.R.FillBytes(signature[:32])
	point.S.FillBytes(signature[32:])
	a.Response.Signed = input + "." + base64url(signature)
	if a.Response.Verification == nil {
		return nil
	}
	assertion, err := a.Account.keys.passkey.Get(wire.AnswerChallenge(a.Response.Signed))
	a.Response.Verification = &assertion
	return err
}

// signer is the key that signed the answer.
func (a *Attempt) signer() (*signer, error) {
	if a.Response.Signed == "" {
		return nil, errUnsigned
	}
	if k := a.Account.keys; k.verification != nil && wire.KeyNamed(a.Response.Signed) == k.verification.Thumbprint {
		return k.verification, nil
	}
	return a.Account.keys.possession, nil
}

// changed are the claims with one of them set, or bent where value is nil.
func (a *Attempt) changed(claim string, value any) (map[string]any, error) {
	claims, err := a.Claims()
	if err != nil {
		return nil, err
	}
	old, found := claims[claim]
	if !found {
		return nil, fmt.Errorf("phone: an answer has no claim %q", claim)
	}
	if value == nil {
		if value, err = bend(claim, old); err != nil {
			return nil, err
		}
	}
	claims[claim] = value
	return claims, nil
}

// follow has the plain part of the response say what the signed one does, so that only the signature is wrong.
func (a *Attempt) follow(claim string, claims map[string]any) {
	if item, text := claims[claim].(string); text && claim == "item" {
		a.Response.SelectedItem = item
	}
}

// bend is another value of the same form.
func bend(claim string, old any) (any, error) {
	switch v := old.(type) {
	case json.Number:
		n, err := v.Int64()
		return n + 1, err
	case string:
		switch {
		case claim == "act" && v == string(wire.Approve):
			return string(wire.Deny), nil
		case claim == "act":
			return string(wire.Approve), nil
		case v == "":
			return "1", nil
		case v[len(v)-1] == '0':
			return v[:len(v)-1] + "1", nil
		}
		return v[:len(v)-1] + "0", nil
	}
	return nil, fmt.Errorf("phone: the claim %q is of no kind that can be bent", claim)
}

// signingInput is the first two parts of a compact JWS (RFC 7515 §7.1), in canonical form.
func signingInput(header, claims map[string]any) (string, error) {
	h, err := canonical(header)
	if err != nil {
		return "", err
	}
	payload, err := canonical(claims)
	return base64url(h) + "." + base64url(payload), err
}

// canonical writes names in their order and without escapes (RFC 8785, for what an answer holds).
func canonical(members map[string]any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(members); err != nil {
		return nil, fmt.Errorf("phone: write claims: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Forging answers as next would, with each malice in turn.
func Forging(next Behaviour, malice ...Malice) Behaviour {
	return func(ctx context.Context, p *Phone, r Ring) (string, error) {
		item, err := next(ctx, p, r)
		if err == nil && item != "" {
			p.act(func(ctx context.Context) error { return p.Forge(ctx, r.TxID, item, malice...) })
		}
		return "", err
	}
}
