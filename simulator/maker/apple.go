package maker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"time"
)

// AppleObject is what App Attest gives an app for the hash of what it wants attested: an attestation object in CBOR.
func (m *Maker) AppleObject(fault Fault, clientDataHash [sha256.Size]byte) ([]byte, error) {
	issuer := m.appleCA
	app, aaguid, counter := AppID, "appattest\x00\x00\x00\x00\x00\x00\x00", uint32(0)
	switch fault {
	case Untrusted:
		other, err := New()
		if err != nil {
			return nil, err
		}
		issuer = other.appleCA
	case WrongChallenge, Foreign:
		clientDataHash = sha256.Sum256(clientDataHash[:])
	case Development:
		aaguid = "appattestdevelop"
	case Rooted: // App Attest says nothing of the system; a copy of the app signed by somebody else has another team
		app = "ELSEWHERE0.example.countersign"
	case Revoked:
		counter = 1
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make attested key: %w", err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("write attested key: %w", err)
	}
	rp, id := sha256.Sum256([]byte(app)), sha256.Sum256(point)
	data := append(rp[:], 0x40)
	data = binary.BigEndian.AppendUint32(data, counter)
	data = append(data, aaguid...)
	data = binary.BigEndian.AppendUint16(data, sha256.Size)
	data = append(data, id[:]...)
	nonce := sha256.Sum256(append(data[:len(data):len(data)], clientDataHash[:]...))
	w := &writer{}
	extension := w.group(asn1.TagSequence, w.member(1, w.der(nonce[:])))
	if w.err != nil {
		return nil, fmt.Errorf("write nonce: %w", w.err)
	}
	until := time.Now().AddDate(20, 0, 0)
	if fault == Expired {
		until = time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	leaf, err := issuer.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: fmt.Sprintf("%x", id)}, NotBefore: beginning, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 2}, Value: extension}},
	}, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	var c cborWriter
	c.head(mapType, 3)
	c.text("fmt")
	c.text("apple-appattest")
	c.text("attStmt")
	c.head(mapType, 2)
	c.text("x5c")
	c.head(arrayType, 2)
	c.bytes(leaf.Raw)
	c.bytes(issuer.cert.Raw)
	c.text("receipt")
	c.bytes([]byte("a receipt, of which only Apple makes anything"))
	c.text("authData")
	c.bytes(data)
	return c, nil
}

// cborWriter writes the little of CBOR (RFC 8949 §3) that an attestation object needs.
type cborWriter []byte

const (
	bytesType = 2
	textType  = 3
	arrayType = 4
	mapType   = 5
)

func (c *cborWriter) head(major byte, n int) {
	switch {
	case n < 24:
		*c = append(*c, major<<5|byte(n))
	case n < 1<<8:
		*c = append(*c, major<<5|24, byte(n))
	default:
		*c = binary.BigEndian.AppendUint16(append(*c, major<<5|25), uint16(n))
	}
}

func (c *cborWriter) text(s string) {
	c.head(textType, len(s))
	*c = append(*c, s...)
}

func (c *cborWriter) bytes(b []byte) {
	c.head(bytesType, len(b))
	*c = append(*c, b...)
}
