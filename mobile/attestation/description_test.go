package attestation

import (
	"encoding/asn1"
	"encoding/hex"
	"testing"
)

// FuzzParseDescription reads the extension as whoever holds an attested key could write it.
func FuzzParseDescription(f *testing.F) {
	for _, text := range []string{
		// Version 3, both levels TEE, the challenge "abc", two empty lists.
		"301a" + "020103" + "0a0101" + "020104" + "0a0101" + "0403616263" + "0400" + "3000" + "3000",
		"3000", "", "30800000",
	} {
		der, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		d, err := parseDescription(der)
		if err != nil {
			return
		}
		for _, l := range []Level{d.level, d.attestationLevel} {
			if l != Software && l != TEE && l != StrongBox {
				t.Fatalf("level %q", l)
			}
		}
		for _, a := range []authorizations{d.softwareSays, d.keystoreIs} {
			for _, app := range a.apps {
				if !IsAndroidApp(app) {
					t.Fatalf("app %q", app)
				}
			}
		}
	})
}

// The numbers of tags and states are those of KeyMint.
func TestParseDescription(t *testing.T) {
	t.Parallel()
	explicit := func(tag int, v any) []byte {
		inner, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: inner})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	list := func(members ...[]byte) []byte {
		var content []byte
		for _, m := range members {
			content = append(content, m...)
		}
		out, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: content})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	a, err := parseAuthorizations(list(explicit(504, 2), explicit(505, 30), explicit(702, 0), explicit(706, 202603), explicit(9999, "new")))
	if err != nil || a.userAuth != 2 || a.authFor != 30 || a.origin != 0 || a.patchLevel != 202603 || a.noAuth {
		t.Errorf("%+v %v", a, err)
	}
	for name, der := range map[string][]byte{
		"a member twice":     list(explicit(702, 0), explicit(702, 2)),
		"a boolean as level": list(explicit(706, true)),
		"a bare integer":     list([]byte{2, 1, 1}),
		"an empty package":   list(explicit(709, list(list(), list()))),
	} {
		if a, err := parseAuthorizations(der); err == nil {
			t.Errorf("%s is read as %+v", name, a)
		}
	}
	for n, want := range map[int64]string{202602: "2026-02", 20260205: "2026-02", 202613: "", 0: "", -5: "", 201: ""} {
		if got := patch(n); got != want {
			t.Errorf("patch level %d is %q", n, got)
		}
	}
}
