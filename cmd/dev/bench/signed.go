package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/mobile/wire"
)

// base is the server as the phones know it: conn.send says so.
const base = "http://id.example/"

// arm gives a person's phone its key.
func (p *person) arm() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	p.signer, err = wire.NewSigner(private)
	return err
}

// armed stores the keys of the phones.
func (w *world) armed(ctx context.Context, tx pgx.Tx) error {
	if !w.signed {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE mobile_devices SET signs = true`); err != nil {
		return err
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"mobile_keys"}, []string{"thumbprint", "device", "use", "jwk"},
		pgx.CopyFromSlice(len(w.people), func(i int) ([]any, error) {
			p := w.people[i]
			return []any{p.signer.Thumbprint, p.device, string(wire.UsePossession), p.signer.Key}, nil
		}))
	return err
}

// foresee signs what the phones can before they are asked: the fetching of the prompt. That is the phones' own work, and
// real ones have processors for it.
func (w *world) foresee(people []*person) error {
	nonce, _ := w.nonce.Load().(string)
	if !w.signed || nonce == "" {
		return nil
	}
	for _, p := range people {
		var err error
		if p.fetch, err = p.proof("GET", wire.ActionPending, nil, nonce); err != nil {
			return err
		}
	}
	return nil
}

func (p *person) proof(method, action string, body []byte, nonce string) (string, error) {
	return p.signer.Prove(wire.Request{Method: method, URL: base + wire.Path(p.device.String(), action), Body: body, Token: p.token}, nonce, time.Now())
}

// prove sends a request of the phone with its proof, which may have been made before, and once more when the server wants its
// latest nonce in it.
func (p *person) prove(c *conn, method, action string, body []byte, proof string) ([]byte, int, error) {
	path := wire.Path(p.device.String(), action)
	for range 2 {
		if proof == "" {
			var err error
			if proof, err = p.proof(method, action, body, c.nonce); err != nil {
				return nil, 0, err
			}
		}
		head := "User-Agent: authenticator/1.0 (ios 17.5)\r\nAuthorization: DPoP " + p.token + "\r\nDPoP: " + proof + "\r\n"
		if err := c.send(method, "/"+path, head, body); err != nil {
			return nil, 0, err
		}
		status, reply, err := c.receive(nil)
		if err != nil || status != 401 {
			return reply, status, err
		}
		proof = ""
	}
	return nil, 401, errors.New("the server takes no proof")
}

// respondSigned fetches the prompt, and answers what the server signed. It tells when the answer goes out.
func (w *world) respondSigned(c *pair, p *person, tx string) (time.Time, error) {
	reply, status, err := p.prove(c.phone, "GET", wire.ActionPending, nil, p.fetch)
	p.fetch = ""
	if err != nil || status != 200 {
		return time.Time{}, fmt.Errorf("fetch: %d %.200s: %w", status, reply, err)
	}
	list, err := wire.ParsePending(reply)
	if err != nil || len(list.Pending) != 1 || list.Pending[0].TxID != tx {
		return time.Time{}, fmt.Errorf("fetch: %.200s: %w", reply, err)
	}
	w.nonce.Store(c.phone.nonce)
	prompt := list.Pending[0]
	if strings.Count(prompt.Challenge, ".") != 2 {
		return time.Time{}, errors.New("the prompt is not signed")
	}
	device := p.device.String()
	digest, err := prompt.Digest(base, device)
	if err != nil {
		return time.Time{}, err
	}
	signed, err := p.signer.SignAnswer(wire.Answer{
		Server: base, Device: device, TxID: tx, Digest: digest, Verb: wire.Approve, Item: string(w.item), Expires: prompt.Expires,
	}, wire.UsePossession)
	if err != nil {
		return time.Time{}, err
	}
	body, err := json.Marshal(wire.Response{TxID: tx, SelectedItem: string(w.item), Signed: signed})
	if err != nil {
		return time.Time{}, err
	}
	began := time.Now()
	reply, status, err = p.prove(c.phone, "POST", wire.ActionResponse, body, "")
	if err != nil || status != 204 {
		return began, fmt.Errorf("%d %.200s: %w", status, reply, err)
	}
	return began, nil
}

// signatures is how many answers one core checks in a second.
func (w *world) signatures() (float64, error) {
	p := w.people[0]
	signed, err := p.signer.SignAnswer(wire.Answer{Server: base, Device: p.device.String(), Verb: wire.Deny, Digest: strings.Repeat("A", 43)}, wire.UsePossession)
	if err != nil {
		return 0, err
	}
	before, n := w.usage(), 0
	for began := time.Now(); time.Since(began) < time.Second; n++ {
		if _, err := p.signer.CheckAnswer(signed, wire.UsePossession); err != nil {
			return 0, err
		}
	}
	return float64(n) / w.usage().minus(before).self.Seconds(), nil
}
