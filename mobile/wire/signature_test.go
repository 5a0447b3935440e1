package wire

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const (
	server = "https://login.example/"
	device = "018f6f7e-0000-7000-8000-000000000001"
)

var (
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	request = Request{Method: "POST", URL: server + Path(device, ActionResponse), Body: []byte(`{"tx_id":"x"}`), Token: "token"}
	prompt  = Prompt{
		TxID: "018f6f7e-0000-7000-8000-000000000002", Mode: NumberMatching3, Items: []string{"123", "456", "789"}, Created: noon, Expires: noon.Add(time.Minute),
		Context: Context{Application: "Büro <Nord> & Co", Host: "login.example", IP: "192.0.2.1", Browser: "Firefox", OS: "Linux", Time: noon},
	}
)

func signers(t testing.TB) map[string]*Signer {
	t.Helper()
	seed := sha256.Sum256([]byte("countersign test key"))
	p256, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*Signer{}
	for name, private := range map[string]crypto.Signer{"ES256": p256, "EdDSA": ed25519.NewKeyFromSeed(seed[:])} {
		s, err := NewSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = s
	}
	return out
}

func answerTo(t testing.TB, verb Verb, item string) Answer {
	t.Helper()
	digest, err := prompt.Digest(server, device)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{Server: server, Device: device, TxID: prompt.TxID, Digest: digest, Verb: verb, Item: item, Expires: prompt.Expires}
}

func TestSignaturesRoundTrip(t *testing.T) {
	t.Parallel()
	for name, s := range signers(t) {
		proof, err := s.Prove(request, "a-nonce", noon)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := s.CheckProof(proof, request); err != nil || p.Nonce != "a-nonce" || !p.IssuedAt.Equal(noon) || len(p.ID) < minID {
			t.Errorf("%s: %+v %v", name, p, err)
		}
		challenge, err := s.SignPrompt(prompt, server, device)
		if err != nil {
			t.Fatal(err)
		}
		shown, digest, err := s.CheckPrompt(challenge, server, device)
		if err != nil || shown.Context != prompt.Context || shown.TxID != prompt.TxID || !shown.Expires.Equal(prompt.Expires) {
			t.Errorf("%s: %+v %v", name, shown, err)
		}
		a := answerTo(t, Approve, "456")
		if a.Digest != digest {
			t.Errorf("%s: the phone's digest is %s, the server's %s", name, digest, a.Digest)
		}
		signed, err := s.SignAnswer(a, UseVerification)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.CheckAnswer(signed, UseVerification)
		if err != nil || got.Of(prompt, server, device) != nil || got.Item != "456" || got.Verb != Approve {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		if _, err := s.CheckAnswer(signed, UsePossession); err == nil {
			t.Errorf("%s: the verification key's answer passes for the other's (T15)", name)
		}
		if KeyNamed(signed) != s.Thumbprint {
			t.Errorf("%s: the answer names %q", name, KeyNamed(signed))
		}
	}
}

// What is written here by hand is what a library reads and writes, byte for byte where there is but one way.
func TestAgreesWithLibrary(t *testing.T) {
	t.Parallel()
	for name, s := range signers(t) {
		ours, err := s.Prove(request, "a-nonce", noon)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := jose.ParseSignedCompact(ours, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(name)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		payload, err := jws.Verify(jws.Signatures[0].Protected.JSONWebKey)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sum, err := jws.Signatures[0].Protected.JSONWebKey.Thumbprint(crypto.SHA256)
		if err != nil || encode(sum) != s.Thumbprint {
			t.Errorf("%s: the thumbprint is %s, theirs %s (%v)", name, s.Thumbprint, encode(sum), err)
		}
		for _, embed := range []bool{true, false} {
			o := (&jose.SignerOptions{EmbedJWK: embed}).WithType(typeProof)
			key := jose.JSONWebKey{Key: s.private}
			if !embed {
				key.KeyID = s.Thumbprint
			}
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(name), Key: key}, o)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := signer.Sign(payload)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := signed.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.verify(typeProof, theirs); err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%s, key in the header: %t: %v", name, embed, err)
			}
		}
	}
}

// T17: a proof is good for its method, URL, body and token, and for its key.
func TestProofIsOfOneRequest(t *testing.T) {
	t.Parallel()
	keys := signers(t)
	s := keys["ES256"]
	proof, err := s.Prove(request, "", noon)
	if err != nil {
		t.Fatal(err)
	}
	for name, bend := range map[string]func(*Request){
		"method": func(r *Request) { r.Method = "PUT" },
		"host":   func(r *Request) { r.URL = strings.Replace(r.URL, "login", "evil", 1) },
		"path":   func(r *Request) { r.URL = server + Path(device, ActionPushKey) },
		"scheme": func(r *Request) { r.URL = strings.Replace(r.URL, "https", "http", 1) },
		"body":   func(r *Request) { r.Body = []byte(`{"tx_id":"y"}`) },
		"none":   func(r *Request) { r.Body = nil },
		"token":  func(r *Request) { r.Token = "other" },
	} {
		r := request
		bend(&r)
		if _, err := s.CheckProof(proof, r); err == nil {
			t.Errorf("another %s is proved too", name)
		}
	}
	if _, err := keys["EdDSA"].CheckProof(proof, request); err == nil {
		t.Error("another key's proof holds")
	}
	withQuery := request
	withQuery.URL += "?wait=5"
	if _, err := s.CheckProof(proof, withQuery); err != nil {
		t.Errorf("the query counts: %v", err)
	}
}

// T6, T16: an answer is to the question that was shown, with every field of it.
func TestAnswerIsToWhatWasShown(t *testing.T) {
	t.Parallel()
	a := answerTo(t, Approve, "456")
	for name, bend := range map[string]func(*Prompt){
		"transaction": func(p *Prompt) { p.TxID = device },
		"application": func(p *Prompt) { p.Context.Application = "Bank" },
		"host":        func(p *Prompt) { p.Context.Host = "evil.example" },
		"ip":          func(p *Prompt) { p.Context.IP = "198.51.100.1" },
		"browser":     func(p *Prompt) { p.Context.Browser = "" },
		"os":          func(p *Prompt) { p.Context.OS = "" },
		"time":        func(p *Prompt) { p.Context.Time = noon.Add(time.Second) },
		"mode":        func(p *Prompt) { p.Mode = NumberMatching2 },
		"items":       func(p *Prompt) { p.Items = []string{"456", "123", "789"} },
		"created":     func(p *Prompt) { p.Created = noon.Add(time.Second) },
		"expires":     func(p *Prompt) { p.Expires = p.Expires.Add(time.Second) },
	} {
		p := prompt
		bend(&p)
		if a.Of(p, server, device) == nil {
			t.Errorf("another %s is answered too", name)
		}
	}
	if a.Of(prompt, "https://other.example/", device) == nil || a.Of(prompt, server, prompt.TxID) == nil {
		t.Error("another server's or device's question is answered too")
	}
}

// T14, T19: what is no public key on one of the two curves, whole and well formed, is refused.
func TestBadKeys(t *testing.T) {
	t.Parallel()
	for name, s := range signers(t) {
		good, err := json.Marshal(s.Key)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := ParseKey(good); err != nil || k.Thumbprint != s.Thumbprint {
			t.Errorf("%s: %v", name, err)
		}
		var jwk map[string]any
		if err := json.Unmarshal(good, &jwk); err != nil {
			t.Fatal(err)
		}
		for what, bend := range map[string]func(m map[string]any){
			"private part":      func(m map[string]any) { m["d"] = encode(make([]byte, 32)) },
			"symmetric":         func(m map[string]any) { m["kty"], m["k"] = "oct", "c2VjcmV0" },
			"empty private":     func(m map[string]any) { m["d"] = "" },
			"another curve":     func(m map[string]any) { m["crv"] = "P-384" },
			"encryption curve":  func(m map[string]any) { m["crv"] = "X25519" },
			"secp256k1":         func(m map[string]any) { m["crv"] = "secp256k1" },
			"short coordinate":  func(m map[string]any) { m["x"] = encode(make([]byte, 31)) },
			"long coordinate":   func(m map[string]any) { m["x"] = encode(make([]byte, 33)) },
			"padded coordinate": func(m map[string]any) { m["x"] = m["x"].(string) + "=" },
			"number":            func(m map[string]any) { m["x"] = 7 },
			"another algorithm": func(m map[string]any) { m["alg"] = "HS256" },
			"for encryption":    func(m map[string]any) { m["use"] = "enc" },
			"no type":           func(m map[string]any) { delete(m, "kty") },
			"no coordinate":     func(m map[string]any) { delete(m, "x") },
			"private null":      func(m map[string]any) { m["d"] = nil },
			"private capital":   func(m map[string]any) { m["D"] = "AA" },
			"the other's type":  func(m map[string]any) { m["kty"] = map[string]string{"EC": "OKP", "OKP": "EC"}[m["kty"].(string)] },
			"large":             func(m map[string]any) { m["more"] = strings.Repeat("x", maxKeyBytes) },
		} {
			bent := map[string]any{}
			for k, v := range jwk {
				bent[k] = v
			}
			bend(bent)
			text, err := json.Marshal(bent)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseKey(text); err == nil {
				t.Errorf("%s: a key with %s is taken", name, what)
			}
		}
	}
	off, err := json.Marshal(map[string]any{"kty": "EC", "crv": "P-256", "x": encode(bytes.Repeat([]byte{1}, 32)), "y": encode(bytes.Repeat([]byte{2}, 32))})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "null", "[]", `"x"`, "{}", string(off)} {
		if _, err := ParseKey([]byte(text)); err == nil {
			t.Errorf("%s is taken for a key", text)
		}
	}
	for name, private := range map[string]func() (crypto.Signer, error){
		"RSA":   func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		"P-384": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
	} {
		key, err := private()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewSigner(key); err == nil {
			t.Errorf("a key of %s signs", name)
		}
	}
}

// forge makes a compact JWS by hand.
func forge(header, payload string, sign func(input []byte) []byte) string {
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	return input + "." + encode(sign([]byte(input)))
}

// es256 signs as RFC 7518 §3.4 says: R and S of 32 bytes each.
func es256(t testing.TB, s *Signer) func([]byte) []byte {
	return func(input []byte) []byte {
		r, v := rs(t, s, input)
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		v.FillBytes(out[32:])
		return out
	}
}

func rs(t testing.TB, s *Signer, input []byte) (r, v *big.Int) {
	t.Helper()
	digest := sha256.Sum256(input)
	r, v, err := ecdsa.Sign(rand.Reader, s.private.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return r, v
}

// T19, T20: how an answer may not be signed.
func TestForgedSignatures(t *testing.T) {
	t.Parallel()
	s := signers(t)["ES256"]
	jwk, err := json.Marshal(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := s.SignAnswer(answerTo(t, Approve, "456"), UsePossession)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	payload := string(raw)
	head := func(alg, more string) string {
		return `{"alg":"` + alg + `","typ":"` + typeAnswer + `","kid":"` + s.Thumbprint + `"` + more + `}`
	}
	good := es256(t, s)
	if _, err := s.CheckAnswer(forge(head("ES256", ""), payload, good), UsePossession); err != nil {
		t.Fatalf("made by hand: %v", err)
	}
	public, err := json.Marshal(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func(key []byte) func([]byte) []byte {
		return func(input []byte) []byte {
			mac := hmac.New(sha256.New, key)
			mac.Write(input)
			return mac.Sum(nil)
		}
	}
	other := signers(t)["EdDSA"]
	for name, text := range map[string]string{
		"none":                    forge(head("none", ""), payload, func([]byte) []byte { return nil }),
		"None":                    forge(head("None", ""), payload, func([]byte) []byte { return nil }),
		"HS256 by the public key": forge(head("HS256", ""), payload, hs256(public)),
		"HS256 by the thumbprint": forge(head("HS256", ""), payload, hs256([]byte(s.Thumbprint))),
		"EdDSA":                   forge(head("EdDSA", ""), payload, good),
		"ES384":                   forge(head("ES384", ""), payload, good),
		"RS256":                   forge(head("RS256", ""), payload, good),
		"no signature":            forge(head("ES256", ""), payload, func([]byte) []byte { return nil }),
		"zeros (psychic)":         forge(head("ES256", ""), payload, func([]byte) []byte { return make([]byte, 64) }),
		"a byte short":            forge(head("ES256", ""), payload, func(in []byte) []byte { return good(in)[1:] }),
		"a byte long":             forge(head("ES256", ""), payload, func(in []byte) []byte { return append(good(in), 0) }),
		"ASN.1": forge(head("ES256", ""), payload, func(in []byte) []byte {
			d := sha256.Sum256(in)
			b, _ := s.private.Sign(rand.Reader, d[:], crypto.SHA256)
			return b
		}),
		"of another text":             forge(head("ES256", ""), payload, func([]byte) []byte { return good([]byte("other")) }),
		"another type":                forge(strings.Replace(head("ES256", ""), typeAnswer, typeProof, 1), payload, good),
		"no type":                     forge(`{"alg":"ES256","kid":"`+s.Thumbprint+`"}`, payload, good),
		"no key named":                forge(`{"alg":"ES256","typ":"`+typeAnswer+`"}`, payload, good),
		"another key named":           forge(strings.Replace(head("ES256", ""), s.Thumbprint, other.Thumbprint, 1), payload, good),
		"a key of its own":            forge(head("ES256", `,"jwk":`+strings.Replace(string(jwk), s.Thumbprint, "", 1)[:len(jwk)-1]+`,"d":"AA"}`), payload, good),
		"jku":                         forge(head("ES256", `,"jku":"https://evil.example/"`), payload, good),
		"x5c":                         forge(head("ES256", `,"x5c":["AA"]`), payload, good),
		"crit":                        forge(head("ES256", `,"crit":["exp"],"exp":1`), payload, good),
		"unencoded payload":           forge(head("ES256", `,"b64":false,"crit":["b64"]`), payload, good),
		"two verbs":                   forge(head("ES256", ""), strings.Replace(payload, `{"act":"approve"`, `{"act":"deny","act":"approve"`, 1), good),
		"an unknown claim":            forge(head("ES256", ""), strings.Replace(payload, `"v":1`, `"v":1,"w":2`, 1), good),
		"spaces":                      forge(head("ES256", ""), strings.Replace(payload, ",", ", ", 1), good),
		"another order":               forge(head("ES256", ""), `{"v":1,`+strings.Replace(payload[1:], `,"v":1`, "", 1), good),
		"another case of a name":      forge(head("ES256", ""), strings.Replace(payload, `"act"`, `"ACT"`, 1), good),
		"an escape":                   forge(head("ES256", ""), strings.Replace(payload, "approve", `\u0061pprove`, 1), good),
		"a fraction":                  forge(head("ES256", ""), strings.Replace(payload, `"v":1`, `"v":1.0`, 1), good),
		"a later version":             forge(head("ES256", ""), strings.Replace(payload, `"v":1`, `"v":2`, 1), good),
		"an unknown verb":             forge(head("ES256", ""), strings.Replace(payload, "approve", "Approve", 1), good),
		"approve without item":        forge(head("ES256", ""), strings.Replace(payload, `"item":"456"`, `"item":""`, 1), good),
		"deny with item":              forge(head("ES256", ""), strings.Replace(payload, "approve", "deny", 1), good),
		"JSON serialisation":          `{"payload":"` + encode([]byte(payload)) + `","protected":"` + encode([]byte(head("ES256", ""))) + `","signature":""}`,
		"more behind the header":      forge(head("ES256", "")+"}", payload, good),
		"four parts":                  compact + ".AA",
		"empty":                       "",
		"large":                       strings.Repeat("A", maxTokenBytes+1),
		"trailing bits in the header": "e" + compact[1:strings.IndexByte(compact, '.')] + "=" + compact[strings.IndexByte(compact, '.'):],
	} {
		if _, err := s.CheckAnswer(text, UsePossession); err == nil {
			t.Errorf("%s holds", name)
		} else if strings.Contains(err.Error(), payload) {
			t.Errorf("%s: the error repeats what was sent", name)
		}
	}
}

// T24: a phone shows what its server signed for it, and nothing else.
func TestForeignChallenges(t *testing.T) {
	t.Parallel()
	s := signers(t)
	compact, err := s["ES256"].SignPrompt(prompt, server, device)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s["EdDSA"].CheckPrompt(compact, server, device); err == nil {
		t.Error("another server's signature holds")
	}
	if _, _, err := s["ES256"].CheckPrompt(compact, "https://other.example/", device); err == nil {
		t.Error("another server's challenge is shown")
	}
	if _, _, err := s["ES256"].CheckPrompt(compact, server, prompt.TxID); err == nil {
		t.Error("another device's challenge is shown")
	}
	i := strings.IndexByte(compact, '.') + 5
	bent := compact[:i] + string(compact[i]^1) + compact[i+1:]
	if _, _, err := s["ES256"].CheckPrompt(bent, server, device); err == nil {
		t.Error("a challenge that was altered is shown")
	}
	unfit := prompt
	unfit.Items = []string{"123"}
	if compact, err = s["ES256"].SignPrompt(unfit, server, device); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s["ES256"].CheckPrompt(compact, server, device); err == nil {
		t.Error("a challenge that cannot be answered is shown")
	}
}

// vector is one example for whoever writes a phone app.
type vector struct {
	Name      string          `json:"name"`
	Key       json.RawMessage `json:"key"` // public, as JWK
	Private   string          `json:"private_key,omitempty"`
	Kind      string          `json:"kind"` // proof, challenge, answer, registration, assertion
	Method    string          `json:"method,omitempty"`
	URL       string          `json:"url,omitempty"`
	Body      string          `json:"body,omitempty"`
	Token     string          `json:"token,omitempty"`
	Server    string          `json:"server,omitempty"`
	Device    string          `json:"device,omitempty"`
	Use       Use             `json:"use,omitempty"`
	Challenge string          `json:"challenge_payload,omitempty"` // the signed text, unencoded
	Digest    string          `json:"challenge_digest,omitempty"`
	Payload   string          `json:"payload,omitempty"` // unencoded
	JWS       string          `json:"jws,omitempty"`

	Possession   string               `json:"possession_thumbprint,omitempty"`
	Registration *PasskeyRegistration `json:"registration,omitempty"`
	Assertion    *PasskeyAssertion    `json:"assertion,omitempty"`
}

func vectors(t testing.TB) []vector {
	t.Helper()
	var out []vector
	seed := sha256.Sum256([]byte("countersign test key"))
	for _, alg := range []string{"ES256", "EdDSA"} {
		s := signers(t)[alg]
		jwk, err := json.Marshal(s.Key)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := prompt.payload(server, device)
		if err != nil {
			t.Fatal(err)
		}
		add := func(v vector, compact string, err error) {
			if err != nil {
				t.Fatal(err)
			}
			raw, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			v.Key, v.Private, v.JWS, v.Payload = jwk, encode(seed[:]), compact, string(raw)
			out = append(out, v)
		}
		compact, err := s.Prove(request, "a-nonce", noon)
		add(vector{Name: alg + " proof", Kind: "proof", Method: request.Method, URL: request.URL, Body: string(request.Body), Token: request.Token}, compact, err)
		compact, err = s.SignPrompt(prompt, server, device)
		add(vector{Name: alg + " challenge", Kind: "challenge", Server: server, Device: device, Digest: hash(shown)}, compact, err)
		for _, a := range []Answer{answerTo(t, Approve, "456"), answerTo(t, Deny, ""), answerTo(t, Report, "")} {
			compact, err = s.SignAnswer(a, UsePossession)
			add(vector{
				Name: alg + " answer " + string(a.Verb), Kind: "answer", Server: server, Device: device, Use: UsePossession, Challenge: string(shown), Digest: hash(shown),
			}, compact, err)
		}
		for _, v := range passkeyVectors(t, alg, compact) {
			v.Key, v.Private = jwk, encode(seed[:])
			out = append(out, v)
		}
		for _, p := range typedPrompts() {
			text, err := p.payload(server, device)
			if err != nil {
				t.Fatal(err)
			}
			name := alg + " " + string(p.Mode)
			compact, err = s.SignPrompt(p, server, device)
			add(vector{Name: name + " challenge", Kind: "challenge", Server: server, Device: device, Digest: hash(text)}, compact, err)
			a := answerTo(t, Approve, "093027")
			a.Digest = hash(text)
			compact, err = s.SignAnswer(a, UsePossession)
			add(vector{
				Name: name + " answer", Kind: "answer", Server: server, Device: device, Use: UsePossession, Challenge: string(text), Digest: hash(text),
			}, compact, err)
		}
	}
	return out
}

// typedPrompts are those in which six digits are carried: none to be seen on the phone, and the code that it shows.
func typedPrompts() []Prompt {
	typed, shown := prompt, prompt
	typed.Mode, typed.Items = NumberTyped6, nil
	shown.Mode, shown.Items = CodeShown6, []string{"093027"}
	return []Prompt{typed, shown}
}

// What a phone is shown where something is typed survives the signature, and has one form.
func TestTypedPromptsAreSigned(t *testing.T) {
	t.Parallel()
	s := signers(t)["EdDSA"]
	for _, p := range typedPrompts() {
		compact, err := s.SignPrompt(p, server, device)
		if err != nil {
			t.Fatal(err)
		}
		got, digest, err := s.CheckPrompt(compact, server, device)
		if err != nil || got.Mode != p.Mode || !slices.Equal(got.Items, p.Items) {
			t.Errorf("%s: %+v %v", p.Mode, got, err)
		}
		again := got
		again.Items = append([]string{}, p.Items...) // as a database gives it
		if d, err := again.Digest(server, device); err != nil || d != digest {
			t.Errorf("%s: the digest depends on how the items were read: %v", p.Mode, err)
		}
		p.Items = []string{"093027", "1"}
		if compact, err = s.SignPrompt(p, server, device); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.CheckPrompt(compact, server, device); err == nil {
			t.Errorf("%s with two items is shown", p.Mode)
		}
	}
}

// The published vectors hold. With -update they are made anew: ES256 signatures differ each time.
func TestVectors(t *testing.T) {
	t.Parallel()
	const file = "testdata/vectors.json"
	if *update {
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(vectors(t)); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil || len(all) != 22 {
		t.Fatalf("%d vectors: %v", len(all), err)
	}
	for _, v := range all {
		k, err := ParseKey(v.Key)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		switch v.Kind {
		case "proof":
			_, err = k.CheckProof(v.JWS, Request{Method: v.Method, URL: v.URL, Body: []byte(v.Body), Token: v.Token})
		case "challenge":
			var digest string
			if _, digest, err = k.CheckPrompt(v.JWS, v.Server, v.Device); err == nil && digest != v.Digest {
				t.Errorf("%s: digest %s, want %s", v.Name, digest, v.Digest)
			}
		case "answer":
			var a Answer
			if a, err = k.CheckAnswer(v.JWS, v.Use); err == nil && (a.Digest != v.Digest || a.Server != v.Server || a.Device != v.Device) {
				t.Errorf("%s: it is to something else", v.Name)
			}
			if hash([]byte(v.Challenge)) != v.Digest {
				t.Errorf("%s: the digest is not that of the text", v.Name)
			}
		case "registration", "assertion":
			err = v.checkPasskey(k)
		default:
			t.Errorf("%s: kind %q", v.Name, v.Kind)
		}
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
}

func FuzzCheckAnswer(f *testing.F) {
	s := signers(f)["ES256"]
	for _, v := range vectors(f) {
		f.Add(v.JWS)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		a, err := s.CheckAnswer(compact, UsePossession)
		if err != nil {
			return
		}
		// Only what the key signed passes, and it is read in one way.
		again, err := canonical(answerClaims{
			Verb: a.Verb, Server: a.Server, Digest: a.Digest, Expires: a.Expires.Unix(), Item: a.Item, Device: a.Device, TxID: a.TxID, IssuedFor: string(UsePossession), Version: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
		if err != nil || !bytes.Equal(again, payload) {
			t.Errorf("%s reads as %s", payload, again)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, s := range signers(f) {
		text, err := json.Marshal(s.Key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseKey(text)
		if err != nil {
			return
		}
		out, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseKey(out); err != nil || again.Thumbprint != k.Thumbprint {
			t.Errorf("%s becomes %s: %v", text, out, err)
		}
	})
}

// What one core checks in a second: of each answer there are a proof and a signature.
func BenchmarkCheck(b *testing.B) {
	for name, s := range signers(b) {
		b.Run(name, func(b *testing.B) {
			compact, err := s.SignAnswer(answerTo(b, Approve, "456"), UsePossession)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.CheckAnswer(compact, UsePossession); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
