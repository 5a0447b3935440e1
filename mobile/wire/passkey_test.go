package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

var (
	site           = SiteOf(server)
	otherAlgorithm = map[string]string{"ES256": "EdDSA", "EdDSA": "ES256"}
)

// authenticator is one with the key of an algorithm, and the passkey as the server knows it.
func authenticator(t testing.TB, algorithm string) (*Authenticator, Passkey) {
	t.Helper()
	a := &Authenticator{Signer: signers(t)[algorithm], Site: site}
	return a, Passkey{Key: a.Key, RP: site.RP}
}

func (a *Authenticator) must(t testing.TB, challenge []byte) PasskeyAssertion {
	t.Helper()
	out, err := a.Get(challenge)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSiteOf(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]Site{
		"https://Login.Example/":        {"https://login.example", "login.example"},
		"https://login.example:443/":    {"https://login.example", "login.example"},
		"https://login.example:8443/":   {"https://login.example:8443", "login.example"},
		"http://localhost:9000/":        {"http://localhost:9000", "localhost"},
		"http://localhost:80/":          {"http://localhost", "localhost"},
		"http://localhost:443/":         {"http://localhost:443", "localhost"},
		"https://[2001:db8::1]:9443/":   {"https://[2001:db8::1]:9443", "2001:db8::1"},
		"https://login.example/a/path/": {"https://login.example", "login.example"},
	} {
		if got := SiteOf(base); got != want {
			t.Errorf("%s: %+v", base, got)
		}
	}
}

// T15: an assertion stands for the person only as it was made: of this passkey, at this server, for this answer, verified.
func TestAssertionIsOfOneAnswer(t *testing.T) {
	t.Parallel()
	challenge := AnswerChallenge("an.answer.jws")
	for _, algorithm := range []string{"ES256", "EdDSA"} {
		good, passkey := authenticator(t, algorithm)
		if n, err := passkey.CheckAssertion(good.must(t, challenge), challenge, site); err != nil || n != 0 {
			t.Fatalf("%s: %d %v", algorithm, n, err)
		}
		other, _ := authenticator(t, otherAlgorithm[algorithm])
		change := func(f func(*Authenticator)) PasskeyAssertion {
			one := *good
			f(&one)
			return one.must(t, challenge)
		}
		registration, err := good.Create(challenge)
		if err != nil {
			t.Fatal(err)
		}
		created := good.must(t, challenge)
		created.ClientData = registration.ClientData
		unsigned := good.must(t, challenge)
		unsigned.Signature = encode(make([]byte, 64))
		framed := good.must(t, challenge)
		text, err := decode(framed.ClientData, maxClientData)
		if err != nil {
			t.Fatal(err)
		}
		framed.ClientData = encode([]byte(strings.Replace(string(text), `"crossOrigin":false`, `"crossOrigin":true`, 1)))
		for name, x := range map[string]struct {
			assertion PasskeyAssertion
			says      string
		}{
			"another answer":           {good.must(t, AnswerChallenge("an.other.jws")), "challenge"},
			"another origin":           {change(func(a *Authenticator) { a.Site.Origin = "https://login.example.evil" }), "origin"},
			"another port":             {change(func(a *Authenticator) { a.Site.Origin = "https://login.example:8443" }), "origin"},
			"without TLS":              {change(func(a *Authenticator) { a.Site.Origin = "http://login.example" }), "origin"},
			"another relying party":    {change(func(a *Authenticator) { a.Site.RP = "example" }), "rpIdHash"},
			"nobody verified":          {change(func(a *Authenticator) { a.Unproven = true }), "not verified"},
			"nobody there":             {change(func(a *Authenticator) { a.Absent = true }), "not present"},
			"another passkey":          {other.must(t, challenge), "signature"},
			"a registration":           {created, "type"},
			"in the page of another":   {framed, "another site"},
			"no signature":             {unsigned, "signature"},
			"nothing":                  {PasskeyAssertion{}, "JSON"},
			"data too short":           {PasskeyAssertion{ClientData: framed.ClientData, AuthenticatorData: "AAAA"}, "another site"},
			"not base64url":            {PasskeyAssertion{ClientData: "!"}, "base64url"},
			"more than anybody writes": {PasskeyAssertion{ClientData: strings.Repeat("A", 4<<10)}, "more than"},
		} {
			if _, err := passkey.CheckAssertion(x.assertion, challenge, site); err == nil || !strings.Contains(err.Error(), x.says) {
				t.Errorf("%s: %s: %v", algorithm, name, err)
			}
		}
		// Each part that is signed.
		for name, f := range map[string]func(*PasskeyAssertion){
			"flags":   func(a *PasskeyAssertion) { a.AuthenticatorData = flip(t, a.AuthenticatorData, 32, 1<<3) },
			"counter": func(a *PasskeyAssertion) { a.AuthenticatorData = flip(t, a.AuthenticatorData, 36, 1) },
			"client data": func(a *PasskeyAssertion) {
				text, err := decode(a.ClientData, maxClientData)
				if err != nil {
					t.Fatal(err)
				}
				a.ClientData = encode(append(text, ' '))
			},
		} {
			a := good.must(t, challenge)
			f(&a)
			if _, err := passkey.CheckAssertion(a, challenge, site); !errors.Is(err, errSignature) {
				t.Errorf("%s: changed %s: %v", algorithm, name, err)
			}
		}
		// The relying party of the passkey is not that of the server now.
		elsewhere := passkey
		elsewhere.RP = "old.example"
		if _, err := elsewhere.CheckAssertion(good.must(t, challenge), challenge, site); err == nil {
			t.Errorf("%s: a passkey of another name of the server", algorithm)
		}
	}
}

func flip(t testing.TB, text string, at int, bits byte) string {
	t.Helper()
	b, err := decode(text, maxAuthData)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= bits
	return encode(b)
}

// A counter goes on, or does not count at all (WebAuthn §6.1.1).
func TestPasskeyCounter(t *testing.T) {
	t.Parallel()
	challenge := AnswerChallenge("an.answer.jws")
	for _, x := range []struct {
		stored, sent uint32
		ok           bool
	}{{0, 0, true}, {0, 1, true}, {5, 6, true}, {5, 900, true}, {5, 5, false}, {5, 4, false}, {5, 0, false}} {
		a, passkey := authenticator(t, "ES256")
		a.Counter, passkey.Counter = x.sent, x.stored
		n, err := passkey.CheckAssertion(a.must(t, challenge), challenge, site)
		if x.ok && (err != nil || n != x.sent) || !x.ok && !errors.Is(err, ErrCopied) {
			t.Errorf("%+v: %d %v", x, n, err)
		}
	}
}

// passkeyVectors show a registration and an assertion of an answer.
func passkeyVectors(t testing.TB, algorithm, answer string) []vector {
	t.Helper()
	a, _ := authenticator(t, algorithm)
	possession, _ := authenticator(t, otherAlgorithm[algorithm])
	registration, err := a.Create(PasskeyChallenge(request.Token, possession.Thumbprint))
	if err != nil {
		t.Fatal(err)
	}
	a.Counter = 7
	assertion := a.must(t, AnswerChallenge(answer))
	return []vector{
		{Name: algorithm + " passkey registration", Kind: "registration", Server: server, Token: request.Token, Possession: possession.Thumbprint, Registration: &registration},
		{Name: algorithm + " passkey assertion", Kind: "assertion", Server: server, JWS: answer, Assertion: &assertion},
	}
}

func (v vector) checkPasskey(k Key) error {
	at := SiteOf(v.Server)
	if v.Kind == "registration" {
		client, err := decode(v.Registration.ClientData, maxClientData)
		if err != nil {
			return err
		}
		return CheckRegistration(client, PasskeyChallenge(v.Token, v.Possession), at)
	}
	n, err := Passkey{Key: k, RP: at.RP, Counter: 6}.CheckAssertion(*v.Assertion, AnswerChallenge(v.JWS), at)
	if err == nil && n != 7 {
		return errors.New("another counter")
	}
	return err
}

func FuzzCheckAssertion(f *testing.F) {
	a, passkey := authenticator(f, "ES256")
	challenge := AnswerChallenge("an.answer.jws")
	good := a.must(f, challenge)
	f.Add(good.AuthenticatorData, good.ClientData, good.Signature)
	f.Fuzz(func(t *testing.T, data, client, signature string) {
		got := PasskeyAssertion{data, client, signature}
		if _, err := passkey.CheckAssertion(got, challenge, site); err != nil {
			return
		}
		// Only what the passkey signed passes. An ECDSA signature may be replaced by its negative, which is of the same text.
		if data != good.AuthenticatorData || client != good.ClientData {
			text, _ := json.Marshal(got)
			t.Errorf("%s passes", text)
		}
	})
}
