package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const typeChallenge = "countersign-challenge+jwt"

// versionTransaction is the version of a challenge that is about a transaction: a phone that knows version 1 alone refuses it, and
// does not show it as a login.
const versionTransaction = 2

// challengeClaims are in the order of their names. Their text may be of any language, so that the form is the server's
// alone; a phone shows what it parses out of the signed bytes and signs the digest of those bytes.
type challengeClaims struct {
	Approval *Transaction  `json:"apr,omitempty"` // of a prompt that is no login; v is then 2
	Device   string        `json:"aud"`
	Context  contextClaims `json:"ctx"`
	Expires  int64         `json:"exp"`
	Created  int64         `json:"iat"`
	Server   string        `json:"iss"` // the base URL by which the phone knows the server
	Items    []string      `json:"items"`
	Mode     Mode          `json:"mode"`
	TxID     string        `json:"tx"`
	Version  int           `json:"v"`
}

type contextClaims struct {
	Application string `json:"app"`
	Browser     string `json:"browser"`
	Host        string `json:"host"`
	IP          string `json:"ip"`
	OS          string `json:"os"`
	Time        int64  `json:"time"`
}

// payload is the prompt's signed text for a device of a server: the same for the same prompt, however often it is made.
func (p Prompt) payload(server, device string) ([]byte, error) {
	c := p.Context
	if p.Items == nil {
		p.Items = []string{} // one form, however it was read
	}
	version := 1
	if p.Transaction != nil {
		version = versionTransaction
	}
	return canonical(challengeClaims{
		Approval: p.Transaction, Device: device, Server: server, TxID: p.TxID, Mode: p.Mode, Items: p.Items, Created: p.Created.Unix(), Expires: p.Expires.Unix(), Version: version,
		Context: contextClaims{Application: c.Application, Browser: c.Browser, Host: c.Host, IP: c.IP, OS: c.OS, Time: c.Time.Unix()},
	})
}

// Presented is a prompt as an answer names it. Two prompts that differ in anything that a phone shows differ in their digests.
type Presented struct {
	Server  string // base URL
	Device  string
	TxID    string
	Digest  string // SHA-256 of the signed text of the prompt, base64url
	Expires time.Time
}

// SignPrompt signs a prompt for a device of a server, which is named by the base URL that the phone knows it by.
func (s *Signer) SignPrompt(p Prompt, server, device string) (string, error) {
	compact, _, err := s.Present(p, server, device)
	return compact, err
}

// Present is SignPrompt, and gives what an answer will have to name.
func (s *Signer) Present(p Prompt, server, device string) (compact string, shown Presented, err error) {
	payload, err := p.payload(server, device)
	if err != nil {
		return "", Presented{}, fmt.Errorf("sign challenge: %w", err)
	}
	compact, err = s.sign(typeChallenge, payload, false)
	return compact, Presented{Server: server, Device: device, TxID: p.TxID, Digest: hash(payload), Expires: p.Expires}, err
}

// Digest is what an answer says it is about: the SHA-256 of the signed text of the prompt, base64url.
func (p Prompt) Digest(server, device string) (string, error) {
	payload, err := p.payload(server, device)
	if err != nil {
		return "", fmt.Errorf("digest of challenge: %w", err)
	}
	return hash(payload), nil
}

// CheckPrompt is the phone's side: it gives the prompt as it was signed, and its digest, if the server's key signed it for
// this device of this server.
func (k Key) CheckPrompt(compact, server, device string) (Prompt, string, error) {
	payload, err := k.verify(typeChallenge, compact)
	if err != nil {
		return Prompt{}, "", fmt.Errorf("challenge: %w", err)
	}
	var c challengeClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return Prompt{}, "", errors.New("challenge: the claims are not JSON of the right types")
	}
	p := Prompt{
		Transaction: c.Approval, TxID: c.TxID, Mode: c.Mode, Items: c.Items, Created: time.Unix(c.Created, 0).UTC(), Expires: time.Unix(c.Expires, 0).UTC(),
		Context: Context{
			Application: c.Context.Application, Browser: c.Context.Browser, Host: c.Context.Host, IP: c.Context.IP, OS: c.Context.OS,
			Time: time.Unix(c.Context.Time, 0).UTC(),
		},
	}
	switch {
	case c.Version != 1 && c.Version != versionTransaction, (c.Version == versionTransaction) != (c.Approval != nil):
		return Prompt{}, "", fmt.Errorf("challenge: version %d is not known", c.Version)
	case c.Server != server:
		return Prompt{}, "", errors.New("challenge: it is another server's")
	case c.Device != device:
		return Prompt{}, "", errors.New("challenge: it is for another device")
	}
	if err := p.check(); err != nil {
		return Prompt{}, "", fmt.Errorf("challenge: %w", err)
	}
	return p, hash(payload), nil
}
