package webauthn

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

//go:embed testdata/vectors.json
var vectorsJSON []byte

// vectors are the specification's own.
type vectors struct {
	Root    []byte   `json:"root"`
	Vectors []vector `json:"vectors"`
}

type vector struct {
	Section, Title string
	Create         struct {
		AttestationObject, ClientDataJSON, CredentialID, Challenge []byte
	}
	Get struct {
		AuthenticatorData, ClientDataJSON, Signature, CredentialID, Challenge []byte
	}
}

func (v vector) created() json.RawMessage {
	raw, _ := json.Marshal(object{
		"id": encode(v.Create.CredentialID), "rawId": encode(v.Create.CredentialID), "type": "public-key",
		"response": object{"clientDataJSON": encode(v.Create.ClientDataJSON), "attestationObject": encode(v.Create.AttestationObject)},
	})
	return raw
}

func (v vector) asserted() json.RawMessage {
	raw, _ := json.Marshal(object{
		"id": encode(v.Get.CredentialID), "rawId": encode(v.Get.CredentialID), "type": "public-key",
		"response": object{
			"clientDataJSON": encode(v.Get.ClientDataJSON), "authenticatorData": encode(v.Get.AuthenticatorData), "signature": encode(v.Get.Signature),
		},
	})
	return raw
}

const unproved = "The device could not prove which make it is."

func readVectors(t testing.TB) vectors {
	t.Helper()
	var all vectors
	if err := json.Unmarshal(vectorsJSON, &all); err != nil || len(all.Vectors) < 14 {
		t.Fatalf("%d vectors: %v", len(all.Vectors), err)
	}
	return all
}

// Registration and sign-in with the test vectors of Web Authentication Level 3, §16, as this server is set: pages in
// frames of other sites are refused, ES384 is not in the contract's list, and makers' certificates are held against the
// vectors' own root, save where the library has the maker's built in.
func TestSpecificationVectors(t *testing.T) {
	t.Parallel()
	all := readVectors(t)
	at := siteOf("https://example.org/")
	now := time.Now()
	refused := map[string]string{
		"16.4": "The answer was made for another address.", "16.5": "The answer was made for another address.",
		"16.8":  "The device made a kind of key that is not supported.",
		"16.13": unproved, "16.14": unproved, "16.15": unproved,
	}
	self := map[string]bool{"16.2": true, "16.3": true, "16.6": true}
	for _, v := range all.Vectors {
		t.Run(v.Section+" "+v.Title, func(t *testing.T) {
			t.Parallel()
			creation, err := parseCreation(v.created())
			if err != nil {
				t.Fatal(err)
			}
			aaguid, _ := uuid.FromBytes(creation.Response.AttestationObject.AuthData.AttData.AAGUID)
			root := newAuthority(t, "FIDO")
			e := entry(aaguid, v.Title, "FIDO_CERTIFIED", []string{"basic_full", "attca", "anonca", "basic_surrogate"})
			e["metadataStatement"].(object)["attestationRootCertificates"] = []string{base64.StdEncoding.EncodeToString(all.Root)}
			set, err := decodeBlob(root.blob(t, signer, 1, e), root.root(), now)
			if err != nil {
				t.Fatal(err)
			}
			q := question{Challenge: encode(v.Create.Challenge), Made: now}
			c, err := created(at, q, "preferred", []byte("user"), set, creation)
			data := creation.Response.AttestationObject.AuthData
			d := stored{
				CredentialID: creation.RawID, PublicKey: data.AttData.CredentialPublicKey, SignCount: int64(data.Counter),
				BackupEligible: data.Flags.HasBackupEligible(), model: model{AAGUID: aaguid},
			}
			if want := refused[v.Section]; want != "" {
				if err == nil || err.Error() != want {
					t.Errorf("registration: %v, want %q", err, want)
				}
			} else if err != nil {
				t.Fatalf("registration: %v: %v", err, errors.Unwrap(err))
			} else {
				if got := set.shows(aaguid, c.AttestationFormat, c.AttestationType); got == self[v.Section] {
					t.Errorf("its make is proved: %v (%s, %s)", got, c.AttestationFormat, c.AttestationType)
				}
				if again := attestationOf(c).proves(set); again == self[v.Section] {
					t.Errorf("and later from what was kept: %v", again)
				}
			}
			assertion, err := parseAssertion(v.asserted())
			if err != nil {
				t.Fatal(err)
			}
			q = question{Challenge: encode(v.Get.Challenge), Made: now}
			_, err = asserted(at, q, "preferred", []byte("user"), d, assertion)
			if framed := assertion.Response.CollectedClientData.CrossOrigin; framed != (err != nil) {
				t.Errorf("sign-in, in a frame %v: %v", framed, err)
			}
			q.Challenge = encode(v.Create.Challenge)
			if _, err := asserted(at, q, "preferred", []byte("user"), d, assertion); err == nil {
				t.Error("sign-in with another challenge")
			}
		})
	}
}
