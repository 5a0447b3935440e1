package attestation

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
)

// description is the extension 1.3.6.1.4.1.11129.2.1.17, KeyDescription: what the phone's keystore says of a key. Its form
// is at https://source.android.com/docs/security/features/keystore/attestation#schema; versions add members at the end of
// lists, which are skipped here.
type description struct {
	version                  int
	attestationLevel, level  Level // of what signs the certificate, of what keeps the key
	challenge                []byte
	softwareSays, keystoreIs authorizations
}

// authorizations are the members of an AuthorizationList that are read here.
type authorizations struct {
	purposes   []int64 // 2 is signing
	algorithm  int64   // 3 is elliptic curves
	noAuth     bool    // noAuthRequired
	userAuth   int64   // bits of HardwareAuthenticatorType
	authFor    int64   // authTimeout in seconds; 0: each use anew
	origin     int64   // 0 is made there; -1 if it is not said
	trust      *rootOfTrust
	osVersion  int64
	patchLevel int64
	apps       []string
}

type rootOfTrust struct {
	locked bool
	state  Boot
}

// The values of KeyMint's tags and enumerations that matter here.
const (
	purposeSign     = 2
	algorithmEC     = 3
	originGenerated = 0

	tagPurpose     = 1
	tagAlgorithm   = 2
	tagNoAuth      = 503
	tagUserAuth    = 504
	tagAuthTimeout = 505
	tagOrigin      = 702
	tagRootOfTrust = 704
	tagOSVersion   = 705
	tagPatchLevel  = 706
	tagApplication = 709
)

// maxApplications bounds the packages and the signers of an attestation: Android lets a few share a user id.
const maxApplications = 16

// elements splits the content of a SEQUENCE or SET.
func elements(content []byte) ([]asn1.RawValue, error) {
	var out []asn1.RawValue
	for len(content) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(content, &v)
		if err != nil {
			return nil, err
		}
		out, content = append(out, v), rest
	}
	return out, nil
}

// sequence reads one SEQUENCE, or SET, that is all of der.
func sequence(der []byte, tag int) ([]asn1.RawValue, error) {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(der, &v)
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, errors.New("something follows it")
	case v.Class != asn1.ClassUniversal || v.Tag != tag || !v.IsCompound:
		return nil, fmt.Errorf("a %d where a %d belongs", v.Tag, tag)
	}
	return elements(v.Bytes)
}

// scalar reads one value of a type that encoding/asn1 knows.
func scalar[T any](der []byte) (T, error) {
	var v T
	rest, err := asn1.Unmarshal(der, &v)
	if err == nil && len(rest) > 0 {
		err = errors.New("something follows it")
	}
	return v, err
}

func parseDescription(der []byte) (*description, error) {
	parts, err := sequence(der, asn1.TagSequence)
	if err != nil {
		return nil, fmt.Errorf("key description: %w", err)
	}
	if len(parts) != 8 {
		return nil, fmt.Errorf("key description: it has %d members", len(parts))
	}
	d := &description{}
	if d.version, err = scalar[int](parts[0].FullBytes); err != nil {
		return nil, fmt.Errorf("version: %w", err)
	}
	if d.attestationLevel, err = parseLevel(parts[1].FullBytes); err != nil {
		return nil, fmt.Errorf("attestation security level: %w", err)
	}
	if d.level, err = parseLevel(parts[3].FullBytes); err != nil {
		return nil, fmt.Errorf("keystore security level: %w", err)
	}
	if d.challenge, err = scalar[[]byte](parts[4].FullBytes); err != nil {
		return nil, fmt.Errorf("challenge: %w", err)
	}
	if d.softwareSays, err = parseAuthorizations(parts[6].FullBytes); err != nil {
		return nil, fmt.Errorf("software enforced: %w", err)
	}
	if d.keystoreIs, err = parseAuthorizations(parts[7].FullBytes); err != nil {
		return nil, fmt.Errorf("hardware enforced: %w", err)
	}
	return d, nil
}

func parseLevel(der []byte) (Level, error) {
	n, err := scalar[asn1.Enumerated](der)
	if err != nil {
		return "", err
	}
	switch n {
	case 0:
		return Software, nil
	case 1:
		return TEE, nil
	case 2:
		return StrongBox, nil
	}
	return "", fmt.Errorf("%d is not known", n)
}

func parseAuthorizations(der []byte) (authorizations, error) {
	a := authorizations{origin: -1}
	parts, err := sequence(der, asn1.TagSequence)
	if err != nil {
		return a, err
	}
	seen := map[int]bool{}
	for _, p := range parts {
		if p.Class != asn1.ClassContextSpecific || !p.IsCompound || seen[p.Tag] {
			return a, fmt.Errorf("member %d is of another class, or there twice", p.Tag)
		}
		seen[p.Tag] = true
		if err := a.read(p.Tag, p.Bytes); err != nil {
			return a, fmt.Errorf("member %d: %w", p.Tag, err)
		}
	}
	return a, nil
}

// read takes one member; one that is not known says nothing here.
func (a *authorizations) read(tag int, der []byte) (err error) {
	switch tag {
	case tagPurpose:
		a.purposes, err = integers(der)
	case tagAlgorithm:
		a.algorithm, err = scalar[int64](der)
	case tagNoAuth:
		a.noAuth = true
	case tagUserAuth:
		a.userAuth, err = scalar[int64](der)
	case tagAuthTimeout:
		a.authFor, err = scalar[int64](der)
	case tagOrigin:
		a.origin, err = scalar[int64](der)
	case tagRootOfTrust:
		a.trust, err = parseTrust(der)
	case tagOSVersion:
		a.osVersion, err = scalar[int64](der)
	case tagPatchLevel:
		a.patchLevel, err = scalar[int64](der)
	case tagApplication:
		a.apps, err = parseApplication(der)
	}
	return err
}

func integers(der []byte) ([]int64, error) {
	parts, err := sequence(der, asn1.TagSet)
	if err != nil {
		return nil, err
	}
	out := make([]int64, 0, len(parts))
	for _, p := range parts {
		n, err := scalar[int64](p.FullBytes)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// parseTrust reads RootOfTrust: verifiedBootKey, deviceLocked, verifiedBootState and, since version 3, verifiedBootHash.
func parseTrust(der []byte) (*rootOfTrust, error) {
	parts, err := sequence(der, asn1.TagSequence)
	if err != nil {
		return nil, err
	}
	if len(parts) < 3 || len(parts) > 4 {
		return nil, fmt.Errorf("it has %d members", len(parts))
	}
	t := &rootOfTrust{}
	if t.locked, err = scalar[bool](parts[1].FullBytes); err != nil {
		return nil, fmt.Errorf("device locked: %w", err)
	}
	n, err := scalar[asn1.Enumerated](parts[2].FullBytes)
	if err != nil {
		return nil, fmt.Errorf("boot state: %w", err)
	}
	states := []Boot{Verified, SelfSigned, Unverified, Failed}
	if n < 0 || int(n) >= len(states) {
		return nil, fmt.Errorf("boot state %d is not known", n)
	}
	t.state = states[n]
	return t, nil
}

// parseApplication reads AttestationApplicationId, DER within an octet string, as every pair of a package's name and a
// signer's digest.
func parseApplication(der []byte) ([]string, error) {
	inner, err := scalar[[]byte](der)
	if err != nil {
		return nil, err
	}
	parts, err := sequence(inner, asn1.TagSequence)
	if err != nil {
		return nil, err
	}
	if len(parts) != 2 {
		return nil, fmt.Errorf("it has %d members", len(parts))
	}
	packages, err := sequence(parts[0].FullBytes, asn1.TagSet)
	if err != nil {
		return nil, err
	}
	signers, err := sequence(parts[1].FullBytes, asn1.TagSet)
	if err != nil {
		return nil, err
	}
	if len(packages) > maxApplications || len(signers) > maxApplications {
		return nil, errors.New("too many packages or signers")
	}
	var out []string
	for _, p := range packages {
		info, err := sequence(p.FullBytes, asn1.TagSequence)
		if err != nil {
			return nil, err
		}
		if len(info) < 1 {
			return nil, errors.New("a package without a name")
		}
		name, err := scalar[[]byte](info[0].FullBytes)
		if err != nil {
			return nil, err
		}
		if !packageName.Match(name) {
			return nil, errors.New("a package with an impossible name")
		}
		for _, s := range signers {
			digest, err := scalar[[]byte](s.FullBytes)
			if err != nil {
				return nil, err
			}
			if len(digest) != 32 {
				return nil, errors.New("a signer's digest that is no SHA-256")
			}
			out = append(out, string(name)+"/"+hex.EncodeToString(digest))
		}
	}
	return out, nil
}
