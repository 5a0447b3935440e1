package wire_test

import (
	"reflect"
	"regexp"
	"testing"

	"countersign/mobile/wire"
)

// fingerprintVector was computed by another program.
type fingerprintVector struct {
	Name         string `json:"name"`
	Device       string `json:"device"`
	Token        string `json:"token"`
	Possession   string `json:"possession"`
	Verification string `json:"user_verification"`
	Server       string `json:"server"`
	Salt         string `json:"salt"`
	Fingerprint  string `json:"fingerprint"`
}

// T18: the published vectors hold, and each part of a binding counts.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, v := range vectors[fingerprintVector](t, "fingerprint.json") {
		b := wire.Binding{Device: v.Device, TokenHash: wire.HashToken(v.Token), Possession: v.Possession, Verification: v.Verification, Server: v.Server, Salt: v.Salt}
		got, err := b.Fingerprint()
		if err != nil || got != v.Fingerprint || !regexp.MustCompile(`^[0-9]{3} [0-9]{3} [0-9]{3}$`).MatchString(got) {
			t.Errorf("%s: %q %v, want %q", v.Name, got, err, v.Fingerprint)
		}
		seen[got] = v.Name
		for i := range reflect.TypeFor[wire.Binding]().NumField() {
			other := b
			f := reflect.ValueOf(&other).Elem().Field(i)
			f.SetString(f.String() + "x")
			if changed, err := other.Fingerprint(); err != nil || changed == got {
				t.Errorf("%s: without a change of %s %q %v", v.Name, reflect.TypeFor[wire.Binding]().Field(i).Name, changed, err)
			}
		}
	}
	if len(seen) < 3 {
		t.Errorf("vectors: %v", seen)
	}
}
