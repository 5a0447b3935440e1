package attestation_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/mobile/attestation"
	"countersign/mobile/wire"
	"countersign/simulator/maker"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func verifier(t testing.TB, m *maker.Maker) *attestation.Verifier {
	t.Helper()
	android, err := attestation.ParseRoots(m.AndroidRoots())
	if err != nil {
		t.Fatal(err)
	}
	apple, err := attestation.ParseRoots(m.AppleRoots())
	if err != nil {
		t.Fatal(err)
	}
	return &attestation.Verifier{AndroidRoots: android, AppleRoots: apple, Now: func() time.Time { return noon }}
}

func newMaker(t testing.TB) *maker.Maker {
	t.Helper()
	m, err := maker.New()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newKey(t testing.TB) *ecdsa.PublicKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &k.PublicKey
}

func code(err error) string {
	var r *attestation.Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.Code
	}
	return "not a refusal: " + err.Error()
}

var (
	challenge = wire.AttestationChallenge("0192f3a4-5b6c-7d8e-9f01-23456789abcd", "sesame")
	app       = func() string { s := maker.Signer(); return maker.Package + "/" + hex.EncodeToString(s[:]) }()
)

// G8: each fault that a chain of Android can have is noticed, by the check that is for it, and a good one passes.
func TestAndroidKey(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	v := verifier(t, m)
	revoked, err := attestation.ParseStatus(bytes.NewReader(m.Status()))
	if err != nil {
		t.Fatal(err)
	}
	hardware := attestation.Policy{Demand: attestation.Hardware, MinPatch: "2025-01", Apps: []string{app}}
	for _, x := range []struct {
		fault  maker.Fault
		demand attestation.Demand
		code   string
	}{
		{maker.Good, attestation.Hardware, ""},
		{maker.Good, attestation.InChip, "level"},
		{maker.StrongBox, attestation.Hardware, ""},
		{maker.StrongBox, attestation.InChip, ""},
		{maker.Software, attestation.Hardware, "level"},
		{maker.Software, attestation.Recorded, ""},
		{maker.Revoked, attestation.Hardware, "revoked"},
		{maker.Rooted, attestation.Hardware, "boot"},
		{maker.SelfSigned, attestation.Hardware, "boot"},
		{maker.Foreign, attestation.Hardware, "key"},
		{maker.WrongChallenge, attestation.Hardware, "challenge"},
		{maker.Untrusted, attestation.Hardware, "untrusted"},
		{maker.Expired, attestation.Hardware, "expired"},
		{maker.Extended, attestation.Hardware, "untrusted"},
		{maker.OldPatch, attestation.Hardware, "patch"},
		{maker.Imported, attestation.Hardware, "key"},
	} {
		key := newKey(t)
		chain, err := m.AndroidChain(maker.Order{Fault: x.fault, Key: key, Challenge: challenge, UserAuth: true})
		if err != nil {
			t.Fatal(err)
		}
		keys := []attestation.Key{{Name: "possession", Public: newKey(t)}, {Name: "user_verification", Public: key}}
		f, err := v.AndroidKey(chain, challenge, keys)
		for _, s := range f.Serials {
			if why, found := revoked[s]; found && err == nil {
				err = attestation.RevokedError(why)
			}
		}
		if err == nil {
			p := hardware
			p.Demand, p.UserAuth = x.demand, "user_verification"
			err = p.Check(f)
		}
		if got := code(err); got != x.code {
			t.Errorf("%s for %s: %q, want %q (%v)", x.fault, x.demand, got, x.code, err)
		}
		if x.code != "" || x.fault == maker.Software {
			continue
		}
		if f.Key != "user_verification" || f.Boot != attestation.Verified || !f.Locked || !f.UserAuth || f.Patch != "2026-02" ||
			f.OSVersion != 160000 || !slices.Equal(f.Apps, []string{app}) || !f.Checked.Equal(noon) {
			t.Errorf("%s: %+v", x.fault, f)
		}
	}
}

// What the policy asks is asked of what was found.
func TestPolicy(t *testing.T) {
	t.Parallel()
	good := attestation.Finding{
		Format: wire.AndroidKey, Level: attestation.TEE, Boot: attestation.Verified, Locked: true, Patch: "2026-02", Apps: []string{app},
	}
	iPhone := attestation.Finding{Format: wire.AppAttest, Level: attestation.GenuineApp, Environment: attestation.Production, Apps: []string{maker.AppID}}
	change := func(f attestation.Finding, do func(*attestation.Finding)) attestation.Finding {
		do(&f)
		return f
	}
	hardware := attestation.Policy{Demand: attestation.Hardware}
	for _, x := range []struct {
		name   string
		policy attestation.Policy
		found  attestation.Finding
		code   string
	}{
		{"good", hardware, good, ""},
		{"nothing found", hardware, attestation.Finding{}, "level"},
		{"no patch level", attestation.Policy{Demand: attestation.Hardware, MinPatch: "2026-02"}, change(good, func(f *attestation.Finding) { f.Patch = "" }), "patch"},
		{"the patch level", attestation.Policy{Demand: attestation.Hardware, MinPatch: "2026-02"}, good, ""},
		{"verified and unlocked", hardware, change(good, func(f *attestation.Finding) { f.Locked = false }), "boot"},
		{"another app", attestation.Policy{Demand: attestation.Hardware, Apps: []string{"other.app/" + strings.Repeat("0", 64)}}, good, "app"},
		{"no owner", attestation.Policy{Demand: attestation.Hardware, UserAuth: "user_verification"}, change(good, func(f *attestation.Finding) { f.Key = "user_verification" }), "user_authentication"},
		{"another key", attestation.Policy{Demand: attestation.Hardware, UserAuth: "user_verification"}, good, ""},
		{"iPhone", hardware, iPhone, ""},
		{"iPhone in development", hardware, change(iPhone, func(f *attestation.Finding) { f.Environment = attestation.Development }), "environment"},
		{"iPhone for a chip", attestation.Policy{Demand: attestation.InChip}, iPhone, "level"},
		{"anything, recorded", attestation.Policy{Demand: attestation.Recorded}, attestation.Finding{}, ""},
	} {
		if got := code(x.policy.Check(x.found)); got != x.code {
			t.Errorf("%s: %q, want %q", x.name, got, x.code)
		}
	}
}

// A chain is taken as it was sent: with its root or without, and not with a certificate too many or too few.
func TestChains(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	v := verifier(t, m)
	key := newKey(t)
	chain, err := m.AndroidChain(maker.Order{Key: key, Challenge: challenge})
	if err != nil {
		t.Fatal(err)
	}
	other, err := m.AndroidChain(maker.Order{Key: newKey(t), Challenge: challenge})
	if err != nil {
		t.Fatal(err)
	}
	later := func(c [][]byte, by int) [][]byte { return append(slices.Clone(c[:1]), c[by:]...) }
	flipped := slices.Clone(chain)
	flipped[0] = bytes.Clone(flipped[0])
	flipped[0][len(flipped[0])-1] ^= 1
	for name, x := range map[string]struct {
		chain [][]byte
		code  string
	}{
		"whole":                  {chain, ""},
		"without the root":       {chain[:2], ""},
		"without the batch":      {later(chain, 2), "untrusted"},
		"the leaf alone":         {chain[:1], "untrusted"},
		"the root alone":         {chain[2:], "malformed"},
		"none":                   {nil, "malformed"},
		"too long":               {slices.Repeat(chain[2:], 11), "malformed"},
		"a leaf before":          {append([][]byte{other[0]}, chain...), "untrusted"},
		"a detour":               {[][]byte{chain[0], chain[1], chain[1], chain[2]}, "untrusted"},
		"the wrong way round":    {[][]byte{chain[2], chain[1], chain[0]}, "untrusted"},
		"a signature is altered": {flipped, "untrusted"},
		"not certificates":       {[][]byte{[]byte("hello")}, "malformed"},
		"something after it":     {[][]byte{append(bytes.Clone(chain[0]), 0), chain[1]}, "malformed"},
	} {
		_, err := v.AndroidKey(x.chain, challenge, []attestation.Key{{Name: "possession", Public: key}})
		if got := code(err); got != x.code {
			t.Errorf("%s: %q, want %q (%v)", name, got, x.code, err)
		}
	}
}

// G8: App Attest's object is held against Apple's root, the enrolment, the keys and the app.
func TestAppAttest(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	v := verifier(t, m)
	keys := []attestation.Key{{Name: "possession", Thumbprint: strings.Repeat("a", 43)}, {Name: "user_verification", Thumbprint: strings.Repeat("b", 43)}}
	client := sha256.Sum256(wire.AttestationClientData(challenge, keys[0].Thumbprint, keys[1].Thumbprint))
	apps := []string{"OTHERTEAM0.app", maker.AppID}
	for fault, want := range map[maker.Fault]string{
		maker.Good: "", maker.Development: "environment", maker.WrongChallenge: "challenge", maker.Untrusted: "untrusted", maker.Expired: "expired",
		maker.Rooted: "app", maker.Revoked: "key",
	} {
		raw, err := m.AppleObject(fault, client)
		if err != nil {
			t.Fatal(err)
		}
		f, err := v.AppAttest(raw, challenge, keys, apps)
		if err == nil {
			err = attestation.Policy{Demand: attestation.Hardware}.Check(f)
		}
		if got := code(err); got != want {
			t.Errorf("%s: %q, want %q (%v)", fault, got, want, err)
		}
		if fault == maker.Good && (f.Level != attestation.GenuineApp || !slices.Equal(f.Apps, []string{maker.AppID})) {
			t.Errorf("found %+v", f)
		}
	}
	raw, err := m.AppleObject(maker.Good, client)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.AppAttest(raw, challenge, keys[:1], apps); code(err) != "challenge" {
		t.Errorf("for one key less: %v", err)
	}
	if _, err := v.AppAttest(raw, challenge, keys, nil); code(err) != "app" {
		t.Errorf("where no app is allowed: %v", err)
	}
	if _, err := v.AppAttest(append(raw, 0), challenge, keys, apps); code(err) != "malformed" {
		t.Errorf("with a byte more: %v", err)
	}
	credential := bytes.Index(raw, []byte("appattest\x00")) + 18
	raw[credential] ^= 1 // breaks the nonce as well
	if _, err := v.AppAttest(raw, challenge, keys, apps); code(err) != "challenge" {
		t.Errorf("with another credential: %v", err)
	}
}

func TestParseRoots(t *testing.T) {
	t.Parallel()
	m, n := newMaker(t), newMaker(t)
	list, err := json.Marshal([]string{string(m.AndroidRoots()), string(n.AndroidRoots())})
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		text string
		n    int
	}{
		"PEM":         {string(m.AndroidRoots()) + "\n" + string(n.AndroidRoots()), 2},
		"JSON":        {string(list), 2},
		"nothing":     {"", 0},
		"text":        {"hello", 0},
		"text after":  {string(m.AndroidRoots()) + "hello", 0},
		"a key":       {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0},
		"JSON broken": {"[1]", 0},
	} {
		roots, err := attestation.ParseRoots([]byte(x.text))
		if len(roots) != x.n || (err == nil) != (x.n > 0) {
			t.Errorf("%s: %d roots, %v", name, len(roots), err)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	list, err := attestation.ParseStatus(strings.NewReader(`{"entries": {"00C3": {"status": "REVOKED", "reason": "KEY_COMPROMISE"}, "0": {"status": "SUSPENDED"}}}`))
	if err != nil || list["c3"] != "REVOKED: KEY_COMPROMISE" || list["0"] != "SUSPENDED" {
		t.Errorf("%v %v", list, err)
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"entries": null}`, `{"entries": {"xyz": {}}}`, `{"entries": {}} {}`, `{"entries": ["` + strings.Repeat("a", attestation.MaxStatusBytes) + `"]}`} {
		if list, err := attestation.ParseStatus(strings.NewReader(bad)); err == nil {
			t.Errorf("%.40s is read as %v", bad, list)
		}
	}
}

// Whatever comes as a chain is refused with a code or proves the key; nothing of it is a fault of ours.
func FuzzAndroidKey(f *testing.F) {
	m := newMaker(f)
	v := verifier(f, m)
	key := newKey(f)
	for _, fault := range maker.Faults() {
		chain, err := m.AndroidChain(maker.Order{Fault: fault, Key: key, Challenge: challenge})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(chain[0], chain[1])
	}
	f.Fuzz(func(t *testing.T, leaf, parent []byte) {
		_, err := v.AndroidKey([][]byte{leaf, parent}, challenge, []attestation.Key{{Name: "k", Public: key}})
		if c := code(err); strings.HasPrefix(c, "not a refusal") {
			t.Fatal(c)
		}
	})
}

// The same for what App Attest gives.
func FuzzAppAttest(f *testing.F) {
	m := newMaker(f)
	v := verifier(f, m)
	keys := []attestation.Key{{Name: "possession", Thumbprint: strings.Repeat("a", 43)}}
	for _, fault := range maker.Faults() {
		raw, err := m.AppleObject(fault, sha256.Sum256(wire.AttestationClientData(challenge, keys[0].Thumbprint)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := v.AppAttest(raw, challenge, keys, []string{maker.AppID})
		if c := code(err); strings.HasPrefix(c, "not a refusal") {
			t.Fatal(c)
		}
	})
}
