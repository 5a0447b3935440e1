package attack

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"countersign/mobile/wire"
)

const maxReply = 64 << 10

// key is a key whose private half the attacker has at hand.
type key struct {
	*wire.Signer
	private *ecdsa.PrivateKey
}

func newKey() (*key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	s, err := wire.NewSigner(private)
	return &key{s, private}, err
}

// app is the app on a phone, of which nothing keeps the attacker from sending anything: phone.Phone is the one that behaves.
type app struct {
	http         *http.Client
	server       string // as the QR code names it
	device       string
	once         string // the token of the QR code
	token        string // of the device
	possession   *key   // nil: a phone without keys
	verification *key   // nil: none
	serverKey    wire.Key
	salt         string

	mu    sync.Mutex
	nonce string
}

// kind says what keys a phone has.
type kind int

const (
	stock     kind = iota // none
	signing               // one for possession
	verifying             // one that stands for its owner's finger, too
)

func (r *run) app(k kind) (*app, error) {
	a := &app{http: r.http}
	var err error
	if k >= signing {
		if a.possession, err = newKey(); err != nil {
			return nil, err
		}
	}
	if k >= verifying {
		a.verification, err = newKey()
	}
	return a, err
}

// reply is what came back.
type reply struct {
	status int
	body   []byte
}

func (r reply) String() string {
	text := strings.Join(strings.Fields(string(r.body)), " ")
	if strings.Contains(text, `"token"`) || strings.Contains(text, `"ticket"`) {
		text = "(with a secret)" // a report is kept, and shown to others
	}
	if len(text) > 100 {
		text = text[:100] + "…"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", r.status, text))
}

// prover makes the proof of a request with the server's latest nonce.
type prover func(r wire.Request, nonce string) (string, error)

func (k *key) prove(r wire.Request, nonce string) (string, error) {
	return k.Prove(r, nonce, time.Now())
}

// given is a proof that was made before.
func given(proof string) prover {
	return func(wire.Request, string) (string, error) { return proof, nil }
}

// call is one request, in which everything can be bent.
type call struct {
	method, action string // POST unless it is said
	device         string // in the path
	body           any    // marshalled, unless it is a []byte
	token          string
	prove          prover // nil: the token alone
	proven         []byte // the body that is proved in place of the real one
}

// good is a call as the app makes it.
func (a *app) good(action string, body any) call {
	c := call{method: http.MethodPost, action: action, device: a.device, body: body, token: a.token}
	if a.possession != nil {
		c.prove = a.possession.prove
	}
	return c
}

// do makes a call; a proof that the server wants with a newer nonce is made again.
func (a *app) do(ctx context.Context, c call) (reply, error) {
	text, raw := c.body.([]byte)
	if !raw && c.body != nil {
		var err error
		if text, err = json.Marshal(c.body); err != nil {
			return reply{}, err
		}
	}
	for again := true; ; again = false {
		r, stale, err := a.send(ctx, c, text)
		if err != nil || !stale || !again {
			return r, err
		}
	}
}

func (a *app) send(ctx context.Context, c call, body []byte) (r reply, stale bool, err error) {
	url := a.server + wire.Path(c.device, c.action)
	req, err := http.NewRequestWithContext(ctx, c.method, url, bytes.NewReader(body))
	if err != nil {
		return r, false, err
	}
	scheme := "Bearer"
	if c.prove != nil {
		if c.action != wire.ActionEnrol {
			scheme = wire.ProofScheme
		}
		a.mu.Lock()
		nonce := a.nonce
		a.mu.Unlock()
		about := wire.Request{Method: c.method, URL: url, Body: body, Token: c.token}
		if c.proven != nil {
			about.Body = c.proven
		}
		proof, err := c.prove(about, nonce)
		if err != nil {
			return r, false, err
		}
		req.Header.Set(wire.ProofHeader, proof)
	}
	req.Header.Set("Authorization", scheme+" "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := a.http.Do(req)
	if err != nil {
		return r, false, err
	}
	defer res.Body.Close()
	if nonce := res.Header.Get(wire.NonceHeader); nonce != "" {
		a.mu.Lock()
		stale = c.prove != nil && nonce != a.nonce && strings.Contains(res.Header.Get("WWW-Authenticate"), "use_dpop_nonce")
		a.nonce = nonce
		a.mu.Unlock()
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	return reply{res.StatusCode, text}, stale, err
}

// read takes the text of a QR code.
func (a *app) read(payload []byte) error {
	qr, err := wire.ParsePayload(payload)
	if err != nil {
		return err
	}
	a.server, a.device, a.once, a.token = qr.URL, qr.Device, qr.Token, qr.Token
	return nil
}

// info is what the app says of itself.
func info() wire.Info {
	return wire.Info{
		Platform: wire.Android, OSVersion: "16", Model: "Attack pack", Hostname: "Attack pack", AppVersion: "1.0", Others: map[string]any{},
	}.WithTransactions()
}

// enrolment is the call by which the app enrols.
func (a *app) enrolment() (call, error) {
	uid := make([]byte, 16)
	if _, err := rand.Read(uid); err != nil {
		return call{}, err
	}
	body := wire.Enrollment{DeviceUID: hex.EncodeToString(uid), Info: info()}
	c := a.good(wire.ActionEnrol, nil)
	c.token = a.once
	if a.possession != nil {
		keys, err := a.bring(a.server+wire.Path(a.device, wire.ActionEnrol), a.once)
		if err != nil {
			return call{}, err
		}
		body.Keys = keys
	}
	c.body = body
	return c, nil
}

// bring are the app's public keys as a request to url brings them.
func (a *app) bring(url, token string) (*wire.EnrollmentKeys, error) {
	possession, err := json.Marshal(a.possession.Key)
	if err != nil || a.verification == nil {
		return &wire.EnrollmentKeys{Possession: possession}, err
	}
	keys := &wire.EnrollmentKeys{Possession: possession}
	if keys.UserVerification, err = json.Marshal(a.verification.Key); err != nil {
		return nil, err
	}
	keys.VerificationProof, err = a.verification.prove(wire.Request{
		Method: http.MethodPost, URL: url, Body: []byte(a.possession.Thumbprint), Token: token,
	}, "")
	return keys, err
}

// enrol enrols the app by a QR code that it has read. Where the server takes it, it knows its token.
func (a *app) enrol(ctx context.Context) (reply, error) {
	c, err := a.enrolment()
	if err != nil {
		return reply{}, err
	}
	r, err := a.do(ctx, c)
	if err != nil || r.status != http.StatusOK {
		return r, err
	}
	return r, a.take(r)
}

// take reads the reply to an enrolment.
func (a *app) take(r reply) error {
	var in wire.EnrollmentCallback
	if err := json.Unmarshal(r.body, &in); err != nil {
		return fmt.Errorf("read reply to the enrolment: %w", err)
	}
	a.token, a.salt = in.Token, in.Salt
	if in.ServerKey == nil { // to such a server every phone is one without keys
		a.possession, a.verification = nil, nil
		return nil
	}
	var err error
	a.serverKey, err = wire.ParseKey(in.ServerKey)
	return err
}

// fingerprint is what the phone shows, "" for nothing; it believes that the server's key is server.
func (a *app) fingerprint(server wire.Key) (string, error) {
	if a.salt == "" {
		return "", nil
	}
	b := wire.Binding{Device: a.device, TokenHash: wire.HashToken(a.once), Possession: a.possession.Thumbprint, Server: server.Thumbprint, Salt: a.salt}
	if a.verification != nil {
		b.Verification = a.verification.Thumbprint
	}
	return b.Fingerprint()
}

// status reads the status of an enrolment out of a reply; "" where it has none.
func status(r reply) wire.Status {
	var s wire.EnrollmentStatus
	if json.Unmarshal(r.body, &s) != nil {
		return ""
	}
	return s.Status
}

// settle waits until the enrolment is confirmed, and then says that nobody rings this phone: it asks by itself.
func (a *app) settle(ctx context.Context, r *run) error {
	for a.salt != "" {
		got, err := a.do(ctx, a.good(wire.ActionStatus, struct{}{}))
		if err != nil {
			return err
		}
		if got.status != http.StatusOK {
			return fmt.Errorf("status of the enrolment: %s", got)
		}
		if status(got) == wire.Success {
			break
		}
		if err := r.pause(ctx, time.Second); err != nil {
			return err
		}
	}
	for _, c := range []call{a.good(wire.ActionPushKey, wire.PushKey{FirebaseKey: "-", Channel: "none"}), a.good(wire.ActionCheckIn, info())} {
		got, err := a.do(ctx, c)
		if err == nil && got.status > 299 {
			err = fmt.Errorf("%s", got)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.action, err)
		}
	}
	return nil
}

// question is what the phone is asked.
type question struct {
	wire.Prompt
	digest string // of what the server signed
}

// forgedPrompt is the error of a question that the server's key did not sign for this phone.
type forgedPrompt struct{ err error }

func (e forgedPrompt) Error() string { return e.err.Error() }

// pending fetches what the phone is asked.
func (a *app) pending(ctx context.Context) ([]question, error) {
	c := a.good(wire.ActionPending, nil)
	c.method = http.MethodGet
	r, err := a.do(ctx, c)
	if err != nil {
		return nil, err
	}
	if r.status != http.StatusOK {
		return nil, fmt.Errorf("what is pending: %s", r)
	}
	list, err := wire.ParsePending(r.body)
	if err != nil {
		return nil, err
	}
	var out []question
	for _, p := range list.Pending {
		q := question{Prompt: p}
		if a.possession != nil {
			if q.Prompt, q.digest, err = a.serverKey.CheckPrompt(p.Challenge, a.server, a.device); err != nil {
				return nil, forgedPrompt{err}
			}
			q.Challenge = p.Challenge
		}
		out = append(out, q)
	}
	return out, nil
}

// answer is an approval of a question by an item, wire.ItemDeny, as the app signs it.
func (a *app) answer(q question, item string) (wire.Response, error) {
	out := wire.Response{TxID: q.TxID, SelectedItem: item}
	if a.possession == nil {
		return out, nil
	}
	signed := wire.Answer{Server: a.server, Device: a.device, TxID: q.TxID, Digest: q.digest, Verb: wire.Approve, Item: item, Expires: q.Expires}
	if item == wire.ItemDeny {
		signed.Verb, signed.Item = wire.Deny, ""
	}
	var err error
	if a.verification != nil && signed.Verb == wire.Approve {
		out.Signed, err = a.verification.SignAnswer(signed, wire.UseVerification)
	} else {
		out.Signed, err = a.possession.SignAnswer(signed, wire.UsePossession)
	}
	return out, err
}

// respond sends an answer.
func (a *app) respond(ctx context.Context, in wire.Response) (reply, error) {
	return a.do(ctx, a.good(wire.ActionResponse, in))
}

// rotation is a good request for new keys of both kinds.
func (a *app) rotation() (wire.Rotation, error) {
	fresh := &app{server: a.server, device: a.device}
	var err error
	if fresh.possession, err = newKey(); err != nil {
		return wire.Rotation{}, err
	}
	if fresh.verification, err = newKey(); err != nil {
		return wire.Rotation{}, err
	}
	return a.rotateTo(fresh)
}

// rotateTo is a request for the keys of another app in place of this one's, endorsed by the best that this one has.
func (a *app) rotateTo(next *app) (wire.Rotation, error) {
	url := a.server + wire.Path(a.device, wire.ActionRotate)
	keys, err := next.bring(url, a.token)
	if err != nil {
		return wire.Rotation{}, err
	}
	out := wire.Rotation{Keys: *keys}
	out.PossessionProof, err = next.possession.prove(wire.Request{
		Method: http.MethodPost, URL: url, Body: []byte(a.possession.Thumbprint), Token: a.token,
	}, "")
	if err != nil || next.verification == nil {
		return out, err
	}
	by, use := a.possession, wire.UsePossession
	if a.verification != nil {
		by, use = a.verification, wire.UseVerification
	}
	out.Endorsement, err = by.SignEndorsement(wire.Endorsement{
		Act: wire.ActRotate, Server: a.server, Device: a.device, For: a.device, Possession: next.possession.Thumbprint, Verification: next.verification.Thumbprint,
	}, use)
	return out, err
}
