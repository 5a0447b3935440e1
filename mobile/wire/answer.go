package wire

import (
	"errors"
	"fmt"
	"time"
)

const typeAnswer = "countersign-answer+jwt"

// Verb is what the person did, in a word of its own, so that no answer is told apart by what it leaves out.
type Verb string

// The verbs.
const (
	Approve Verb = "approve"
	Deny    Verb = "deny"
	Report  Verb = "report" // deny, and say that it was somebody else
)

// Answer is what a phone signs.
type Answer struct {
	Server  string // base URL
	Device  string
	TxID    string
	Digest  string // of the challenge that was shown: Prompt.Digest
	Verb    Verb
	Item    string // the item that was chosen; "" unless Verb is Approve
	Expires time.Time
}

// answerClaims are in the order of their names.
type answerClaims struct {
	Verb      Verb   `json:"act"`
	Server    string `json:"aud"`
	Digest    string `json:"ch"`
	Expires   int64  `json:"exp"` // the challenge's
	Item      string `json:"item"`
	Device    string `json:"sub"`
	TxID      string `json:"tx"`
	IssuedFor string `json:"use"`
	Version   int    `json:"v"`
}

// SignAnswer signs an answer with the key of a use.
func (s *Signer) SignAnswer(a Answer, use Use) (string, error) {
	payload, err := canonical(answerClaims{
		Verb: a.Verb, Server: a.Server, Digest: a.Digest, Expires: a.Expires.Unix(), Item: a.Item, Device: a.Device, TxID: a.TxID,
		Version: 1, IssuedFor: string(use),
	})
	if err != nil {
		return "", fmt.Errorf("sign answer: %w", err)
	}
	return s.sign(typeAnswer, payload, false)
}

// CheckAnswer gives what the key of a use signed. What it is worth is for the caller to compare with the prompt; see
// Answer.Of.
func (k Key) CheckAnswer(compact string, use Use) (Answer, error) {
	payload, err := k.verify(typeAnswer, compact)
	if err != nil {
		return Answer{}, fmt.Errorf("answer: %w", err)
	}
	c, err := parseClaims[answerClaims](payload)
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("answer: %w", err)
	case c.Version != 1:
		return Answer{}, fmt.Errorf("answer: version %d is not known", c.Version)
	case c.IssuedFor != string(use):
		return Answer{}, errors.New("answer: use is not that of the key")
	case c.Verb != Approve && c.Verb != Deny && c.Verb != Report:
		return Answer{}, errors.New("answer: act is not known")
	case (c.Verb == Approve) != (c.Item != ""):
		return Answer{}, errors.New("answer: an item goes with approve and with nothing else")
	}
	return Answer{
		Server: c.Server, Device: c.Device, TxID: c.TxID, Digest: c.Digest, Verb: c.Verb, Item: c.Item, Expires: time.Unix(c.Expires, 0),
	}, nil
}

// Of checks that the answer is to this prompt, as it was shown to this device of this server.
func (a Answer) Of(p Prompt, server, device string) error {
	digest, err := p.Digest(server, device)
	if err != nil {
		return err
	}
	return a.To(Presented{Server: server, Device: device, TxID: p.TxID, Digest: digest, Expires: p.Expires})
}

// To checks that the answer is to what was shown.
func (a Answer) To(s Presented) error {
	switch {
	case a.Server != s.Server:
		return errors.New("answer: it is for another server")
	case a.Device != s.Device:
		return errors.New("answer: it is another device's")
	case a.TxID != s.TxID:
		return errors.New("answer: it is to another question")
	case a.Digest != s.Digest:
		return errors.New("answer: something else was shown")
	case a.Expires.Unix() != s.Expires.Unix():
		return errors.New("answer: the question ends at another time")
	}
	return nil
}
