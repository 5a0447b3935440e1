package attack

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"countersign/mobile/wire"
)

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// claims are those of an answer or a proof, of which any can be changed: as JSON they are in the order of their names.
type claims map[string]any

// taken gives the claims of a compact JWS.
func taken(jws string) (claims, error) {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(jws, ".")[1])
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.UseNumber()
	var c claims
	return c, d.Decode(&c)
}

func (c claims) with(name string, value any) claims {
	out := claims{}
	for k, v := range c {
		out[k] = v
	}
	out[name] = value
	return out
}

func (c claims) text() []byte {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // of text and numbers
	}
	return text
}

// forged is a compact JWS with whatever header and payload.
func forged(header string, payload []byte, sign func(input string) []byte) string {
	input := encode([]byte(header)) + "." + encode(payload)
	return input + "." + encode(sign(input))
}

func unsigned(string) []byte { return nil }

// raw signs as ES256 does (RFC 7518 §3.4).
func (k *key) raw(input string) []byte {
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		panic(err) // the system has no randomness
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}

// der signs as ES256 does, and writes it as X.509 would.
func (k *key) der(input string) []byte {
	sum := sha256.Sum256([]byte(input))
	out, err := ecdsa.SignASN1(rand.Reader, k.private, sum[:])
	if err != nil {
		panic(err) // the system has no randomness
	}
	return out
}

func hs256(secret []byte) func(string) []byte {
	return func(input string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
}

// resigned is a compact JWS of a kind with these claims, by a key that its header names.
func (k *key) resigned(kind string, payload []byte) string {
	return forged(`{"alg":"ES256","kid":"`+k.Thumbprint+`","typ":"`+kind+`"}`, payload, k.raw)
}

const (
	answerType = "countersign-answer+jwt"
	proofType  = "dpop+jwt"
)

// confusion is a way to sign that no server may take for the key's own.
type confusion struct {
	what string
	jws  func(kind, named string, payload []byte) string // named is the member of the header that names the key
}

// confusions are ways to make a token that is none of the key k; server is the server's key, mine one of the attacker's.
func confusions(k *key, server wire.Key, mine *key) []confusion {
	jwk := func(s wire.Key) []byte {
		text, err := json.Marshal(s)
		if err != nil {
			panic(err) // a key that was parsed
		}
		return text
	}
	header := func(alg, kind, named string) string {
		return `{"alg":"` + alg + `",` + named + `,"typ":"` + kind + `"}`
	}
	with := func(alg string, sign func(string) []byte) func(kind, named string, payload []byte) string {
		return func(kind, named string, payload []byte) string {
			return forged(header(alg, kind, named), payload, sign)
		}
	}
	return []confusion{
		{"alg none", with("none", unsigned)},
		{"alg None", with("None", unsigned)},
		{"no signature", with("ES256", unsigned)},
		{"a signature of zeros", with("ES256", func(string) []byte { return make([]byte, 64) })},
		{"HS256 with the public key as JWK", with("HS256", hs256(jwk(k.Key)))},
		{"HS256 with the server's public key as JWK", with("HS256", hs256(jwk(server)))},
		{"HS256 with the thumbprint", with("HS256", hs256([]byte(k.Thumbprint)))},
		{"HS256 with nothing", with("HS256", hs256(nil))},
		{"another key's signature under this key's name", with("ES256", mine.raw)},
		{"the right signature in DER", with("ES256", k.der)},
		{"the right signature under alg ES384", with("ES384", k.raw)},
		{"the right signature under alg EdDSA", with("EdDSA", k.raw)},
		{"the right signature with a critical extension", func(kind, named string, payload []byte) string {
			return forged(`{"alg":"ES256","crit":["b64"],"b64":true,`+named+`,"typ":"`+kind+`"}`, payload, k.raw)
		}},
		{"the right signature under another typ", func(_, named string, payload []byte) string {
			return forged(header("ES256", "JWT", named), payload, k.raw)
		}},
		{"another key, which the header brings along", func(kind, _ string, payload []byte) string {
			return forged(header("ES256", kind, `"jwk":`+string(jwk(mine.Key))), payload, mine.raw)
		}},
	}
}
