package attestation

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// The bounds of a chain. Google's have four or five certificates of one to two kilobytes.
const (
	maxChain   = 10
	maxRSABits = 4096
	maxRoots   = 64
	// clockLeeway is by how much a certificate may be younger than our clock says.
	clockLeeway = 5 * time.Minute
)

// Roots are the keys at which chains may end. What counts is the key: Google has issued several certificates for its
// first one, of which old phones carry one that has run out.
type Roots []*x509.Certificate

// ParseRoots reads certificates in PEM, or a JSON list of them, as Google publishes its own. Errors: none in it, more than
// 64, one that is no certification authority's.
func ParseRoots(text []byte) (Roots, error) {
	var list []string
	if t := bytes.TrimSpace(text); len(t) > 0 && t[0] == '[' {
		if err := json.Unmarshal(t, &list); err != nil {
			return nil, fmt.Errorf("read roots: %w", err)
		}
	} else {
		list = []string{string(text)}
	}
	var out Roots
	for _, one := range list {
		rest := []byte(one)
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type != "CERTIFICATE" {
				return nil, fmt.Errorf("read roots: a %s is among them, where only certificates belong", block.Type)
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("read roots: %w", err)
			}
			if !c.IsCA {
				return nil, fmt.Errorf("read roots: %q is not a certification authority's", c.Subject)
			}
			out = append(out, c)
		}
		if len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("read roots: there is something else than certificates in PEM")
		}
	}
	if len(out) == 0 || len(out) > maxRoots {
		return nil, fmt.Errorf("read roots: %d certificates, where 1 to %d belong", len(out), maxRoots)
	}
	return out, nil
}

func (r Roots) has(c *x509.Certificate) bool {
	for _, root := range r {
		if bytes.Equal(root.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) && bytes.Equal(root.RawSubject, c.RawSubject) {
			return true
		}
	}
	return false
}

// follow checks that each certificate of a chain, the leaf first, was issued by the next one, and the last one by a root,
// which may be the last one itself. Nothing else is looked for: what was sent is the path, without detours. It gives the
// certificates without the root.
func (r Roots) follow(chain [][]byte, now time.Time) ([]*x509.Certificate, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, malformed(fmt.Errorf("%d certificates, where 1 to %d belong", len(chain), maxChain))
	}
	all := make([]*x509.Certificate, 0, len(chain))
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, malformed(err)
		}
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
			return nil, malformed(fmt.Errorf("an RSA key of %d bits", k.N.BitLen()))
		}
		all = append(all, c)
	}
	if len(all) > 1 && r.has(all[len(all)-1]) {
		all = all[:len(all)-1]
	}
	for i, c := range all {
		if now.Add(clockLeeway).Before(c.NotBefore) || now.After(c.NotAfter) {
			return nil, refuse("expired", "A certificate of the attestation is not valid at this time.", fmt.Errorf("certificate %d is good from %s to %s", i, c.NotBefore, c.NotAfter))
		}
		if len(c.UnhandledCriticalExtensions) > 0 {
			return nil, malformed(fmt.Errorf("certificate %d has a critical extension that is not known", i))
		}
		if i+1 < len(all) {
			if err := issued(c, all[i+1], i); err != nil {
				return nil, untrusted(err)
			}
		}
	}
	last := len(all) - 1
	err := errors.New("there is no root")
	for _, root := range r {
		if err = issued(all[last], root, last); err == nil {
			return all, nil
		}
	}
	return nil, untrusted(err)
}

func untrusted(cause error) *Refusal {
	return refuse("untrusted", "The attestation does not come from a maker that this server trusts.", cause)
}

// issued checks that the certificate at a place of a chain, which is as many places from the leaf, is its parent's.
func issued(c, parent *x509.Certificate, place int) error {
	if !bytes.Equal(c.RawIssuer, parent.RawSubject) {
		return fmt.Errorf("certificate %d was issued by somebody else", place)
	}
	if !parent.BasicConstraintsValid || !parent.IsCA {
		return fmt.Errorf("certificate %d was issued by one that may issue none", place)
	}
	if limited := parent.MaxPathLen > 0 || parent.MaxPathLenZero; limited && place > parent.MaxPathLen {
		return fmt.Errorf("certificate %d is further from its issuer than that may be", place)
	}
	if err := c.CheckSignatureFrom(parent); err != nil {
		return fmt.Errorf("certificate %d: %w", place, err)
	}
	return nil
}
