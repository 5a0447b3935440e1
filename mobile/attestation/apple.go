package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"countersign/mobile/wire"
)

const appleNonce = "1.2.840.113635.100.8.2"

// The places of authenticator data (WebAuthn §6.1).
const (
	rpIDHashEnd   = 32
	counterStart  = 33
	counterEnd    = 37
	aaguidEnd     = 53
	credentialIDs = 55 // where the credential id begins, after its length of two bytes
)

// object is the attestation object of App Attest.
type object struct {
	Format    string `cbor:"fmt"`
	Statement struct {
		Chain   [][]byte `cbor:"x5c"`
		Receipt []byte   `cbor:"receipt"`
	} `cbor:"attStmt"`
	AuthData []byte `cbor:"authData"`
}

// reading takes nothing that could be read in two ways, nor what is deeper or longer than an attestation is.
var reading = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: 4, MaxArrayElements: 16, MaxMapPairs: 16, FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// AppAttest checks an attestation object of Apple's App Attest, by which one of the apps vouches for the keys that the phone
// brings, the possession key first. apps are App IDs: <team>.<bundle id>. Errors: *Refusal.
func (v *Verifier) AppAttest(raw, challenge []byte, keys []Key, apps []string) (Finding, error) {
	f := Finding{Format: wire.AppAttest, Checked: v.Now()}
	var o object
	if err := reading.Unmarshal(raw, &o); err != nil {
		return f, malformed(err)
	}
	switch {
	case o.Format != string(wire.AppAttest):
		return f, malformed(errors.New("the object is of another format"))
	case len(o.AuthData) < credentialIDs:
		return f, malformed(errors.New("the authenticator data is too short"))
	}
	path, err := v.AppleRoots.follow(o.Statement.Chain, v.Now())
	if err != nil {
		return f, err
	}
	leaf := path[0]
	nonce, err := extension(leaf, appleNonce)
	if err != nil || nonce == nil {
		return f, malformed(errors.Join(err, errors.New("the certificate has no nonce")))
	}
	stated, err := parseNonce(nonce)
	if err != nil {
		return f, malformed(err)
	}
	if subtle.ConstantTimeCompare(stated, expectedNonce(o.AuthData, challenge, keys)) != 1 {
		return f, refuse("challenge", "The attestation was made for another enrolment, or for other keys.", nil)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return f, malformed(errors.New("the attested key is not on P-256"))
	}
	if err := checkCredential(o.AuthData, key); err != nil {
		return f, err
	}
	switch string(o.AuthData[counterEnd:aaguidEnd]) {
	case "appattest\x00\x00\x00\x00\x00\x00\x00":
		f.Environment = Production
	case "appattestdevelop":
		f.Environment = Development
	default:
		return f, malformed(errors.New("the AAGUID is not one of App Attest"))
	}
	for _, app := range apps {
		if sum := sha256.Sum256([]byte(app)); bytes.Equal(sum[:], o.AuthData[:rpIDHashEnd]) {
			f.Apps = []string{app}
		}
	}
	if f.Apps == nil {
		return f, refuse("app", "This app may not be used here.", nil)
	}
	f.Level = GenuineApp
	return f, nil
}

// parseNonce reads SEQUENCE { [1] EXPLICIT OCTET STRING }.
func parseNonce(der []byte) ([]byte, error) {
	parts, err := sequence(der, asn1.TagSequence)
	if err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	if len(parts) != 1 || parts[0].Class != asn1.ClassContextSpecific || parts[0].Tag != 1 || !parts[0].IsCompound {
		return nil, errors.New("nonce: it has another form")
	}
	nonce, err := scalar[[]byte](parts[0].Bytes)
	if err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	return nonce, nil
}

func expectedNonce(authData, challenge []byte, keys []Key) []byte {
	thumbprints := make([]string, len(keys))
	for i, k := range keys {
		thumbprints[i] = k.Thumbprint
	}
	client := sha256.Sum256(wire.AttestationClientData(challenge, thumbprints...))
	sum := sha256.Sum256(append(bytes.Clone(authData), client[:]...))
	return sum[:]
}

// checkCredential holds the authenticator data against the attested key: a new one, named by its digest.
func checkCredential(authData []byte, key *ecdsa.PublicKey) error {
	if binary.BigEndian.Uint32(authData[counterStart:counterEnd]) != 0 {
		return refuse("key", "The key of the attestation was used before.", nil)
	}
	n := int(binary.BigEndian.Uint16(authData[aaguidEnd:credentialIDs]))
	if n != sha256.Size || len(authData) < credentialIDs+n {
		return malformed(errors.New("the credential id is not a SHA-256"))
	}
	point, err := key.Bytes()
	if err != nil {
		return malformed(err)
	}
	if sum := sha256.Sum256(point); !bytes.Equal(sum[:], authData[credentialIDs:credentialIDs+n]) {
		return refuse("key", "The attestation is about another key than its certificate.", nil)
	}
	return nil
}
