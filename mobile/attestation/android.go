package attestation

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"countersign/mobile/wire"
)

const keyDescription = "1.3.6.1.4.1.11129.2.1.17"

// AndroidKey checks an Android Key Attestation: a chain of certificates in DER, the attested key's first, for one of the
// keys that the phone brings. Whether a certificate was revoked is for the caller to look up, by Finding.Serials, and
// whether the finding is enough for Policy. Errors: *Refusal.
func (v *Verifier) AndroidKey(chain [][]byte, challenge []byte, keys []Key) (Finding, error) {
	f := Finding{Format: wire.AndroidKey, Checked: v.Now()}
	path, err := v.AndroidRoots.follow(chain, v.Now())
	if err != nil {
		return f, err
	}
	for _, c := range path {
		f.Serials = append(f.Serials, serial(c.SerialNumber.Text(16)))
	}
	// Only the description nearest to the root was written by the keystore: whoever has an attested key could sign more
	// certificates with it, and write into them what they like.
	var der []byte
	nearest := -1
	for i, c := range slices.Backward(path) {
		if der, err = extension(c, keyDescription); err != nil {
			return f, malformed(err)
		}
		if der != nil {
			nearest = i
			break
		}
	}
	switch {
	case nearest < 0:
		return f, malformed(errors.New("no certificate describes a key"))
	case nearest > 0:
		return f, untrusted(fmt.Errorf("the key of certificate %d is attested, not that of the leaf", nearest))
	}
	d, err := parseDescription(der)
	if err != nil {
		return f, malformed(err)
	}
	if subtle.ConstantTimeCompare(d.challenge, challenge) != 1 {
		return f, refuse("challenge", "The attestation was made for something else than this enrolment.", nil)
	}
	if f.Key = named(keys, path[0].PublicKey); f.Key == "" {
		return f, refuse("key", "The attestation is about another key than those of this phone.", nil)
	}
	return f.describe(d)
}

// describe fills in what the keystore says. What counts is enforced by the keystore itself; of a key in software that is
// nothing, and Android says it in the other list.
func (f Finding) describe(d *description) (Finding, error) {
	f.Level = weakest(d.attestationLevel, d.level)
	by := d.keystoreIs
	if f.Level == Software && len(by.purposes) == 0 {
		by = d.softwareSays
	}
	switch {
	case by.origin != originGenerated:
		return f, refuse("key", "The attested key was not made in the phone.", nil)
	case !slices.Contains(by.purposes, purposeSign) || by.algorithm != algorithmEC:
		return f, refuse("key", "The attested key is not one for signatures.", nil)
	}
	f.UserAuth = !by.noAuth && by.userAuth != 0 && by.authFor == 0
	f.OSVersion, f.Patch = int(by.osVersion), patch(by.patchLevel)
	if t := d.keystoreIs.trust; t != nil {
		f.Boot, f.Locked = t.state, t.locked
	}
	f.Apps = d.softwareSays.apps // Android itself writes it, not the keystore
	return f, nil
}

// weakest is the lower level.
func weakest(a, b Level) Level {
	rank := []Level{Software, TEE, StrongBox}
	if slices.Index(rank, a) < slices.Index(rank, b) {
		return a
	}
	return b
}

// patch writes a level, YYYYMM or YYYYMMDD, as YYYY-MM; "" for none.
func patch(n int64) string {
	if n > 999999 {
		n /= 100
	}
	if n < 200001 || n > 999912 || n%100 < 1 || n%100 > 12 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d", n/100, n%100)
}

// serial is a serial number as the list of revoked ones writes it: hexadecimal, in small letters, without leading zeros.
func serial(hex string) string {
	return cmp.Or(string(bytes.TrimLeft(bytes.ToLower([]byte(hex)), "0")), "0")
}
