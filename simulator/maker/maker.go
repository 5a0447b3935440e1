package maker

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Fault is what is wrong with evidence.
type Fault string

// The faults.
const (
	Good           Fault = "good"
	StrongBox      Fault = "strongbox"       // nothing: the key is in a chip of its own
	Software       Fault = "software"        // the key is kept in software
	Revoked        Fault = "revoked"         // the batch key leaked, and is on the list
	Rooted         Fault = "rooted"          // the boot loader is unlocked
	SelfSigned     Fault = "self_signed"     // locked, with an operating system that its owner signed
	Foreign        Fault = "foreign"         // another key is attested than the phone's
	WrongChallenge Fault = "wrong_challenge" // made for another enrolment
	Untrusted      Fault = "untrusted"       // another maker's root
	Expired        Fault = "expired"         // the batch certificate has run out
	Extended       Fault = "extended"        // an attested key has signed a certificate that describes another key
	OldPatch       Fault = "old_patch"       // the security updates are those of January 2019
	Imported       Fault = "imported"        // the key was made elsewhere
	Development    Fault = "development"     // an iOS app installed from Xcode
)

// Faults lists them.
func Faults() []Fault {
	return []Fault{
		Good, StrongBox, Software, Revoked, Rooted, SelfSigned, Foreign, WrongChallenge, Untrusted, Expired, Extended, OldPatch, Imported, Development,
	}
}

// authority is a certification authority of the maker.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Maker has the keys of one maker of phones. It is safe for concurrent use.
type Maker struct {
	androidRoot, batch, revoked, expired, appleRoot, appleCA *authority
}

// all are the authorities with their names, in the order in which they are kept.
func (m *Maker) all() []**authority {
	return []**authority{&m.androidRoot, &m.batch, &m.revoked, &m.expired, &m.appleRoot, &m.appleCA}
}

// New makes a maker.
func New() (*Maker, error) {
	m := &Maker{}
	long := time.Now().AddDate(30, 0, 0)
	for _, a := range []struct {
		at     **authority
		name   string
		parent **authority
		until  time.Time
	}{
		{&m.androidRoot, "Simulated Hardware Attestation Root", nil, long},
		{&m.batch, "Simulated Batch", &m.androidRoot, long},
		{&m.revoked, "Simulated Leaked Batch", &m.androidRoot, long},
		{&m.expired, "Simulated Old Batch", &m.androidRoot, time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)},
		{&m.appleRoot, "Simulated App Attestation Root", nil, long},
		{&m.appleCA, "Simulated App Attestation CA 1", &m.appleRoot, long},
	} {
		var parent *authority
		if a.parent != nil {
			parent = *a.parent
		}
		made, err := newAuthority(a.name, parent, a.until)
		if err != nil {
			return nil, err
		}
		*a.at = made
	}
	return m, nil
}

// The beginning of everything that is certified: simulated clocks may stand anywhere after it.
var beginning = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)

func newAuthority(name string, parent *authority, until time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of %s: %w", name, err)
	}
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: beginning, NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &authority{key: key}
	if parent == nil {
		parent = &authority{cert: t, key: key}
	}
	a.cert, err = parent.issue(t, &key.PublicKey)
	return a, err
}

// issue certifies a key.
func (a *authority) issue(t *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	var err error
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, fmt.Errorf("number certificate: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("certify %s: %w", t.Subject, err)
	}
	return x509.ParseCertificate(der)
}

func toPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// AndroidRoots are the roots of Android phones, in PEM.
func (m *Maker) AndroidRoots() []byte { return toPEM("CERTIFICATE", m.androidRoot.cert.Raw) }

// AppleRoots are those of iPhones.
func (m *Maker) AppleRoots() []byte { return toPEM("CERTIFICATE", m.appleRoot.cert.Raw) }

// Status is the list of revoked certificates, as Google writes its own.
func (m *Maker) Status() []byte {
	text, err := json.Marshal(map[string]any{"entries": map[string]any{
		m.revoked.cert.SerialNumber.Text(16): map[string]string{"status": "REVOKED", "reason": "KEY_COMPROMISE"},
	}})
	if err != nil {
		panic(err) // maps of texts
	}
	return text
}

// The files in a maker's directory: what a server is configured with, and the maker's own.
const (
	AndroidRootsFile = "android_roots.pem"
	AppleRootsFile   = "apple_roots.pem"
	StatusFile       = "android_status.json"
	keysFile         = "maker.pem"
)

// Open reads the maker that is kept in a directory, or makes one and keeps it there, with the files for the server.
func Open(dir string) (*Maker, error) {
	text, err := os.ReadFile(filepath.Join(dir, keysFile)) //nolint:gosec // the directory is the caller's choice
	if err == nil {
		return parse(text)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open maker: %w", err)
	}
	m, err := New()
	if err != nil {
		return nil, err
	}
	return m, m.keep(dir)
}

func (m *Maker) keep(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep maker: %w", err)
	}
	var keys []byte
	for _, a := range m.all() {
		der, err := x509.MarshalPKCS8PrivateKey((*a).key)
		if err != nil {
			return fmt.Errorf("keep maker: %w", err)
		}
		keys = append(append(keys, toPEM("CERTIFICATE", (*a).cert.Raw)...), toPEM("PRIVATE KEY", der)...)
	}
	for name, text := range map[string][]byte{
		AndroidRootsFile: m.AndroidRoots(), AppleRootsFile: m.AppleRoots(), StatusFile: m.Status(), keysFile: keys,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return fmt.Errorf("keep maker: %w", err)
		}
	}
	return nil
}

func parse(text []byte) (*Maker, error) {
	m := &Maker{}
	for _, at := range m.all() {
		a := &authority{}
		for _, kind := range []string{"CERTIFICATE", "PRIVATE KEY"} {
			var block *pem.Block
			if block, text = pem.Decode(text); block == nil || block.Type != kind {
				return nil, errors.New("open maker: its file is damaged")
			}
			if err := a.read(block); err != nil {
				return nil, fmt.Errorf("open maker: %w", err)
			}
		}
		*at = a
	}
	return m, nil
}

func (a *authority) read(block *pem.Block) (err error) {
	if block.Type == "CERTIFICATE" {
		a.cert, err = x509.ParseCertificate(block.Bytes)
		return err
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	key, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("its key is of another kind")
	}
	a.key = key
	return nil
}
