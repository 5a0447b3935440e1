package attestation

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"time"

	"countersign/mobile/wire"
)

// Level is where a key lives, as far as it is proved.
type Level string

// The levels.
const (
	Software  Level = "software"
	TEE       Level = "tee"       // an isolated part of the main processor
	StrongBox Level = "strongbox" // a security chip of its own
	// GenuineApp is what App Attest proves: not where the key lives, but that an unmodified copy of the app, on a genuine
	// Apple device, vouches for it.
	GenuineApp Level = "genuine_app"
)

// Boot is what started the phone's operating system (Android Verified Boot).
type Boot string

// The states.
const (
	Verified   Boot = "verified"    // the maker's system
	SelfSigned Boot = "self_signed" // another system, signed by a key that the owner installed
	Unverified Boot = "unverified"  // the boot loader is unlocked: anything
	Failed     Boot = "failed"
)

// Environment is which build of an iOS app was attested.
type Environment string

// The environments.
const (
	Production  Environment = "production"
	Development Environment = "development" // installed from Xcode
)

// Finding is what good evidence says, or, with a Problem, why it is not good. It is stored and shown as it is.
type Finding struct {
	Format      wire.AttestationFormat `json:"format"`
	Key         string                 `json:"key,omitempty"` // which of the phone's keys is attested; an app vouches for all
	Level       Level                  `json:"security_level,omitempty"`
	Boot        Boot                   `json:"boot_state,omitempty"`
	Locked      bool                   `json:"device_locked"`         // the boot loader
	UserAuth    bool                   `json:"user_authentication"`   // each use of the key needs its owner
	OSVersion   int                    `json:"os_version,omitempty"`  // as Android writes it: 160000 is 16.0.0
	Patch       string                 `json:"patch_level,omitempty"` // of Android, YYYY-MM
	Apps        []string               `json:"apps,omitempty"`        // package/SHA-256 of its signer, or an App ID
	Environment Environment            `json:"environment,omitempty"` // of an iOS app
	Checked     time.Time              `json:"checked"`
	Problem     string                 `json:"problem,omitempty"` // the Code of a Refusal

	Serials []string `json:"-"` // of the certificates, as the list of revoked ones writes them
}

// Refusal is an error that says why evidence is not enough.
type Refusal struct {
	Code string // for programs: malformed, untrusted, expired, revoked, challenge, key, level, boot, patch, user_authentication, app, environment
	Text string // for people, safe to show
	err  error
}

func (r *Refusal) Error() string {
	if r.err != nil {
		return fmt.Sprintf("attestation: %s: %v", r.Code, r.err)
	}
	return "attestation: " + r.Code
}

func (r *Refusal) Unwrap() error { return r.err }

func refuse(code, text string, cause error) *Refusal { return &Refusal{code, text, cause} }

func malformed(cause error) *Refusal {
	return refuse("malformed", "The attestation cannot be read.", cause)
}

// Key is a public key that a phone brings, under the name that a Finding gives it.
type Key struct {
	Name       string
	Public     crypto.PublicKey
	Thumbprint string // RFC 7638, base64url
}

// Verifier checks evidence. It is safe for concurrent use.
type Verifier struct {
	AndroidRoots, AppleRoots Roots
	Now                      func() time.Time
}

// named finds which of the keys is public.
func named(keys []Key, public crypto.PublicKey) string {
	p, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return ""
	}
	for _, k := range keys {
		if p.Equal(k.Public) {
			return k.Name
		}
	}
	return ""
}

// extension finds the only one with an id; several are an error.
func extension(c *x509.Certificate, id string) ([]byte, error) {
	var found []byte
	for _, e := range c.Extensions {
		if e.Id.String() != id {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("extension %s is there twice", id)
		}
		found = e.Value
		if found == nil {
			found = []byte{}
		}
	}
	return found, nil
}
