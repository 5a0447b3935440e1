package standin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"slices"
	"strings"

	"countersign/mobile/wire"
)

// Flaw is something that a broken server does. A flaw is of a Guarded server: others guard nothing that could be broken.
type Flaw string

// The flaws.
const (
	NoBudget       Flaw = "rings as often as anybody asks"
	LocksOut       Flaw = "pauses requests of the owner's browser too"
	RingsAgain     Flaw = "rings again when the page of a denied login goes on asking"
	Blind          Flaw = "tells the phone nothing of the browser"
	AnyURL         Flaw = "takes a proof of another URL"
	AnyBody        Flaw = "takes a proof of another body"
	AnyToken       Flaw = "takes a proof of another token"
	AnyNonce       Flaw = "takes a proof without nonce"
	AnyKey         Flaw = "takes a proof of any key"
	TokenAlone     Flaw = "takes the token alone"
	ProofTwice     Flaw = "takes a proof twice"
	Unconfirmed    Flaw = "has a phone be good before its owner confirmed it"
	CodeTwice      Flaw = "takes the code of a phone that enrolled"
	AnyOwner       Flaw = "has the possession key endorse a new owner's key"
	AnyAlgorithm   Flaw = "takes what is signed by none and HS256"
	PrivateKeys    Flaw = "takes private keys"
	WrongLetsIn    Flaw = "lets a wrong number in"
	GuessAgain     Flaw = "lets a wrong number be guessed again"
	AnyClaims      Flaw = "does not compare what was signed with the question"
	AnySpelling    Flaw = "takes claims in any spelling"
	Unsigned       Flaw = "takes answers without signature"
	AnyPhone       Flaw = "takes the answer of any phone"
	AnswerTwice    Flaw = "takes an answer twice"
	Late           Flaw = "takes an answer after the time"
	Replaced       Flaw = "takes an answer to a question that a newer one replaced"
	PossessionDoes Flaw = "takes an approval of the possession key where it demands the owner's"
	AnyBrowser     Flaw = "lets in any browser that knows the phone's id"
	Undead         Flaw = "leaves a removed phone be"
	TellsNames     Flaw = "tells names that nobody has"
	NamesInPush    Flaw = "puts the user's name in a push"
	AnyDemand      Flaw = "takes phones that do not meet what a set-up stage demands"
	UnsignedPrompt Flaw = "has another key sign what it asks"
)

// Flaws are those that an attack can find: all but AnyDemand, which shows in the matrix of phones.
func Flaws() []Flaw {
	return []Flaw{
		NoBudget, LocksOut, RingsAgain, Blind, AnyURL, AnyBody, AnyToken, AnyNonce, AnyKey, TokenAlone, ProofTwice, Unconfirmed, CodeTwice, AnyOwner,
		AnyAlgorithm, PrivateKeys, WrongLetsIn, GuessAgain, AnyClaims, AnySpelling, Unsigned, AnyPhone, AnswerTwice, Late, Replaced, PossessionDoes,
		AnyBrowser, Undead, TellsNames, NamesInPush, UnsignedPrompt,
	}
}

func (s *Server) flawed(among ...Flaw) bool {
	return slices.Contains(among, s.o.Flaw)
}

// loose is a JWS that is read as a careless server reads it.
type loose struct {
	alg    string
	claims map[string]any
	input  string
	signed []byte
}

func parseLoose(compact string) (loose, error) {
	var l loose
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return l, errors.New("not a compact JWS")
	}
	var header struct {
		Alg string `json:"alg"`
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || json.Unmarshal(raw, &header) != nil {
		return l, errors.New("no header")
	}
	if raw, err = base64.RawURLEncoding.DecodeString(parts[1]); err != nil || json.Unmarshal(raw, &l.claims) != nil {
		return l, errors.New("no claims")
	}
	l.alg, l.input = header.Alg, parts[0]+"."+parts[1]
	l.signed, err = base64.RawURLEncoding.DecodeString(parts[2])
	return l, err
}

func (l loose) by(k wire.Key) bool {
	public, ok := k.Public().(*ecdsa.PublicKey)
	if !ok || len(l.signed) != 64 {
		return false
	}
	sum := sha256.Sum256([]byte(l.input))
	return ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(l.signed[:32]), new(big.Int).SetBytes(l.signed[32:]))
}

func hashed(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// proved checks a proof as well as the flaw lets it.
func (s *Server) proved(k wire.Key, compact string, r wire.Request) (wire.Proof, error) {
	if s.flawed(AnyKey) {
		_, proof, err := wire.CheckProof(compact, r)
		return proof, err
	}
	if !s.flawed(AnyURL, AnyBody, AnyToken, AnyAlgorithm) {
		return k.CheckProof(compact, r)
	}
	l, err := parseLoose(compact)
	if err != nil {
		return wire.Proof{}, err
	}
	text := func(name string) string { v, _ := l.claims[name].(string); return v }
	good := (l.by(k) || s.flawed(AnyAlgorithm) && l.alg != k.Algorithm) && text("htm") == r.Method &&
		(text("htu") == r.URL || s.flawed(AnyURL)) && (text("bh") == hashed(r.Body) || s.flawed(AnyBody)) &&
		(text("ath") == hashed([]byte(r.Token)) || s.flawed(AnyToken))
	if !good {
		return wire.Proof{}, errors.New("the proof does not hold")
	}
	return wire.Proof{ID: text("jti"), Nonce: text("nonce")}, nil
}

// answered reads a signed answer as well as the flaw lets it.
func (s *Server) answered(k wire.Key, compact string, use wire.Use) (wire.Answer, error) {
	if !s.flawed(AnyAlgorithm, AnySpelling) {
		return k.CheckAnswer(compact, use)
	}
	l, err := parseLoose(compact)
	if err != nil {
		return wire.Answer{}, err
	}
	if !l.by(k) && !(s.flawed(AnyAlgorithm) && l.alg != k.Algorithm) {
		return wire.Answer{}, errors.New("the signature does not hold")
	}
	verb, _ := l.claims["act"].(string)
	item, _ := l.claims["item"].(string)
	return wire.Answer{Verb: wire.Verb(verb), Item: item}, nil
}

// public takes the private part off a key, as a server does that does not care.
func (s *Server) public(jwk json.RawMessage) json.RawMessage {
	var m map[string]string
	if !s.flawed(PrivateKeys) || json.Unmarshal(jwk, &m) != nil {
		return jwk
	}
	delete(m, "d")
	text, err := json.Marshal(m)
	if err != nil {
		return jwk
	}
	return bytes.TrimSpace(text)
}

// known is the cookie by which a guarded server knows the owner's browser.
const known = "countersign_browser"

// paused tells whether a guarded server has a user's phone rest.
func (s *Server) paused(r *http.Request, u *user) bool {
	if !s.o.Guarded || s.flawed(NoBudget) {
		return false
	}
	c, err := r.Cookie(known)
	mine := err == nil && c.Value == u.mark
	return (u.vain >= tries || u.denied) && (!mine || s.flawed(LocksOut))
}
