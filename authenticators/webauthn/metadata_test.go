package webauthn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// authority is a root: of a maker's attestations, or of the metadata service.
type authority struct {
	cert    *x509.Certificate
	private *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{private: private}
	a.cert = a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, private)
	return a
}

// issue signs a certificate for the key; parent nil: by itself.
func (a *authority) issue(t testing.TB, c *x509.Certificate, parent *x509.Certificate, private *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	c.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<60))
	if c.NotBefore.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(10, 0, 0)
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &private.PublicKey, a.private)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (a *authority) root() string { return base64.StdEncoding.EncodeToString(a.cert.Raw) }

// attestation makes the certificate of a make (WebAuthn §8.2.1).
func (a *authority) attestation(t testing.TB, aaguid uuid.UUID) (der []byte, private *ecdsa.PrivateKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := asn1.Marshal(aaguid[:])
	c := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{
			Country: []string{"SE"}, Organization: []string{"Maker"}, OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "Key",
		},
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}, Value: id}},
	}, a.cert, private)
	return c.Raw, private
}

// blob makes the metadata BLOB, signed for a host.
func (a *authority) blob(t testing.TB, host string, number int, entries ...object) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := a.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}}, a.cert, private)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"no": number, "nextUpdate": "2090-01-01", "legalHeader": "x", "entries": entries})
	token.Header["x5c"] = []string{base64.StdEncoding.EncodeToString(leaf.Raw), a.root()}
	text, err := token.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

// entry is one make's metadata.
func entry(aaguid uuid.UUID, description, status string, kinds []string, roots ...*authority) object {
	var certificates []string
	for _, r := range roots {
		certificates = append(certificates, r.root())
	}
	return object{
		"aaguid": aaguid.String(), "statusReports": []object{{"status": status, "effectiveDate": "2020-01-01"}}, "timeOfLastStatusChange": "2020-01-01",
		"metadataStatement": object{
			"aaguid": aaguid.String(), "description": description, "authenticatorVersion": 1, "protocolFamily": "fido2", "schema": 3,
			"upv": []object{{"major": 1, "minor": 0}}, "authenticationAlgorithms": []string{"secp256r1_ecdsa_sha256_raw"},
			"publicKeyAlgAndEncodings": []string{"cose"}, "attestationTypes": kinds, "keyProtection": []string{"hardware"},
			"matcherProtection": []string{"on_chip"}, "attachmentHint": []string{"external"}, "tcDisplay": []string{},
			"attestationRootCertificates": certificates,
			"authenticatorGetInfo":        object{"versions": []string{"FIDO_2_0"}, "aaguid": strings.ReplaceAll(aaguid.String(), "-", "")},
		},
	}
}

// give puts a BLOB where the service looks for it.
func (b *bench) give(t testing.TB, root *authority, blob []byte) {
	t.Helper()
	b.service.MetadataFile, b.service.Root = filepath.Join(t.TempDir(), "blob.jwt"), root.root()
	if err := os.WriteFile(b.service.MetadataFile, blob, 0o600); err != nil {
		t.Fatal(err)
	}
}

var full = []string{"basic_full"}

func TestMetadataProvesTheMake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fido, maker, forger := newAuthority(t, "FIDO"), newAuthority(t, "Maker"), newAuthority(t, "Forger")
	b.give(t, fido, fido.blob(t, signer, 1, entry(yubikey, "A key that proves it", "FIDO_CERTIFIED", full, maker)))
	if err := b.service.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	restricted := setupSettings()
	restricted.Restrictions = []uuid.UUID{yubikey}
	for name, c := range map[string]struct {
		bend func(*key)
		with Settings
		text string // "" passes
	}{
		"proved":                  {func(k *key) { k.format, k.issuer = "x5c", maker }, restricted, ""},
		"only said, unrestricted": {func(*key) {}, setupSettings(), ""},
		"only said":               {func(*key) {}, restricted, "It says that it is A key that proves it, but did not prove it."},
		"forged":                  {func(k *key) { k.format, k.issuer = "x5c", forger }, setupSettings(), "The device could not prove which make it is."},
		"by itself":               {func(k *key) { k.format = "packed" }, setupSettings(), "The device could not prove which make it is."},
	} {
		t.Run(name, func(t *testing.T) {
			br := b.registering(b.user, c.with)
			k := newKey(t)
			c.bend(k)
			p := br.Post(t, object{"response": k.create(t, creation(t, br.Get(t)))})
			if c.text == "" {
				p.WantContinue(t)
			} else if !strings.Contains(texts(p, field), c.text) {
				t.Errorf("want %q, got %s", c.text, p)
			}
		})
	}
	if got := b.Count(t, `SELECT count(*) FROM webauthn_devices WHERE attested`); got != 1 {
		t.Errorf("%d devices are proved, want 1", got)
	}
	if got := b.Count(t, `SELECT count(*) FROM webauthn_device_types WHERE aaguid = $1 AND attests AND description = 'A key that proves it'`, yubikey); got != 1 {
		t.Error("the make is not in the table as the metadata has it")
	}
}

// A passkey from before the metadata came is not locked out by it, if it can prove its make from what was kept.
func TestLaterMetadataProvesEarlierDevices(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fido, maker := newAuthority(t, "FIDO"), newAuthority(t, "Maker")
	proved := b.add(b.user, setupSettings(), func(k *key) { k.format, k.issuer = "x5c", maker })
	said := b.add(b.user, setupSettings())
	b.give(t, fido, fido.blob(t, signer, 1, entry(yubikey, "Key", "FIDO_CERTIFIED", full, maker)))
	if err := b.service.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := loginSettings()
	s.AllowedDeviceTypes = []uuid.UUID{yubikey}
	br := b.signing(b.user, s)
	options := request(t, br.Get(t))
	if got := options["allowCredentials"].([]any); len(got) != 1 || got[0].(object)["id"] != encode(proved.id) {
		t.Errorf("asked for %v", got)
	}
	br.Post(t, object{"webauthn": said.get(options)}).Want(t, "ak-stage-authenticator-validate")
	br.Post(t, object{"webauthn": proved.get(request(t, br.Get(t)))}).WantContinue(t)
}

func TestRevokedMakesAreRefusedAndNotListed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fido, maker := newAuthority(t, "FIDO"), newAuthority(t, "Maker")
	b.give(t, fido, fido.blob(t, signer, 1, entry(yubikey, "Key", "REVOKED", full, maker)))
	if err := b.service.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	br := b.registering(b.user, setupSettings())
	k := newKey(t)
	k.format, k.issuer = "x5c", maker
	if p := br.Post(t, object{"response": k.create(t, creation(t, br.Get(t)))}).Want(t, Component); !strings.Contains(texts(p, field), "could not prove") {
		t.Errorf("%s", p)
	}
	if n := b.Count(t, `SELECT count(*) FROM webauthn_device_types WHERE aaguid = $1 AND revoked`, yubikey); n != 1 {
		t.Error("the make is not marked")
	}
}

func TestMetadataIsVerified(t *testing.T) {
	t.Parallel()
	fido, other := newAuthority(t, "FIDO"), newAuthority(t, "Other")
	good := fido.blob(t, signer, 5, entry(yubikey, "Key", "FIDO_CERTIFIED", full), object{"aaguid": 7}, object{"timeOfLastStatusChange": "never"})
	now := time.Now()
	set, err := decodeBlob(append(good, '\n'), fido.root(), now)
	if err != nil || set.number != 5 || len(set.entries) != 1 || set.skipped != 2 || set.next.Year() != 2090 {
		t.Fatalf("%+v %v", set, err)
	}
	parts := strings.Split(string(good), ".")
	for name, c := range map[string]struct {
		blob string
		root string
		at   time.Time
	}{
		"another root":           {string(good), other.root(), now},
		"another payload":        {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"no":6,"entries":[]}`)) + "." + parts[2], fido.root(), now},
		"another customer's":     {string(fido.blob(t, "shop.example", 5)), fido.root(), now},
		"no signature":           {parts[0] + "." + parts[1] + ".", fido.root(), now},
		"unsigned":               {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", fido.root(), now},
		"without a chain":        {unchained(t), fido.root(), now},
		"out of date":            {string(good), fido.root(), now.AddDate(20, 0, 0)},
		"nothing":                {"", fido.root(), now},
		"no metadata":            {"<html>", fido.root(), now},
		"a root that is no root": {string(good), "AAAA", now},
	} {
		if _, err := decodeBlob([]byte(c.blob), c.root, c.at); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func unchained(t testing.TB) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"no": 1}).SignedString([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRefreshKeepsTheNewest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fido := newAuthority(t, "FIDO")
	number := func() int { return b.Count(t, `SELECT coalesce(max(number), 0) FROM webauthn_metadata`) }
	refresh := func(blob []byte) error {
		b.give(t, fido, blob)
		return b.service.Refresh(t.Context())
	}
	if err := refresh(fido.blob(t, signer, 3, entry(yubikey, "Three", "FIDO_CERTIFIED", full))); err != nil || number() != 3 {
		t.Fatalf("%v, number %d", err, number())
	}
	if err := refresh(fido.blob(t, signer, 2, entry(yubikey, "Two", "FIDO_CERTIFIED", full))); err == nil || number() != 3 {
		t.Errorf("an older one was taken: %v, number %d", err, number())
	}
	if err := refresh([]byte("nonsense")); err == nil || number() != 3 {
		t.Errorf("nonsense was taken: %v", err)
	}
	// Another node that has neither file nor URL goes by what is stored.
	node := serviceOf(b.Bench)
	node.Root = fido.root()
	if err := node.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if set, err := node.metadata(t.Context(), b.Direct); err != nil || set.number != 3 {
		t.Errorf("%+v %v", set, err)
	}
	if n := b.Count(t, `SELECT count(*) FROM webauthn_device_types WHERE description = 'Three' AND attests`); n != 1 {
		t.Error("a refresh without a file forgot the metadata")
	}
	// A stored one that was tampered with is no metadata.
	b.Exec(t, `UPDATE webauthn_metadata SET number = 4, blob = 'x'`)
	if _, err := node.metadata(t.Context(), b.Direct); err == nil {
		t.Error("what stood in the database was not verified")
	}
	if err := node.Refresh(t.Context()); err == nil {
		t.Error("a refresh does not tell of it")
	}
	if err := refresh(fido.blob(t, signer, 3, entry(yubikey, "Three", "FIDO_CERTIFIED", full))); err != nil || number() != 3 {
		t.Errorf("good metadata does not replace it: %v", err)
	}
	// The signer's certificate runs out: what was stored while it was good stays.
	b.Clock.Advance(20 * 365 * 24 * time.Hour)
	old := serviceOf(b.Bench)
	old.Root = fido.root()
	if _, err := old.metadata(t.Context(), b.Direct); err != nil {
		t.Error(err)
	}
}

func TestMetadataFromURL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fido := newAuthority(t, "FIDO")
	blob := fido.blob(t, signer, 9)
	up := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(blob)
	}))
	t.Cleanup(server.Close)
	b.service.MetadataURL, b.service.Root = server.URL, fido.root()
	if err := b.service.Refresh(t.Context()); err != nil || b.Count(t, `SELECT number FROM webauthn_metadata`) != 9 {
		t.Fatalf("%v", err)
	}
	up = false
	if err := b.service.Refresh(t.Context()); err == nil {
		t.Error("nobody is told that the address does not answer")
	}
	b.give(t, fido, fido.blob(t, signer, 10))
	if err := b.service.Refresh(t.Context()); err != nil || b.Count(t, `SELECT number FROM webauthn_metadata`) != 10 {
		t.Errorf("the file was not taken instead: %v", err)
	}
}

// Nothing is asked of the network by default.
func TestOfflineByDefault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.service.HTTP = &http.Client{Transport: refuse{t}}
	if err := b.service.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.add(b.user, setupSettings(), func(k *key) { k.format = "packed" })
	if n := b.Count(t, `SELECT count(*) FROM webauthn_device_types`); n < 50 {
		t.Errorf("only %d makes have a name", n)
	}
}

type refuse struct{ t testing.TB }

func (r refuse) RoundTrip(q *http.Request) (*http.Response, error) {
	r.t.Errorf("asked %s", q.URL)
	return nil, http.ErrNotSupported
}
