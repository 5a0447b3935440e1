package webauthn

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

// Whatever a browser sends, the answer is an errAnswer with a text, or a credential that was checked.
func FuzzCreation(f *testing.F) {
	for _, v := range readVectors(f).Vectors {
		f.Add([]byte(v.created()))
	}
	f.Add([]byte(`{"id":"","rawId":null,"type":"public-key","response":{"attestationObject":"oA"}}`))
	now := time.Now()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return // the API's own decoder was before
		}
		p, err := parseCreation(raw)
		if err == nil {
			_, err = created(siteOf("https://example.org/"), question{Challenge: "AAAA", Made: now}, "preferred", []byte("user"), nil, p)
			if err == nil {
				t.Fatal("an answer to a challenge that nobody gave was taken")
			}
		}
		told(t, err)
	})
}

func FuzzAssertion(f *testing.F) {
	all := readVectors(f)
	for _, v := range all.Vectors {
		f.Add([]byte(v.asserted()))
	}
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"authenticatorData":"","clientDataJSON":"bnVsbA","signature":""}}`))
	creation, err := parseCreation(all.Vectors[0].created())
	if err != nil {
		f.Fatal(err)
	}
	d := stored{CredentialID: creation.RawID, PublicKey: creation.Response.AttestationObject.AuthData.AttData.CredentialPublicKey}
	now := time.Now()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		p, err := parseAssertion(raw)
		if err == nil {
			d.CredentialID = p.RawID
			_, err = asserted(siteOf("https://example.org/"), question{Challenge: "AAAA", Made: now}, "required", []byte("user"), d, p)
			if err == nil {
				t.Fatal("an answer to a challenge that nobody gave was taken")
			}
		}
		told(t, err)
	})
}

func told(t *testing.T, err error) {
	t.Helper()
	var bad *errAnswer
	if !errors.As(err, &bad) || bad.text == "" || bad.detail() == "" {
		t.Fatalf("the error is %v", err)
	}
}
