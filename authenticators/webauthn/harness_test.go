package webauthn

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/user"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

type object = map[string]any

// flowtest's browsers are at http://login.test/.
const (
	testHost   = "login.test"
	testOrigin = "http://login.test"
)

var yubikey = uuid.MustParse("2fc0579f-8113-47ea-b116-bb5a8db9202a")

// bench is a node with passkeys: set-up flows, sign-in flows, and a user.
type bench struct {
	*flowtest.Bench
	t       testing.TB
	service *Service
	marker  *flowtest.Marker
	user    *user.User
}

const marker = "marker"

func setup(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, marker: &flowtest.Marker{}}
	b.Bench = flowtest.New(t, func(f *flowtest.Bench) []*flows.Kind {
		b.service = serviceOf(f)
		store := authenticators.NewStore(b.service.Kind())
		return []*flows.Kind{b.service.StageKind(), validate.Kind(store, f.Users, f.Keeper), b.marker.Kind(marker)}
	})
	b.user = usertest.Add(t, b.Users, "ada", "")
	if err := b.service.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func serviceOf(f *flowtest.Bench) *Service {
	return New(Options{Pool: f.Pool, Users: f.Users, Events: f.Events, Log: f.Log, Now: f.Clock.Now})
}

const (
	setupModel = "authenticatorwebauthnstage"
	loginModel = "authenticatorvalidatestage"
)

func setupSettings() Settings {
	return Settings{UserVerification: "preferred", ResidentKey: "preferred"}
}

func loginSettings() validate.Settings {
	return validate.Settings{
		NotConfigured: validate.Deny, DeviceClasses: validate.AllClasses(), LastAuthThreshold: "seconds=0", UserVerification: "preferred",
	}
}

// registering is a browser at the set-up stage, for a user.
func (b *bench) registering(u *user.User, s Settings) *flowtest.Browser {
	b.t.Helper()
	slug := "setup-" + uuid.NewString()
	b.Flow(b.t, slug, func(f *flows.Flow) { f.Designation = flows.StageConfiguration }, flowtest.Step{Kind: setupModel, Settings: s}, flowtest.Step{Kind: marker})
	br := b.Browser(slug)
	b.Start(b.t, br, slug, flows.Context{PendingUser: u.ID})
	return br
}

// signing is a browser at the validation stage; u nil: nobody is named yet.
func (b *bench) signing(u *user.User, s validate.Settings) *flowtest.Browser {
	b.t.Helper()
	slug := "login-" + uuid.NewString()
	b.Flow(b.t, slug, nil, flowtest.Step{Kind: loginModel, Settings: s}, flowtest.Step{Kind: marker})
	br := b.Browser(slug)
	if u != nil {
		b.Start(b.t, br, slug, flows.Context{PendingUser: u.ID})
	}
	return br
}

// add registers a new key for a user and gives it.
func (b *bench) add(u *user.User, s Settings, change ...func(*key)) *key {
	b.t.Helper()
	k := newKey(b.t)
	for _, fn := range change {
		fn(k)
	}
	br := b.registering(u, s)
	k.create(b.t, creation(b.t, br.Get(b.t)))
	br.Post(b.t, object{"response": k.created}).WantContinue(b.t)
	return k
}

func creation(t testing.TB, p flowtest.Page) object {
	t.Helper()
	p.Want(t, Component)
	return p.JSON["registration"].(object)
}

// request gives the challenge of the validation stage for class webauthn.
func request(t testing.TB, p flowtest.Page) object {
	t.Helper()
	return p.Want(t, validate.Component).JSON["device_challenges"].([]any)[0].(object)["challenge"].(object)
}

func (b *bench) event(action string) object {
	b.t.Helper()
	var out object
	err := b.Direct.QueryRow(context.Background(), `SELECT context || jsonb_build_object('who', "user") FROM events WHERE action = $1 ORDER BY created DESC LIMIT 1`, action).Scan(&out)
	if err != nil {
		b.t.Fatalf("event %s: %v", action, err)
	}
	return out
}

func (b *bench) failures() int {
	return b.Count(b.t, `SELECT count(*) FROM events WHERE action = 'login_failed'`)
}

// texts are the error texts of a field, and those of none.
func texts(p flowtest.Page, field string) string {
	all, _ := p.JSON["response_errors"].(object)
	list, _ := all[field].([]any)
	more, _ := all["non_field_errors"].([]any)
	list = append(list, more...)
	var out []string
	for _, e := range list {
		out = append(out, e.(object)["string"].(string))
	}
	return strings.Join(out, " | ")
}

// key is an authenticator with one credential, and a browser around it, which a test may bend.
type key struct {
	id      []byte
	private *ecdsa.PrivateKey
	aaguid  uuid.UUID
	count   uint32
	handle  []byte
	flags   byte // UP 1, UV 4, BE 8, BS 16

	// What it says instead of the truth; zero: the truth.
	host, origin, kind, challenge string
	format                        string // none, packed (self), x5c
	alg                           int
	client                        object // more of the client data
	statement                     object
	issuer                        *authority

	created, asserted object
}

func newKey(t testing.TB) *key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &key{id: id, private: private, aaguid: yubikey, flags: 1 | 4, format: "none"}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (k *key) clientData(kind string, options object) []byte {
	data := object{
		"type": or(k.kind, kind), "challenge": or(k.challenge, options["challenge"].(string)), "origin": or(k.origin, testOrigin), "crossOrigin": false,
	}
	maps.Copy(data, k.client)
	raw, _ := json.Marshal(data)
	return raw
}

func (k *key) cose() object2 {
	alg := k.alg
	if alg == 0 {
		alg = -7
	}
	raw, _ := k.private.PublicKey.Bytes()
	return object2{1: 2, 3: alg, -1: 1, -2: raw[1:33], -3: raw[33:65]}
}

type object2 = map[int]any

func (k *key) authData(host string, attested bool) []byte {
	sum := sha256.Sum256([]byte(or(k.host, host)))
	flags := k.flags
	if attested {
		flags |= 64
	}
	out := append(sum[:], flags)
	out = binary.BigEndian.AppendUint32(out, k.count)
	if attested {
		out = append(out, k.aaguid[:]...)
		out = binary.BigEndian.AppendUint16(out, uint16(len(k.id)))
		out = append(out, k.id...)
		raw, err := webauthncbor.Marshal(k.cose())
		if err != nil {
			panic(err)
		}
		out = append(out, raw...)
	}
	return out
}

func sign(private *ecdsa.PrivateKey, data ...[]byte) []byte {
	h := sha256.New()
	for _, d := range data {
		h.Write(d)
	}
	sig, err := private.Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return sig
}

// create does what navigator.credentials.create does, with its toJSON.
func (k *key) create(t testing.TB, options object) object {
	t.Helper()
	client := k.clientData("webauthn.create", options)
	hash := sha256.Sum256(client)
	auth := k.authData(options["rp"].(object)["id"].(string), true)
	statement, format := object{}, k.format
	switch k.format {
	case "packed":
		statement = object{"alg": -7, "sig": sign(k.private, auth, hash[:])}
	case "x5c":
		format = "packed"
		leaf, private := k.issuer.attestation(t, k.aaguid)
		statement = object{"alg": -7, "sig": sign(private, auth, hash[:]), "x5c": []any{leaf}}
	}
	if k.statement != nil {
		statement = k.statement
	}
	raw, err := webauthncbor.Marshal(object{"fmt": format, "attStmt": statement, "authData": auth})
	if err != nil {
		t.Fatal(err)
	}
	k.created = object{
		"id": encode(k.id), "rawId": encode(k.id), "type": "public-key", "clientExtensionResults": object{"credProps": object{"rk": true}},
		"authenticatorAttachment": "cross-platform",
		"response":                object{"clientDataJSON": encode(client), "attestationObject": encode(raw), "transports": []string{"usb", "nfc", "<b>"}},
	}
	k.handle, err = base64.RawURLEncoding.DecodeString(options["user"].(object)["id"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return k.created
}

// get does what navigator.credentials.get does, with its toJSON. The counter goes on by one.
func (k *key) get(options object) object {
	k.count++
	client := k.clientData("webauthn.get", options)
	hash := sha256.Sum256(client)
	auth := k.authData(options["rpId"].(string), false)
	k.asserted = object{
		"id": encode(k.id), "rawId": encode(k.id), "type": "public-key", "clientExtensionResults": object{},
		"response": object{
			"clientDataJSON": encode(client), "authenticatorData": encode(auth), "signature": encode(sign(k.private, auth, hash[:])),
			"userHandle": encode(k.handle),
		},
	}
	return k.asserted
}
