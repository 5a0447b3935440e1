package maker

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"
)

// The app that simulated phones run.
const (
	Package = "example.countersign"
	AppID   = "SIMULATED0.example.countersign"
)

// Signer is the SHA-256 of the certificate that signs Package.
func Signer() [sha256.Size]byte {
	return sha256.Sum256([]byte("the simulated app's signing certificate"))
}

// Order is what a phone asks a keystore to attest.
type Order struct {
	Fault     Fault // "" is Good
	Key       crypto.PublicKey
	Challenge []byte
	UserAuth  bool // the key asks for its owner each time
}

// AndroidChain is the keystore's evidence for a key: certificates in DER, the key's own first, the root's last.
func (m *Maker) AndroidChain(o Order) ([][]byte, error) {
	issuer, root := m.batch, m.androidRoot
	switch o.Fault {
	case Revoked:
		issuer = m.revoked
	case Expired:
		issuer = m.expired
	case Untrusted:
		other, err := New()
		if err != nil {
			return nil, err
		}
		issuer, root = other.batch, other.androidRoot
	case Foreign:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make another key: %w", err)
		}
		o.Key = &key.PublicKey
	case WrongChallenge:
		sum := sha256.Sum256(o.Challenge)
		o.Challenge = sum[:]
	case Extended:
		return m.extended(o)
	}
	description, err := describe(o)
	if err != nil {
		return nil, err
	}
	leaf, err := issuer.issue(keyCertificate(description), o.Key)
	if err != nil {
		return nil, err
	}
	return [][]byte{leaf.Raw, issuer.cert.Raw, root.cert.Raw}, nil
}

// extended has a key that was attested well sign a certificate about the key that is asked for.
func (m *Maker) extended(o Order) ([][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make attested key: %w", err)
	}
	description, err := describe(o)
	if err != nil {
		return nil, err
	}
	// The better of its kind: a keystore that lets the key issue certificates.
	t := keyCertificate(description)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	middle, err := m.batch.issue(t, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	leaf, err := (&authority{middle, key}).issue(keyCertificate(description), o.Key)
	if err != nil {
		return nil, err
	}
	return [][]byte{leaf.Raw, middle.Raw, m.batch.cert.Raw, m.androidRoot.cert.Raw}, nil
}

func keyCertificate(description []byte) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "Android Keystore Key"}, NotBefore: time.Unix(0, 0), NotAfter: time.Date(2048, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}, Value: description}},
	}
}

// writer makes DER; the first error stays.
type writer struct{ err error }

func (w *writer) der(v any) []byte {
	out, err := asn1.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	return out
}

// group is a SEQUENCE or a SET of what is DER already.
func (w *writer) group(tag int, parts ...[]byte) []byte {
	var content []byte
	for _, p := range parts {
		content = append(content, p...)
	}
	return w.der(asn1.RawValue{Class: asn1.ClassUniversal, Tag: tag, IsCompound: true, Bytes: content})
}

// member is [tag] EXPLICIT.
func (w *writer) member(tag int, content []byte) []byte {
	return w.der(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: content})
}

// describe writes the extension KeyDescription.
func describe(o Order) ([]byte, error) {
	w := &writer{}
	level := asn1.Enumerated(1)
	switch o.Fault {
	case Software:
		level = 0
	case StrongBox:
		level = 2
	}
	state, locked, patch, origin := asn1.Enumerated(0), true, 202602, 0
	switch o.Fault {
	case Rooted:
		state, locked = 2, false
	case SelfSigned:
		state = 1
	case OldPatch:
		patch = 201901
	case Imported:
		origin = 2
	}
	auth := w.member(503, w.der(asn1.NullRawValue))
	if o.UserAuth {
		auth = w.member(504, w.der(3))
	}
	key := [][]byte{
		w.member(1, w.group(asn1.TagSet, w.der(2))), w.member(2, w.der(3)), w.member(3, w.der(256)),
		w.member(5, w.group(asn1.TagSet, w.der(4))), w.member(10, w.der(1)), auth, w.member(702, w.der(origin)),
	}
	boot := make([]byte, 32)
	trust := w.group(asn1.TagSequence, w.der(boot), w.der(locked), w.der(state), w.der(boot))
	system := [][]byte{w.member(704, trust), w.member(705, w.der(160000)), w.member(706, w.der(patch)), w.member(718, w.der(patch*100+5))}
	signer := Signer()
	app := w.group(asn1.TagSequence,
		w.group(asn1.TagSet, w.group(asn1.TagSequence, w.der([]byte(Package)), w.der(1))),
		w.group(asn1.TagSet, w.der(signer[:])))
	software := [][]byte{w.member(701, w.der(1_700_000_000_000)), w.member(709, w.der(app))}
	hardware := append(key, system...)
	if o.Fault == Software {
		software, hardware = append(append(key[:len(key):len(key)], software...), system...), nil
	}
	out := w.group(asn1.TagSequence,
		w.der(300), w.der(level), w.der(300), w.der(level), w.der(o.Challenge), w.der([]byte{}),
		w.group(asn1.TagSequence, software...), w.group(asn1.TagSequence, hardware...))
	if w.err != nil {
		return nil, fmt.Errorf("describe key: %w", w.err)
	}
	return out, nil
}
