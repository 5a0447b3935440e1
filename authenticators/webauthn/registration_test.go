package webauthn

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

func TestSetUpStage(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	users := map[*flowtest.Bench]int{}
	flowtest.Stage(t, flowtest.Suite{
		Kinds:     func(b *flowtest.Bench) []*flows.Kind { return []*flows.Kind{serviceOf(b).StageKind()} },
		Settings:  func(testing.TB, *flowtest.Bench) any { return setupSettings() },
		Component: Component,
		Prepare: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser) flows.Context {
			mu.Lock()
			defer mu.Unlock()
			users[b] = usertest.Add(t, b.Users, "ada", "").ID
			return flows.Context{PendingUser: users[b]}
		},
		// An answer uses the challenge up, so that the next right one needs the page of then.
		Right: func(t testing.TB, _ *flowtest.Bench, br *flowtest.Browser, page flowtest.Page) map[string]any {
			if page.Component != "" {
				page = br.Get(t)
			}
			k := newKey(t)
			if page.Component == Component {
				k.create(t, creation(t, page))
			} else {
				k.created = object{}
			}
			return object{"response": k.created}
		},
		Wrong: object{"response": object{"id": "x"}}, WrongField: "response",
		Fields:   []flowtest.Field{{Name: "response", Required: true, Wrong: "text"}},
		NeedsGet: true,
	})
}

func TestCreationOptionsAreTheContracts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	platform := Attachment("platform")
	s := setupSettings()
	s.Attachment, s.ResidentKey, s.UserVerification = &platform, "required", "required"
	first := b.add(b.user, setupSettings())
	br := b.registering(b.user, s)
	got := creation(t, br.Get(t))
	challenge, err := base64.RawURLEncoding.DecodeString(got["challenge"].(string))
	if err != nil || len(challenge) != 32 {
		t.Errorf("challenge %v: %v", got["challenge"], err)
	}
	delete(got, "challenge")
	var want object
	_ = json.Unmarshal([]byte(`{"rp":{"name":"Test","id":"login.test"},"pubKeyCredParams":[],"timeout":60000,
		"excludeCredentials":[{"type":"public-key","id":"`+encode(first.id)+`","transports":["usb","nfc"]}],
		"authenticatorSelection":{"residentKey":"required","requireResidentKey":true,"userVerification":"required","authenticatorAttachment":"platform"},
		"attestation":"direct"}`), &want)
	for _, a := range []float64{-7, -8, -36, -37, -38, -39, -257, -258, -259} {
		want["pubKeyCredParams"] = append(want["pubKeyCredParams"].([]any), object{"type": "public-key", "alg": a})
	}
	want["user"] = object{"id": encode([]byte(b.Users.UID(b.user.ID))), "name": "ada", "displayName": b.user.Name}
	if b.user.Name == "" {
		want["user"].(object)["displayName"] = "ada"
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	s.Attachment = nil
	got = creation(t, b.registering(b.user, s).Get(t))
	if _, ok := got["authenticatorSelection"].(object)["authenticatorAttachment"]; ok {
		t.Error("an attachment is asked for that nobody set")
	}
}

func TestRegistrationStoresTheDevice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings(), func(k *key) { k.flags |= 8 | 16; k.count = 7 })
	own, err := devicesOf(t.Context(), b.Direct, b.user.ID)
	if err != nil || len(own) != 1 {
		t.Fatalf("%v %v", own, err)
	}
	d := own[0]
	if string(d.CredentialID) != string(k.id) || d.SignCount != 7 || !d.BackupEligible || !d.BackupState || d.AAGUID != yubikey ||
		d.Name != "YubiKey 5 Series with NFC" || strings.Join(d.Transports, " ") != "usb nfc" || d.Attested {
		t.Errorf("stored %+v", d)
	}
	e := b.event("model_created")
	if e["model"].(object)["model_name"] != "webauthndevice" || e["who"].(object)["username"] != "ada" || e["backup_eligible"] != true {
		t.Errorf("event %v", e)
	}
	b.add(b.user, setupSettings(), func(k *key) { k.aaguid = uuid.New() })
	if n := b.Count(t, `SELECT count(*) FROM webauthn_devices WHERE name = 'WebAuthn Device'`); n != 1 {
		t.Errorf("%d devices of an unknown make have the general name", n)
	}
}

// An implementation that is not ours talks to the stage: packed self-attestation, ES256 and RS256.
func TestVirtualAuthenticator(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, kind := range []virtualwebauthn.KeyType{virtualwebauthn.KeyTypeEC2, virtualwebauthn.KeyTypeRSA} {
		br := b.registering(b.user, setupSettings())
		raw, _ := json.Marshal(creation(t, br.Get(t)))
		options, err := virtualwebauthn.ParseAttestationOptions(string(raw))
		if err != nil {
			t.Fatal(err)
		}
		rp := virtualwebauthn.RelyingParty{ID: testHost, Origin: testOrigin}
		device, credential := virtualwebauthn.NewAuthenticator(), wellFormed(t, kind)
		device.Options.UserHandle = []byte(options.UserID)
		br.Post(t, `{"response":`+virtualwebauthn.CreateAttestationResponse(rp, device, credential, *options)+`}`).WantContinue(t)

		in := b.signing(b.user, loginSettings())
		raw, _ = json.Marshal(request(t, in.Get(t)))
		ask, err := virtualwebauthn.ParseAssertionOptions(string(raw))
		if err != nil {
			t.Fatal(err)
		}
		in.Post(t, `{"webauthn":`+virtualwebauthn.CreateAssertionResponse(rp, device, credential, *ask)+`}`).WantContinue(t)
	}
}

// wellFormed is a credential of the library with coordinates of full length, which COSE asks for (RFC 9053 §7.1.1): one key in
// 128 it writes too short.
func wellFormed(t *testing.T, kind virtualwebauthn.KeyType) virtualwebauthn.Credential {
	t.Helper()
	for {
		c := virtualwebauthn.NewCredential(kind)
		if kind != virtualwebauthn.KeyTypeEC2 {
			return c
		}
		var point struct {
			X []byte `cbor:"-2,keyasint"`
			Y []byte `cbor:"-3,keyasint"`
		}
		if err := webauthncbor.Unmarshal(c.Key.AttestationData(), &point); err != nil {
			t.Fatal(err)
		}
		if len(point.X) == 32 && len(point.Y) == 32 {
			return c
		}
	}
}

// Whatever is wrong with an answer: it says so in the contract's words, stores nothing, and uses the challenge up.
func TestBadRegistrations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	required := setupSettings()
	required.UserVerification = "required"
	cut := func(k *key, n int) {
		r := k.created["response"].(object)
		raw, _ := base64.RawURLEncoding.DecodeString(r["attestationObject"].(string))
		r["attestationObject"] = encode(raw[:len(raw)-n])
	}
	for name, c := range map[string]struct {
		bend  func(*key)
		after func(*key)
		with  Settings
		text  string
	}{
		"origin":        {bend: func(k *key) { k.origin = "https://evil.test" }, text: "another address"},
		"port":          {bend: func(k *key) { k.origin = testOrigin + ":8443" }, text: "another address"},
		"scheme":        {bend: func(k *key) { k.origin = "https://login.test" }, text: "another address"},
		"rp id":         {bend: func(k *key) { k.host = "evil.test" }, text: "another address"},
		"challenge":     {bend: func(k *key) { k.challenge = encode(make([]byte, 32)) }, text: "another try"},
		"type":          {bend: func(k *key) { k.kind = "webauthn.get" }, text: "something else"},
		"cross origin":  {bend: func(k *key) { k.client = object{"crossOrigin": true} }, text: "another address"},
		"algorithm":     {bend: func(k *key) { k.alg = -47 }, text: "kind of key that is not supported"},
		"no touch":      {bend: func(k *key) { k.flags = 0 }, text: "not touched"},
		"no uv":         {bend: func(k *key) { k.flags = 1 }, with: required, text: "did not check that it is you"},
		"backup":        {bend: func(k *key) { k.flags |= 16 }, text: "Registration failed"},
		"format":        {bend: func(k *key) { k.format = "home-made" }, text: "could not prove"},
		"signature":     {bend: func(k *key) { k.format, k.statement = "packed", object{"alg": -7, "sig": []byte{1, 2, 3}} }, text: "Registration failed"},
		"statement":     {bend: func(k *key) { k.statement = object{"surprise": 1} }, text: "could not prove"},
		"truncated":     {after: func(k *key) { cut(k, 20) }, text: "could not be read"},
		"truncated all": {after: func(k *key) { cut(k, 1) }, text: "could not be read"},
		"empty":         {after: func(k *key) { k.created["response"] = object{} }, text: "could not be read"},
		"other id":      {after: func(k *key) { k.created["id"] = encode([]byte("other")) }, text: "could not be read"},
		"both other ids": {after: func(k *key) {
			k.created["id"], k.created["rawId"] = encode([]byte("other")), encode([]byte("other"))
		}, text: "Registration failed"},
		"object type": {after: func(k *key) { k.created["type"] = "password" }, text: "could not be read"},
		"too long": {after: func(k *key) {
			k.created["response"].(object)["attestationObject"] = strings.Repeat("A", maxAnswer)
		}, text: "could not be read"},
		"long id": {bend: func(k *key) { k.id = make([]byte, 1024) }, text: "could not be read"},
		"zero id": {bend: func(k *key) { k.id = nil }, text: "could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.with.UserVerification == "" {
				c.with = setupSettings()
			}
			br := b.registering(b.user, c.with)
			options := creation(t, br.Get(t))
			k := newKey(t)
			if c.bend != nil {
				c.bend(k)
			}
			k.create(t, options)
			if c.after != nil {
				c.after(k)
			}
			p := br.Post(t, object{"response": k.created}).Want(t, Component)
			if got := texts(p, field); !strings.HasPrefix(got, "Registration failed. Error: ") || !strings.Contains(got, c.text) {
				t.Errorf("says %q, want %q", got, c.text)
			}
			if again := creation(t, p)["challenge"]; again == options["challenge"] {
				t.Error("the challenge lives on")
			}
		})
	}
	if n := b.Count(t, `SELECT count(*) FROM webauthn_devices`); n != 0 {
		t.Errorf("%d devices were stored", n)
	}
}

func TestChallengeIsForOneAnswerAndSomeTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	br := b.registering(b.user, setupSettings())
	options := creation(t, br.Get(t))
	k := newKey(t)
	k.create(t, options)
	br.Post(t, object{"response": object{"id": "nonsense"}}).Want(t, Component)
	if p := br.Post(t, object{"response": k.created}).Want(t, Component); !strings.Contains(texts(p, field), "another try") {
		t.Errorf("an answer to a challenge that was used: %s", p)
	}
	k.create(t, creation(t, br.Get(t)))
	b.Clock.Advance(challengeLife)
	if p := br.Post(t, object{"response": k.created}).Want(t, Component); !strings.Contains(texts(p, field), "too late") {
		t.Errorf("an answer after the time: %s", p)
	}
	before := creation(t, br.Get(t))
	b.Clock.Advance(challengeLife + time.Second)
	if now := creation(t, br.Get(t)); now["challenge"] == before["challenge"] {
		t.Error("a reload shows a challenge that is over")
	}
}

func TestCredentialIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := newKey(t)
	const n = 6
	sends := make([]func() flowtest.Page, n)
	for i := range sends { // several users at once, one credential
		br := b.registering(usertest.Add(t, b.Users, "u"+uuid.NewString(), ""), setupSettings())
		k.create(t, creation(t, br.Get(t)))
		sends[i] = br.Prepare(t, true, object{"response": k.created})
	}
	pages := make([]flowtest.Page, n)
	var wg sync.WaitGroup
	for i, send := range sends {
		wg.Go(func() { pages[i] = send() })
	}
	wg.Wait()
	won := 0
	for _, p := range pages {
		switch {
		case p.Continue:
			won++
		case texts(p, field) != "Credential ID already exists.":
			t.Errorf("one of them hears %s", p)
		}
	}
	if won != 1 || b.Count(t, `SELECT count(*) FROM webauthn_devices`) != 1 {
		t.Errorf("%d were let through", won)
	}
}

func TestRestrictionAtSetUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bitwarden := uuid.MustParse("d548826e-79b4-db40-a3d8-11116f7e8349")
	for name, c := range map[string]struct {
		allowed []uuid.UUID
		aaguid  uuid.UUID
		why     string
	}{
		"in the list":          {[]uuid.UUID{yubikey}, yubikey, ""},
		"not in the list":      {[]uuid.UUID{yubikey}, bitwarden, "Bitwarden is not one of the makes that are allowed here."},
		"unknown":              {[]uuid.UUID{yubikey}, uuid.New(), "This server does not know which make it is."},
		"says nothing":         {[]uuid.UUID{yubikey}, uuid.Nil, "This server does not know which make it is."},
		"unknown is allowed":   {[]uuid.UUID{uuid.Nil}, uuid.New(), ""},
		"nothing is allowed":   {[]uuid.UUID{uuid.Nil}, uuid.Nil, ""},
		"known is not unknown": {[]uuid.UUID{uuid.Nil}, yubikey, "YubiKey 5 Series with NFC is not one of the makes that are allowed here."},
	} {
		t.Run(name, func(t *testing.T) {
			s := setupSettings()
			s.Restrictions = c.allowed
			br := b.registering(b.user, s)
			k := newKey(t)
			k.aaguid = c.aaguid
			p := br.Post(t, object{"response": k.create(t, creation(t, br.Get(t)))})
			if c.why == "" {
				p.WantContinue(t)
				return
			}
			if got := texts(p.Want(t, Component), field); got != "Invalid device type. Contact your Test administrator for help. | "+c.why {
				t.Errorf("says %q", got)
			}
		})
	}
}

func TestSetUpWithoutAUserOrAName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slug := "nobody"
	b.Flow(t, slug, nil, flowtest.Step{Kind: setupModel, Settings: setupSettings()}, flowtest.Step{Kind: marker})
	b.Browser(slug).Get(t).WantContinue(t)
	if got := siteOf("http://192.0.2.1:9000/"); got.named() || got.origin != "http://192.0.2.1:9000" {
		t.Errorf("%+v", got)
	}
	for base, want := range map[string]site{
		"https://Login.Example:443/": {"login.example", "https://login.example"},
		"http://localhost:80/":       {"localhost", "http://localhost"},
		"http://localhost:443/":      {"localhost", "http://localhost:443"},
		"https://[2001:db8::1]:9/":   {"2001:db8::1", "https://[2001:db8::1]:9"},
	} {
		if got := siteOf(base); got != want {
			t.Errorf("%s: %+v", base, got)
		}
	}
}

func TestNobodyHasTooManyPasskeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, `INSERT INTO webauthn_devices (user_id, name, credential_id, public_key, backup_eligible, backup_state, rp_id, aaguid, attestation)
		SELECT $1, 'x', sha256(n::text::bytea), '\x00', false, false, 'login.test', gen_random_uuid(), '{}' FROM generate_series(1, $2) n`, b.user.ID, authenticators.MaxDevices)
	br := b.registering(b.user, setupSettings())
	p := br.Post(t, object{"response": newKey(t).create(t, creation(t, br.Get(t)))}).Want(t, Component)
	if !strings.Contains(texts(p, field), "as many passkeys") {
		t.Errorf("%s", p)
	}
}
